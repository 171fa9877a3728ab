import base64
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import parse_assignment
from grader.classroom.class_run import EVIDENCE, ClassRun
from grader.classroom.marks import Given, Marks, write_log
from grader.classroom.open_book import open_book
from grader.cli import main
from grader.staff.marking_page import Split, assigned, comments_before, page_data
from grader.staff.requests import Request, store_requests
from tests.grader.staff_class import ASSIGNMENT, Made, entry_number, full_name, write_class

TASK = parse_assignment(ASSIGNMENT.encode(), Path("lab.toml"))
REPORT, QUESTION = TASK.manual


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_class(tmp_path, 10)


def grader(line: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> int:
    words = [word.replace("RUN", str(made.run)) for word in line.split()]
    monkeypatch.setattr(sys, "argv", ["grader", *words])
    return main()


def data_of(page: Path) -> dict[str, Any]:
    """Return what a page knows."""
    text = page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    return dict(json.loads(text))


names = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40)
shares = st.floats(0, 1)


@given(names, st.integers(1, 5), shares)
def test_markers_share_the_submissions_evenly(
    submissions: set[str], count: int, double: float
) -> None:
    markers = tuple(f"m{i}" for i in range(count))
    split = Split(markers, double if count > 1 else 0.0)
    found = assigned(TASK, REPORT, submissions, split)
    assert found == assigned(TASK, REPORT, sorted(submissions), split)
    assert found.keys() == submissions
    firsts = Counter(own[0] for own in found.values())
    assert max(firsts.values()) - min(firsts[marker] for marker in markers) <= 1
    assert all(len({*own}) == len(own) <= 2 for own in found.values())
    twice = sum(len(own) == 2 for own in found.values())
    assert twice == round(split.double * len(submissions))


def test_each_part_is_split_in_another_way() -> None:
    submissions = [f"s{i}" for i in range(40)]
    split = Split(("ada", "bob"), 0.1)
    report, question = (assigned(TASK, part, submissions, split) for part in (REPORT, QUESTION))
    assert report != question
    assert assigned(TASK, REPORT, submissions, Split()) == {}


def test_comments_are_counted_once_for_each_submission() -> None:
    given_before = [("s1", "units"), ("s2", "clear "), ("s2", "units"), ("s1", "units"), ("s3", "")]
    marks = Marks(
        [
            Given(submission=name, part="Report", marker="ada", comment=text, points=i)
            for i, (name, text) in enumerate(given_before)
        ]
    )
    assert comments_before(marks, REPORT) == [("units", 2), ("clear", 1)]
    assert comments_before(marks, QUESTION) == []


def test_the_page_is_the_same_each_time_and_loads_nothing(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grader("marking RUN --markers ada,bob --double 0.2", made, monkeypatch) == 0
    page = made.run / "marking.html"
    assert f"wrote {page}: 8 submissions" in capsys.readouterr().out
    other = made.run / "other.html"
    assert (
        grader(f"marking RUN --markers ada,bob --double 0.2 --out {other}", made, monkeypatch) == 0
    )
    assert page.read_bytes() == other.read_bytes()
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|<link|https?://", text)
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.findall(r'Policy" content="([^"]+)"', text)[0]
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}';" in policy


def test_the_page_knows_what_stands_and_what_is_asked(made: Made) -> None:
    answered = Given(
        submission="submission_1002", part="Report", marker="ada", points=3, request="r1"
    )
    old = Given(submission="submission_1003", part="Report", marker="ada", items=["elbo"])
    new = Given(
        submission="submission_1003",
        part="Report",
        marker="bob",
        items=["clear"],
        replaces=[old.id],
    )
    write_log(made.run, Marks([answered, old, new]))
    rows = [
        Request("r1", entry_number(2), "submission_1002", "Report", "more, please"),
        Request("r2", entry_number(3), "submission_1003", "cells_run", "it ran"),
        Request("r3", entry_number(4), "submission_1004", "Question 9", "what?"),
        Request("r4", entry_number(5), "submission_1005", "Question 1", "why?", "yesterday"),
    ]
    problems: list[str] = []
    data = page_data(open_book(made.run), made.run, rows, Split(), problems)
    assert {(m["submission"], m["marker"], m["score"]) for m in data["standing"]} == {
        ("submission_1002", "ada", 3),
        ("submission_1003", "bob", 7),
    }
    assert data["known"] == [answered.id, old.id, new.id]
    assert [row["id"] for row in data["requests"]] == ["r2", "r4"]
    assert 0 <= data["requests"][0]["grader"]["points"] <= 40
    assert data["requests"][1]["grader"] is None
    assert problems == [f"request of {entry_number(4)}: left out: no Question 9 of submission_1004"]


