"""Free late days over several assignments."""

from pathlib import Path

import pandas as pd
import pytest

from grader.assignment import Late
from grader.classroom.lateness import Lateness, lateness
from grader.classroom.ledger import read_ledger, used_before
from grader.classroom.open_book import open_book
from grader.errors import UserError
from tests.grader.classes import grader
from tests.grader.staff_class import ASSIGNMENT, Made, write_class

HEADER = "assignment,due,student,days\n"
EARLIER = "lab0,2026-10-01T17:00:00+00:00,2026CSZ0009,2\n"
LATER = "lab2,2026-12-01T17:00:00+00:00,2026CSZ0009,3\n"
BANK = Late(days=[0.1, 0.2], bank=3)


@pytest.mark.parametrize(
    ("days", "used", "expected"),
    [
        (0, 0, Lateness(0, 0, 0.0)),
        (2, 0, Lateness(2, 2, 0.0)),
        (2, 2, Lateness(2, 1, 0.1)),
        (5, 0, Lateness(5, 3, 0.2)),
        (1, 9, Lateness(1, 0, 0.1)),
        (4, 3, Lateness(4, 0, 1.0)),
        (9, 0, Lateness(9, 0, 1.0)),  # three free days would save nothing
    ],
)
def test_free_days_are_taken_before_points(days: int, used: int, expected: Lateness) -> None:
    assert lateness(days, BANK, used) == expected


def test_one_assignment_takes_no_more_than_it_may() -> None:
    policy = Late(days=[0.1, 0.2], bank=3, bank_at_once=1)
    assert lateness(3, policy) == Lateness(3, 1, 0.2)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_class(tmp_path / "class", 12)


def late_row(made: Made) -> pd.Series:
    book = open_book(made.run)
    return pd.Series(book.row("submission_1009", "2026CSZ0009"))


def test_an_assignment_reads_earlier_ones_and_adds_its_own(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computing it again, also after a later assignment, changes nothing."""
    ledger = made.run.parent / "ledger.csv"
    before = late_row(made)
    assert before["days_late"] == before["bank_days"] > 0
    ledger.write_text(HEADER + EARLIER + LATER)
    assert grader(f"ledger {made.run} {ledger}", monkeypatch) == 0
    after = late_row(made)
    assert after["bank_days"] == 1
    assert after["penalty"] == (
        0.1 if before["days_late"] == 2 else 0.0 if before["days_late"] < 2 else 0.2
    )
    content = ledger.read_bytes()
    assert [use[0] for use in read_ledger(ledger)] == ["lab0", "lab", "lab2"]
    assert grader(f"ledger {made.run} {ledger}", monkeypatch) == 0
    assert ledger.read_bytes() == content


def test_an_assignment_without_free_days_has_no_ledger(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.assignment.write_text(ASSIGNMENT.replace("bank = 3\n", ""))
    assert grader(f"ledger {made.run} {made.run.parent / 'ledger.csv'}", monkeypatch) == 2
    assert "expected [late] with 'bank' and 'due'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n", "no column"),
        (HEADER + "lab0,yesterday,x,1\n", "row 2: lab0, yesterday, x, 1"),
        (HEADER + "lab0,2026-10-01T17:00:00+00:00,x,-1\n", "row 2"),
        (HEADER + "lab0,2026-10-01T17:00:00,x,1\n", "row 2"),
        (HEADER + "lab0,2026-10-01T17:00:00+00:00,,1\n", "row 2"),
    ],
)
def test_what_is_no_ledger_is_refused_and_stays(
    made: Made, text: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = made.run.parent / "ledger.csv"
    ledger.write_text(text)
    with pytest.raises(UserError, match=found):
        read_ledger(ledger)
    assert grader(f"ledger {made.run} {ledger}", monkeypatch) == 2
    assert ledger.read_text() == text


def test_a_ledger_that_is_gone_is_missed(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = made.run.parent / "ledger.csv"
    assert grader(f"ledger {made.run} {ledger}", monkeypatch) == 0
    ledger.unlink()
    assert grader(f"export {made.run} {made.run.parent / 'book.csv'}", monkeypatch) == 2


def test_of_two_due_at_once_only_one_sees_the_other(made: Made) -> None:
    book = open_book(made.run)
    due = book.task.late.due
    assert due is not None
    used = [("a", due, "x", 1), ("z", due, "x", 2)]  # and "lab"
    assert used_before(used, book.task) == {"x": 1}
