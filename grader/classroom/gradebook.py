"""The results of a run as a table, with a row for each student of each submission.

With a roster, it has everybody in the class, also those who handed in nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd

from ..assessment.grade import rounded
from ..assignment import Assignment
from ..errors import printable
from ..judging import Metric
from .class_run import Entry
from .lateness import Lateness, days_late, due_date, lateness
from .marks import Marks
from .roster import Roster, Student

GRADESCOPE = {"student": "SID", "total": "Total Score"}
GRADED, MISSING, WAITING = "graded", "not handed in", "not graded yet"


@dataclass(frozen=True)
class Book:
    """The data for a gradebook: results and entries by submission, and what was added later.

    `extensions`: due dates by student; `marks`: what people gave; `flags`: from the comparison of
    sources, by submission; `bank_used`: free late days of earlier assignments, by student.
    """

    task: Assignment
    results: dict[str, dict[str, Any]]
    entries: dict[str, Entry]
    extensions: dict[str, datetime] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    flags: dict[str, list[str]] = field(default_factory=dict)
    roster: Roster | None = None
    bank_used: dict[str, int] = field(default_factory=dict)

    def words(self, name: str) -> list[str]:
        """Return how a submission calls its students: the platform's words, or else its own.

        Canvas and Moodle say in the name of a submission who uploaded it. The rest of a group
        counts if it names that student too.
        """
        members = list(self.results[name]["extra_data"]["members"])
        uploader = self.roster.uploader(name) if self.roster else None
        if self.roster and uploader and uploader not in map(self.roster.find, members):
            return [uploader.key]
        return list(dict.fromkeys(self.entries[name].students or members))

    @cached_property
    def on_roster(self) -> dict[str, dict[str, Student | None]]:
        """Return by submission whom on the roster each of its words names."""
        if self.roster is None:
            return {}
        find = self.roster.find
        return {name: {word: find(word) for word in self.words(name)} for name in self.results}

    def students(self, name: str) -> list[str]:
        """Return the students of a submission as tables call them; [''] if there are none."""
        known = self.on_roster.get(name, {})
        words = [student.key if (student := known.get(w)) else w for w in self.words(name)]
        return list(dict.fromkeys(words or [""]))

    @cached_property
    def submissions_of(self) -> dict[str, list[str]]:
        """Return the submissions of each student."""
        found: dict[str, list[str]] = {}
        for name in self.results:
            for student in self.students(name):
                found.setdefault(student, []).append(name)
        return found

    @cached_property
    def waiting(self) -> dict[str, list[str]]:
        """Return the submissions without a result, and whose they are, as far as that is known."""
        found = {}
        for name, entry in self.entries.items():
            if name not in self.results:
                uploader = self.roster.uploader(name) if self.roster else None
                known = [self.roster.find(word) if self.roster else None for word in entry.students]
                words = [s.key if s else w for s, w in zip(known, entry.students, strict=True)]
                found[name] = [uploader.key] if uploader else words or [""]
        return found

    @cached_property
    def missing(self) -> list[Student]:
        """Return who is on the roster and has handed in nothing."""
        everybody = self.roster.students if self.roster else []
        waiting = {student for students in self.waiting.values() for student in students}
        there = self.submissions_of.keys() | waiting
        return [student for student in everybody if student.key not in there]

    def lateness(self, name: str, student: str) -> Lateness:
        """Return how late a submission is, and what that costs one of its students."""
        submitted, late = self.entries[name].submitted, self.task.late
        if submitted is None:
            return Lateness()
        due = due_date(self.students(name), late.due, self.extensions)
        return lateness(days_late(submitted, due, late.zone), late, self.bank_used.get(student, 0))

    def bank_days(self) -> dict[str, int]:
        """Return how many free late days each student takes for this assignment.

        Of several submissions of a student, the one that takes most counts.
        """
        return {
            student: max(self.lateness(name, student).bank_days for name in names)
            for student, names in self.submissions_of.items()
            if student
        }

    def own_flags(self, name: str) -> list[str]:
        """Return what should be reviewed by hand in one submission."""
        extra = self.results[name]["extra_data"]
        flags = [f"{flag['source']}: {flag['evidence']}" for flag in extra["flags"]]
        flags += self.flags.get(name, [])
        for student in self.students(name):
            others = [other for other in self.submissions_of[student] if other != name]
            if student and others:
                flags.append(f"group: {student} is also in {', '.join(others)}")
        flags += self.roster_flags(name)
        flags += [
            f"marks: {text}"
            for part in self.task.parts
            if (text := self.marks.contradiction(name, part))
        ]
        return flags

    def roster_flags(self, name: str) -> list[str]:
        """Return what does not fit together in how a submission calls its students."""
        members, words = self.results[name]["extra_data"]["members"], self.words(name)
        flags = []
        if self.roster is not None:
            find = self.roster.find
            known, listed = {find(w) for w in words}, {find(m) for m in members}
            flags += [f"roster: {w} is not on it" for w in words if find(w) is None]
            flags += [
                f"roster: {student.key} was found by the name {word} alone"
                for word, student in self.on_roster[name].items()
                if student and self.roster.is_name(word)
            ]
            flags += [] if words else ["roster: it names no student"]
            differ = bool(known and listed and known != listed)
        else:
            differ = bool(self.entries[name].students and members) and {*words} != {*members}
        return flags + ([f"group: it names {' '.join(members)}"] if differ else [])

    def points(self, name: str) -> dict[str, Any]:
        """Return the scores and points of one submission, before lateness."""
        extra = self.results[name]["extra_data"]
        row: dict[str, Any] = {}
        for judged in self.task.judged:
            figures = extra["metrics"].get(judged.name, {"parts": {}, "points": "0"})
            for part in judged.parts if isinstance(judged, Metric) else ():
                row[f"{judged.name}_{part}"] = figures["parts"].get(part, {}).get("value")
            by_hand = self.marks.points(name, judged)
            row[judged.name] = float(figures["points"]) if by_hand is None else by_hand
        return row | {part.title: self.marks.points(name, part) for part in self.task.manual}

    def marked(self) -> dict[str, int]:
        """Return how many submissions are marked in each part that people mark, by its title."""
        return {
            part.title: sum(self.marks.points(name, part) is not None for name in self.results)
            for part in self.task.manual
        }

    def before_lateness(self, points: dict[str, Any]) -> float:
        """Return what the `points` of a submission come to, before those lost for lateness."""
        return self.task.limited(sum(points[part.column] or 0.0 for part in self.task.parts))

    def row(self, name: str, student: str) -> dict[str, Any]:
        """Return the row of a student: scores, lateness, total, verdicts and flags."""
        points, late = self.points(name), self.lateness(name, student)
        total = self.before_lateness(points)
        verdicts = self.results[name]["extra_data"]["verdicts"]
        row = {"submission": name, "status": GRADED, **points, "days_late": late.days}
        if self.task.late.bank:
            row["bank_days"] = late.bank_days
        row |= {"penalty": late.share, "total": float(rounded(1 - late.share, total))}
        row |= {f"verdict_{step}": verdict for step, verdict in verdicts.items()}
        return row | {"flags": "; ".join(self.own_flags(name))}

    def identity(self, student: str) -> dict[str, str]:
        """Return the first cells of a student's row; with a roster, what it says."""
        cells = {"student": student}
        if self.roster is not None:
            known = self.roster.find(student) or Student(0)
            cells |= {"name": known.name, "email": known.email, "section": known.section}
        return cells


