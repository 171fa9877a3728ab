"""Studies on the substitute data of `demo_data`, trained long enough to work as intended."""

import json
from pathlib import Path
from typing import Any

import pytest

import vae


def run(line: str, out: Path) -> dict[str, Any]:
    assert vae.main(line.split()) == 0
    return dict(json.loads((out / "summary.json").read_text()))


@pytest.mark.slow
def test_garments_are_of_the_class_that_was_asked_for(tmp_path: Path) -> None:
    assert vae.main(["fashion", "demo_data", str(tmp_path)]) == 0
    found = run(f"{tmp_path} cvae {tmp_path}/out --epochs 60", tmp_path / "out")
    assert found["one_hot"]["conditional_accuracy"] > 0.9
    assert found["one_hot"]["conditional_accuracy"] > found["number"]["conditional_accuracy"]
    assert found["one_hot"]["mse"] < found["pca_mse"]


@pytest.mark.slow
def test_every_beta_beats_principal_components(tmp_path: Path) -> None:
    assert vae.main(["mnist", "demo_data", str(tmp_path)]) == 0
    found = run(
        f"{tmp_path} beta_vae {tmp_path}/out --betas 0.05 --betas 0.5 --epochs 120",
        tmp_path / "out",
    )
    kl = [measured["kl"] for measured in found["betas"].values()]
    assert kl == sorted(kl, reverse=True)
    for measured in found["betas"].values():
        assert measured["mse"] < found["pca_mse"]
