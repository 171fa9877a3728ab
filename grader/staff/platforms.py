"""What learning platforms export, and which cells of it staff may fill in.

From the platforms' public documentation: "How do I import grades in the Gradebook?" and "How do I
export grades in the Gradebook?" (Canvas Instructor Guide), "Offline grading worksheet", "Grade
export" and "Grade import" (Moodle Docs), "Reviewing and exporting grades" (Gradescope Help Center),
"Work offline with grade data" (Blackboard Help).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..artifacts import read_file
from ..assignment import Assignment
from ..classroom.roster import Roster, plain, read_roster
from ..classroom.tables import LARGEST
from ..errors import UserError, listed, reason
from .sheets import Sheet


@dataclass(frozen=True)
class Template:
    """A file that a platform exported: its cells, and its rows as a class list."""

    path: Path
    sheet: Sheet
    roster: Roster

    @property
    def header(self) -> list[str]:
        return self.sheet.header

    def column(self, title: str) -> int | None:
        """Return the column with this header, in small letters; None if there is none."""
        return next((i for i, text in enumerate(self.header) if plain(text) == title), None)

    def cells(self, title: str) -> set[str]:
        """Return what is written for students under this header."""
        column = self.column(title)
        rows = () if column is None else self.roster.students
        return {self.sheet.cell(student.row, column or 0) for student in rows} - {""}


@dataclass(frozen=True)
class Format:
    """A kind of file: how to recognise it, and the cells that may be filled in.

    Headers are compared in small letters. A file has at least one of each tuple in `needed`.
    `column` matches the headers of columns for points; its groups are what else these are called,
    or, with the name "most", the most points. `never` matches columns that are not imported. The
    most points may also be under `most_header`, or in the row that begins with `most_row`.
    `closed` has a header ('' is the column's own), a cell under it, and why the row stays as it is.
    `feedback` is the header over comments.
    """

    title: str
    needed: tuple[tuple[str, ...], ...]
    column: re.Pattern[str]
    never: re.Pattern[str] = re.compile("(?!)")
    most_header: str = ""
    most_row: str = ""
    closed: tuple[tuple[str, str, str], ...] = ()
    feedback: str = ""

    def fits(self, header: list[str]) -> bool:
        """Check whether a file with this header is of this kind."""
        known = set(map(plain, header))
        return all(known.intersection(names) for names in self.needed)

    def columns(self, template: Template) -> list[int]:
        """Return the columns for points that the platform would read."""
        return [
            i
            for i, header in enumerate(map(plain, template.header))
            if self.column.fullmatch(header)
            and not self.never.fullmatch(header)
            and not any("read only" in cell for cell in self.most(template, i))
        ]

    def names(self, header: str) -> set[str]:
        """Return what a column may be called, as it is compared."""
        match = self.column.fullmatch(plain(header))
        groups = match.groupdict() if match else {}
        return {plain(header), *(text for key, text in groups.items() if key != "most")}

    def most(self, template: Template, column: int) -> set[str]:
        """Return what the file says about the most points of a column."""
        sheet = template.sheet
        match = self.column.fullmatch(plain(template.header[column]))
        texts = {match["most"]} if match and "most" in match.groupdict() else set()
        if self.most_header:
            texts |= template.cells(self.most_header)
        if self.most_row:
            rows = (n for n in sheet.numbers if plain(sheet.cell(n, 0)) == self.most_row)
            texts |= {sheet.cell(n, column) for n in rows}
        return texts - {""}

    def reason_to_keep(self, template: Template, row: int, column: int) -> str:
        """Say why a cell stays as it is; '' if it may be filled in."""
        for header, text, why in self.closed:
            place = template.column(header) if header else column
            if place is not None and plain(template.sheet.cell(row, place)) == text:
                return why
        return ""


FORMATS: dict[str, tuple[Format, ...]] = {
    "canvas": (
        Format(
            "Canvas' gradebook, with Student, ID, Section and assignments",
            (("student", "lastname"), ("id",), ("section",)),
            re.compile(r"(?P<name>.+?) ?\(\d+\)"),
            re.compile(r".*(current|final|override) (score|points|grade|status).*"),
            most_row="points possible",
            closed=(
                ("", "ex", "excused on Canvas"),
                ("", "n/a", "on Canvas, the assignment is not for this student"),
            ),
        ),
    ),
    "moodle": (
        Format(
            "Moodle's grading worksheet, with Identifier, Grade and Maximum Grade",
            (("identifier",), ("grade",), ("maximum grade",)),
            re.compile("grade"),
            most_header="maximum grade",
            closed=(("grade can be changed", "no", "Moodle does not let its grade be changed"),),
            feedback="feedback comments",
        ),
        Format(
            "Moodle's export of grades, with First name, Email address and assignments",
            (("first name",), ("surname", "last name"), ("email address",)),
            re.compile(r"(?P<whole>(?:\w[^:]*: )?(?P<name>.+?))(?: \(real\))?"),
            re.compile(
                "first name|surname|last name|id number|institution|department|email address"
                "|groups?|cohorts?|city|country|phone"
                r"|username|last downloaded from this course|feedback: .*"
                r"|.*\((percentage|letter|feedback)\)|(course|category) total( \(real\))?"
            ),
        ),
    ),
    "gradescope": (
        Format(
            "Gradescope's grades of an assignment, with SID or Email, Total Score and Max Points",
            (("sid", "email"), ("total score",), ("max points",)),
            re.compile("total score"),
            most_header="max points",
        ),
    ),
    "blackboard": (  # which calculates columns with "up to" itself
        Format(
            "Blackboard's grades, with Last Name, Username and columns with [Total Pts: ...]",
            (("last name",), ("username",)),
            re.compile(r"(?P<name>.*?) ?\[total pts: (?P<most>[\d.,]+)(?: [^]]*)?\](?: ?\|\d+)?"),
        ),
    ),
}


def read_template(path: Path, platform: str) -> tuple[Template, Format]:
    """Read a file that a platform exported. Raises UserError if it is not from there."""
    formats = FORMATS[platform]
    expected = " or ".join(kind.title for kind in formats)
    content = read_file(path, expected, LARGEST)
    try:
        sheet = Sheet(content)
    except ValueError as error:
        raise UserError(path, f"cannot be read ({reason(error)})", expected) from error
    kind = next((kind for kind in formats if kind.fits(sheet.header)), None)
    if kind is None:
        others = (k.title for kinds in FORMATS.values() for k in kinds if k.fits(sheet.header))
        found = next(others, f"a table of {listed(sheet.header)[:80] or 'nothing'}")
        raise UserError(path, found, expected)
    return Template(path, sheet, read_roster(path)), kind


def chosen_column(template: Template, kind: Format, wanted: str | None, task: Assignment) -> int:
    """Return the column to fill in: the `wanted` one, or the assignment's, or the only one.

    Raises UserError, which lists the columns, if it is not certain.
    """
    columns = kind.columns(template)
    names = {plain(wanted)} if wanted else {plain(task.title), plain(task.name)}
    found = [i for i in columns if names & kind.names(template.header[i])]
    certain = found or ([] if wanted else columns)
    if len(certain) == 1:
        return certain[0]
    said = f"{len(found) or 'no'} columns called '{wanted or task.title}'"
    titles = " | ".join(template.header[i] for i in columns)
    expected = f"--column with one of: {titles}" if columns else kind.title
    raise UserError(template.path, said, expected)


def most_points(template: Template, kind: Format, column: int) -> float | None:
    """Return the most points that the file gives; None if it does not say.

    Raises UserError if it says several, or no number.
    """
    texts = sorted(kind.most(template, column))
    numbers = {template.sheet.number(text) for text in texts}
    if len(numbers) > 1 or None in numbers:
        raise UserError(template.path, f"{' and '.join(texts)} as the most points", "a number")
    return next(iter(numbers), None)
