"""Requests for another look at a mark: read from a table or letters, answered by marks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.classroom.marks import Given, Marks, write_log
from grader.classroom.open_book import open_book
from grader.staff.requests import read_requests, stored_requests
from tests.grader.classes import grader
from tests.grader.staff_class import Made, write_class

TABLE = """student;part;text;date
2026CSZ0001;Report;"The ELBO is on page 2;
see there";2026-11-20
student2@uni.example;cells_run;It ran here.;
Chen Zhang;Every code cell was run;Again.;
2026CSZ0099;Report;Not in the class.;
2026CSZ0003;Essay;No such part.;
2026CSZ0003;Report;;
"""


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_class(tmp_path / "class", 8)


def test_a_table_becomes_a_queue_and_what_is_left_out_is_named(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made.run.parent / "requests.csv"
    table.write_text(TABLE)
    assert grader(f"requests {made.run} {table}", monkeypatch) == 1
    shown = capsys.readouterr()
    assert shown.out == "read 3 new requests\n"
    assert "row 5: left out: '2026CSZ0099' has 0 submissions" in shown.err
    assert "no part 'Essay'; expected one of Every code cell was run, No cell" in shown.err
    assert "no student or no text" in shown.err
    found = stored_requests(made.run)
    assert [(r.submission, r.part) for r in found] == [
        *(("submission_1001", "Report"), ("submission_1002", "cells_run")),
        ("submission_1002", "cells_run"),
    ]
    assert grader(f"requests {made.run} {table}", monkeypatch) == 1
    assert stored_requests(made.run) == found, "reading it again adds nothing"


def test_letters_and_mails_are_read(made: Made, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "a.txt").write_text(
        "student: 2026CSZ0003\npart: Report\n\nPage 2, für dich.\n", "utf-8"
    )
    (letters / "b.eml").write_bytes(
        "From: Chen <student2@uni.example>\nSubject: Re: AW: Question 1\n"
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\nContent-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n\nDas Vorzeichen über β stimmt.\n".encode()
    )
    (letters / "c.docx").write_text("?")
    (letters / ".hidden").write_text("?")
    problems: list[str] = []
    found = read_requests(letters, open_book(made.run), problems)
    assert [(r.student, r.part, r.text) for r in found] == [
        ("2026CSZ0003", "Report", "Page 2, für dich."),
        ("2026CSZ0002", "Question 1", "Das Vorzeichen über β stimmt."),
    ]
    assert len(problems) == 1
    assert "c.docx: left out" in problems[0]


@given(st.binary(max_size=300))
def test_any_letter_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    home = tmp_path_factory.getbasetemp() / "any_letter"
    if not home.exists():
        write_class(home, 4)
        (home / "letters").mkdir()
    (home / "letters" / "a.eml").write_bytes(b"From: student1@uni.example\n" + content)
    problems: list[str] = []
    found = read_requests(home / "letters", open_book(home / "run"), problems)
    assert len(found) + len(problems) == 1


def test_an_answer_leaves_the_old_mark_in_the_history(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made.run.parent / "requests.csv"
    table.write_text("student,part,text\n2026CSZ0001,Report,Page 2\n2026CSZ0002,Report,Mine too\n")
    assert grader(f"requests {made.run} {table}", monkeypatch) == 0
    first, second = stored_requests(made.run)
    old = Given(submission="submission_1001", part="Report", marker="ada", points=5)
    new = old.model_copy(
        update={"points": 9, "replaces": [old.id], "request": first.id, "answer": "You are right."}
    )
    write_log(made.run, Marks([old, Given.model_validate(new.model_dump())]))
    capsys.readouterr()
    assert grader(f"requests {made.run}", monkeypatch) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "2026CSZ0001: Report: Page 2: answered: You are right.",
        "2026CSZ0002: Report: Mine too: waits",
    ]
    marks = open_book(made.run).marks
    assert [given.points for given in marks.given] == [5, 9]
    assert set(marks.answered()) == {first.id} != {second.id}


@pytest.mark.parametrize("name", ["none.csv", "picture.png"])
def test_what_is_no_table_is_refused(
    made: Made, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made.run.parent / name
    if name == "picture.png":
        path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    assert grader(f"requests {made.run} {path}", monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1
