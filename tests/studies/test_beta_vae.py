import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vae
from studies.beta_vae.study import ANSWERS
from studies.shared.networks import Vae
from tests.mistakes import refusal
from tests.studies.sections import sections

SMALL = "--epochs 2 --hidden-size 16 --z-dim 3"
BETAS = ("0.05", "0.5", "1", "5")


def run(line: str) -> int:
    return vae.main(line.split())


def test_everything_is_written_and_the_same_twice(mnist: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(f"{mnist} beta_vae {tmp_path}/{name} {SMALL}") == 0
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {
        *(f"beta_{beta}_vae_2_epochs.pth" for beta in BETAS),
        *(f"beta_{beta}.{ending}" for beta in BETAS for ending in ("csv", "state")),
        *("history.csv", "summary.json", "answers.md"),
        *("losses.png", "samples.png", "reconstructions.png", "rate_distortion.png"),
    }
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    text = (tmp_path / "a" / "answers.md").read_text()
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["This run", "Q1.1", "Q1.2", "Q1.3", "Q1.4"]
    header = (tmp_path / "a" / "history.csv").read_text().splitlines()[0].split(",")
    assert {*header} == {"epoch"} | {
        f"{term}_{beta}" for term in ("reconstruction", "kl") for beta in BETAS
    }
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["images"] == 400
    assert list(summary["betas"]) == [*BETAS]
    model = Vae(784, 3, 16)
    model.load_state_dict(torch.load(tmp_path / "a" / "beta_5_vae_2_epochs.pth"))


def test_a_larger_beta_lowers_the_kl(mnist: Path, tmp_path: Path) -> None:
    options = "--betas 0.01 --betas 20 --epochs 12 --hidden-size 32 --z-dim 3"
    assert run(f"{mnist} beta_vae {tmp_path} {options}") == 0
    measured = json.loads((tmp_path / "summary.json").read_text())["betas"]
    assert measured["0.01"]["kl"] > 3 * measured["20"]["kl"]
    assert measured["0.01"]["reconstruction"] < measured["20"]["reconstruction"]


def a_summary(kl: tuple[float, float], recon: tuple[float, float], *, swap: bool) -> dict[str, Any]:
    """Return a possible summary of a run: losses of the first and last epoch, for two betas."""
    loose = {
        "reconstruction": 80.0,
        "reconstruction_behind": {"difference": 0.0, "error": 0.0},
        "mse": 0.01,
        "against_pca": {"difference": -0.02, "error": 0.001},
        "kl_error": 0.1,
        "sharpness_error": 0.01,
        "classes_error": 0.1,
        "kl": 30.0,
        "active_units": 10,
        "sharpness_of_reconstructions": 0.6,
        "sharpness_of_samples": 0.6,
        "recognised": 0.4,
        "effective_classes": 9.0,
    }
    tight = loose | {
        "reconstruction": 120.0,
        "reconstruction_behind": {"difference": 40.0, "error": 1.0},
        "kl": 5.0,
        "active_units": 4,
        "sharpness_of_samples": 0.3,
        "recognised": 0.8,
        "effective_classes": 6.0,
    }
    one, two = (tight, loose) if swap else (loose, tight)
    terms = {"kl": kl, "reconstruction": recon}
    course = {
        n: {"first": v[0], "last": v[1], "difference": v[1] - v[0], "error": 0.1}
        for n, v in terms.items()
    }
    return {
        "unit": "nats",
        "held_out": 100,
        "samples": 1000,
        "recognised_above": 0.9,
        "epochs": 9,
        "z_dim": 10,
        "classes": 10,
        "classifier_accuracy": 0.97,
        "pca_mse": 0.03,
        "course": {"1": course, "5": dict(course)},
        "recognised_of_real": 0.95,
        "betas": {"1": one, "5": two},
    }


def test_the_sentences_follow_the_numbers() -> None:
    usual, reversed_ = (
        sections(ANSWERS, a_summary(kl, recon, swap=swap))
        for kl, recon, swap in (((5, 20), (150, 90), False), ((20, 5), (90, 150), True))
    )
    assert "from beta 1 to beta 5, the KL goes from 30.0 to 5.0 nats" in usual["Q1.1"]
    assert "This is the trade-off" in usual["Q1.1"]
    assert "does not show the trade-off" in reversed_["Q1.1"]
    row = "| 1 | falls, 150.0 to 90.0 | rises, 5.0 to 20.0 |"
    assert row in usual["Q1.2"].splitlines()
    assert "error falls for every beta. The KL rises for every beta" in usual["Q1.2"]
    assert "error rises for every beta. The KL falls for every beta" in reversed_["Q1.2"]
    row = "| 1 | 80.0 | 0.0100 | 0.60 | 0.60 | 40% |"
    assert row in usual["Q1.3"].splitlines()
    assert "lowest at beta 1." in usual["Q1.3"]
    assert "sharpest at beta 1 and most often recognised at beta 5." in usual["Q1.3"]
    assert (
        "best reconstructions are at beta 1, but the samples there are recognised less"
        in usual["Q1.3"]
    )
    assert "lowest at beta 5." in reversed_["Q1.3"]
    assert "The loss suggests the opposite" in reversed_["Q1.3"]
    assert "most diverse at beta 1." in usual["Q1.4"]
    assert "at beta 1 it recognises 40% of the samples, against 80% at beta 5." in usual["Q1.4"]
    assert "most diverse at beta 5." in reversed_["Q1.4"]


def test_losses_that_hardly_change_or_change_in_different_ways() -> None:
    steady = sections(ANSWERS, a_summary((5, 5.01), (150, 90), swap=False))["Q1.2"]
    assert "| hardly changes, 5.0 to 5.0 |" in steady
    assert "The KL hardly changes for any beta." in steady
    mixed = a_summary((5, 20), (150, 90), swap=False)
    rises, falls = (
        {"first": a, "last": b, "difference": b - a, "error": 0.1} for a, b in ((150, 200), (5, 2))
    )
    mixed["course"]["1"] = {"reconstruction": rises, "kl": falls}
    text = sections(ANSWERS, mixed)["Q1.2"]
    assert "error does not change in the same way for every beta. The KL does not change" in text
    assert "largest first, the betas are 5, 1." in text


def test_one_model_that_is_best_at_everything() -> None:
    summary = a_summary((5, 20), (150, 90), swap=False)
    summary["betas"]["1"]["recognised"] = 0.9
    best = sections(ANSWERS, summary)
    assert "beta 1 is among the best for reconstructions" in best["Q1.3"]
    assert "recognised most often" in best["Q1.4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent beta_vae out", "nothing there"),
        ("no_labels.npz beta_vae out", "no 'labels'"),
        ("DATA beta_vae out --betas -1", "Invalid value for '--betas'"),
        ("DATA beta_vae out --betas nan", "Invalid value for '--betas'"),
        ("DATA beta_vae out --betas 1 --betas 1", "different numbers, 0 or more"),
        ("DATA beta_vae out --epochs 0", "--epochs"),
        ("DATA beta_vae out --learning-rate nan", "--learning-rate"),
        ("DATA beta_vae out --device tpu", "device: 'tpu'"),
        ("DATA beta_vae out --preset best", "'best' is not one of 'full', 'quick'"),
        ("DATA beta_vae out --test absent", "absent: nothing there"),
        ("DATA beta_vae text", "not a folder"),
        ("DATA beta_vae other", "the results of 'another study'"),
        ("DATA beta_vae --epochs 1", "no OUT_DIR"),
        ("DATA beta_vae", "no OUT_DIR"),
        ("DATA beta_vae out --seed -1", "Invalid value for '--seed'"),
        ("DATA beta_vae out --hidden-size 1000000000", "--hidden-size"),
        ("DATA beta_vae out --loss-type l2", "'l2' is not one of 'bce', 'mse', 'l1'"),
        ("DATA beta_vae out --test DATA", "the training images themselves"),
    ],
)
def test_a_mistake_is_one_line(
    line: str,
    message: str,
    mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("a file")
    Path("other").mkdir()
    Path("other/summary.json").write_text('{"study": "another study"}')
    np.savez("no_labels.npz", data=np.zeros((3, 28, 28), np.uint8))
    assert message in refusal(line.replace("DATA", str(mnist)), capsys)
    assert not Path("out").exists()
