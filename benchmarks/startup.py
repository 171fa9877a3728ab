"""How long the test modes take on 10 images, compared with `import torch` alone.

python -m benchmarks.startup: trains for one epoch on made-up images, then alternates the
commands and reports the median wall time of each and its ratio to the import's.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, run_vae, save

ROUNDS = 15


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
        np.savez(folder / "train.npz", data=images)
        np.savez(folder / "val.npz", data=images[:15], labels=np.repeat([1, 4, 8], 5))
        np.savez(folder / "test.npz", data=images[:10])
        run_vae("train.npz", "val.npz", "train", "--epochs", "1", cwd=folder)

        vae = [sys.executable, str(ROOT / "vae.py"), "test.npz"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "test_reconstruction": [*vae, "test_reconstruction"],
            "test_reconstruction --encoder-only": [*vae, "test_reconstruction", "--encoder-only"],
            "test_classifier": [*vae, "test_classifier"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - started)

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    results = {
        name: {"seconds": median, "ratio": median / medians["import torch"]}
        for name, median in medians.items()
    }
    for name, row in results.items():
        print(f"{name:36} {row['seconds']:6.2f} s   {row['ratio']:.3f} times the import")
    save("startup", results)


if __name__ == "__main__":
    main()
