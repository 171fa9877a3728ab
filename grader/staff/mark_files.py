"""The file that the marking page exports."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ..artifacts import read_file
from ..classroom.gradebook import Book
from ..classroom.marks import Given, problem_with
from ..errors import UserError
from .requests import Request

FORMAT = "vae-grader marks 1"
LARGEST = 64 << 20  # bytes
EXPECTED = "a file that the marking page exported"


def place_of(one: Given | Request) -> tuple[str, str]:
    return one.submission, one.part


def read_mark_file(
    path: Path, book: Book, requests: Iterable[Request], problems: list[str]
) -> list[Given]:
    """Read the marks that a marker exported; what is wrong with others is added to `problems`.

    They may answer these `requests`. Raises UserError if it is no such file, or one of
    another assignment.
    """
    try:
        content = json.loads(read_file(path, EXPECTED, LARGEST))
        kind, name, records = content["format"], content["assignment"], content["marks"]
        if not isinstance(records, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(path, "something else", EXPECTED) from error
    if kind != FORMAT:
        raise UserError(path, f"the format {str(kind)[:40]!r}", FORMAT)
    if name != book.task.name:
        raise UserError(path, f"marks for {str(name)[:40]!r}", f"for {book.task.name}")
    asked = {(request.id, *place_of(request)) for request in requests}
    marks = []
    for number, record in enumerate(records, 1):
        try:
            given = Given.model_validate(record)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            problems.append(f"{path}: mark {number}: left out: {key}: {first['msg']}")
            continue
        problem = problem_with(given, book.task, book.results)
        if given.request is not None and (given.request, *place_of(given)) not in asked:
            problem = f"it answers a request that nobody made for this part ({given.request[:40]})"
        if problem:
            problems.append(f"{path}: mark {number}: left out: {problem}")
        else:
            marks.append(given)
    return marks
