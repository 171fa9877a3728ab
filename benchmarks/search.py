"""How long reconstructions take, with the search of the plane and without.

python -m benchmarks.search MODEL_FOLDER: for the vae.pth that `train` wrote there, on 10 and 1,512
images of VAE_DATA's test file, and on 10,000 images, which repeat them. Reports the median of
alternating runs.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import course_file, save
from checkpoint import load_model
from data import load_images
from inference import reconstruct

ROUNDS = 3
COUNTS = (10, 1_512, 10_000)


def main() -> None:
    model = load_model(Path(sys.argv[1]) / "vae.pth", torch.device("cpu"))
    images = np.resize(load_images(course_file("test")), (max(COUNTS), 28, 28))
    seconds: dict[tuple[int, bool], list[float]] = {}
    for _ in range(ROUNDS):
        for count in COUNTS:
            for encoder_only in (True, False):
                started = time.perf_counter()
                reconstruct(model, images[:count], encoder_only=encoder_only)
                taken = time.perf_counter() - started
                seconds.setdefault((count, encoder_only), []).append(taken)
    results = {}
    for count in COUNTS:
        encoded, searched = (statistics.median(seconds[count, only]) for only in (True, False))
        results[str(count)] = {"encoder_only_seconds": encoded, "search_seconds": searched}
        print(f"{count:>6,} images: encoder only {encoded:.2f} s, with search {searched:.2f} s")
    save("search", results)


if __name__ == "__main__":
    main()
