from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import FOLDER, read_assignment
from grader.classroom.lateness import days_late, due_date, read_extensions, read_time, share_lost
from grader.errors import UserError

DUE = read_time("2024-11-11T18:00:00+05:30")
POLICY = read_assignment("a3").late


@pytest.mark.parametrize(
    ("late", "days", "share"),
    [
        (timedelta(days=-9), 0, 0.0),
        (timedelta(0), 0, 0.0),
        (timedelta(seconds=1), 1, 0.05),
        (timedelta(days=1), 1, 0.05),
        (timedelta(days=1, seconds=1), 2, 0.1),
        (timedelta(days=3), 3, 0.15),
        (timedelta(days=3, seconds=1), 4, 1.0),
    ],
)
def test_days_begun_cost_what_the_course_says(late: timedelta, days: int, share: float) -> None:
    assert days_late(DUE + late, DUE) == days
    assert share_lost(days, POLICY) == share


def test_the_time_zone_of_a_time_stamp_counts() -> None:
    assert days_late(read_time("2024-11-11T12:30:00+00:00"), DUE) == 0
    assert days_late(read_time("2024-11-11T12:30:01Z"), DUE) == 1
    with pytest.raises(ValueError, match="no time zone"):
        read_time("2024-11-11T12:30:00")


def test_a_day_ends_at_the_same_hour_after_the_clocks_were_put_back() -> None:
    due = read_time("2024-11-02T20:00:00-04:00")
    assert days_late(read_time("2024-11-03T19:30:00-05:00"), due) == 1
    assert days_late(read_time("2024-11-03T20:30:00-05:00"), due) == 2
    forward = read_time("2024-03-09T20:00:00-05:00")
    assert days_late(read_time("2024-03-10T20:30:00-04:00"), forward) == 1
    assert days_late(read_time("2024-11-03T00:00:00Z"), due) == 0
    winter = read_time("2024-12-01T18:00:00+01:00")
    assert days_late(read_time("2024-12-02T17:30:00Z"), winter) == 2
    assert days_late(read_time("2024-11-04T00:30:00Z"), due) == 2


ROME = ZoneInfo("Europe/Rome")


@given(st.datetimes(datetime(2024, 10, 20), datetime(2024, 11, 5)), st.integers(1, 8 * 24 * 60 - 1))
def test_in_the_zone_of_the_course_a_day_ends_at_the_hour_of_the_due_date(
    local: datetime, minutes: int
) -> None:
    """Clocks were put back on 27 October; stamps are in UTC, as platforms write them."""
    due = local.replace(tzinfo=ROME).astimezone(UTC)
    submitted = due + timedelta(minutes=minutes)
    days = days_late(submitted, due, "Europe/Rome")

    def end(day: int) -> datetime:
        same_hour = (due.astimezone(ROME) + timedelta(days=day)).astimezone(UTC)
        return max(same_hour, due + timedelta(days=day))

    assert submitted <= end(days)
    assert days == 1 or submitted > end(days - 1)


def test_a_zone_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "a3.toml").read_text().replace("[late]", '[late]\nzone = "Middle/Earth"')
    (tmp_path / "a3.toml").write_text(text)
    with pytest.raises(UserError, match=r"zone = 'Middle/Earth'; expected the name of a time"):
        read_assignment(str(tmp_path / "a3.toml"))


@given(st.datetimes(), st.datetimes())
def test_days_are_those_that_have_begun(one: datetime, other: datetime) -> None:
    days = days_late(one, other)
    assert days >= 0
    assert one <= other + timedelta(days=1) * days
    assert days == 0 or one > other + timedelta(days=1) * (days - 1)


def test_an_extension_of_one_member_holds_for_the_group(tmp_path: Path) -> None:
    path = tmp_path / "extensions.csv"
    path.write_text("entry,due\n2020CSZ1234,2024-11-13T18:00:00+05:30\nB,2024-11-01T00:00:00Z\n")
    extensions = read_extensions(path)
    assert due_date(["2020CSZ1234", "2020CSZ5678"], DUE, extensions) == DUE + timedelta(days=2)
    assert due_date(["B"], DUE, extensions) == DUE
    assert due_date(["2020CSZ5678"], DUE, extensions) == DUE
    assert due_date(["2020CSZ5678"], None, extensions) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty file"),
        ("name,due\nA,2024-11-13T18:00:00Z\n", "no column 'entry'"),
        ("entry,due\n\nA,soon\n", "row 3: the due date 'soon'"),
        ("entry,due\nA\n", "row 2: the due date ''"),
        ("entry,due\nA,2024-11-13T18:00:00\n", "row 2: .*with its zone"),
        ("entry,due\nA,2024-11-13T18:00:00Z\nA,2024-11-13T18:00:00Z\n", "row 3: A is listed twice"),
        ("entry,due\n,2024-11-13T18:00:00Z\n", "row 2: no entry"),
    ],
)
def test_a_table_of_extensions_names_the_row_that_is_wrong(
    tmp_path: Path, text: str, found: str
) -> None:
    path = tmp_path / "extensions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=found):
        read_extensions(path)
