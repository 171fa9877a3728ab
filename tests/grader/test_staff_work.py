"""The walk-through of docs/classes.md on a small class: every command, and what it leaves."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.staff_work import MISSING, walk
from grader.classroom.gradebook import gradebook
from grader.classroom.open_book import open_book
from grader.sandbox.command import Level


@pytest.mark.slow
def test_a_class_goes_from_its_roster_to_the_platform_and_its_feedback(
    tmp_path: Path, level: Level
) -> None:
    folder, count = tmp_path / "class", 12
    walk(folder, count)
    book = open_book(folder / "run")
    table = gradebook(book).set_index("student")
    assert len(table) == count
    assert (table["status"] == "not handed in").sum() == MISSING == len(book.missing)
    handed_in = table[table["status"] == "graded"]
    assert handed_in["Report"].notna().all()
    assert handed_in["Question 1"].notna().all()
    assert not (handed_in["flags"].str.contains("roster")).any()
    assert handed_in.loc["2026CSZ0001", "Question 1"] == 20, "the request was answered"

    before, after = (
        pd.read_csv(folder / name).set_index("ID number")
        for name in ("worksheet.csv", "worksheet-filled.csv")
    )
    assert list(after) == list(before)
    expected = table["total"].where(table["status"] == "graded")
    pd.testing.assert_series_equal(after["Grade"], expected, check_names=False)

    with zipfile.ZipFile(folder / "feedback.zip") as archive:
        names = archive.namelist()
        assert len(names) == count
        answered = next(name for name in names if name.split("_")[1] == "9001")
        assert "You are right." in archive.read(answered).decode()
    for page in ("index.html", "marking.html"):
        assert "2026CSZ0001" in (folder / "run" / page).read_text(encoding="utf-8")
