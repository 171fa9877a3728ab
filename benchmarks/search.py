"""How long reconstructions take, with the search of the plane and without.

python -m benchmarks.search: on 10, 1,512 and 10,000 made-up images and an untrained model of the
default size, whose arithmetic is that of a trained one; the median of alternating runs.
"""

import statistics
import time

import numpy as np
import torch

from benchmarks.common import save
from inference import reconstruct
from models import VAE

ROUNDS = 3
COUNTS = (10, 1_512, 10_000)


def main() -> None:
    torch.manual_seed(0)
    model = VAE().eval()
    images = np.random.default_rng(0).random((max(COUNTS), 784), np.float32)
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
