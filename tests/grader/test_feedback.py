"""Feedback pages: what they say, what they never say, and names that platforms recognise."""

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grader.classroom.class_run import Entry
from grader.classroom.gradebook import Book
from grader.classroom.marks import Given, Marks, write_log
from grader.classroom.open_book import open_book
from grader.classroom.roster import Roster, Student
from grader.cli import main
from grader.files import zipped
from grader.staff.feedback import render_feedback
from grader.staff.feedback_files import LAYOUTS, feedback_files, safe
from grader.staff.requests import Request, store_requests
from tests.grader.staff_class import DUE, Made, entry_number, full_name, write_class

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MARKER = "Marker McMarkface"


def given_for(i: int, part: str, **changes: Any) -> Given:
    return Given(submission=f"submission_{1000 + i}", part=part, marker=MARKER, **changes)


def written_log() -> list[Given]:
    """Return marks with items, adjustments, comments, and answers to two requests."""
    first = given_for(
        0, "Report", items=["elbo", "some"], comment="See **page 2**.\n\n# Big\n\n- a"
    )
    question = given_for(0, "Question 1", items=["sign"], adjustment=-1.5, comment=HOSTILE)
    answer = {"request": "r1", "answer": "You are right: `Fig. 3` has units."}
    better = given_for(0, "Report", items=["elbo", "clear"], replaces=[first.id], **answer)
    late = given_for(9, "Report", points=12, comment="A good start.")
    check = given_for(9, "cells_run", points=40, request="r2", answer="The cell ran.")
    return [first, question, better, late, check]


