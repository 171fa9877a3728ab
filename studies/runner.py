"""What all studies share: options from a dataclass, numbers, and answers.

A study is a frozen dataclass of options, whose field docstrings are its help, and a function from
these to a `Findings`. The runner turns the dataclass into a command line and the findings into
files.
"""

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro
from matplotlib.figure import Figure
from torch import Tensor

from command_line import check_outputs
from grader.errors import UserError
from storage import replacing

Options = TypeVar("Options")
# Smallest and largest values of the options with these names, in all studies.
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("epochs", "max_iter"), (1, 10**6)),
    **dict.fromkeys(("z_dim", "hidden_size", "num_hidden"), (1, 2**14)),
    **dict.fromkeys(("images", "held_out"), (1, 10**8)),
    **{"init_std": (0, 1e3), "devices": (1, 2**12)},
    **{"batch_size": (2, 2**20), "learning_rate": (1e-12, 1), "beta": (0, 1e6)},
    **{"seed": (0, 2**32 - 1), "latents": (2, 2**14), "size": (16, 2**14)},
}


@dataclass(frozen=True)
class Answer:
    """A question of an assignment: its identifier, our own wording, and this run's answer."""

    identifier: str
    question: str
    text: str


@dataclass(frozen=True)
class Findings:
    """The results of a study: all numbers that its answers quote, pictures by name, and answers."""

    summary: dict[str, Any]
    pictures: dict[str, Figure]
    answers: list[Answer]


def parse(defaults: Options, words: list[str], usage: str) -> Options:
    """Parse the words of a command line into options. Raises UserError, or exits after help."""
    said, prog, example = io.StringIO(), f"python {usage}", usage
    for place, value in (("DATA", "data"), ("IMAGE", "image.png"), ("OUT_DIR", "out")):
        example = example.replace(place, value)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                type(defaults),
                default=defaults,
                args=words,
                prog=prog,
                description=f"{type(defaults).__doc__} Example: python {example}",
                use_underscores=False,
            )
    except SystemExit as error:
        if not error.code:
            raise
        # A box, coloured on a terminal: its title, then the error, up to a rule or the end.
        plain = re.sub("\x1b\\[[0-9;]*m", "", said.getvalue())
        lines = [line.strip("│| ") for line in plain.splitlines()]
        worded = [any(map(str.isalnum, line)) for line in lines] + [False]
        start = worded.index(True, worded.index(True) + 1)
        text = " ".join(lines[start : worded.index(False, start)])
        raise UserError("command line", text, f"python {usage}") from error


def check_numbers(options: object) -> None:
    """Raise UserError if an option has a number with which nothing can be trained."""
    for name, (least, most) in BOUNDS.items():
        value = getattr(options, name, least)
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(least <= value <= most for value in values):
            words = " ".join([f"--{name.replace('_', '-')}", *map(str, values)])
            raise UserError("command line", words, f"a number from {least:g} to {most:g}")


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
    sections = [f"## {a.identifier}\n\n*{a.question}*\n\n{a.text}\n" for a in found.answers]
    with replacing(out / "answers.md") as file:
        file.write("\n".join([f"# {title}\n", *sections]).encode())


def check_folder(out: Path, title: str) -> None:
    """Raise UserError if the study `title` cannot, or must not, write its results to `out`."""
    if out.exists() and not out.is_dir():
        raise UserError(out, "no folder", "the name of one for what the study finds")
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
    check_numbers(chosen)
    found = study(chosen, Path(before[0]), out)
    write_findings(found, out, title)
    names = ", ".join(sorted(path.name for path in out.iterdir() if path.is_file()))
    print(f"wrote {names} to {out}")


def fingerprint(*data: Tensor) -> str:
    """Return a name for the content of tensors, by which a training recognises its data."""
    return hashlib.sha256(b"".join(x.cpu().numpy().tobytes() for x in data)).hexdigest()[:16]


def listed(values: Mapping[Any, float], form: str = ".2f") -> str:
    """List numbers with their names, for a sentence."""
    return ", ".join(f"{name}: {value:{form}}" for name, value in values.items())
