import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.artifacts import ArtifactError
from grader.assignment import read_assignment
from grader.gradebook import gradebook, harmless, read_marks, write_gradebook
from grader.lateness import read_time
from grader.runs import Run

DUE = read_time("2024-11-11T18:00:00+05:30")
FULL = read_assignment("a3")
A3 = FULL.model_copy(update={"late": FULL.late.model_copy(update={"due": DUE})})


def write_result(run: Run, name: str, members: list[str], late: timedelta | None = None) -> None:
    figures = {"value": 0.9, "points": "36.00", "parts": {"ssim": {"value": 0.8}}}
    extra: dict[str, Any] = {
        "members": members,
        "students": [],
        "submitted": None if late is None else (DUE + late).isoformat(),
        "verdicts": {"train": "OK"},
        "flags": [{"source": "rules", "evidence": "=HYPERLINK(1)"}],
        "metrics": {"reconstruction": figures, "classification": figures},
    }
    run.home(name).mkdir(parents=True)
    text = json.dumps({"key": "k", "score": 72.0, "execution_time": 1.0, "extra_data": extra})
    (run.home(name) / "results.json").write_text(text)


def test_every_member_of_a_group_gets_the_row(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_result(run, "one", ["2020CSZ0002", "2020CSZ0001"], timedelta(hours=30))
    write_result(run, "two", [])
    table = gradebook(run, A3, {}, {"one": {"Report": 10.0}}, {"two": ["similar: to x"]})
    assert list(table["student"]) == ["", "2020CSZ0001", "2020CSZ0002"]
    assert list(table["days_late"]) == [0, 2, 2]
    assert list(table["total"]) == [72, 73.8, 73.8]
    assert table["flags"][0] == "rules: =HYPERLINK(1); similar: to x"
    extended = gradebook(run, A3, {"2020CSZ0001": DUE + timedelta(days=1)}, {}, {})
    assert list(extended["days_late"]) == [0, 1, 1]


def test_two_submissions_of_one_group_are_flagged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_result(run, "one", ["2020CSZ0001"])
    write_result(run, "two", ["2020CSZ0001", "2020CSZ0002"])
    table = gradebook(run, A3, {}, {}, {})
    assert len(table) == 3
    assert "2020CSZ0001 is also in two" in table["flags"][0]
    assert "2020CSZ0001 is also in one" in table["flags"][1]


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_formulas_in_names_reach_neither_csv_nor_excel(tmp_path: Path) -> None:
    table = pd.DataFrame({"student": ["=1+1", "@SUM(A1)"], "total": [-1.5, 2]})
    for ending in ("csv", "xlsx"):
        write_gradebook(table, tmp_path / f"book.{ending}", gradescope=False)
    assert (tmp_path / "book.csv").read_text() == "student,total\n'=1+1,-1.5\n'@SUM(A1),2.0\n"
    sheet = openpyxl.load_workbook(tmp_path / "book.xlsx").active
    assert sheet is not None
    assert sheet["A2"].value == "'=1+1"
    assert sheet["A2"].data_type == "s"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("submission,Report\nthree,1\n", "the submission 'three'"),
        ("submission,Report\none,21\n", "21 for 'Report' of one"),
        ("submission,Report\none,-1\n", "-1 for 'Report' of one"),
        ("submission,Report\none,good\n", "'good' for 'Report' of one"),
        ("submission\none\n", "no column 'Report'"),
        ("", "cannot be read"),
    ],
)
def test_marks_that_cannot_be_are_refused(tmp_path: Path, text: str, found: str) -> None:
    run = Run(tmp_path / "run")
    write_result(run, "one", [])
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(ArtifactError, match=found):
        read_marks(tmp_path / "marks.csv", run, A3)
    (tmp_path / "marks.csv").write_text("submission,Report\none,\n")
    assert read_marks(tmp_path / "marks.csv", run, A3) == {}
