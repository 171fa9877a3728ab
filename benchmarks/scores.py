"""The scores of the default recipe on the course's own data, beside those of a PCA.

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
from grader import metrics
from grader.artifacts import (
    Remarks,
    count_numbers,
    read_predictions,
    read_reconstructions,
    read_truth_images,
    read_truth_labels,
)


def reconstruction(path: Path, folder: Path) -> dict[str, float]:
    """The reconstruction scores of the model in `folder` on the images in `path`."""
    run_vae(path, "test_reconstruction", cwd=folder)
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
            "test_recon": reconstruction(course_file("test_recon"), folder),
            "pca": pca_scores(course_file("train"), course_file("test")),
        }
    print(f"training {results['training_seconds']:.0f} s on {results['threads']} threads")
    for name in ("test", "test_recon", "pca"):
        print(f"{name:12}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()))
    save("scores", results)


if __name__ == "__main__":
    main()