REQUESTS = [
    Request("r1", entry_number(0), "submission_1000", "Report", "Figure 3 has units.", "3 Nov"),
    Request("r2", entry_number(9), "submission_1009", "cells_run", f"It ran! {HOSTILE}"),
    Request("r3", entry_number(9), "submission_1009", "Question 1", "Why?"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a class with marks and requests. Do not write to it."""
    made = write_class(tmp_path_factory.mktemp("class"), 14)
    write_log(made.run, Marks(written_log()))
    store_requests(made.run, REQUESTS)
    return made


@pytest.fixture(scope="module")
def book(made: Made) -> Book:
    return open_book(made.run)


def page_of(book: Book, i: int) -> str:
    files, _ = feedback_files(book, REQUESTS, "")
    return files[f"{entry_number(i)}.html"].decode()


def words(page: str) -> str:
    """Return what a reader sees of a page."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(text.replace("&#39;", "'").split())


def test_a_page_says_how_the_points_come_about(book: Book) -> None:
    text = words(page_of(book, 0))
    total = book.row("submission_1000", entry_number(0))["total"]
    assert f"{full_name(0)} · {entry_number(0)}" in text
    assert f"{total:g} of 100 points" in text
    assert "Report 15 20" in text
    assert "Derives the ELBO The bound and both of its terms are there. +8" in text
    assert "To start with 20 Sign of the KL term is wrong" in text
    assert "Adjustment \N{MINUS SIGN}1.5" in text
    assert "Question 1 13.5 20" in text
    assert "Handed in on time." in text
    assert "unpack passed" in text
    assert "Not every part is marked" not in text


def test_a_request_is_shown_with_its_answer_and_both_marks(book: Book) -> None:
    text = words(page_of(book, 0))
    assert (
        "Your request of 3 Nov Figure 3 has units. Answer You are right: Fig. 3 has units." in text
    )
    assert "Points before: 11; after: 15." in text
    automatic = book.results["submission_1009"]["extra_data"]["metrics"]["cells_run"]["points"]
    other = words(page_of(book, 9))
    if float(automatic) != 40:
        assert f"Points before: {float(automatic):g}; after: 40." in other
    assert "Why? It is not answered yet." in other
    assert "Figure 3" not in other


def test_a_request_is_for_the_student_who_asked(book: Book) -> None:
    others = [page_of(book, i) for i in range(12) if i != 0]
    assert not any("Figure 3 has units" in page for page in others)


def test_late_days_free_and_paid(book: Book) -> None:
    entry = replace(book.entries["submission_1009"], submitted=DUE + timedelta(hours=47))
    book = replace(book, entries=book.entries | {entry.id: entry})
    late = book.lateness("submission_1009", entry_number(9))
    text = words(page_of(book, 9))
    assert (late.days, late.bank_days) == (2, 2)
    assert "Handed in 2 days late. Free late days taken: 2. No points are lost" in text
    assert "Not every part is marked yet" in text
    paid = replace(book, bank_used={entry_number(9): 3})
    assert paid.lateness("submission_1009", entry_number(9)).share == 0.2
    text = words(page_of(paid, 9))
    points = paid.points("submission_1009")
    whole = sum(points[part.column] or 0 for part in book.task.parts)
    assert f"Sum {whole:g} 100 Late: 20 % less \N{MINUS SIGN}{whole / 5:g}" in text
    assert f"Total {whole * 0.8:g} 100" in text


def test_who_handed_in_nothing_gets_a_page_that_says_so(book: Book) -> None:
    text = words(page_of(book, 13))
    assert "0 of 100 points" in text
    assert "No submission of yours was found" in text


def test_nothing_that_students_must_not_read_is_in_any_file(book: Book) -> None:
    results = json.loads(json.dumps(book.results))
    for result in results.values():
        extra = result["extra_data"]
        extra["flags"] = [{"source": "rules", "evidence": "SECRET flag"}]
        extra["steps"] = [{"name": "run", "output": "SECRET output"}]
        extra["record"] = {"host": "SECRET record"}
        result["output"] = "SECRET whole output"
        extra["metrics"]["cells_run"]["details"] = "SECRET details"
    similar = {name: ["similar: SECRET pair"] for name in results}
    files, _ = feedback_files(replace(book, results=results, flags=similar), REQUESTS, "")
    for content in files.values():
        assert b"SECRET" not in content
        assert MARKER.encode() not in content


def test_what_people_wrote_stays_text(book: Book) -> None:
    for i in (0, 9):
        page = page_of(book, i)
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page
    assert "<strong>page 2</strong>" in render(book, written_log()[:1])
    assert page_of(book, 0).count("<h1") == 1


def render(book: Book, marks: list[Given]) -> str:
    student = Student(1, entry_number(0), full_name(0))
    other = replace(book, marks=Marks(marks))
    return render_feedback(other, student.key, student, ["submission_1000"], [])


@given(st.text(max_size=80))
def test_any_comment_is_a_page_without_tags_of_its_own(book: Book, text: str) -> None:
    page = render(book, [given_for(0, "Report", points=3, comment=text)])
    known = set(re.findall(r"<(\w+)", render(book, [])))
    markdown = {"p", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br"}
    markdown |= {"div", "section", "table", "thead", "tbody", "tr", "th", "td", "h3", "h2"}
    body = page.partition("<main>")[2]
    assert set(re.findall(r"<(\w+)", body)) <= known | markdown
    page.encode(errors="backslashreplace")


def test_the_sum_of_items_may_be_more_than_a_part_gives(book: Book) -> None:
    items = ["elbo", "clear", "sources"]
    text = words(render(book, [given_for(0, "Report", items=items, adjustment=5)]))
    assert "A part gives no less than 0 and no more than 20 points." in text
    assert "Report 20 20" in text
    text = words(render(book, [given_for(0, "Report", items=items)]))
    assert "no more than" not in text


def test_the_same_run_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    contents = []
    for name in ("a.zip", "b.zip"):
        assert command(made.run, tmp_path / name) == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    with zipfile.ZipFile(io.BytesIO(contents[0])) as archive:
        assert len(archive.namelist()) == 14


def command(run: Path, out: Path, *words: str) -> int:
    """Run `grader feedback` and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["grader", "feedback", str(run), str(out), *words])
        return main()


def test_an_unknown_platform_is_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(made.run, tmp_path / "f.zip", "--for", "webct") == 2
    assert "expected one of moodle, canvas" in capsys.readouterr().err
    assert not (tmp_path / "f.zip").exists()


# How the platforms read names, from their public sources: Moodle's importziplib.php (the newer also
# takes four parts) and Canvas' infer_comment_context_from_filename.
def moodle_reads(path: str, participants: set[int], fewest: int) -> tuple[int, str] | None:
    """Return the participant and the name of the file that Moodle would take, or None."""
    base = path.rpartition("/")[2]
    if base.startswith((".", "~")):
        return None
    parts = ["", "import", *path.split("/")]
    while parts:
        info = parts.pop(0).split("_", 4)
        if len(info) < fewest or not re.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*", info[1]):
            continue
        if int(info[1]) not in participants or info[2] != "assignsubmission" or info[3] != "file":
            continue
        return int(info[1]), "/".join([*info[4:], *parts])
    return None


def canvas_reads(path: str) -> tuple[int, int] | None:
    """Return the user and the attachment that Canvas would take a file for, or None."""
    base = path.rpartition("/")[2]
    parts = [part for part in base.split("_") if part != "LATE"]
    numbers = [int(part) for part in parts if re.fullmatch(r"\d+", part, re.ASCII)]
    if parts[-1].startswith("link") or base.startswith("._") or len(numbers) < 2:
        return None
    return numbers[0], numbers[1]


def renamed(book: Book, names: dict[str, str], students: list[Student]) -> Book:
    """Return the book with other names of submissions and students."""
    results = {new: book.results[old] for old, new in names.items()}
    entries = {new: replace(book.entries[old], id=new) for old, new in names.items()}
    return replace(book, results=results, entries=entries, roster=Roster(students), marks=Marks())


@pytest.mark.parametrize("fewest", [4, 5])
def test_moodle_finds_every_student(book: Book, fewest: int) -> None:
    files, problems = feedback_files(book, REQUESTS, "moodle")
    participants = {9000 + i for i in range(14)}
    read = {path: moodle_reads(path, participants, fewest) for path in files}
    assert {found and found[0] for found in read.values()} == participants
    assert {found and found[1] for found in read.values()} == {"feedback.html"}
    assert not problems
    for path, found in read.items():
        assert found is not None
        assert entry_number(found[0] - 9000) in files[path].decode()


@example(["NUL", "con.txt", "LPT1"])  # which Windows takes for devices
@given(st.lists(st.text(max_size=200), min_size=3, max_size=3))
def test_moodle_finds_students_of_any_name(book: Book, names: list[str]) -> None:
    students = [
        Student(i, entry_number(i), name, moodle=str(9000 + i)) for i, name in enumerate(names)
    ]
    own = {f"submission_{1000 + i}": f"submission_{1000 + i}" for i in range(3)}
    paths, problems = LAYOUTS["moodle"](renamed(book, own, students))
    assert not problems
    for fewest in (4, 5):
        found = {moodle_reads(path, {9000, 9001, 9002}, fewest) for path in paths}
        assert found == {(9000 + i, "feedback.html") for i in range(3)}
    zipped(dict.fromkeys(paths, b""))
    assert all(len(path.encode()) < 255 for path in paths)


def test_the_id_is_in_the_name_of_moodles_download_too(book: Book) -> None:
    students = [Student(0, entry_number(0), full_name(0)), Student(1, entry_number(1), "Bo")]
    own = {
        "submission_1000": "Ada Zhang_77_assignsubmission_file",
        "submission_1001": "submission_1001",
    }
    files, problems = feedback_files(renamed(book, own, students), [], "moodle")
    assert list(files) == ["Ada Zhang_77_assignsubmission_file_feedback.html"]
    assert problems == [
        f"{entry_number(1)}: left out: no id of Moodle, on the roster or in the submission"
    ]


def test_one_id_of_moodle_for_two_students_reaches_neither(book: Book) -> None:
    students = [Student(i, entry_number(i), "Ada", moodle="5") for i in range(2)]
    own = {f"submission_{1000 + i}": f"submission_{1000 + i}" for i in range(2)}
    paths, problems = LAYOUTS["moodle"](renamed(book, own, students))
    assert not paths
    assert len(problems) == 2


def test_canvas_finds_the_submission(book: Book) -> None:
    names = {
        "submission_1000": "zhangada_5000_70_lab",
        "submission_1001": "zhangbela_LATE_5001_71_lab-1.ipynb",
        "submission_1002": "chen_5002_72_link to code",
        "submission_1003": "Team 7_dalia_5003_73_lab",
        "submission_1004": "emeka",
    }
    students = [Student(i, entry_number(i), full_name(i), canvas=str(5000 + i)) for i in range(6)]
    files, problems = feedback_files(renamed(book, names, students), [], "canvas")
    read = {path: canvas_reads(path) for path in files}
    assert set(read.values()) == {(5000 + i, 70 + i) for i in range(4)}
    assert "zhangada_5000_70_lab.html" in files
    assert "zhangbela_LATE_5001_71_lab-1.ipynb.html" in files
    assert [line.partition(":")[0] for line in problems] == [entry_number(4), entry_number(5)]
    assert "no way to give a file to who handed in nothing" in problems[1]


def test_on_canvas_a_group_gets_one_file_for_its_uploader(book: Book) -> None:
    entries = book.entries | {
        "submission_1000": Entry("submission_1000", Path(), DUE, [entry_number(i) for i in (0, 1)])
    }
    names = {"submission_1000": "zhangbela_5001_71_lab"}
    students = [Student(i, entry_number(i), full_name(i), canvas=str(5000 + i)) for i in range(2)]
    group = renamed(replace(book, entries=entries), names, students)
    group.results["zhangbela_5001_71_lab"]["extra_data"]["members"] = [entry_number(0)]
    files, problems = feedback_files(group, [], "canvas")
    assert list(files) == ["zhangbela_5001_71_lab.html"]
    assert full_name(1) in files["zhangbela_5001_71_lab.html"].decode()
    alone = renamed(replace(book, entries=entries), names, [])
    files, problems = feedback_files(replace(alone, roster=None), [], "canvas")
    assert not files
    assert "does not say who uploaded it" in problems[0]


def test_every_student_of_a_group_gets_a_page(book: Book) -> None:
    members = [entry_number(i) for i in (0, 1)]
    entry = Entry("submission_1000", Path(), DUE, members)
    group = replace(book, results={"submission_1000": book.results["submission_1000"]}, roster=None)
    group = replace(group, entries={"submission_1000": entry})
    files, _ = feedback_files(group, [], "")
    assert list(files) == [f"{member}.html" for member in members]


@given(st.text(max_size=300))
def test_any_name_becomes_the_name_of_a_file(name: str) -> None:
    file = safe(name)
    assert file
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', file)
    assert file.isprintable()
    assert not file.startswith((".", "~", " "))
    assert not file.endswith((".", " "))
    assert len(file.encode()) <= 120
    assert safe(file) == file


def test_names_that_are_alike_stay_apart(book: Book) -> None:
    names = ["../../etc/passwd", "..\\..\\etc\\passwd", "A/b", "a b", "a\u202eb", "", "..."]
    entries = {
        f"s{i}": replace(book.entries["submission_1000"], id=f"s{i}", students=[name])
        for i, name in enumerate(names)
    }
    results = dict.fromkeys(entries, book.results["submission_1000"])
    files, problems = feedback_files(
        replace(book, results=results, entries=entries, roster=None), [], ""
    )
    assert sorted(files) == [
        "A b.html",
        "a b (2).html",
        "a b (3).html",
        "etc passwd (2).html",
        "etc passwd.html",
        "student.html",
    ]
    assert problems == ["s5: left out: it names no student"]


def test_a_student_with_two_submissions_reads_of_both(book: Book) -> None:
    entries = {
        name: replace(book.entries[name], students=[entry_number(0)])
        for name in ("submission_1000", "submission_1001")
    }
    results = {name: book.results[name] for name in entries}
    twice = replace(book, entries=entries, results=results)
    text = words(feedback_files(twice, [], "")[0][f"{entry_number(0)}.html"].decode())
    assert "Submission submission_1000" in text
    assert "Submission submission_1001" in text


# In a browser.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium; skip the test if there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium, or playwright install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_accessible_and_fits(
    book: Book, browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    for i in (0, 9, 13):
        path = tmp_path / f"{i}.html"
        path.write_text(page_of(book, i), encoding="utf-8")
        page = context.new_page()
        page.goto(path.as_uri())
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_the_page_asks_for_nothing_and_runs_nothing(
    book: Book, browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of(book, 0), encoding="utf-8")
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    page.close()
