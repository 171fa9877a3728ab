"""How much the classification score depends on which 15 images happen to be the validation set.

python -m benchmarks.draws: draws validation sets of 5 images a class from VAE_DATA's training file,
whose labels serve here only to draw and to judge. The mixture is fitted to the latents of one model
of the default recipe for each of 200 draws, and to those of five models of other seeds and a
quarter of the default epochs for each of 20.
"""

import math

import numpy as np
import torch

from benchmarks.common import course_file, save
from data import load_labelled_images
from graded import EPOCHS, fit_mixture, train_vae
from grader.metrics import classification_scores
from inference import encode

DRAWS = 200
SHORT_SEEDS = range(1, 6)
SHORT_DRAWS = 20


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

    def scores(seed: int, epochs: int, draws: int) -> list[float]:
        torch.manual_seed(seed)
        model, _ = train_vae(images, torch.device("cpu"), epochs, math.inf)
        z, test_z = encode(model, images), encode(model, test_images)
        return [score(z, labels, test_z, truth, draw(labels, other)) for other in range(draws)]

    rows = {
        "default": scores(0, EPOCHS, DRAWS),
        "short": [x for seed in SHORT_SEEDS for x in scores(seed, EPOCHS // 4, SHORT_DRAWS)],
    }
    results = {}
    for name, values in rows.items():
        results[name] = {
            "lowest": min(values),
            "median": float(np.median(values)),
            "n": len(values),
        }
        print(f"{name:8}", "  ".join(f"{key} {value:.4g}" for key, value in results[name].items()))
    save("draws", results)


if __name__ == "__main__":
    main()
