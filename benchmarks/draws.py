"""How much the classification score depends on which 15 images happen to be the validation set.

python -m benchmarks.draws: draws validation sets of 5 images a class from VAE_DATA's training file,
whose labels serve here only to draw and to judge. For each of 200 draws the mixture is fitted anew
to the latents of the first trained model; for each of 5 draws a model is trained anew,
with that seed and for a quarter of the default epochs.
"""

import math

import numpy as np
import torch

from benchmarks.common import course_file, save
from data import load_labelled_images
from graded import EPOCHS, fit_mixture, train_vae
from grader.metrics import classification_scores
from inference import encode

MIXTURES = 200
TRAININGS = 5


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
    scores: dict[str, list[float]] = {"mixtures": [], "trainings": []}
    for seed in range(TRAININGS):
        torch.manual_seed(seed)
        val = draw(labels, seed)
        model, _ = train_vae(
            images, images[val], labels[val], torch.device("cpu"), EPOCHS // 4, math.inf
        )
        z, test_z = encode(model, images), encode(model, test_images)
        scores["trainings"].append(score(z, labels, test_z, truth, val))
        if seed == 0:
            scores["mixtures"] = [
                score(z, labels, test_z, truth, draw(labels, 1000 + other))
                for other in range(MIXTURES)
            ]
    results = {}
    for name, values in scores.items():
        results[name] = {
            "lowest": min(values),
            "median": float(np.median(values)),
            "n": len(values),
        }
        print(f"{name:10}", "  ".join(f"{key} {value:.4g}" for key, value in results[name].items()))
    save("draws", results)


if __name__ == "__main__":
    main()
