"""How much the scores depend on the seed and on which 15 images are the validation set.

python -m benchmarks.draws: trains the default recipe with five seeds on VAE_DATA's training file,
and draws 200 validation sets of 5 images a class from it, whose labels serve here only to draw and
to judge. For each seed and draw, the mixture is fitted and classifies the test file.
"""

import math

import numpy as np
import torch

from benchmarks.common import course_file, save
from data import load_labelled_images
from graded import fit_mixture
from grader.metrics import classification_scores, reconstruction_scores
from inference import encode, reconstruct
from recipe import EPOCHS, train_vae

SEEDS = range(5)
DRAWS = 200


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """Indices of 5 images of each class."""
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [generator.choice(np.flatnonzero(labels == c), 5, replace=False) for c in np.unique(labels)]
    )


def score(
    z: np.ndarray, labels: np.ndarray, test_z: np.ndarray, truth: np.ndarray, val: np.ndarray
) -> float:
    """The classification score of the mixture that starts from the images at indices `val`."""
    mixture, classes = fit_mixture(z, z[val], labels[val])
    predicted = classes[mixture.predict(test_z)]
    return classification_scores(truth, predicted)["classification"].value


def main() -> None:
    images, labels = load_labelled_images(course_file("train"))
    test_images, truth = load_labelled_images(course_file("test"))

    results = {}
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, _ = train_vae(images, torch.device("cpu"), EPOCHS, math.inf)
        z, test_z = encode(model, images), encode(model, test_images)
        values = [score(z, labels, test_z, truth, draw(labels, i)) for i in range(DRAWS)]
        recon = reconstruct(model, test_images)
        results[f"seed {seed}"] = {
            "classification_lowest": min(values),
            "classification_median": float(np.median(values)),
            **{name: s.value for name, s in reconstruction_scores(test_images, recon).items()},
        }
        print(" ".join(f"{k} {v:.4f}" for k, v in results[f"seed {seed}"].items()), flush=True)
    save("draws", results)


if __name__ == "__main__":
    main()
