"""The scores of the default recipe on the course's own data, beside a PCA's and a lookup's.

python -m benchmarks.scores: trains with VAE_DATA's training and validation files as a student
would, then scores all images of the test file and the 10 of the reconstruction file.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import course_file, run_vae, save
from benchmarks.floors import pca_scores
from data import load_images
from grader import metrics
from grader.artifacts import (
    Remarks,
    count_numbers,
    read_predictions,
    read_reconstructions,
    read_truth_images,
    read_truth_labels,
)
from inference import squared_distances

ROWS = ("test", "test, encoder only", "test_recon", "nearest training image", "pca")


def reconstruction(path: Path, folder: Path, *options: str) -> dict[str, float]:
    """The reconstruction scores of the model in `folder` on the images in `path`."""
    run_vae(path, "test_reconstruction", *options, cwd=folder)
    truth = read_truth_images(path)
    output = folder / "vae_reconstructed.npz"
    recon = read_reconstructions(output, Remarks(output), len(truth))
    return {
        name: score.value for name, score in metrics.reconstruction_scores(truth, recon).items()
    }


def classification(path: Path, folder: Path) -> dict[str, float]:
    """The classification scores of the model in `folder` on the images in `path`."""
    run_vae(path, "test_classifier", cwd=folder)
    truth = read_truth_labels(path)
    output = folder / "vae.csv"
    predicted = read_predictions(output, Remarks(output), len(truth))
    scores = metrics.classification_scores(truth, predicted)
    return {name: score.value for name, score in scores.items()}


def lookup_scores(train_path: Path, test_path: Path) -> dict[str, float]:
    """The scores of answering each test image with the training image nearest to it."""
    train, test = (
        torch.from_numpy(load_images(path).reshape(-1, 784)) for path in (train_path, test_path)
    )
    nearest = train[squared_distances(test, train).argmin(dim=1)]
    truth, recon = (x.view(-1, 28, 28).double().numpy() for x in (test, nearest))
    return {
        name: score.value for name, score in metrics.reconstruction_scores(truth, recon).items()
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        run_vae(course_file("train"), course_file("val"), "train", cwd=folder)
        results: dict[str, Any] = {
            "training_seconds": time.perf_counter() - started,
            "threads": torch.get_num_threads(),
            "parameters": count_numbers(folder / "vae.pth"),
            "test": reconstruction(course_file("test"), folder)
            | classification(course_file("test"), folder),
            "test, encoder only": reconstruction(course_file("test"), folder, "--encoder-only"),
            "test_recon": reconstruction(course_file("test_recon"), folder),
            "nearest training image": lookup_scores(course_file("train"), course_file("test")),
            "pca": pca_scores(course_file("train"), course_file("test")),
        }
    print(f"training {results['training_seconds']:.0f} s on {results['threads']} threads")
    for name in ROWS:
        print(f"{name:22}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()))
    save("scores", results)


if __name__ == "__main__":
    main()
