"""Write a new assignment's file, with comments, from a few answers."""

import json
import re
from pathlib import Path

import jinja2

from . import HOME
from .assignment import NOTEBOOK, read_assignment
from .errors import UserError, printable
from .files import write_whole

NAME = r"[a-z0-9][a-z0-9_-]*"
FUNCTION = r"[A-Za-z_]\w*"
MOST_QUESTIONS = 50
AUTOMATIC = 40  # points of 100; the rest are given by hand if there are questions


def shares(total: int, count: int) -> float:
    """Divide points evenly, rounded to two decimals."""
    return round(total / count, 2) if count else 0.0


def assignment_text(
    name: str,
    title: str,
    program: str,
    *,
    run: bool,
    data: bool,
    functions: list[str],
    questions: int,
) -> str:
    """Return the content of an assignment's file. Its 100 points are divided evenly."""
    notebook = program.endswith(NOTEBOOK)
    kinds = [notebook, run, run and data, bool(functions)]
    automatic = 100 if not questions else AUTOMATIC if any(kinds) else 0
    each = shares(automatic, sum(kinds))
    source = (HOME / "templates" / "assignment.toml").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    return environment.from_string(source).render(
        name=name,
        title=title,
        quoted_title=json.dumps(printable(title), ensure_ascii=False),
        program=program,
        notebook=notebook,
        run=run,
        data=run and data,
        functions=[{"call": call, "name": call.lower().strip("_") or "f"} for call in functions],
        questions=range(1, questions + 1),
        points={
            "check": round(each / 2, 2),
            "number": each,
            "metric": each,
            "test": round(each / max(1, len(functions)), 2),
            "question": shares(100 - automatic, questions),
        },
    )


def write_assignment(path: Path, content: str) -> None:
    """Write an assignment's file, and read it as a check. Raises UserError if it exists already."""
    if path.exists():
        raise UserError(path, "a file", "a name that is not taken")
    write_whole(path, content)
    read_assignment(str(path))


def check_answers(name: str, program: str, functions: list[str], questions: int) -> None:
    """Raise UserError for an answer from which no assignment can be made."""
    if not re.fullmatch(NAME, name):
        raise UserError("command line", f"the name {name!r}", "lower-case letters, digits, - and _")
    if not re.fullmatch(r"(\*|\w[\w.-]*)\.(py|ipynb)", program, re.ASCII):
        raise UserError("command line", f"the program {program!r}", "such as vae.py, or *.ipynb")
    for function in functions:
        if not re.fullmatch(FUNCTION, function, re.ASCII):
            raise UserError("command line", f"the function {function!r}", "a name in Python")
    names = [function.lower().strip("_") for function in functions]
    if len(set(names)) < len(names):
        raise UserError("command line", "a function twice", "each once")
    if not 0 <= questions <= MOST_QUESTIONS:
        raise UserError("command line", f"{questions} questions", f"0 to {MOST_QUESTIONS}")
    if not (questions or functions or program.endswith(NOTEBOOK)):
        raise UserError("command line", "nothing to give points for", "a function or a question")
