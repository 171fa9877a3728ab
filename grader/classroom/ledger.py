"""Free late days over several assignments: a ledger, which each assignment reads and adds to.

It is a CSV with a row for each student and assignment: `assignment`, `due`, `student`, `days`. An
assignment sees the rows of those that were due earlier (of two that were due together, of the one
whose name comes first), so computing it again changes nothing.
"""

from datetime import datetime
from pathlib import Path

import pandas as pd

from ..assignment import Assignment
from ..errors import UserError
from .lateness import read_time
from .tables import read_table

COLUMNS = ("assignment", "due", "student", "days")
EXPECTED = "a ledger of 'grader ledger', with the columns assignment, due, student and days"

Use = tuple[str, datetime, str, int]
"""An assignment, when it was due, a student, and the free days that the student took."""


def read_ledger(path: Path) -> list[Use]:
    """Read the free days that were taken. Raises UserError."""
    used = []
    for number, row in read_table(path, set(COLUMNS), EXPECTED):
        try:
            days = int(row["days"])
            if days < 0 or not row["student"]:
                raise ValueError
            used.append((row["assignment"], read_time(row["due"]), row["student"], days))
        except ValueError:
            found = f"row {number}: {', '.join(row[name] for name in COLUMNS)}"
            raise UserError(path, found, "a due date with its time zone, and days") from None
    return used


def used_before(used: list[Use], task: Assignment) -> dict[str, int]:
    """Return the free days that each student took for assignments that were due earlier."""
    assert task.late.due is not None
    before: dict[str, int] = {}
    for name, due, student, days in used:
        if name != task.name and (due, name) < (task.late.due, task.name):
            before[student] = before.get(student, 0) + days
    return before


def with_taken(used: list[Use], task: Assignment, taken: dict[str, int]) -> pd.DataFrame:
    """Return the ledger with the free days that students took for this assignment."""
    assert task.late.due is not None
    others = [use for use in used if use[0] != task.name]
    own = [(task.name, task.late.due, student, days) for student, days in taken.items() if days]
    rows = sorted([*others, *own], key=lambda use: (use[1], use[0], use[2]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["due"] = [due.isoformat() for _, due, _, _ in rows]
    return table