def gradebook(book: Book) -> pd.DataFrame:
    """Build a table with a row for each student; all students in a group get the group's row."""
    rows = [
        book.identity(student) | book.row(name, student)
        for name in book.results
        for student in book.students(name)
    ]
    rows += [
        book.identity(student) | {"submission": name, "status": WAITING, "flags": ""}
        for name, students in book.waiting.items()
        for student in students
    ]
    rows += [
        book.identity(s.key) | {"submission": "", "status": MISSING, "total": 0.0, "flags": ""}
        for s in book.missing
    ]
    table = pd.DataFrame(rows).sort_values(["student", "submission"], ignore_index=True)
    days = [name for name in ("days_late", "bank_days") if name in table]
    return table.astype(dict.fromkeys(days, "Int64"))  # whole numbers, also where some are missing


def for_gradescope(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows and columns that Gradescope can import, and what was left out.

    That is rows without a student, and students with several rows.
    """
    nobody, twice = table["student"] == "", table["student"].duplicated(keep=False)
    problems = [f"{name}: left out: no student" for name in table["submission"][nobody]]
    for student, rows in table[twice & ~nobody].groupby("student"):
        problems.append(f"{student}: left out: in {' and '.join(rows['submission'])}")
    kept = table[~nobody & ~twice & (table["status"] == GRADED)]
    return kept[list(GRADESCOPE)].rename(columns=GRADESCOPE), [printable(p) for p in problems]
