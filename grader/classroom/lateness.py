"""How late a submission is, and how many points that costs.

Both come from the submission's time stamp, never from the current time, so that grading it again
changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ..assignment import Late
from ..errors import UserError
from .tables import read_table

DAY, NONE = timedelta(days=1), timedelta(0)
CLOCK_CHANGE = timedelta(hours=1)  # a greater difference of offsets is that of another place
EXPECTED = "a CSV with the columns 'entry' and 'due', a date and time with its time zone"


def days_late(submitted: datetime, due: datetime | None, zone: str | None = None) -> int:
    """Return the days since `due`, rounded up; 0 if in time or if there is no due date.

    If clocks were put back in between, a day had 25 hours. The time `zone` of the course says so;
    without it, the local offsets of the two times do, and a time stamp in UTC says nothing.
    """
    if due is None or submitted <= due:
        return 0
    if zone is None:
        back = (due.utcoffset() or NONE) - (submitted.utcoffset() or NONE)
    else:
        clock = ZoneInfo(zone)
        offsets = [time.astimezone(clock).utcoffset() or NONE for time in (due, submitted)]
        back = offsets[0] - offsets[1]
    known = zone is not None or submitted.tzinfo is not UTC
    extra = back if NONE < back <= CLOCK_CHANGE and known else NONE
    return max(1, -((due + extra - submitted) // DAY))


@dataclass(frozen=True)
class Lateness:
    """The days late, how many of them are free, and the share of the points lost for the others."""

    days: int = 0
    bank_days: int = 0
    share: float = 0.0


def lateness(days: int, policy: Late, used: int = 0) -> Lateness:
    """Return what lateness costs a student who used some days of the bank before.

    Free days are taken first, as many as are left, but none if points are lost all the same.
    """
    left = max(0, policy.bank - used)
    free = min(days, left, policy.bank_at_once or left)
    share, without = share_lost(days - free, policy), share_lost(days, policy)
    return Lateness(days, free if share < without else 0, share)


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
    extensions: dict[str, datetime] = {}
    for number, row in read_table(path, {"entry", "due"}, EXPECTED):
        entry, due = row["entry"], row["due"]
        if not entry or entry in extensions:
            found = f"row {number}: {entry} is listed twice" if entry else f"row {number}: no entry"
            raise UserError(path, found, "each entry number once")
        try:
            extensions[entry] = read_time(due)
        except ValueError:
            found, example = f"row {number}: the due date {due!r}", "2024-11-13T18:00:00+05:30"
            raise UserError(path, found, f"a date and time with its zone, as {example}") from None
    return extensions


def due_date(
    members: list[str], due: datetime | None, extensions: Mapping[str, datetime]
) -> datetime | None:
    """Return when a group's submission is due: the latest due date of any member."""
    own = [extensions[member] for member in members if member in extensions]
    return max(own, default=due) if due is None else max([due, *own])
