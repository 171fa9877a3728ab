"""What each part of the recipe is good for: short trainings with one part left out.

python -m benchmarks.ablations: for each variant and three seeds, a quarter of the default epochs on
VAE_DATA's training file; the scores of the encoder's own reconstructions on the test file, and the
classification score over 20 draws of the validation set, of all three models.
"""

import math

import numpy as np
import torch
from torch.nn import functional

import graded
import losses
from benchmarks.common import course_file, save
from benchmarks.draws import draw, score
from data import load_labelled_images
from inference import encode, reconstruct

SEEDS = range(3)
DRAWS = 20

VARIANTS: dict[str, dict[str, float]] = {
    "the recipe": {},
    "no SSIM in the loss": {"SSIM_WEIGHT": 0.0},
    "standard normal prior": {"RADIUS": 0.0, "AGREEMENT_WEIGHT": 0.0},
    "no agreement of distorted copies": {"AGREEMENT_WEIGHT": 0.0},
}


def measure(options: dict[str, float]) -> dict[str, float]:
    """Mean 1 - MSE and SSIM, and the lowest and median classification score."""
    images, labels = load_labelled_images(course_file("train"))
    test_images, truth = load_labelled_images(course_file("test"))
    kept = {name: getattr(graded, name) for name in options}
    for name, value in options.items():
        setattr(graded, name, value)
    recon_scores, class_scores = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, _ = graded.train_vae(images, torch.device("cpu"), graded.EPOCHS // 4, math.inf)
        recon, x = (torch.from_numpy(a) for a in (reconstruct(model, test_images), test_images))
        mse = functional.mse_loss(recon, x)
        recon_scores.append([1 - mse.item(), losses.ssim(recon, x).item()])
        z, test_z = encode(model, images), encode(model, test_images)
        class_scores += [score(z, labels, test_z, truth, draw(labels, d)) for d in range(DRAWS)]
    for name, value in kept.items():
        setattr(graded, name, value)
    one_minus_mse, ssim = np.mean(recon_scores, axis=0)
    return {
        "one_minus_mse": float(one_minus_mse),
        "ssim": float(ssim),
        "classification_lowest": min(class_scores),
        "classification_median": float(np.median(class_scores)),
    }


def main() -> None:
    results = {}
    for name, options in VARIANTS.items():
        results[name] = measure(options)
        print(f"{name:34}", "  ".join(f"{k} {v:.4f}" for k, v in results[name].items()), flush=True)
    save("ablations", results)


if __name__ == "__main__":
    main()
