import re
import time
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.classroom.class_run import Entry
from grader.classroom.gradebook import Book, for_gradescope, gradebook
from grader.classroom.lateness import read_time
from grader.classroom.mark_tables import marks_template, read_marks
from grader.classroom.marks import Given, Marks
from grader.classroom.tables import harmless, write_table
from grader.errors import UserError

DUE = read_time("2024-11-11T18:00:00+05:30")
FULL = read_assignment("a3")
A3 = FULL.model_copy(update={"late": FULL.late.model_copy(update={"due": DUE})})


def result(members: list[str]) -> dict[str, Any]:
    figures = {"value": 0.9, "points": "36.00", "parts": {"ssim": {"value": 0.8}}}
    extra: dict[str, Any] = {
        "members": members,
        "verdicts": {"train": "OK"},
        "flags": [{"source": "rules", "evidence": "=HYPERLINK(1)"}],
        "metrics": {"reconstruction": figures, "classification": figures},
    }
    return {"key": "k", "score": 72.0, "execution_time": 1.0, "extra_data": extra}


def book(members: dict[str, list[str]], late: timedelta | None = None, **changes: Any) -> Book:
    """Return a book of submissions by these members, all of them late by `late`."""
    submitted = None if late is None else DUE + late
    students: dict[str, list[str]] = changes.pop("students", {})
    entries = {n: Entry(n, Path(n), submitted, students.get(n, [])) for n in members}
    results = {name: result(own) for name, own in members.items()}
    whole = Book(A3, results, entries)
    return replace(whole, **changes)


def test_every_member_of_a_group_gets_the_row() -> None:
    members = {"one": ["2020CSZ0002", "2020CSZ0001"], "two": []}
    flags = {"two": ["similar: to x"]}
    marks = Marks([Given(submission="one", part="Report", marker="ada", points=10)])
    table = gradebook(book(members, timedelta(hours=30), marks=marks, flags=flags))
    assert list(table["student"]) == ["", "2020CSZ0001", "2020CSZ0002"]
    assert list(table["days_late"]) == [2, 2, 2]
    assert list(table["total"]) == [64.8, 73.8, 73.8]
    assert table["flags"][0] == "rules: =HYPERLINK(1); similar: to x"
    extensions = {"2020CSZ0001": DUE + timedelta(days=1)}
    extended = gradebook(book(members, timedelta(hours=30), extensions=extensions))
    assert list(extended["days_late"]) == [2, 1, 1]


def test_two_submissions_of_one_group_are_flagged_and_not_imported() -> None:
    table = gradebook(book({"one": ["2020CSZ0001"], "two": ["2020CSZ0001", "2020CSZ0002"]}))
    assert len(table) == 3
    assert "2020CSZ0001 is also in two" in table["flags"][0]
    assert "2020CSZ0001 is also in one" in table["flags"][1]
    imported, problems = for_gradescope(table)
    assert list(imported["SID"]) == ["2020CSZ0002"]
    assert problems == ["2020CSZ0001: left out: in one and two"]


def test_who_has_no_student_is_left_out_of_an_import_and_named() -> None:
    imported, problems = for_gradescope(gradebook(book({"one": [], "two": [], "three": ["Eve"]})))
    assert list(imported.columns) == ["SID", "Total Score"]
    assert list(imported["SID"]) == ["Eve"]
    assert problems == ["one: left out: no student", "two: left out: no student"]


def test_whose_it_is_the_platform_says_and_no_file_of_the_student_s() -> None:
    """Naming a classmate who has an extension neither moves the deadline nor adds their row."""
    extensions = {"2020CSZ0001": DUE + timedelta(days=9)}
    members, students = {"one": ["2020CSZ0001", "2020CSZ0002"]}, {"one": ["2020CSZ0002"]}
    table = gradebook(book(members, timedelta(days=4), students=students, extensions=extensions))
    assert list(table["student"]) == ["2020CSZ0002"]
    assert list(table["days_late"]) == [4]
    assert "group: it names 2020CSZ0001 2020CSZ0002" in table["flags"][0]


def test_a_metric_that_was_not_asked_for_then_is_empty() -> None:
    other = A3.metric[0].model_copy(update={"name": "another"})
    task = A3.model_copy(update={"metric": [other, *A3.metric[1:]]})
    table = gradebook(book({"one": []}, task=task))
    assert table["another"][0] == 0


@given(st.text(alphabet=st.sampled_from("=+-@;,|\t\r\n 'a1\uff1d\uff0b\ufe66\u3000")) | st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    """Not even if its reader divides it at other separators, trims it, or normalises it."""
    for part in re.split(r"[;,|\t\r\n]", unicodedata.normalize("NFKC", harmless(text))):
        assert not part.strip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  =1+1", "  '=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a;=1+1", "a;'=1+1"),
        ("Ada, b", "Ada, b"),
        ("well-known", "well-known"),
    ],
)
def test_a_formula_becomes_text_and_text_stays(text: str, cell: str) -> None:
    assert harmless(text) == cell


def test_formulas_in_names_reach_neither_csv_nor_excel(tmp_path: Path) -> None:
    table = pd.DataFrame({"student": ["=1+1", "@SUM(A1)"], "total": [-1.5, 2]})
    for ending in ("csv", "xlsx"):
        write_table(table, tmp_path / f"book.{ending}")
    assert (tmp_path / "book.csv").read_text() == "student,total\n'=1+1,-1.5\n'@SUM(A1),2.0\n"
    sheet = openpyxl.load_workbook(tmp_path / "book.xlsx").active
    assert sheet is not None
    assert sheet["A2"].value == "'=1+1"
    assert sheet["A2"].data_type == "s"


def test_the_same_table_is_the_same_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"student": ["a\x07"], "total": [1.5]})
    for name in ("a.xlsx", "b.xlsx"):
        write_table(table, tmp_path / name)
        time.sleep(2.1)  # time stamps in a zip have a resolution of 2 s
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    assert pd.read_excel(tmp_path / "a.xlsx")["total"][0] == 1.5


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_filled_template_is_read_whatever_submissions_are_called(
    tmp_path: Path, ending: str
) -> None:
    names = {name: [name] for name in ("-dash", "=x", "NA", "001", "a b", "+1")}
    whole, path = book(names), tmp_path / f"marks.{ending}"
    template = marks_template(whole)
    template["Report"] = [str(i) for i in range(len(template))]
    write_table(template, path)
    read = read_marks(path, whole, "ada", DUE)
    assert [(given.submission, given.points) for given in read] == [
        *zip(names, range(6), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("submission,Report\nthree,1\n", "the submission 'three'"),
        ("submission,Report\none,1\none,2\n", "row 3: the submission 'one'; expected each"),
        ("submission,Report\none,21\n", "row 2: '21' for 'Report'; expected points"),
        ("submission,Report\none,-1\n", "row 2: '-1' for 'Report'"),
        ("submission,Report\none,nan\n", "row 2: 'nan' for 'Report'"),
        ("submission,Report\none,good\n", "row 2: 'good' for 'Report'"),
        ("submission\none\n", "no column 'Report'"),
        ("submission,Report,Report\none,5,\n", "the column 'Report' twice"),
        ("", "an empty file"),
        ("submission,Report\none,1,2\n", "3 cells in row 2, under 2 columns"),
    ],
)
def test_marks_that_cannot_be_are_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "marks.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=found):
        read_marks(path, book({"one": []}), "ada", DUE)
    path.write_text("submission,Report\none,\n")
    assert read_marks(path, book({"one": []}), "ada", DUE) == []
