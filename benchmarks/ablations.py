"""What each part of the recipe contributes: short trainings with one part left out.

python -m benchmarks.ablations: trains each variant with two seeds for a sixth of the default epochs
on VAE_DATA's training file. It reports the scores of reconstructions of the test file, with the
search and with the encoder alone, and the classification score over 20 random validation sets, of
both models. A variant that is already in build/benchmarks/ablations.json is not repeated.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch

import clusters
import losses
import models
import recipe
from benchmarks.common import course_file, load, save
from benchmarks.scores import draw, score
from data import load_labelled_images
from grader.metrics import reconstruction_scores
from inference import encode, reconstruct

SEEDS = range(2)
DRAWS = 20


class WithoutOffers(recipe.FreeLatents):
    """The second stage, with each image drawn from its own latent alone."""

    def search(self) -> None:
        super().search()
        self.offers = self.z


Change = tuple[ModuleType, str, Any]
VARIANTS: dict[str, list[Change]] = {
    "the recipe": [],
    "no SSIM in the loss": [(losses, "SSIM_WEIGHT", 0.0), (recipe, "SSIM_WEIGHT", 0.0)],
    "clusters of images as they are": [(clusters, "upright", lambda images: images)],
    "no spare eigenvector": [(clusters, "SPARE", 0)],
    "components without borders": [(recipe, "MARGIN", 0.0)],
    "latents stay where the first stage put them": [(recipe, "SEARCH_INTERVAL", math.inf)],
    "no feature grids": [
        (models, "PlaneFeatures", functools.partial(models.PlaneFeatures, features=0))
    ],
    "no waves": [(models, "PlaneFeatures", functools.partial(models.PlaneFeatures, waves=0))],
    "no offers to the decoder": [(recipe, "FreeLatents", WithoutOffers)],
    "no distorted copies for the encoder": [(recipe, "distorted", lambda images, *_: images)],
    "no noise on the latents": [(recipe, "SIGMA", 1e-6)],
    "no KL to the prior in the search": [(recipe, "BETA", 0.0)],
}


@contextmanager
def changed(changes: list[Change]) -> Iterator[None]:
    """Set names of modules to other values, and restore them afterwards."""
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def measure() -> dict[str, float]:
    """Measure mean reconstruction scores, spread of latents, lowest and median classification."""
    images, labels = load_labelled_images(course_file("train"))
    test_images, truth = load_labelled_images(course_file("test"))
    rows, class_scores = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, _ = recipe.train_vae(images, 3, torch.device("cpu"), recipe.EPOCHS // 6)
        z, test_z = encode(model, images), encode(model, test_images)
        draws = [draw(labels, number) for number in range(DRAWS)]
        class_scores += [score(z, test_z, truth, z[i], labels[i]) for i in draws]
        searched, encoded = (
            reconstruction_scores(test_images, reconstruct(model, test_images, encoder_only=only))
            for only in (False, True)
        )
        rows.append(
            {
                "one_minus_mse": searched["one_minus_mse"].value,
                "ssim": searched["ssim"].value,
                "ssim_encoder_only": encoded["ssim"].value,
                "largest_std": float(z.std(axis=0).max()),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} | {
        "classification_lowest": min(class_scores),
        "classification_median": float(np.median(class_scores)),
    }


def main() -> None:
    results = load("ablations")
    for name, changes in VARIANTS.items():
        if name not in results:
            with changed(changes):
                results[name] = measure()
            save("ablations", results)
        print(f"{name:44}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()), flush=True)


if __name__ == "__main__":
    main()
