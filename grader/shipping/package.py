"""Pack the repository into submission.zip: the bundle, the report, the entry numbers, the link.

`vae.py` is run as a program, as the course runs it.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..assignment import Assignment
from ..errors import UserError
from ..files import zipped
from ..sandbox.resources import temporary_folder
from .bundle import ROOT, bundle

TRAIN, VAL = "train", "val"  # data sets of the assignment


@dataclass(frozen=True)
class Authors:
    """The authors of a submission: names and entry numbers, in the same order."""

    names: list[str]
    entries: list[str]

    @property
    def stem(self) -> str:
        return "_".join(self.entries)


def run_vae(*words: str | Path) -> None:
    """ClassRun the repository's vae.py. Raises UserError with its message if it fails."""
    command = [sys.executable, str(ROOT / "vae.py"), *map(str, words)]
    process = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        found = f"'{words[2]}' failed ({lines[-1]})"
        raise UserError(ROOT / "vae.py", found, "a run without an error")


def make_report(assignment: Assignment, data: Path, model: Path, authors: Authors) -> bytes:
    """Return the report next to `model`, or make one.

    If there is no model, train it first.
    """
    sets = [assignment.data[name].path(data.resolve()) for name in (TRAIN, VAL)]
    weights = [model.resolve(), model.resolve().with_name("gmm_params.pkl")]
    if not all(path.exists() for path in weights):
        run_vae(*sets, "train", *weights)
    own = model.resolve().with_name(f"{authors.stem}.pdf")
    if own.exists():
        print(f"took the report {own}, which was there")
        return own.read_bytes()
    options = [word for name in authors.names for word in ("--name", name)]
    options += [word for entry in authors.entries for word in ("--entry", entry)]
    with temporary_folder() as folder:
        path = folder / own.name
        run_vae(*sets, "report", path, *weights, *options)
        return path.read_bytes()


def package(
    assignment: Assignment, data: Path, model: Path, authors: Authors, link: str, weights: bool
) -> bytes:
    """Return the content of the submission's zip: one folder with everything in it.

    With `weights`, it includes the model and the mixture. Raises UserError.
    """
    report = make_report(assignment, data, model, authors)  # trains a model if there is none
    files = {
        "vae.py": bundle().encode(),
        "model_path.txt": f"{link}\n".encode(),
        "group.txt": "".join(f"{entry}\n" for entry in authors.entries).encode(),
        f"{authors.stem}.pdf": report,
    }
    if weights:
        files["vae.pth"] = model.read_bytes()
        files["gmm_params.pkl"] = model.with_name("gmm_params.pkl").read_bytes()
    return zipped({f"{authors.stem}/{name}": content for name, content in files.items()})
