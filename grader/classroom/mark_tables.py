"""Marks in a table: a template with a row for each submission, filled in and read again."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..judging import Manual
from .gradebook import Book
from .marks import Given
from .tables import harmless, read_table


def marks_template(book: Book) -> pd.DataFrame:
    """Build a template for points given by hand.

    It has a row for each submission, with its students and the path of its report page, and a
    column for each title.
    """
    return pd.DataFrame(
        [
            {
                "submission": name,
                "students": " ".join(book.students(name)),
                "page": f"submissions/{name}/report.html",
                **{part.title: book.marks.points(name, part) for part in book.task.manual},
            }
            for name in book.results
        ]
    )


def read_marks(
    path: Path, book: Book, marker: str, time: datetime, *, settle: bool = False
) -> list[Given]:
    """Read from a filled template the points that differ from those that stand.

    A mark replaces the marker's own, and with `settle` those of others, which it would otherwise
    contradict. Raises UserError.
    """
    titles = {str(harmless(manual.title)): manual for manual in book.task.manual}
    rows = read_table(path, {"submission", *titles}, "a filled template of 'grader marks'")
    names = {str(harmless(name)).strip(): name for name in book.results}
    marks: list[Given] = []
    for number, row in rows:
        name = names.pop(row["submission"], None)
        if name is None:
            found = f"row {number}: the submission '{row['submission']}'"
            raise UserError(path, found, "each of this run's once")
        for column, part in titles.items():
            if not row[column]:
                continue
            points = read_points(path, number, row[column], part)
            standing = book.marks.of(name, part.title)
            first = standing[0].score(part) if standing else None
            if first == points and not (settle and len(standing) > 1):
                continue
            seen = [g.id for g in standing if settle or g.marker in ("", marker)]
            values: dict[str, Any] = {"submission": name, "part": part.column, "points": points}
            marks.append(Given(marker=marker, time=time, replaces=seen, **values))
    return marks


def read_points(path: Path, number: int, text: str, manual: Manual) -> float:
    """Convert the text in a row to points. Raises UserError if it is no number in their range."""
    try:
        points = math.nan if "_" in text else float(text.replace(",", "."))
    except ValueError:
        points = math.nan
    if not 0 <= points <= manual.points:
        found = f"row {number}: {text!r} for '{manual.title}'"
        raise UserError(path, found, f"points from 0 to {manual.points:g}")
    return points
