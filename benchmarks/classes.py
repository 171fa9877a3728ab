"""Speed, overhead and memory of grading a class of made-up submissions in one run.

python -m benchmarks.classes [COUNT]: makes 200 submissions by default. Each is textbook code with a
part of its own, which imports PyTorch, loads its weights and runs inference on VAE_DATA's test
images. One in ten is broken, one in twenty is hostile, and one in twenty is a copy of another with
all names changed. They are graded with two jobs. A tenth, but at least 20, are graded with one job
and with two, alternating, to measure the efficiency; and again with training. Then the copies are
searched for, with the textbook code as known code.
"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, course_file, save

TEXTBOOK = ROOT / "tests" / "wild" / "plain" / "vae.py"
BROKEN = {
    "syntax": "def broken(:\n",
    "forbidden": "import timm\n",
    "crash": "raise RuntimeError('unfinished')\n",
    "import": "import a_module_of_mine\n",
}
HOSTILE = {
    "shadow": "try: print(open('/etc/shadow').read())\nexcept OSError as e: print(e)\n",
    "network": (
        "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as e: print(e)\n"
    ),
    "daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(3600)\n",
    "results": (
        "from pathlib import Path\nfor p in Path('/').glob('*/results*'):\n    p.write_text('1')\n"
    ),
    "memory": "try: blob = bytearray(16 << 30)\nexcept MemoryError as e: print(e)\n",
}
ROUNDS = 2


def own_part(generator: random.Random) -> str:
    """Return functions that no two students would write alike: random arithmetic."""
    lines = []
    for number in range(6):
        lines += ["", "", f"def own_{number}(value, other):", "    total = value"]
        for _ in range(generator.randrange(4, 9)):
            left, right = generator.randrange(9), generator.randrange(2, 99)
            operator = generator.choice(["+", "-", "*", "//", "%", "|", "&", "^"])
            match generator.randrange(4):
                case 0:
                    lines.append(f"    total = total {operator} {right}")
                case 1:
                    lines += [
                        f"    for step in range({left}):",
                        f"        total += step {operator} {right}",
                    ]
                case 2:
                    lines += [
                        f"    if total {operator} {right} > {left}:",
                        "        total += other",
                    ]
                case 3:
                    lines.append(f"    total = max(total {operator} {right}, other, {left})")
        lines.append("    return total")
    return "\n".join(lines) + "\n"


def renamed(source: str) -> str:
    """Return the same code with other names."""
    words = {*re.findall(r"def (\w+)", source), "value", "other", "total", "step"}
    table = {word: f"my_{i}" for i, word in enumerate(sorted(words))}
    return re.sub(r"\b\w+\b", lambda match: table.get(match[0], match[0]), source)


def write_class(folder: Path, count: int, weights: Path) -> dict[str, list[str]]:
    """Write the submissions as zips; return which are broken, hostile, and copies."""
    folder.mkdir()
    kinds: dict[str, list[str]] = {"broken": [], "hostile": [], "copy": []}
    textbook, parts = TEXTBOOK.read_text(), [own_part(random.Random(i)) for i in range(count)]
    for i in range(count):
        name, before, own = f"s{i:03d}", "", parts[i]
        if i % 10 == 3:
            kinds["broken"].append(name)
            before = list(BROKEN.values())[i // 10 % len(BROKEN)]
        elif i % 20 == 7:
            kinds["hostile"].append(name)
            before = list(HOSTILE.values())[i // 20 % len(HOSTILE)]
        elif i % 20 == 11:
            kinds["copy"].append(name)
            own = renamed(parts[i - 1])
        head, main = textbook.split('if __name__ == "__main__":')
        program = f'{before}{head}{own}\n\nif __name__ == "__main__":{main}'
        entry = f"2020CSZ{i:04d}"
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{entry}/vae.py", program)
            archive.writestr(f"{entry}/group.txt", f"{entry}\n")
            archive.writestr(f"{entry}/model_path.txt", "https://drive.google.com/file/d/1\n")
            for path in weights.iterdir():
                archive.write(path, f"{entry}/{path.name}")
    return kinds


def train_weights(folder: Path) -> None:
    """Train the weights of the textbook code once for all, since inference is measured."""
    folder.mkdir()
    words = [course_file("train"), course_file("val"), "train", "vae.pth", "gmm_params.pkl"]
    command = [sys.executable, str(TEXTBOOK), *map(str, words)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def memory_of_session(session: int) -> int:
    """Return the bytes of memory of a session's processes, with shared pages divided among them."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session:
                lines = (path / "smaps_rollup").read_text().splitlines()
                total += sum(int(ln.split()[1]) << 10 for ln in lines if ln.startswith("Pss:"))
        except OSError:
            continue
    return total


