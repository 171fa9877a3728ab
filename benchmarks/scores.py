"""The scores of the default recipe on the course's own data, as ranges over seeds.

python -m benchmarks.scores: trains with five seeds, each in a process of its own. It prints the
lowest and the highest of each score, and those of a PCA and of a lookup. A training that is already
in build/benchmarks/scores.json is not repeated.

Each training is scored on the test file, with the search and without, and on the reconstruction
file. Its classifier starts from the validation file, and then from 200 other samples of 5 images
per class from the training file, whose labels are used here only to sample and to score.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import ROOT, course_file, load, save
from benchmarks.floors import pca_scores
from classifier import fit_mixture
from data import load_images, load_labelled_images
from grader.metrics import classification_scores, reconstruction_scores
from inference import encode, reconstruct, squared_distances
from recipe import EPOCHS, train_vae

SEEDS = range(5)
DRAWS = 200


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """Sample the indices of 5 images of each class."""
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [generator.choice(np.flatnonzero(labels == c), 5, replace=False) for c in np.unique(labels)]
    )


def score(
    z: np.ndarray, test_z: np.ndarray, truth: np.ndarray, val_z: np.ndarray, val_labels: np.ndarray
) -> float:
    """Return the score of the classifier that starts from these validation latents."""
    mixture, classes = fit_mixture(z, val_z, val_labels)
    predicted = classes[mixture.predict(test_z)]
    return classification_scores(truth, predicted)["classification"].value


def reconstruction(images: np.ndarray, recon: np.ndarray, suffix: str) -> dict[str, float]:
    scores = reconstruction_scores(images, recon)
    return {f"{name}{suffix}": score.value for name, score in scores.items()}


def measure(seed: int) -> dict[str, float]:
    """Train with a seed, and return every score."""
    images, labels = load_labelled_images(course_file("train"))
    val_images, val_labels = load_labelled_images(course_file("val"))
    test_images, truth = load_labelled_images(course_file("test"))
    few = load_images(course_file("test_recon"))
    torch.manual_seed(seed)
    started = time.perf_counter()
    model, _ = train_vae(images, 3, torch.device("cpu"), EPOCHS)
    seconds = time.perf_counter() - started
    z, val_z, test_z = (encode(model, x) for x in (images, val_images, test_images))
    draws = [draw(labels, number) for number in range(DRAWS)]
    drawn = [score(z, test_z, truth, z[i], labels[i]) for i in draws]
    encoded = reconstruct(model, test_images, encoder_only=True)
    return {
        "seconds": seconds,
        "classification": score(z, test_z, truth, val_z, val_labels),
        "classification, lowest draw": min(drawn),
        "classification, median draw": float(np.median(drawn)),
        **reconstruction(test_images, reconstruct(model, test_images), ""),
        **reconstruction(test_images, encoded, ", encoder only"),
        **reconstruction(few, reconstruct(model, few), ", 10 images"),
    }


def measure_apart(seed: int) -> dict[str, float]:
    """Return what `measure` returns in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.scores", str(seed)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(process.stdout.splitlines()[-1]))


def lookup_scores(train_path: Path, test_path: Path) -> dict[str, float]:
    """Return the scores of answering each test image with the training image nearest to it."""
    train, test = (
        torch.from_numpy(load_images(path).reshape(-1, 784)) for path in (train_path, test_path)
    )
    nearest = train[squared_distances(test, train).argmin(dim=1)]
    truth, recon = (x.view(-1, 28, 28).double().numpy() for x in (test, nearest))
    return reconstruction(truth, recon, "")


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        return
    results: dict[str, Any] = load("scores")
    for seed in SEEDS:
        name = f"seed {seed}"
        if name not in results:
            results[name] = measure_apart(seed)
            save("scores", results)
        print(name, "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()), flush=True)
    runs = [row for name, row in results.items() if name.startswith("seed")]
    for name in runs[0]:
        values = [row[name] for row in runs]
        print(f"{name:30} {min(values):.4f} to {max(values):.4f}")
    results["nearest training image"] = lookup_scores(course_file("train"), course_file("test"))
    results["pca"] = pca_scores(course_file("train"), course_file("test"))
    for name in ("nearest training image", "pca"):
        print(f"{name:30}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()))
    save("scores", results)


if __name__ == "__main__":
    main()
