"""Fill the file that a learning platform exported with the totals of a class."""

import html
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ..assessment.grade import rounded
from ..classroom.gradebook import Book
from ..classroom.roster import IDS, PLATFORM_IDS, Roster, Student, name_key, plain
from ..classroom.tables import harmless
from ..errors import UserError, printable
from .platforms import Format, Template, most_points


def other_ids(one: Student, other: Student, kinds: tuple[str, ...]) -> bool:
    """Check whether two rows of class lists have different ids of the same kind."""
    pairs = [(plain(getattr(one, kind)), plain(getattr(other, kind))) for kind in kinds]
    return any(own and its and own != its for own, its in pairs)


def find_row(student: Student, roster: Roster) -> Student | None:
    """Return a student's row in a file by an id, or None if there is none.

    The platform's id says nothing if the row has another name and entry number: each assignment of
    Moodle has ids of its own.
    """
    if found := roster.find_by_id(student.entry, student.email, student.login):
        return found
    for kind in PLATFORM_IDS:
        row = roster.by_id[kind].get(getattr(student, kind))
        another = row and name_key(row.name) != name_key(student.name)
        if row and not (another and other_ids(row, student, IDS)):
            return row
    return None


@dataclass
class Filling:
    """Totals on their way into a template.

    `share` converts points; `zero` gives 0 to who handed in nothing. `problems` are marks that did
    not get in, `notes` what to look at.
    """

    book: Book
    template: Template
    kind: Format
    column: int
    share: float = 1.0
    zero: bool = False
    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    filled: int = 0
    replaced: int = 0
    missing: int = 0

    @cached_property
    def most(self) -> float | None:
        """Return the most points that the file gives, or None if it does not say."""
        return most_points(self.template, self.kind, self.column)

    @cached_property
    def students(self) -> dict[str, Student]:
        """Return all students of ours by what tables call them: on the roster, or in a group."""
        keys = [key for key in self.book.submissions_of if key]
        keys += [student.key for student in self.book.missing]
        roster = self.book.roster or Roster([])
        return {key: roster.find(key) or Student(0, key, key) for key in dict.fromkeys(keys)}

    @cached_property
    def rows(self) -> dict[int, list[str]]:
        """Return by row of the file who of ours is in it: found by an id, or else by the name.

        By name, only one of ours and one row may have it, and no id may have led to that row.
        """
        found: dict[int, list[str]] = {}
        rest = []
        for key, student in self.students.items():
            if row := find_row(student, self.template.roster):
                found.setdefault(row.row, []).append(key)
            else:
                rest.append(key)
        counts = Counter(name_key(student.name) for student in self.students.values())
        taken = set(found)
        for key in rest:
            name = name_key(self.students[key].name)
            row = self.template.roster.by_id["name"].get(name) if counts[name] == 1 else None
            if row is None or row.row in taken:
                self.problems.append(f"{key}: not in {self.template.path}")
            elif other_ids(self.students[key], row, (*IDS, *PLATFORM_IDS)):
                self.problems.append(
                    f"{key}: not in {self.template.path}, but for another {row.name}"
                )
            else:
                self.notes.append(f"{key}: found by the name {row.name} alone")
                found.setdefault(row.row, []).append(key)
        return found

    def totals(self, key: str) -> dict[str, float]:
        """Return a student's totals by submission."""
        names = self.book.submissions_of.get(key, [])
        return {name: self.book.row(name, key)["total"] for name in names}

    def fill(self) -> None:
        """Fill in what is certain, and say what is not."""
        contradictions = self.book.marks.contradictions(self.book.task)
        for row, keys in sorted(self.rows.items()):
            totals = {name: total for key in keys for name, total in self.totals(key).items()}
            for name in totals:
                said = " and ".join(keys)
                self.notes += [f"{said}: contradiction: {t}" for t in contradictions.get(name, [])]
            self.fill_row(row, " and ".join(keys), totals)
        for name in self.book.submissions_of.get("", []):
            self.problems.append(f"{name}: names no student")
        self.problems += [f"{name}: not graded yet" for name in self.book.waiting]
        here = [s for s in self.template.roster.students if s.row not in self.rows]
        if here:
            names = ", ".join(student.name or student.key for student in here)
            self.notes.append(f"of nobody in this run, left as they are ({len(here)}): {names}")

    def fill_row(self, row: int, who: str, totals: dict[str, float]) -> None:
        """Fill in one row with the total of its submissions, if it is one."""
        if not totals and not self.zero:
            self.missing += 1
            return
        if len(set(totals.values())) > 1:
            said = ", ".join(f"{total:g} for {name}" for name, total in totals.items())
            self.problems.append(f"{who}: not filled in: {said}")
            return
        short = len(self.template.sheet.rows[row - 1]) < len(self.template.header)
        closed = self.kind.reason_to_keep(self.template, row, self.column)
        if reason := "its row has too few cells" if short else closed:
            self.problems.append(f"{who}: not filled in: {reason}")
            return
        self.put_points(row, who, next(iter(totals.values()), 0.0))
        for name in list(totals)[:1]:
            self.put_summary(row, name, totals[name])

    def put_points(self, row: int, who: str, total: float) -> None:
        """Write the points of a row, as the file writes numbers; equal ones stay as they are."""
        sheet = self.template.sheet
        points = rounded(self.share, total)
        before = sheet.cell(row, self.column)
        if self.most is not None and points > self.most:
            self.notes.append(f"{who}: {points} is above {self.most:g}; the platform may refuse it")
        self.filled += 1
        if sheet.number(before) == float(points):
            return
        self.replaced += before not in ("", "-")
        text = f"{points}".rstrip("0").rstrip(".")
        text = text.replace(".", ",") if sheet.decimal_commas else text
        self.texts[row, self.column] = text

    def put_summary(self, row: int, name: str, total: float) -> None:
        """Write a short comment, where the file has a column for it and no comment yet.

        Moodle reads comments as HTML.
        """
        column = self.template.column(self.kind.feedback) if self.kind.feedback else None
        if column is not None and not self.template.sheet.cell(row, column):
            text = html.escape(summary(self.book, name, total), quote=False)
            self.texts[row, column] = str(harmless(text))

    def report(self) -> Iterator[str]:
        """Yield what was done, for the terminal."""
        title = printable(self.template.header[self.column])
        yield f"filled in '{title}' for {self.filled} of {len(self.students)} students"
        if self.replaced:
            yield f"{self.replaced} of them had another grade before"
        if self.missing:
            yield f"{self.missing} not handed in, left as they are; --zero writes 0"
        if left := self.template.roster.left_out:
            yield f"{len(left)} rows that are no students stay as they are"


def summary(book: Book, name: str, total: float) -> str:
    """Return in a sentence how a total comes about."""
    points = book.points(name)
    parts = [
        f"{part.title}: {'not marked' if (own := points[part.column]) is None else f'{own:g}'} "
        f"of {part.points:g}"
        for part in book.task.parts
    ]
    said = f"{total:g} of {book.task.possible:g} points. {', '.join(parts)}."
    lost = book.before_lateness(points) - total
    return printable(said + (f" Less {lost:g} for lateness." if round(lost, 2) else ""))


def share_of(
    template: Template, kind: Format, column: int, possible: float, allowed: bool
) -> float:
    """Return by what the points are multiplied, so that they fit the file's.

    Raises UserError if its most points are not the assignment's and that is not `allowed`.
    """
    most = most_points(template, kind, column)
    if most is None or most == possible:
        return 1.0
    if not allowed or not possible:
        found = f"at most {most:g} points under '{template.header[column]}'"
        expected = f"the {possible:g} of the assignment" + (", or --scale" if possible else "")
        raise UserError(template.path, found, expected)
    return most / possible
