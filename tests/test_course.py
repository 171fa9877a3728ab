"""A third of the default recipe on the course's own data, run from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common import ROOT, course_file, run_vae
from benchmarks.scores import draw, score
from checkpoint import load_model
from data import load_images, load_labelled_images
from grader.metrics import reconstruction_scores
from inference import encode, reconstruct


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
    assert scores["reconstruction"]["ssim"]["value"] >= 0.81
    assert scores["classification"]["classification"]["value"] >= 0.99

    model = load_model(tmp_path / "vae.pth", torch.device("cpu"))
    images, labels = load_labelled_images(course_file("train"))
    z, test_z = encode(model, images), encode(model, load_images(test))
    assert np.abs(z.mean(axis=0)).max() < 0.3
    assert np.abs(z.std(axis=0) - 1).max() < 0.3
    truth = load_labelled_images(test)[1]
    for number in range(20):
        i = draw(labels, number)
        assert score(z, test_z, truth, z[i], labels[i]) > 0.99
    encoded = reconstruct(model, load_images(test), encoder_only=True)
    found = reconstruction_scores(load_images(test).astype(float), encoded.astype(float))
    assert found["one_minus_mse"].value > 0.975
    assert found["ssim"].value > 0.76
    noise = np.random.default_rng(0).random((50, 28, 28), np.float32)
    drawn = reconstruct(model, noise)
    assert reconstruction_scores(noise.astype(float), drawn.astype(float))["ssim"].value < 0.1
