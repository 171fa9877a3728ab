"""Who is in the class: the roster, a table that a learning platform exported, or a plain one.

Columns are recognised by their headers, as Canvas, Moodle, Gradescope, Blackboard and many offices
write them. Students are recognised by entry number first, then by another id, by e-mail address,
and last by name; a name that two of them have says nothing.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import UserError
from .tables import read_table

EXPECTED = "a class list: a CSV or .xlsx with entry numbers, e-mail addresses or names"
# Headers, in small letters, of what is known about a student. Where a table has several, the first.
HEADERS = {
    "entry": (
        *("entry", "entry number", "entry no", "entry no.", "entry_number", "entrynumber"),
        *(
            "sid",
            "student id",
            "student_id",
            "student number",
            "student no",
            "matriculation number",
        ),
        *("id number", "roll number", "roll no", "org defined id", "orgdefinedid", "sis user id"),
    ),
    "name": ("name", "full name", "student name", "full_name", "student"),
    "first": ("first name", "first_name", "given name", "firstname"),
    "last": ("last name", "last_name", "surname", "family name", "lastname"),
    "email": ("email", "e-mail", "email address", "e-mail address", "email_address", "mail"),
    "section": ("section", "sections", "section_name", "group", "groups", "class"),
    "login": ("sis login id", "username", "user name", "login", "login id", "user id"),
    "canvas": ("canvas id", "canvas_id", "canvas user id"),
    "moodle": ("identifier", "participant", "moodle id", "moodle_id"),
}
CANVAS = {"sis user id", "sis login id", "root account", "integration id"}  # next to its "ID"
NOT_STUDENTS = re.compile(r"\s*(points possible|student, test|test student)\s*", re.IGNORECASE)
IDS = ("entry", "email", "login")
PLATFORM_IDS = ("canvas", "moodle")
ROUNDED = re.compile(r"\d[.,]\d+E\+\d+", re.IGNORECASE)
# The names that platforms give to submissions when they are downloaded together; Canvas puts the
# name of a group before that of its member.
IN_CANVAS = re.compile(r".+?(?:_LATE)?_(\d+)_(\d+)_.+", re.DOTALL)
IN_MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?", re.DOTALL)


@dataclass(frozen=True)
class Student:
    """A student of the class: the row in the table, and what that says; '' for what it does not."""

    row: int
    entry: str = ""
    name: str = ""
    email: str = ""
    section: str = ""
    login: str = ""
    canvas: str = ""
    moodle: str = ""

    @property
    def key(self) -> str:
        """Return what tables call the student; if anonymous, an id of the platform."""
        known = (self.entry, self.email, self.login, self.name, self.canvas, self.moodle)
        return next(filter(None, known), "")


def plain(text: str) -> str:
    """Return a text as it is compared: without differences of case, width, marks or spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def name_key(name: str) -> str:
    """Return a name as it is compared; "Last, First" is the same as "First Last"."""
    last, comma, first = name.partition(",")
    return plain(f"{first} {last}" if comma else name)


@dataclass(frozen=True)
class Roster:
    """The students of a class, in the order of the table, and what was left out of it."""

    students: list[Student]
    left_out: list[str] = field(default_factory=list)

    @cached_property
    def by_id(self) -> dict[str, dict[str, Student | None]]:
        """Return for each kind of id, and for names, who has it; None if several have."""
        kinds: dict[str, dict[str, Student | None]] = {}
        for kind in (*IDS, *PLATFORM_IDS, "name"):
            known = kinds.setdefault(kind, {})
            for student in self.students:
                value = getattr(student, kind)
                key = name_key(value) if kind == "name" else plain(value)
                if key:
                    known[key] = None if key in known else student
        return kinds

    def find_by_id(self, *words: str) -> Student | None:
        """Return whose entry number, e-mail or login one of these words is, in this order.

        Return None if it is nobody's, or that of more than one.
        """
        for kind in IDS:
            for word in filter(None, words):
                if (student := self.by_id[kind].get(plain(word))) is not None:
                    return student
        return None

    def find(self, *words: str) -> Student | None:
        """Return whom one of these words names: entry number, e-mail, login, or at last the name.

        Return None if it is nobody, or more than one.
        """
        named = (self.by_id["name"].get(name_key(word)) for word in words if word)
        return self.find_by_id(*words) or next(filter(None, named), None)

    def is_name(self, word: str) -> bool:
        """Check whether a word names a student only by name, which may be that of another."""
        return not any(plain(word) in self.by_id[kind] for kind in IDS)

    def uploader(self, submission: str) -> Student | None:
        """Return whom Canvas' or Moodle's name of a downloaded submission refers to."""
        for kind, pattern, group in (("moodle", IN_MOODLE, 2), ("canvas", IN_CANVAS, 1)):
            if match := pattern.fullmatch(submission):
                return self.by_id[kind].get(match[group])
        return None


def columns_of(header: Iterable[str]) -> dict[str, str]:
    """Return the header of each thing that is known about a student."""
    names = {plain(name): name for name in header}
    found = {}
    for kind, known in HEADERS.items():
        if name := next((names[k] for k in known if k in names), None):
            found[kind] = name
    if "id" in names:
        found.setdefault("canvas" if CANVAS & names.keys() else "entry", names["id"])
    return found


def student_in(row: int, cells: Mapping[str, str], columns: Mapping[str, str]) -> Student:
    """Return the student in a row of a table."""
    own = {kind: cells[column].strip() for kind, column in columns.items()}
    first, last = own.pop("first", ""), own.pop("last", "")
    own["name"] = own.get("name") or f"{first} {last}".strip()
    own["moodle"] = "".join(re.findall(r"\d+", own.get("moodle", "")))
    own["entry"] = re.sub(r"(?<=\d)\.0$", "", own.get("entry", ""))  # a number, to Excel
    return Student(row, **own)


def read_roster(path: Path) -> Roster:
    """Read a class list. Raises UserError if it has no student, or one of them twice.

    Rows that are no students, as those of Canvas with points, are left out and named.
    """
    rows = read_table(path, set(), EXPECTED)
    columns = columns_of(rows[0][1] if rows else ())
    if not columns.keys() - {"first", "section"}:
        header = ", ".join(rows[0][1]) if rows else "nothing"
        raise UserError(path, f"a table of {header[:80]}", EXPECTED)
    students, left_out = [], []
    for number, cells in rows:
        student = student_in(number, cells, columns)
        if ROUNDED.fullmatch(student.entry):
            found = f"row {number}: {student.entry}, which a spreadsheet rounded"
            raise UserError(path, found, "the whole entry number, as text")
        if not student.key or NOT_STUDENTS.fullmatch(student.name):
            left_out.append(f"row {number}: left out: {student.name or 'no student'}")
        else:
            students.append(student)
    if not students:
        raise UserError(path, "no student in it", EXPECTED)
    for kind in ("entry", "email"):
        check_once(path, students, kind)
    return Roster(students, left_out)


def read_class(path: Path) -> Roster:
    """Read the class list of a run. Raises UserError if two students cannot be told apart."""
    roster = read_roster(path)
    check_once(path, roster.students, "key")
    return roster


def check_once(path: Path, students: list[Student], kind: str) -> None:
    """Raise UserError if two students have the same entry number, address or key."""
    seen: dict[str, int] = {}
    for student in students:
        value = plain(getattr(student, kind))
        if value in seen:
            found = f"row {student.row}: {getattr(student, kind)}, as in row {seen[value]}"
            raise UserError(path, found, "each student once")
        if value:
            seen[value] = student.row
