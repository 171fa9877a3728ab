"""How long two trainings take at once, compared with one alone, with short and with long waits.

python -m benchmarks.together: trains for one epoch a stage on the course's own data, alone and
twice at once. It alternates the number of turns that a waiting thread makes before it sleeps,
between the one that vae.py sets and OpenMP's default, and reports the median wall times and their
ratios.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, course_file, save
from preflight import SPINS

ROUNDS = 3
SETTINGS = {"set by vae.py": SPINS, "OpenMP's own": "300000"}


def train(folder: Path, spins: str, count: int) -> float:
    """Return the wall seconds of `count` trainings at once."""
    command = [sys.executable, str(ROOT / "vae.py"), str(course_file("train"))]
    command += [str(course_file("val")), "train", "--epochs", "1"]
    environment = os.environ | {"GOMP_SPINCOUNT": spins}
    started = time.perf_counter()
    folders = [folder / str(number) for number in range(count)]
    for place in folders:
        place.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL)
        for place in folders
    ]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("a training failed")
    return time.perf_counter() - started


def main() -> None:
    seconds: dict[str, dict[int, list[float]]] = {name: {1: [], 2: []} for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, spins in SETTINGS.items():
                for count, values in seconds[name].items():
                    values.append(train(Path(folder), spins, count))
                    print(f"{name}, {count} at once: {values[-1]:.0f} s", flush=True)
    results = {}
    for name, counts in seconds.items():
        alone, two = (statistics.median(values) for values in counts.values())
        results[name] = {"alone": alone, "two at once": two, "ratio": two / alone}
        print(f"{name:16} alone {alone:6.1f} s   two at once {two:6.1f} s, {two / alone:.2f} times")
    save("together", results)


if __name__ == "__main__":
    main()
