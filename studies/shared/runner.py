"""Run a study as a mode of vae.py: options in, files out.

A study is a frozen dataclass of options, a function from these to `Findings`, and a template of
answers. `options` makes a command line of the dataclass; the runner writes the findings to files.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from command_line import check_outputs
from grader.errors import UserError
from storage import replacing
from studies.shared.answers import answer
from studies.shared.options import Options, parse


@dataclass(frozen=True)
class Findings:
    """The results of a study.

    They are all numbers that its answers quote, pictures by name, and the template of the answers.
    """

    summary: dict[str, Any]
    pictures: dict[str, Figure]
    answers: Path


def write_picture(figure: Figure, path: Path) -> None:
    """Write a PNG, without matplotlib's version, so that the same picture has the same bytes."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})


def write_findings(found: Findings, out: Path, title: str) -> None:
    """Write summary.json, answers.md, and a PNG for each picture to a folder."""
    for name, figure in found.pictures.items():
        write_picture(figure, out / f"{name}.png")
    with replacing(out / "summary.json") as file:
        file.write((json.dumps({"study": title} | found.summary, indent=2) + "\n").encode())
    with replacing(out / "answers.md") as file:
        file.write(f"# {title}\n\n{answer(found.answers, found.summary)}".encode())


def check_folder(out: Path, title: str) -> None:
    """Raise UserError if the study `title` cannot, or must not, write its results to `out`."""
    if out.exists() and not out.is_dir():
        raise UserError(out, "not a folder", "the name of a folder for the results")
    summary, made = out / "summary.json", None
    if summary.is_file():
        try:
            made = json.loads(summary.read_bytes()).get("study")
        except (ValueError, AttributeError):
            made = "something else"
    if made not in (None, title):
        raise UserError(out, f"the results of {made!r}", "another folder for this study's")
    if out.exists():
        check_outputs([summary, out / "answers.md"], inputs=())


def run_study(
    study: Callable[[Options, Path, Path], Findings],
    presets: Mapping[str, Options],
    title: str,
    call: tuple[list[str], list[str], str],
) -> None:
    """Run a study as a mode of vae.py.

    `call`: the words before the study's name, the words after it, and the usage. `presets`: options
    by name; "full" has the assignment's own. `--preset` chooses others, if the study has such an
    option, and the options next to it change them.
    """
    before, after, usage = call
    if not after or after[0].startswith("-"):
        parse(presets["full"], after, usage)
        raise UserError("command line", "no OUT_DIR", f"python {usage}")
    out = Path(after[0])
    check_folder(out, title)
    preset = getattr(parse(presets["full"], after[1:], usage), "preset", "full")
    chosen = parse(presets[preset], after[1:], usage)
    found = study(chosen, Path(before[0]), out)
    write_findings(found, out, title)
    names = ", ".join(sorted(path.name for path in out.iterdir() if path.is_file()))
    print(f"wrote {names} to {out}")


def fingerprint(*data: Tensor) -> str:
    """Return a name for the content of tensors, by which a training recognises its data."""
    return hashlib.sha256(b"".join(x.cpu().numpy().tobytes() for x in data)).hexdigest()[:16]
