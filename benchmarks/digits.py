"""Class score, reconstruction and time for other digits than the course's.

python -m benchmarks.digits: trains on 14,748 MNIST images of each set of digits for a sixth of the
default epochs, with two seeds, and scores on the test images of these digits. The five validation
images of each class are sampled from the training images. A training that is already in
build/benchmarks/digits.json is not repeated.
"""

import statistics
import time

import numpy as np
import torch

from benchmarks.common import data_file, load, save
from benchmarks.scores import draw, score
from data import load_labelled_images
from grader.metrics import reconstruction_scores
from inference import encode, reconstruct
from recipe import EPOCHS, train_vae

SETS = (
    *((3, 5, 8), (4, 7, 9), (2, 3, 5), (0, 6, 9), (1, 4, 8), (1, 7, 9), (5, 6, 8), (3, 8, 9)),
    *((1, 2, 7), (0, 2, 4)),
    *(tuple(range(5)), tuple(range(10))),
)
SEEDS = range(2)
IMAGES = 14_748  # as many as the course's training file has
SHARE = 6


def measure(digits: tuple[int, ...], seed: int) -> dict[str, float]:
    """Train on these digits and score on their test images."""
    images, labels = load_labelled_images(data_file("mnist_train.npz"))
    test_images, truth = load_labelled_images(data_file("mnist_test_5000.npz"))
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(np.flatnonzero(np.isin(labels, digits)))[:IMAGES]
    images, labels = images[chosen], labels[chosen]
    of_these = np.isin(truth, digits)
    test_images, truth = test_images[of_these], truth[of_these]
    val = draw(labels, seed)
    torch.manual_seed(seed)
    started = time.perf_counter()
    model, _ = train_vae(images, len(digits), torch.device("cpu"), EPOCHS // SHARE)
    seconds = time.perf_counter() - started
    z, test_z = encode(model, images), encode(model, test_images)
    recon = reconstruct(model, test_images)
    scores = reconstruction_scores(test_images.astype(float), recon.astype(float))
    return {
        "classification": score(z, test_z, truth, z[val], labels[val]),
        "ssim": scores["ssim"].value,
        "one_minus_mse": scores["one_minus_mse"].value,
        "seconds": seconds,
    }


def main() -> None:
    results = load("digits")
    for digits in SETS:
        for seed in SEEDS:
            name = f"{','.join(map(str, digits))} seed {seed}"
            if name not in results:
                results[name] = measure(digits, seed)
                save("digits", results)
            print(name, "  ".join(f"{k} {v:.3f}" for k, v in results[name].items()), flush=True)
    for count in sorted({len(digits) for digits in SETS}):
        found = [
            results[f"{','.join(map(str, digits))} seed {seed}"]["classification"]
            for digits in SETS
            if len(digits) == count
            for seed in SEEDS
        ]
        print(f"{count} classes: worst {min(found):.3f}, median {statistics.median(found):.3f}")


if __name__ == "__main__":
    main()
