import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from grader.cli import main

Score = Callable[..., tuple[int, str, str]]


@pytest.fixture
def score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Score:
    """Runs `grader score` on a valid submission, with the given options changed."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (30, 28, 28)), np.repeat([1, 4, 8], 10)
    np.savez("test.npz", data=images.astype(np.uint8), labels=labels)
    np.savez("recon.npz", data=np.clip(images / 255 + 0.01, 0, 1))
    Path("vae.csv").write_text("Predicted_Label\n" + "\n".join(map(str, [*labels[:29], 1])))
    torch.save(nn.Linear(10, 3).state_dict(), "vae.pth")
    Path("gmm.pkl").write_bytes(b"\x80\x04}.")

    def run(**options: str) -> tuple[int, str, str]:
        words = {
            "recon_truth": "test.npz",
            "recon": "recon.npz",
            "truth": "test.npz",
            "pred": "vae.csv",
            "model": "vae.pth",
            "gmm": "gmm.pkl",
            "json": "out/scores.json",
        } | options
        argv = ["grader", "score"]
        for name, value in words.items():
            argv += [f"--{name.replace('_', '-')}", value]
        monkeypatch.setattr(sys, "argv", argv)
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_scores_go_to_the_terminal_and_to_json(score: Score) -> None:
    code, out, err = score()
    assert (code, err) == (0, "")
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["classification"]["accuracy"]["value"] == pytest.approx(29 / 30)
    assert scores["parameters"] == 33
    assert scores["within_limit"] is True
    assert scores["gmm_bytes"] == 4
    assert scores["remarks"] == []
    assert [row["label"] for row in scores["classes"]] == [1, 4, 8]
    for text in ("1 - MSE", "SSIM", "Macro F1", "33 numbers", "4 bytes", "chance alone"):
        assert text in out


def test_remarks_are_shown(score: Score) -> None:
    images = np.load("recon.npz")["data"]
    np.savez("other.npz", recon_data=images.reshape(30, 784) * 255)
    code, out, _ = score(recon="other.npz")
    remarks = json.loads(Path("out/scores.json").read_text())["remarks"]
    assert code == 0
    assert len(remarks) == 3
    assert out.count("Remark:") == 3


@pytest.mark.parametrize(
    ("numbers", "within", "remarks"), [(11_000_000, True, 1), (21_000_000, False, 1)]
)
def test_large_models(score: Score, numbers: int, within: bool, remarks: int) -> None:
    torch.save({"a": torch.zeros(numbers, dtype=torch.int8)}, "large.pth")
    assert score(model="large.pth")[0] == 0
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["within_limit"] is within
    assert len(scores["remarks"]) == remarks


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"recon": "nothing.npz"}, "nothing.npz: cannot be opened"),
        ({"recon_truth": "vae.csv"}, "vae.csv: not a zip archive"),
        ({"truth": "recon.npz"}, "recon.npz: no 'labels'"),
        ({"pred": "."}, ".: a folder"),
        ({"pred": "test.npz"}, "test.npz: not a CSV"),
        ({"model": "gmm.pkl"}, "gmm.pkl: not a zip archive"),
        ({"gmm": "nothing.pkl"}, "nothing.pkl: cannot be opened"),
        ({"json": "vae.csv/scores.json"}, "scores.json: cannot be written"),
        ({"json": "."}, "cannot be written"),
        ({"json": "vae.csv"}, "vae.csv: the name of a file to read"),
        ({"nonsense": "3"}, "No such option"),
    ],
)
def test_a_mistake_is_one_line(score: Score, options: dict[str, str], found: str) -> None:
    before = {p: p.read_bytes() for p in Path().iterdir() if p.is_file()}
    code, out, err = score(**options)
    assert code == 2
    assert found in err
    assert err.count("\n") == 1
    assert out == ""
    assert {p: p.read_bytes() for p in Path().iterdir() if p.is_file()} == before


def test_the_truth_may_be_a_link(score: Score) -> None:
    Path("link.npz").symlink_to("test.npz")
    assert score(recon_truth="link.npz", truth="link.npz")[0] == 0
    assert score(recon="link.npz")[0] == 2


def test_a_missing_option_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["grader", "score"])
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_names_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["grader", "--help"])
    assert main() == 0
    assert "score" in capsys.readouterr().out
