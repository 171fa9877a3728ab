"""A third of the default recipe on the course's own data, through the command lines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.common import ROOT, course_file, run_vae


@pytest.mark.slow
def test_a_third_of_the_epochs_reaches_its_scores(course_data: Path, tmp_path: Path) -> None:
    test = course_file("test")
    run_vae(course_file("train"), course_file("val"), "train", "--epochs", "24", cwd=tmp_path)
    run_vae(test, "test_reconstruction", cwd=tmp_path)
    run_vae(test, "test_classifier", cwd=tmp_path)
    words = ["score", "--recon-truth", test, "--recon", tmp_path / "vae_reconstructed.npz"]
    words += ["--truth", test, "--pred", tmp_path / "vae.csv", "--json", tmp_path / "scores.json"]
    subprocess.run([sys.executable, "-m", "grader", *map(str, words)], cwd=ROOT, check=True)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["reconstruction"]["one_minus_mse"]["value"] >= 0.98
    assert scores["reconstruction"]["ssim"]["value"] >= 0.8
    assert scores["classification"]["classification"]["value"] >= 0.99
