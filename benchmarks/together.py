"""How long two trainings take at once, compared with one alone.

python -m benchmarks.together: trains for one epoch a stage on the course's own data, alone and
twice at once, in turn. It reports the median wall times and their ratio.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, course_file, save

ROUNDS = 3


def train(folder: Path, count: int) -> float:
    """Return the wall seconds of `count` trainings at once."""
    command = [sys.executable, str(ROOT / "vae.py"), str(course_file("train"))]
    command += [str(course_file("val")), "train", "--epochs", "1"]
    started = time.perf_counter()
    folders = [folder / str(number) for number in range(count)]
    for place in folders:
        place.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL) for place in folders
    ]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("a training failed")
    return time.perf_counter() - started


def main() -> None:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for count, values in seconds.items():
                values.append(train(Path(folder), count))
                print(f"{count} at once: {values[-1]:.0f} s", flush=True)
    alone, two = (statistics.median(values) for values in seconds.values())
    print(f"alone {alone:.1f} s   two at once {two:.1f} s, {two / alone:.2f} times")
    save("together", {"alone": alone, "two at once": two, "ratio": two / alone})


if __name__ == "__main__":
    main()
