"""How late a submission is, and how many points that costs.

Both come from the submission's time stamp, never from the current time, so that grading it again
changes nothing.
"""

import csv
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ..artifacts import read_file
from ..assignment import Late
from ..errors import UserError

DAY = timedelta(days=1)
LARGEST = 4 << 20
EXPECTED = "a CSV with the columns 'entry' and 'due', a date and time with its time zone"


def days_late(submitted: datetime, due: datetime | None) -> int:
    """Return the days since `due`, rounded up; 0 if in time or if there is no due date."""
    if due is None or submitted <= due:
        return 0
    return -((due - submitted) // DAY)


def share_lost(days: int, policy: Late) -> float:
    """Return the share of the points that is lost after this many days."""
    if days == 0 or not policy.days:
        return 0.0
    return policy.days[days - 1] if days <= len(policy.days) else 1.0


def read_time(text: str) -> datetime:
    """Parse a date and time with its time zone, as in 2024-11-11T18:00:00+05:30.

    Raises ValueError.
    """
    time = datetime.fromisoformat(text.strip())
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return time


def read_extensions(path: Path) -> dict[str, datetime]:
    """Read individual due dates, by entry number, from a CSV. Raises UserError."""
    try:
        text = read_file(path, EXPECTED, LARGEST).decode("utf-8-sig")
        extensions: dict[str, datetime] = {}
        for row in csv.DictReader(text.splitlines(), strict=True):
            entry, due = row["entry"].strip(), read_time(row["due"])
            if entry in extensions:
                raise ValueError(f"{entry} is listed twice")
            extensions[entry] = due
        return extensions
    except (UnicodeDecodeError, csv.Error, ValueError, KeyError, AttributeError) as error:
        raise UserError(path, f"no table of extensions ({error})", EXPECTED) from error


def due_date(
    members: list[str], due: datetime | None, extensions: Mapping[str, datetime]
) -> datetime | None:
    """Return when a group's submission is due: the latest due date of any member."""
    own = [extensions[member] for member in members if member in extensions]
    return max(own, default=due) if due is None else max([due, *own])
