"""The log of marks: nothing is lost, contradictions are shown, rubrics apply to all marks."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from grader.assignment import parse_assignment
from grader.classroom.marks import Given, Marks, problem_with, read_log, write_log
from grader.classroom.open_book import open_book
from grader.errors import UserError
from grader.judging import Manual
from grader.staff.mark_reports import weighted_kappa
from tests.grader.classes import grader
from tests.grader.staff_class import ASSIGNMENT, Made, write_class

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAB = parse_assignment(ASSIGNMENT.encode(), Path("lab.toml"))
REPORT, QUESTION = LAB.manual


def mark(
    marker: str, hour: int = 0, submission: str = "submission_1000", **values: object
) -> Given:
    time = NOON + timedelta(hours=hour)
    fields = {"submission": submission, "part": "Report", "marker": marker, "time": time}
    return Given.model_validate(fields | values)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_class(tmp_path / "class", 6)


@pytest.mark.parametrize(
    ("part", "items", "adjustment", "points"),
    [
        (REPORT, [], 0, 0),
        (REPORT, ["elbo", "clear"], 0, 15),
        (REPORT, ["elbo", "clear", "sources"], 5, 20),  # capped
        (REPORT, ["some"], -4, 0),  # not below 0
        (REPORT, ["gone", "elbo"], 0.25, 8.25),
        (QUESTION, [], 0, 20),
        (QUESTION, ["sign", "no_reason"], 0, 5),
    ],
)
def test_a_rubric_adds_deducts_and_is_capped(
    part: Manual, items: list[str], adjustment: float, points: float
) -> None:
    assert part.score(items, adjustment) == points


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('name = "some"', 'name = "clear"', "a name of its own for each item, not 'clear'"),
        ("start = 20", "start = 21", "a 'start' up to the part's points"),
        ("start = 20\n", "", "a 'start' above 0 if all items deduct"),
        ("points = 8\n", 'points = "many"\n', "points = 'many'"),
        ("points = 8\n", "points = 0.125\n", "points with at most two decimals"),
        ('title = "Names its sources"\n', "", "no key manual.0.item.3.title"),
    ],
)
def test_a_rubric_that_cannot_be_is_refused(old: str, new: str, found: str) -> None:
    assert old in ASSIGNMENT
    with pytest.raises(UserError, match=found):
        parse_assignment(ASSIGNMENT.replace(old, new).encode(), Path("lab.toml"))


def test_a_rubric_and_late_days_change_no_result() -> None:
    """Otherwise, a change of an item's points would make every submission run again."""
    other = ASSIGNMENT.replace("points = 8\n", "points = 9\n").replace("bank = 3", "bank = 4")
    assert parse_assignment(other.encode(), Path("lab.toml")).digest() == LAB.digest()
    another = ASSIGNMENT.replace("points = 40", "points = 41")
    assert parse_assignment(another.encode(), Path("lab.toml")).digest() != LAB.digest()


def test_a_later_mark_replaces_those_it_saw_and_contradicts_the_others() -> None:
    ada, bob = mark("ada", items=["elbo"]), mark("bob", items=["elbo", "sources"])
    both = Marks([ada, bob])
    assert both.points("submission_1000", REPORT) == 8, "the first counts"
    assert both.contradiction("submission_1000", REPORT) == "Report: 8 by ada and 13 by bob"
    settled = both.with_new([mark("eve", 1, points=10, replaces=[ada.id, bob.id])])
    assert settled.points("submission_1000", REPORT) == 10
    assert not settled.contradictions(LAB)
    assert settled.given[:2] == [ada, bob], "the old ones stay in the log"


def test_equal_points_are_no_contradiction_and_a_file_read_twice_adds_nothing() -> None:
    both = Marks([mark("ada", items=["elbo"]), mark("bob", points=8)])
    assert not both.contradictions(LAB)
    assert both.with_new(both.given) == both


def test_a_mark_can_be_withdrawn() -> None:
    ada = mark("ada", points=3)
    none = Marks([ada, mark("ada", 1, withdrawn=True, replaces=[ada.id])])
    assert none.points("submission_1000", REPORT) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), max_size=12))
def test_whatever_order_files_come_in_the_same_marks_stand(
    history: list[tuple[str, int, bool]],
) -> None:
    """A mark replaces what its marker saw, so merging needs no clock."""
    given: list[Given] = []
    for hour, (marker, points, saw_all) in enumerate(history):
        seen = Marks(given).of("submission_1000", "Report")
        kept = [g.id for g in seen if saw_all or g.marker == marker]
        given.append(mark(marker, hour, points=points, replaces=kept))
    forward, backward = Marks(given), Marks(given[::-1])
    assert {g.id for g in forward.of("submission_1000", "Report")} == {
        g.id for g in backward.of("submission_1000", "Report")
    }


