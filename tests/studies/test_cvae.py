import json
from pathlib import Path
from typing import Any

import pytest

import vae
from studies.cvae.study import answers


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
    assert headings == ["Q2.1", "Q2.2", "Q2.3"]


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
        "of_each_class": {"coat": 0.5, "bag": 0.9},
        "sharpness_of_reconstructions": 0.4,
        "sharpness_of_samples": sharp,
    }
    return {
        "epochs": 9,
        "z_dim": 10,
        "classifier_accuracy": 0.9,
        "pca_mse": 0.03,
        "one_hot": model | {"conditional_accuracy": one_hot},
        "number": model | {"conditional_accuracy": number},
        "interpolation": {"in_class": 0.95, "across": across},
    }


def test_the_sentences_follow_the_numbers() -> None:
    usual, reversed_, equal = (
        {a.identifier: a.text for a in answers(a_summary(*numbers))}
        for numbers in ((0.95, 0.4, 0.9, 0.3), (0.4, 0.95, 0.3, 1.0), (0.9, 0.9, 0.9, 0.3))
    )
    bad = a_summary(0.1, 0.1, 0.1, 5)
    bad["interpolation"]["in_class"] = 0.1
    hopeless = {a.identifier: a.text for a in answers(bad)}
    assert "does not keep to the class" in hopeless["Q2.1"]
    assert "cannot tell them apart" in hopeless["Q2.2"]
    assert "noisier than these" in hopeless["Q2.3"]
    assert "z says little about the class" in usual["Q2.1"]
    assert "z still holds part of the class" in reversed_["Q2.1"]
    assert "the risk is real" in usual["Q2.2"]
    assert "the number did better" in reversed_["Q2.2"]
    assert "both do equally well" in equal["Q2.2"]
    assert "softer than these" in usual["Q2.3"]
    assert "as sharp as these" in reversed_["Q2.3"]
    assert "best bag, worst coat" in usual["Q2.3"]


def test_a_class_that_is_not_there(
    mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{mnist} cvae {tmp_path}/out --classes 3 --classes 10") == 2
    assert "--classes 3, 10; expected some of 0 to 9" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