def test_the_key_of_the_run_outlives_marks_but_not_another_run(made: Made, tmp_path: Path) -> None:
    before = page_data(open_book(made.run), made.run, [], Split(), [])
    write_log(made.run, Marks([Given(submission="submission_1000", part="Report", marker="ada")]))
    after = page_data(open_book(made.run), made.run, [], Split(), [])
    other = page_data(open_book(made.run), tmp_path / "copy", [], Split(), [])
    assert before["key"] == after["key"] != other["key"]


def test_numbers_do_not_follow_the_names(made: Made) -> None:
    data = page_data(open_book(made.run), made.run, [], Split(), [])
    numbers = [one["number"] for one in data["submissions"]]
    assert sorted(numbers) == list(range(1, 9)) != numbers
    assert data["submissions"][3]["students"] == [f"{entry_number(3)} {full_name(3)}"]


def test_missing_and_damaged_evidence_is_named(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ClassRun(made.run)
    (run.home("submission_1001") / EVIDENCE).unlink()
    (run.home("submission_1002") / EVIDENCE).write_text('[{"html": 1}]')
    assert grader("marking RUN", made, monkeypatch) == 0
    said = capsys.readouterr().err
    assert "submission_1002: its evidence cannot be read: grade again\n" in said
    assert "1 graded before evidence was kept: grade again to see it\n" in said
    assert said.count("\n") == 2


def test_a_reference_is_in_the_page_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ClassRun(made.run)
    reference = {"name": "reference", "src": "data:image/webp;base64,AAAA", "width": 9, "height": 9}
    for name, _ in run.results():
        path = run.home(name) / EVIDENCE
        rows = [row | {"reference": reference} for row in json.loads(path.read_text())]
        path.write_text(json.dumps(rows))
    assert grader("marking RUN", made, monkeypatch) == 0
    assert (made.run / "marking.html").read_text().count("base64,AAAA") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("RUN --double 0.1", "--double 0.1; expected --markers with at least two names"),
        ("RUN --double 0.1 --markers ada", "expected --markers with at least two names"),
        ("RUN --double 1.5 --markers a,b", "--double 1.5; expected a share from 0 to 1"),
        ("RUN --double nan --markers a,b", "expected a share from 0 to 1"),
        ("RUN --markers ada,,bob", "expected names with commas between, each once"),
        ("RUN --markers ada,ada", "expected names with commas between, each once"),
        ("RUN --markers " + 201 * "a", "expected names of at most 200 characters"),
        ("RUN --out RUN/marks.jsonl", "marks.jsonl: the ending '.jsonl'; expected .html"),
        ("RUN --out RUN/folder.html", "folder.html: cannot be written"),
        ("RUN/absent", "absent"),
    ],
)
def test_a_mistake_is_one_line(
    words: str,
    message: str,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (made.run / "folder.html").mkdir()
    assert grader(f"marking {words}", made, monkeypatch) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (made.run / "marking.html").exists()


def test_without_anything_to_mark_there_is_no_page(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.assignment.write_text(ASSIGNMENT.split("[[manual]]")[0])
    assert grader("marking RUN", made, monkeypatch) == 2
    assert "lab.toml: no part that people mark; expected [[manual]]" in capsys.readouterr().err
    request = Request("r1", entry_number(1), "submission_1001", "cells_run", "it did run")
    store_requests(made.run, [request])
    assert grader("marking RUN", made, monkeypatch) == 0


@pytest.mark.parametrize(
    "text", ["</script><b>", "<!--<script>", "\u2028\u2029", "=1+1", "\x00\x1b"]
)
def test_texts_cannot_leave_their_block(
    text: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = Given(submission="submission_1000", part="Report", marker=text, comment=text)
    write_log(made.run, Marks([mark]))
    request = Request("r1", text, "submission_1001", "Report", text, text)
    store_requests(made.run, [request])
    assert grader("marking RUN", made, monkeypatch) == 0
    data = data_of(made.run / "marking.html")
    assert data["standing"][0]["comment"] == data["standing"][0]["marker"] == text
    assert data["requests"][0]["text"] == data["requests"][0]["student"] == text