def test_the_log_is_read_as_it_was_written_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    marks = Marks([mark("ada", comment="=1+1\n\u2028<b>"), mark("bob", items=["elbo"])])
    write_log(tmp_path, marks)
    assert read_log(tmp_path) == marks
    (tmp_path / "marks.jsonl").write_text('{"submission": "x"}\n')
    with pytest.raises(UserError, match="line 1 is damaged"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"submission": "other"}, "no submission 'other' in this run"),
        ({"part": "Essay"}, "no part 'Essay'"),
        ({"items": ["gone"]}, "no item gone in the rubric"),
        ({"items": ["clear", "some"]}, "several items of the group figures"),
        ({"items": ["elbo", "elbo"]}, "an item twice"),
        ({"points": 21}, "21 points for 'Report'; expected 0 to 20"),
        ({"part": "cells_run", "points": 41}, "expected 0 to 40"),
    ],
)
def test_marks_that_cannot_be_are_left_out_and_named(
    made: Made, values: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    wrong, right = mark("ada", **values), mark("ada", points=7)
    found = problem_with(wrong, LAB, ["submission_1000"])
    assert found is not None
    assert problem in found
    assert problem_with(right, LAB, ["submission_1000"]) is None
    file = made.run.parent / "ada-marks.json"
    records = [json.loads(given.model_dump_json()) for given in (wrong, right)]
    file.write_text(
        json.dumps({"format": "vae-grader marks 1", "assignment": "lab", "marks": records})
    )
    assert grader(f"marks {made.run} {file}", monkeypatch) == 1
    assert problem in capsys.readouterr().err
    assert open_book(made.run).marks.points("submission_1000", REPORT) == 7


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "x", "assignment": "lab", "marks": []}', "\x00", "[" * 100_000,
     '{"format": "vae-grader marks 1", "assignment": "a3", "marks": []}'],
)  # fmt: skip
def test_what_is_no_file_of_marks_is_refused(
    made: Made, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made.run.parent / "marks.json"
    file.write_text(text)
    assert grader(f"marks {made.run} {file}", monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (made.run / "marks.jsonl").exists()


def test_two_markers_with_tables_contradict_each_other_until_it_is_settled(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made.run.parent
    for name, points in (("ada", 12), ("bob", 15)):
        (folder / f"{name}.csv").write_text(
            f"submission,Report,Question 1\nsubmission_1001,{points},\n"
        )
        assert grader(f"marks {made.run} {folder / name}.csv", monkeypatch) == 0
    assert "Report: 12 by class/ada and 15 by class/bob: contradiction" in capsys.readouterr().out
    assert grader(f"export {made.run} {folder / 'book.csv'}", monkeypatch) == 0
    assert "marks: Report: 12 by class/ada and 15 by class/bob" in (folder / "book.csv").read_text()
    assert grader(f"marks {made.run} {folder / 'bob.csv'} --settle", monkeypatch) == 0
    assert not open_book(made.run).marks.contradictions(LAB)
    assert grader(f"marks {made.run} --history", monkeypatch) == 0
    history = capsys.readouterr().out
    assert "class/ada  submission_1001  Report: 12  replaced" in history
    assert "class/bob  submission_1001  Report: 15" in history


def test_marks_of_an_earlier_version_are_kept(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    (made.run / "marks.json").write_text('{"submission_1002": {"Report": 5.5}}')
    table = made.run.parent / "ada.csv"
    table.write_text("submission,Report,Question 1\nsubmission_1003,4,\n")
    assert grader(f"marks {made.run} {table}", monkeypatch) == 0
    marks = open_book(made.run).marks
    assert marks.points("submission_1002", REPORT) == 5.5
    assert marks.points("submission_1003", REPORT) == 4


def test_a_change_of_the_rubric_says_what_changed_for_whom(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(
        made.run,
        Marks([mark("ada", items=["elbo"]), mark("ada", submission="submission_1001", points=3)]),
    )
    assert grader(f"rescore {made.run}", monkeypatch) == 0
    made.assignment.write_text(ASSIGNMENT.replace("points = 8\n", "points = 9.5\n"))
    capsys.readouterr()
    assert grader(f"rescore {made.run}", monkeypatch) == 0
    assert capsys.readouterr().out == (
        "submission_1000: Report: 8 -> 9.5\n1 of 4 submissions changed\n"
    )
    assert grader(f"rescore {made.run}", monkeypatch) == 0
    assert capsys.readouterr().out == "0 of 4 submissions changed\n"


def test_staff_can_change_what_the_grader_gave(made: Made) -> None:
    before = open_book(made.run)
    write_log(made.run, Marks([mark("ada", part="cells_run", points=40, comment="a crash here")]))
    after = open_book(made.run)
    name, student = "submission_1000", "2026CSZ0000"
    assert after.row(name, student)["cells_run"] == 40
    changed = 40 - before.row(name, student)["cells_run"]
    assert after.row(name, student)["total"] == before.row(name, student)["total"] + changed


def test_agreement_of_two_markers_is_that_of_scikit_learn(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ada, bob = np.array([0, 1, 2, 3, 3, 2]), np.array([0, 2, 2, 3, 1, 1])
    expected = cohen_kappa_score(ada, bob, weights="quadratic")
    assert weighted_kappa(ada, bob) == pytest.approx(expected)
    assert np.isnan(weighted_kappa(np.ones(3), np.ones(3)))
    given = []
    for i, (one, other) in enumerate([("elbo", "elbo"), ("elbo", "clear"), ("clear", "clear")]):
        name = f"submission_{1000 + i}"
        given += [
            mark("ada", submission=name, items=[one]),
            mark("bob", submission=name, items=[other]),
        ]
    write_log(made.run, Marks(given))
    assert grader(f"marks {made.run} --agreement", monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "Report: ada and bob: 3 marked by both; mean difference +0.33, absolute 0.33" in shown
    item = cohen_kappa_score([1, 1, 0], [1, 0, 0])
    assert f"Derives the ELBO: 2 of 3 equal; kappa {item:.2f}" in shown


def test_a_killed_command_loses_no_mark(made: Made) -> None:
    """The command is killed while it reads a table: all of its marks are there, or none."""
    folder = made.run.parent
    names = [f"submission_{1000 + i}" for i in range(4)]
    write_log(made.run, Marks([mark("ada", submission=name, points=1) for name in names]))
    for round_ in range(4):
        rows = "".join(f"{name},{2 + round_},\n" for name in names)
        (folder / "ada.csv").write_text(f"submission,Report,Question 1\n{rows}")
        command = [sys.executable, "-m", "grader", "marks", str(made.run), str(folder / "ada.csv")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                process.wait(1.0 + 0.5 * round_)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        marks = read_log(made.run)
        points = {marks.points(name, REPORT) for name in names}
        assert len(points) == 1, "all of a file, or none"
        assert len(marks.given) % 4 == 0


@pytest.mark.parametrize("adjustment", [1e307, float("inf"), 2e6])
def test_a_mark_that_no_rubric_can_add_up_is_left_out(
    made: Made, adjustment: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"submission": "submission_1000", "part": "Report", "marker": "ada"}
    content = {"format": "vae-grader marks 1", "assignment": "lab"}
    marks = [record | {"adjustment": adjustment}, record | {"points": 4}]
    file = made.run.parent / "ada-marks.json"
    file.write_text(json.dumps(content | {"marks": marks}))
    assert grader(f"marks {made.run} {file}", monkeypatch) == 1
    assert open_book(made.run).marks.points("submission_1000", REPORT) == 4


def test_a_mark_replaces_none_of_another_submission() -> None:
    one = mark("ada", points=3)
    other = mark("bob", submission="submission_1001", points=5, replaces=[one.id])
    assert Marks([one, other]).points("submission_1000", REPORT) == 3


def test_rescoring_keeps_the_marks_of_an_earlier_version(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made.run / "marks.json").write_text('{"submission_1002": {"Report": 18, "Old": 3}}')
    made.assignment.write_text(ASSIGNMENT.replace("points = 20\n", "points = 15\n", 1))
    assert grader(f"rescore {made.run}", monkeypatch) == 0
    assert [given.points for given in read_log(made.run).given] == [18, 3]


def test_a_template_that_nobody_changed_adds_no_mark(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(made.run, Marks([mark("ada", points=5), mark("bob", points=9)]))
    table = made.run.parent / "new.csv"
    for _ in range(2):
        assert grader(f"marks {made.run} {table}", monkeypatch) == 0
    assert len(read_log(made.run).given) == 2


def test_marks_for_what_is_gone_are_named(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(
        made.run, Marks([mark("ada", items=["sources"]), mark("ada", part="Essay", points=1)])
    )
    text = made.assignment.read_text().replace('name = "sources"', 'name = "srcs"')
    made.assignment.write_text(text)
    assert grader(f"marks {made.run}", monkeypatch) == 0
    said = capsys.readouterr().err
    assert "no item 'sources' of 'Report' (any more): 1 marks name it" in said
    assert "no part 'Essay' (any more)" in said


@pytest.mark.parametrize(
    "line", ["rescore RUN", "marks RUN x.json", "ledger RUN l.csv", "marks RUN"]
)
def test_a_run_that_is_not_there_is_one_line(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grader(line.replace("RUN", str(tmp_path / "nowhere")), monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1
