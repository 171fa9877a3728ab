"""The results of a run as a table, with a row per student, or per submission without students."""

import io
import math
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..assessment.grade import rounded
from ..assignment import Assignment
from ..errors import UserError, printable
from ..files import DATE, write_whole
from ..judging import Manual, Metric
from .class_run import Entry
from .lateness import days_late, due_date, share_lost
from .tables import read_table

# How formulas begin in spreadsheets, also after what some of them take for the end of a cell.
FORMULA = re.compile(r"(^|[;|,\t\r\n])(\s*)(?=[=+\-@\t\r])")
GRADESCOPE = {"student": "SID", "total": "Total Score"}


@dataclass(frozen=True)
class Book:
    """The data for a gradebook: results and entries by submission, and what was added later.

    `extensions`: due dates by student; `marks`: points given by hand, by submission and title;
    `flags`: from the comparison of sources, by submission.
    """

    task: Assignment
    results: dict[str, dict[str, Any]]
    entries: dict[str, Entry]
    extensions: dict[str, datetime]
    marks: dict[str, dict[str, float]]
    flags: dict[str, list[str]]

    def students(self, name: str) -> list[str]:
        """Return the students of a submission: from the platform, or else from the submission."""
        members = self.results[name]["extra_data"]["members"]
        return list(dict.fromkeys(self.entries[name].students or members or [""]))

    def lateness(self, name: str) -> tuple[int, float]:
        """Return the days late, and the share of the points lost for them."""
        submitted = self.entries[name].submitted
        if submitted is None:
            return 0, 0.0
        due = due_date(self.students(name), self.task.late.due, self.extensions)
        days = days_late(submitted, due, self.task.late.zone)
        return days, share_lost(days, self.task.late)

    def own_flags(self, name: str) -> list[str]:
        """Return what should be reviewed by hand in one submission."""
        extra = self.results[name]["extra_data"]
        flags = [f"{flag['source']}: {flag['evidence']}" for flag in extra["flags"]]
        flags += self.flags.get(name, [])
        for student in self.students(name):
            others = [n for n in self.results if n != name and student in self.students(n)]
            if student and others:
                flags.append(f"group: {student} is also in {', '.join(others)}")
        known, listed = set(self.entries[name].students), set(extra["members"])
        if known and listed and known != listed:
            flags.append(f"group: it names {' '.join(extra['members'])}")
        return flags

    def row(self, name: str) -> dict[str, Any]:
        """Return the scores, lateness, total, verdicts and flags of one submission."""
        extra, marks = self.results[name]["extra_data"], self.marks.get(name, {})
        row: dict[str, Any] = {"submission": name}
        for judged in self.task.judged:
            figures = extra["metrics"].get(judged.name, {"parts": {}, "points": "0"})
            for part in judged.parts if isinstance(judged, Metric) else ():
                row[f"{judged.name}_{part}"] = figures["parts"].get(part, {}).get("value")
            row[judged.name] = float(figures["points"])
        points = sum(row[judged.name] for judged in self.task.judged)
        for manual in self.task.manual:
            row[manual.title] = marks.get(manual.title)
            points += row[manual.title] or 0.0
        days, share = self.lateness(name)
        points = self.task.limited(points)
        row |= {"days_late": days, "penalty": share, "total": float(rounded(1 - share, points))}
        row |= {f"verdict_{step}": verdict for step, verdict in extra["verdicts"].items()}
        return row | {"flags": "; ".join(self.own_flags(name))}


def gradebook(book: Book) -> pd.DataFrame:
    """Build a table with a row for each student; all students in a group get the group's row."""
    rows = [
        {"student": student, **book.row(name)}
        for name in book.results
        for student in book.students(name)
    ]
    return pd.DataFrame(rows).sort_values(["student", "submission"], ignore_index=True)


def harmless(value: Any) -> Any:
    """Escape a cell, so that no spreadsheet reads it as a formula or fails to read it.

    Some of them normalise full-width characters first.
    """
    if not isinstance(value, str):
        return value
    plain = "".join(unicodedata.normalize("NFKC", c)[:1] for c in value)  # as long as `value`
    begins = [match.end() for match in FORMULA.finditer(plain)]
    for place in reversed(begins):
        value = f"{value[:place]}'{value[place:]}"
    return printable(value)


def for_gradescope(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows and columns that Gradescope can import, and what was left out.

    That is rows without a student, and students with several rows.
    """
    nobody, twice = table["student"] == "", table["student"].duplicated(keep=False)
    problems = [f"{name}: left out: no student" for name in table["submission"][nobody]]
    for student, rows in table[twice & ~nobody].groupby("student"):
        problems.append(f"{student}: left out: in {' and '.join(rows['submission'])}")
    kept = table[~nobody & ~twice]
    return kept[list(GRADESCOPE)].rename(columns=GRADESCOPE), [printable(p) for p in problems]


def write_gradebook(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv or .xlsx.

    Raises UserError for another ending, and if the file cannot be written.
    """
    if path.suffix not in (".csv", ".xlsx"):
        raise UserError(path, f"the ending '{path.suffix}'", ".csv or .xlsx")
    table = table.map(harmless).rename(columns=harmless)
    try:
        if path.suffix == ".csv":
            content = table.to_csv(index=False).encode(errors="backslashreplace")
        else:
            content = excel(table)
        write_whole(path, content)
    except OSError as error:
        expected = "a folder with write access and space"
        raise UserError(path, f"cannot be written ({error.strerror})", expected) from error


def excel(table: pd.DataFrame) -> bytes:
    """Return a table as .xlsx with a fixed time, so that equal tables give equal bytes."""
    made, fixed = io.BytesIO(), io.BytesIO()
    table.to_excel(made, index=False)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(fixed, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"1980-01-01T00:00:00Z", content)
            name = zipfile.ZipInfo(entry.filename, DATE)
            target.writestr(name, content, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


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
                **{m.title: book.marks.get(name, {}).get(m.title) for m in book.task.manual},
            }
            for name in book.results
        ]
    )


def read_marks(path: Path, book: Book) -> dict[str, dict[str, float]]:
    """Read points by submission and title from a filled template. Raises UserError."""
    titles = {str(harmless(manual.title)): manual for manual in book.task.manual}
    rows = read_table(path, {"submission", *titles}, "a filled template of 'grader marks'")
    names = {str(harmless(name)).strip(): name for name in book.results}
    marks: dict[str, dict[str, float]] = {}
    for number, row in rows:
        name = names.pop(row["submission"], None)
        if name is None:
            found = f"row {number}: the submission '{row['submission']}'"
            raise UserError(path, found, "each of this run's once")
        for column, manual in titles.items():
            if row[column]:
                points = read_points(path, number, row[column], manual)
                marks.setdefault(name, {})[manual.title] = points
    return marks


def read_points(path: Path, number: int, text: str, manual: Manual) -> float:
    """Convert the text in a row to points. Raises UserError if it is no number in their range."""
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points <= manual.points:
        found = f"row {number}: {text!r} for '{manual.title}'"
        raise UserError(path, found, f"points from 0 to {manual.points:g}")
    return points
