"""Write a new assignment's file, with comments, from a few answers."""

import json
import keyword
import re
from pathlib import Path

import jinja2

from . import HOME
from .assignment import NOTEBOOK, parse_assignment
from .errors import UserError, printable
from .files import write_whole

NAME = r"[a-z0-9][a-z0-9_-]*"
FUNCTION = r"_*[A-Za-z]\w*"
MOST_QUESTIONS = 50
AUTOMATIC = 40  # points of 100; the rest are given by hand if there are questions


def divided(total: float, count: int) -> list[float]:
    """Divide points evenly, in cents, so that their sum is exact."""
    cents = round(100 * total)
    return [(cents + number) // count / 100 for number in range(count)]


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
    each = iter(divided(automatic, sum(kinds)))
    points = {
        "checks": divided(next(each), 2) if notebook else [],
        "number": next(each) if run else 0,
        "metric": next(each) if run and data else 0,
        "tests": divided(next(each), len(functions)) if functions else [],
        "questions": divided(100 - automatic, questions) if questions else [],
    }
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
        functions=[{"call": call, "name": call.lower().strip("_")} for call in functions],
        points=points,
    )


def write_assignment(path: Path, content: str) -> None:
    """Read an assignment's file as a check, and write it. Raises UserError if it exists already."""
    if path.exists():
        raise UserError(path, "a file", "a name that is not taken")
    parse_assignment(content.encode(), path)
    write_whole(path, content)


def check_answers(name: str, program: str, functions: list[str], questions: int) -> None:
    """Raise UserError for an answer from which no assignment can be made."""
    if not re.fullmatch(NAME, name):
        raise UserError("command line", f"the name {name!r}", "lower-case letters, digits, - and _")
    if not re.fullmatch(r"\w[\w.-]*\.(py|ipynb)|\*\.ipynb", program, re.ASCII):
        raise UserError("command line", f"the program {program!r}", "such as vae.py, or *.ipynb")
    for function in functions:
        if not re.fullmatch(FUNCTION, function, re.ASCII) or keyword.iskeyword(function):
            raise UserError("command line", f"the function {function!r}", "a name in Python")
    names = [function.lower().strip("_") for function in functions]
    if len(set(names)) < len(names):
        raise UserError("command line", "a function twice", "each once")
    if not 0 <= questions <= MOST_QUESTIONS:
        raise UserError("command line", f"{questions} questions", f"0 to {MOST_QUESTIONS}")
    if not (questions or functions or program.endswith(NOTEBOOK)):
        raise UserError("command line", "nothing to give points for", "a function or a question")