def grade(folder: Path, run: Path, jobs: int, *options: str) -> dict[str, float]:
    """Run `grader batch` once; return its time, the programs' time, the grader's peak memory."""
    command = [sys.executable, "-m", "grader", "batch", str(folder), "--out", str(run)]
    command += ["--data", str(course_file("test").parent), "--jobs", str(jobs), *options]
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        finished = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not finished.wait(1):
                peak = max(peak, memory_of_session(process.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        finished.set()
        thread.join()
    seconds = time.perf_counter() - started
    if code:
        sys.exit(f"grader batch ended with {code}")
    results = [json.loads(p.read_text()) for p in run.glob("submissions/*/results.json")]
    program = sum(result["execution_time"] for result in results)
    return {
        "submissions": len(results),
        "seconds": seconds,
        "a_minute": 60 * len(results) / seconds,
        "program_seconds_each": program / len(results),
        "overhead_seconds_each": (jobs * seconds - program) / len(results),
        "grader_peak_mib": peak / 2**20,
        "scored": sum(result["score"] > 0 for result in results),
    }


def subset(source: Path, target: Path, count: int) -> Path:
    """Copy the first `count` zips to a new folder."""
    target.mkdir()
    for path in sorted(source.iterdir())[:count]:
        shutil.copy(path, target)
    return target


def found_copies(run: Path, base: Path, copies: list[str]) -> dict[str, float]:
    """Count the copies that are flagged with their source, and the other pairs that are flagged."""
    command = [sys.executable, "-m", "grader", "similarity", str(run), "--base", str(base)]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    pairs = {tuple(p[:2]) for p in json.loads((run / "similarity.json").read_text())["pairs"]}
    expected = {(f"s{int(name[1:]) - 1:03d}", name) for name in copies}
    return {
        "seconds": time.perf_counter() - started,
        "copies": len(expected),
        "found": len(expected & pairs),
        "others": len(pairs - expected),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_weights(folder / "weights")
        kinds = write_class(folder / "class", count, folder / "weights")
        results["inference"] = grade(folder / "class", folder / "run", 2, "--weights")
        print(json.dumps(results["inference"]), flush=True)
        few = subset(folder / "class", folder / "few", max(20, count // 10))
        rates: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(ROUNDS):
            for jobs in rates:
                run = folder / f"few-{turn}-{jobs}"
                rates[jobs].append(grade(few, run, jobs, "--weights")["a_minute"])
        one, two = (statistics.median(rates[jobs]) for jobs in (1, 2))
        results["two_jobs_against_one"] = {"one": one, "two": two, "ratio": two / one}
        print(json.dumps(results["two_jobs_against_one"]), flush=True)
        results["training"] = grade(few, folder / "trained", 2, "--train")
        base = folder / "base"
        base.mkdir()
        shutil.copy(TEXTBOOK, base)
        results["similarity"] = found_copies(folder / "run", base, kinds["copy"])
    for title, figures in results.items():
        print(f"{title:22}", "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    save("classes", results)


if __name__ == "__main__":
    main()
