import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vae
from studies.cvae.study import ANSWERS, SHOWN, different_pairs, interpolation_accuracy
from studies.shared.networks import Vae, labels_to_one_hots
from tests.studies.sections import sections


def run(line: str) -> int:
    return vae.main(line.split())


def test_everything_is_written_and_the_same_twice(mnist: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        options = "--epochs 2 --hidden-size 16 --z-dim 3 --classes 0 --classes 4"
        assert run(f"{mnist} cvae {tmp_path}/{name} {options}") == 0
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {
        "fmnist_beta_3_cvae_2_epochs.pth",
        *("history.csv", "history.state", "history_number.csv", "history_number.state"),
        *("summary.json", "answers.md", "samples.png", "all_classes.png"),
        *("all_classes_number.png", "interpolation.png", "reconstructions.png", "losses.png"),
    }
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    text = (tmp_path / "a" / "answers.md").read_text()
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["This run", "Q2.1", "Q2.2", "Q2.3"]


@pytest.mark.slow
def test_garments_have_their_names_and_other_data_their_numbers(
    mnist: Path, tmp_path: Path
) -> None:
    fashion = tmp_path / "FashionMNIST" / "raw"
    fashion.mkdir(parents=True)
    for path in (mnist / "MNIST" / "raw").iterdir():
        (fashion / path.name).write_bytes(path.read_bytes())
    for data, name in ((mnist, "0"), (tmp_path / "FashionMNIST", "T-shirt")):
        out = tmp_path / f"out_{name}"
        assert run(f"{data} cvae {out} --epochs 1 --hidden-size 8 --classes 0") == 0
        assert json.loads((out / "summary.json").read_text())["classes"][0] == name


def a_summary(one_hot: float, number: float, across: float, sharp: float) -> dict[str, Any]:
    model = {
        "mse": 0.02,
        "kl": 5.0,
        "against_pca": {"difference": -0.01, "error": 0.001},
        "sharpness_error": 0.01,
        "of_each_class": {"coat": 0.5, "bag": 0.9},
        "sharpness_of_reconstructions": 0.4,
        "sharpness_of_samples": sharp,
    }
    return {
        "samples_per_class": 100,
        "classes": ["coat", "bag"] * 5,
        "one_hot_less_number": {"difference": 0.0, "error": 0.001},
        "epochs": 9,
        "z_dim": 10,
        "classifier_accuracy": 0.9,
        "pca_mse": 0.03,
        "one_hot": model | {"conditional_accuracy": one_hot},
        "number": model | {"conditional_accuracy": number},
        "interpolation": {
            "in_class": {"share": 0.95, "error": 0.01},
            "across": {"share": across, "error": 0.03},
        },
    }


def test_the_sentences_follow_the_numbers() -> None:
    usual, reversed_, equal = (
        sections(ANSWERS, a_summary(*numbers))
        for numbers in ((0.95, 0.4, 0.9, 0.3), (0.4, 0.95, 0.3, 1.0), (0.9, 0.9, 0.9, 0.3))
    )
    bad = a_summary(0.1, 0.1, 0.1, 5)
    bad["interpolation"]["in_class"]["share"] = 0.1
    hopeless = sections(ANSWERS, bad)
    assert "does not keep to the requested class" in hopeless["Q2.1"]
    assert "does not show which condition is better" in hopeless["Q2.2"]
    assert "samples are sharper or noisier than real images" in hopeless["Q2.3"]
    assert "first things to try" in hopeless["Q2.3"]
    assert "the condition determines the class" in usual["Q2.1"]
    assert "z still contains part of the class" in reversed_["Q2.1"]
    assert "95.0% of cases with one-hot vectors, and in 40.0% with numbers" in usual["Q2.2"]
    assert "these problems are real" in usual["Q2.2"]
    assert "the model with numbers is better" in reversed_["Q2.2"]
    assert "differ only by the noise" in equal["Q2.2"]
    assert "with numbers (lowest for coat: 50%)" in usual["Q2.2"]
    assert "samples are softer than real images" in usual["Q2.3"]
    assert "Samples are blurred because" in usual["Q2.3"]
    assert "samples are as sharp as real images" in reversed_["Q2.3"]
    assert "The share is highest for bag, and lowest for coat." in usual["Q2.3"]


def test_three_classes_and_shares_without_a_gap() -> None:
    summary = a_summary(0.9, 0.4, 0.4, 0.3) | {"classes": ["a", "b", "c"]}
    summary["one_hot"]["of_each_class"] = {"a": 0.9, "b": 0.83, "c": 0.76}
    text = sections(ANSWERS, summary)
    assert "no gap between classes with high and with low shares" in text["Q2.3"]
    assert "larger than all of them" not in text["Q2.2"]
    assert (
        "class 2 is 2 times class 1, and that class 1 lies between classes 0 and 2"
        in (text["Q2.2"])
    )


def test_interpolation_in_a_class_that_could_not_be_measured() -> None:
    summary = a_summary(0.9, 0.9, 0.4, 0.3)
    summary["interpolation"]["in_class"] = None
    text = sections(ANSWERS, summary)["Q2.1"]
    assert "No class has two held-out images" in text
    assert "40% of the images between two classes" in text
    assert "So z" not in text


@pytest.mark.parametrize("count", range(20))
def test_no_image_is_paired_with_itself(count: int) -> None:
    own = torch.arange(100, 100 + count)
    pairs = [(int(a), int(b)) for a, b in different_pairs(own)]
    assert len(pairs) == max(0, min(SHOWN, count - 1))
    assert len({frozenset(pair) for pair in pairs if pair[0] != pair[1]}) == len(pairs)
    if count > SHOWN:  # the first images with the last
        assert pairs == [*zip(own[:SHOWN].tolist(), own[-SHOWN:].tolist(), strict=True)]


def test_interpolation_in_classes_of_one_image_is_not_measured() -> None:
    def condition(labels: Tensor) -> Tensor:
        return labels_to_one_hots(labels, 2)

    model, classifier = Vae(4, 2, 3, cond_dim=2), torch.nn.Linear(4, 2)
    x, labels = torch.rand(4, 4), torch.tensor([0, 1, 0, 1])
    found = interpolation_accuracy(model, condition, x[:2], labels[:2], classifier)
    assert found["in_class"] is None
    assert found["across"] is not None
    assert None not in interpolation_accuracy(model, condition, x, labels, classifier).values()


def test_a_class_that_is_not_there(
    mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{mnist} cvae {tmp_path}/out --classes 3 --classes 10") == 2
    assert "--classes 3, 10; expected some of 0 to 9" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
