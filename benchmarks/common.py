"""What several benchmarks share: where data and results are, and how a program is run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "benchmarks"


def data_file(name: str) -> Path:
    """Return the path of a file in the folder VAE_DATA; exit if it is not set."""
    if "VAE_DATA" not in os.environ:
        sys.exit("VAE_DATA is not set: this benchmark needs the folder of the course's data sets")
    return Path(os.environ["VAE_DATA"]).resolve() / name


def course_file(part: str) -> Path:
    """Return the path in VAE_DATA of the course's data set `part`: train, val, test, test_recon."""
    return data_file(f"mnist_1_4_8_{part}.npz")


def run_vae(*words: Path | str, cwd: Path) -> None:
    """Run vae.py in the folder `cwd`; if it fails, this program fails."""
    command = [sys.executable, str(ROOT / "vae.py"), *map(str, words)]
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def load(name: str) -> dict[str, Any]:
    """Return what an earlier run wrote to build/benchmarks/NAME.json; empty if there is none."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def save(name: str, results: dict[str, Any]) -> None:
    """Write build/benchmarks/NAME.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")
