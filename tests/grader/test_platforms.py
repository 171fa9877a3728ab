"""Files of learning platforms: only the points change, and only where they are certain."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.classroom.class_run import ClassRun, Entry
from grader.classroom.gradebook import Book
from grader.classroom.marks import Given, Marks, write_log
from grader.classroom.open_book import open_book
from grader.classroom.roster import Roster, Student
from grader.cli import main
from grader.errors import UserError
from grader.staff.grade_files import Filling, share_of
from grader.staff.platforms import FORMATS, chosen_column, read_template
from grader.staff.sheets import Sheet
from grader.texts import csv_rows
from tests.grader.staff_class import DUE, Made, entry_number, full_name, write_class

COUNT, MISSING = 12, 2
GRADED = COUNT - MISSING
TITLE = "Lab: a VAE of digits"
Export = Callable[..., tuple[int, str, str]]


def first(i: int) -> str:
    return full_name(i).partition(" ")[0]


def last(i: int) -> str:
    return full_name(i).partition(" ")[2]


def columns(text: str) -> list[str]:
    return text.split(",")


# Each platform's header as it exports it, the rows that are no students, and a student's row.
CANVAS = columns(
    "Student,ID,SIS User ID,SIS Login ID,Root Account,Integration ID,Section,Warm-up (201),"
    f"{TITLE} (202),Assignments Current Score,Assignments Final Score,Current Score,"
    "Unposted Current Score,Final Score,Unposted Final Score"
)
CANVAS_ROWS = [
    [*[""] * 8, "Manual Posting", *[""] * 6],
    ["    Points Possible", *[""] * 6, "10.00", "100.00", *["(read only)"] * 6],
]
CANVAS_TEST = ["Student, Test", "99", "", "a1b2", "", "", "Lab A", *[""] * 8]


def canvas_row(i: int) -> list[str]:
    login = [f"student{i}", "uni.example", "", "Lab A and Lab B"]
    return [f"{last(i)}, {first(i)}", str(5000 + i), "", *login, "7.50", "", *["75.00"] * 6]


WORKSHEET = columns(
    "Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,"
    "Grade can be changed,Last modified (submission),Online text,Last modified (grade),"
    "Feedback comments"
)


def worksheet_row(i: int) -> list[str]:
    ids = [f"Participant {9000 + i}", full_name(i), entry_number(i), f"student{i}@uni.example"]
    state = ["Submitted for grading - ", "", "100.00", "Yes"]
    return [*ids, *state, "Monday, 2 November 2026, 4:10 PM", "", "-", ""]


MOODLE = [
    *("First name", "Last name", "ID number", "Institution", "Department", "Email address"),
    *(f"Assignment: {TITLE} (Real)", "Assignment: Warm-up (Real)", "Quiz: Week 1 (Percentage)"),
    *("Course total (Real)", "Last downloaded from this course"),
]


def moodle_row(i: int) -> list[str]:
    ids = [first(i), last(i), entry_number(i), "", "", f"student{i}@uni.example"]
    return [*ids, "-", "7.50", "75.00 %", "7.50", "1793640000"]


GRADESCOPE = columns(
    "First Name,Last Name,SID,Email,Sections,section_name,Total Score,Max Points,Status,"
    "Submission ID,Submission Time,Lateness (H:M:S),View Count,Submission Count,1: Lab (100.0 pts)"
)


def gradescope_row(i: int) -> list[str]:
    ids = [first(i), last(i), entry_number(i), f"student{i}@uni.example", "A", "A"]
    return [*ids, "", "100.0", "Ungraded", str(7000 + i), "", "00:00:00", "0", "1", ""]


BLACKBOARD = [
    *("Last Name", "First Name", "Username", "Student ID", "Last Access", "Availability"),
    *("Weighted Total [Total Pts: up to 110 Percentage] |31", "Warm-up [Total Pts: 10 Score] |32"),
    f"{TITLE} [Total Pts: 100 Score] |33",
]


def blackboard_row(i: int) -> list[str]:
    ids = [last(i), first(i), f"student{i}", entry_number(i), "2026-11-02 16:10:00", "Yes"]
    return [*ids, "75.00", "7.50", ""]


Rows = list[list[str]]
TEMPLATES: dict[str, tuple[str, Rows, str]] = {
    "canvas": (
        "canvas",
        [CANVAS, *CANVAS_ROWS, *(canvas_row(i) for i in range(COUNT)), CANVAS_TEST],
        f"{TITLE} (202)",
    ),
    "worksheet": ("moodle", [WORKSHEET, *map(worksheet_row, range(COUNT))], "Grade"),
    "moodle": ("moodle", [MOODLE, *map(moodle_row, range(COUNT))], MOODLE[6]),
    "gradescope": ("gradescope", [GRADESCOPE, *map(gradescope_row, range(COUNT))], "Total Score"),
    "blackboard": ("blackboard", [BLACKBOARD, *map(blackboard_row, range(COUNT))], BLACKBOARD[8]),
}


def moodle_style(rows: Rows, delimiter: str, end: str) -> str:
    """Return rows as PHP's fputcsv writes them, which quotes what has a space."""
    lines = [
        delimiter.join(f'"{c}"' if re.search(rf"[\s{delimiter}]", c) else c for c in row)
        for row in rows
    ]
    return "".join(line + end for line in lines)


def dialect(rows: Rows, delimiter: str = ",", end: str = "\r\n", quoting: str = "minimal") -> str:
    """Return rows as a CSV."""
    if quoting == "spaces":
        return moodle_style(rows, delimiter, end)
    text = io.StringIO()
    style: Literal[0, 1] = csv.QUOTE_ALL if quoting == "all" else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=style).writerows(rows)
    return text.getvalue()


def read(content: bytes) -> Rows:
    return [row for _, row in csv_rows(content)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a class with some marks. Do not write to it."""
    made = write_class(tmp_path_factory.mktemp("class"), COUNT, MISSING)
    marks = [
        Given(submission=f"submission_{1000 + i}", part="Report", marker="ada", points=i + 0.5)
        for i in range(GRADED)
    ]
    write_log(made.run, Marks(marks))
    return made


@pytest.fixture(scope="module")
def book(made: Made) -> Book:
    return open_book(made.run)


@pytest.fixture
def export(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Export:
    """Return a function that runs `grader export` and returns its exit code and what it says."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["grader", "export", str(made.run), *words])
        code = main()
        return code, *capsys.readouterr()

    return run


def total(book: Book, i: int) -> float:
    return float(book.row(f"submission_{1000 + i}", entry_number(i))["total"])


def fill(book: Book, path: Path, platform: str) -> tuple[Filling, bytes]:
    template, kind = read_template(path, platform)
    column = chosen_column(template, kind, None, book.task)
    filling = Filling(book, template, kind, column)
    filling.fill()
    return filling, template.sheet.changed(filling.texts)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", ["minimal", "all", "spaces"])
def test_only_the_points_change(
    book: Book, tmp_path: Path, name: str, encoding: str, delimiter: str, quoting: str
) -> None:
    platform, rows, title = TEMPLATES[name]
    end = "\n" if encoding == "utf-8" else "\r\n"
    path = tmp_path / "template.csv"
    path.write_bytes(dialect(rows, delimiter, end, quoting).encode(encoding))
    filling, content = fill(book, path, platform)
    assert not filling.problems
    assert not filling.notes
    assert (filling.filled, filling.missing) == (GRADED, MISSING)
    column = rows[0].index(title)
    students = [n for n, row in enumerate(rows) if row not in (rows[0], *CANVAS_ROWS, CANVAS_TEST)]
    wanted = [list(row) for row in rows]
    for i, n in enumerate(students[:GRADED]):
        wanted[n][column] = f"{total(book, i):g}"
    filled = read(content)
    if name == "worksheet":
        for n in students[:GRADED]:
            assert "of 100 points" in filled[n][-1]
            wanted[n][-1] = filled[n][-1]
    assert filled == wanted
    if quoting != "spaces":
        assert content == dialect(wanted, delimiter, end, quoting).encode(encoding)
    path.write_bytes(content)
    assert fill(book, path, platform)[1] == content


@pytest.mark.parametrize("name", TEMPLATES)
def test_equal_points_written_otherwise_stay_as_they_are(
    book: Book, tmp_path: Path, name: str
) -> None:
    platform, rows, title = TEMPLATES[name]
    column, path = rows[0].index(title), tmp_path / "template.csv"
    rows = [list(row) for row in rows]
    start = 3 if name == "canvas" else 1
    for i in range(GRADED):
        rows[start + i][column] = f"{total(book, i):.3f}"
        if name == "worksheet":
            rows[start + i][-1] = "Well done."
    path.write_text(dialect(rows), encoding="utf-8", newline="")
    filling, content = fill(book, path, platform)
    assert (filling.filled, filling.replaced) == (GRADED, 0)
    assert content == path.read_bytes()


def test_points_have_decimal_commas_where_the_file_has_them(book: Book, tmp_path: Path) -> None:
    rows = [
        [re.sub(r"^(\d+)\.(\d+)$", r"\1,\2", cell) for cell in row]
        for row in TEMPLATES["worksheet"][1]
    ]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    _, content = fill(book, path, "moodle")
    grades = [row[5] for row in read(content)[1 : GRADED + 1]]
    assert grades == [f"{total(book, i):g}".replace(".", ",") for i in range(GRADED)]
    assert any("," in grade for grade in grades)


def test_a_filled_worksheet_has_a_comment_that_is_text_for_moodle_and_spreadsheets(
    book: Book, tmp_path: Path
) -> None:
    manual = [book.task.manual[0].model_copy(update={"title": "=<b>1</b>"}), *book.task.manual[1:]]
    hostile = replace(book, task=book.task.model_copy(update={"manual": manual}))
    rows = [list(row) for row in TEMPLATES["worksheet"][1]]
    rows[2][-1] = "Already here"
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    comments = [row[-1] for row in read(fill(hostile, path, "moodle")[1])]
    assert comments[2] == "Already here"
    assert comments[COUNT] == ""
    assert "&lt;b&gt;" in comments[1]
    assert "<b>" not in comments[1]
    assert not re.search(r"(^|[;,|\t\n])\s*[=+@-]", comments[1])
    assert "ada" not in comments[1]


def test_a_locked_or_excused_cell_stays_and_is_named(book: Book, tmp_path: Path) -> None:
    path = tmp_path / "template.csv"
    for name, row, column, text in (
        ("worksheet", 1, 7, "No"),
        ("canvas", 3, 8, "EX"),
        ("canvas", 3, 8, "N/A"),
    ):
        platform, rows, _ = TEMPLATES[name]
        rows = [list(row) for row in rows]
        rows[row][column] = text
        path.write_text(dialect(rows), encoding="utf-8")
        filling, content = fill(book, path, platform)
        assert read(content)[row] == rows[row]
        assert filling.filled == GRADED - 1
        assert len(filling.problems) == 1
        assert filling.problems[0].startswith(f"{entry_number(0)}: not filled in")


def test_who_is_where(book: Book, tmp_path: Path) -> None:
    """Ours who are not in the file are problems; others in the file are only named."""
    platform, rows, _ = TEMPLATES["gradescope"]
    other = ["X", "Other", "2026CSZ9999", "x@uni.example", *gradescope_row(0)[4:]]
    path = tmp_path / "template.csv"
    path.write_text(dialect([rows[0], *rows[3:], other]), encoding="utf-8")
    filling, content = fill(book, path, platform)
    assert filling.problems == [f"{entry_number(i)}: not in {path}" for i in (0, 1)]
    assert filling.notes == ["of nobody in this run, left as they are (1): X Other"]
    assert filling.filled == GRADED - 2
    assert read(content)[-1] == other


def test_a_name_alone_counts_if_only_one_has_it_and_is_said(book: Book, tmp_path: Path) -> None:
    rows = [["Name", "SID", "Email", "Total Score", "Max Points"]]
    rows += [[full_name(i), "", "", "", "100"] for i in range(COUNT)]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    filling, _ = fill(book, path, "gradescope")
    assert filling.filled == GRADED
    assert filling.notes[0] == f"{entry_number(0)}: found by the name {full_name(0)} alone"
    path.write_text(dialect([*rows, rows[1]]), encoding="utf-8")
    filling, content = fill(book, path, "gradescope")
    assert filling.problems == [f"{entry_number(0)}: not in {path}"]
    assert [row[3] for row in read(content) if row[0] == full_name(0)] == ["", ""]


def test_a_namesake_does_not_get_the_points_of_another(book: Book, tmp_path: Path) -> None:
    """Two of ours have a name of which the file has one: the number says whose row it is."""
    students = [Student(1, entry_number(0), "Ada Zhang"), Student(2, entry_number(1), "Ada Zhang")]
    rows = [["Name", "SID", "Email", "Total Score", "Max Points"]]
    rows += [["Ada Zhang", entry_number(1), "", "", "100"]]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    filling, content = fill(replace(book, roster=Roster(students)), path, "gradescope")
    assert read(content)[1][3] == f"{total(book, 1):g}"
    assert f"{entry_number(0)}: not in {path}" in filling.problems


def test_an_id_of_one_platform_is_not_that_of_another(book: Book, tmp_path: Path) -> None:
    students = [
        Student(1, entry_number(0), canvas="77", moodle="88"),
        Student(2, entry_number(1), canvas="88", moodle="77"),
    ]
    rows = [["Student", "ID", "SIS Login ID", "Section", f"{TITLE} (5)"]]
    rows += [["", "77", "", "A", ""], ["", "88", "", "A", ""]]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    _, content = fill(replace(book, roster=Roster(students)), path, "canvas")
    assert [row[4] for row in read(content)[1:]] == [f"{total(book, i):g}" for i in range(2)]


def test_an_anonymous_worksheet_is_matched_by_its_identifiers(book: Book, tmp_path: Path) -> None:
    rows = [["Identifier", *WORKSHEET[4:]]]
    rows += [[row[0], *row[4:]] for row in map(worksheet_row, range(COUNT))]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    filling, content = fill(book, path, "moodle")
    assert (filling.filled, filling.problems) == (GRADED, [])
    assert read(content)[1][2] == f"{total(book, 0):g}"


def test_two_submissions_with_different_totals_are_not_filled_in(
    book: Book, tmp_path: Path
) -> None:
    entries = book.entries | {
        "submission_1001": Entry("submission_1001", Path(), DUE, [entry_number(0)])
    }
    twice = replace(book, entries=entries)
    totals = [twice.row(f"submission_{1000 + i}", entry_number(0))["total"] for i in range(2)]
    assert totals[0] != totals[1]
    path = tmp_path / "template.csv"
    path.write_text(dialect(TEMPLATES["gradescope"][1]), encoding="utf-8")
    filling, content = fill(twice, path, "gradescope")
    assert filling.problems == [
        f"{entry_number(0)}: not filled in: {totals[0]:g} for submission_1000, "
        f"{totals[1]:g} for submission_1001"
    ]
    assert read(content)[1][6] == ""


def test_a_contradiction_is_said(book: Book, tmp_path: Path) -> None:
    more = Given(submission="submission_1000", part="Report", marker="bob", points=19)
    path = tmp_path / "template.csv"
    path.write_text(dialect(TEMPLATES["gradescope"][1]), encoding="utf-8")
    filling, _ = fill(replace(book, marks=book.marks.with_new([more])), path, "gradescope")
    assert filling.notes == [f"{entry_number(0)}: contradiction: Report: 0.5 by ada and 19 by bob"]


def test_nothing_handed_in_is_0_only_if_asked_for(export: Export, tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text(dialect(TEMPLATES["gradescope"][1]), encoding="utf-8")
    code, out, err = export(str(path), "--for", "gradescope")
    filled = tmp_path / "grades-filled.csv"
    assert (code, err) == (0, f"Question 1: {GRADED} of {GRADED} are not marked, which counts 0\n")
    assert f"for {GRADED} of {COUNT} students; {MISSING} not handed in, left as they are" in out
    assert [row[6] for row in read(filled.read_bytes())[-MISSING:]] == ["", ""]
    code, _, _ = export(
        str(path), "--for", "gradescope", "--zero", "--out", str(tmp_path / "0.csv")
    )
    assert code == 0
    zeros = read((tmp_path / "0.csv").read_bytes())
    assert [row[6] for row in zeros[-MISSING:]] == ["0", "0"]
    assert path.read_text(encoding="utf-8") == dialect(TEMPLATES["gradescope"][1]).replace("\r", "")


def test_0_for_who_handed_in_nothing_needs_a_class_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, path = write_class(tmp_path / "class", 3, 1), tmp_path / "grades.csv"
    run = ClassRun(made.run)
    plan = json.loads((made.run / "run.json").read_text())
    (made.run / "run.json").write_text(json.dumps(plan | {"roster": None}))
    assert run.plan().roster is None
    path.write_text(dialect(TEMPLATES["gradescope"][1]), encoding="utf-8")
    words = ["grader", "export", str(made.run), str(path), "--for", "gradescope"]
    monkeypatch.setattr("sys.argv", [*words, "--zero"])
    assert main() == 2
    assert "--zero needs --roster" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", words)
    assert main() == 0
    assert "for 2 of 2 students" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("canvas", "100.00", "10.00"),
        ("worksheet", "100.00", "10.00"),
        ("gradescope", "100.0", "10.0"),
        ("blackboard", f"{TITLE} [Total Pts: 100 Score] |33", f"{TITLE} [Total Pts: 10 Score] |33"),
    ],
)
def test_other_points_are_refused_or_converted(
    book: Book, export: Export, tmp_path: Path, name: str, old: str, new: str
) -> None:
    platform, rows, title = TEMPLATES[name]
    rows = [[new if cell == old else cell for cell in row] for row in rows]
    path, filled = tmp_path / "grades.csv", tmp_path / "grades-filled.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    code, _, err = export(str(path), "--for", platform)
    assert code == 2
    assert "at most 10 points under" in err
    assert "expected the 100 of the assignment, or --scale" in err
    assert not filled.exists()
    assert export(str(path), "--for", platform, "--scale")[0] == 0
    content = read(filled.read_bytes())
    column = content[0].index(new if name == "blackboard" else title)
    start = 3 if name == "canvas" else 1
    assert [float(row[column]) for row in content[start : start + GRADED]] == pytest.approx(
        [total(book, i) / 10 for i in range(GRADED)], abs=0.0051
    )


def test_points_above_the_most_are_said(book: Book, tmp_path: Path) -> None:
    rows = [list(row) for row in TEMPLATES["worksheet"][1]]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    template, kind = read_template(path, "moodle")
    filling = Filling(book, template, kind, 5, share=2.0)
    filling.fill()
    assert any("is above 100; the platform may refuse it" in note for note in filling.notes)
    assert share_of(template, kind, 5, 100, allowed=False) == 1


@pytest.mark.parametrize(
    ("name", "words", "found"),
    [
        ("canvas", ["--for", "moodle"], "Canvas' gradebook, with Student"),
        ("worksheet", ["--for", "canvas"], "Moodle's grading worksheet, with Identifier"),
        ("moodle", ["--for", "blackboard"], "Moodle's export of grades"),
        ("blackboard", ["--for", "gradescope"], "Blackboard's grades"),
        ("gradescope", ["--for", "canvas"], "Gradescope's grades of an assignment"),
        (
            "gradescope",
            ["--for", "webct"],
            "expected one of canvas, moodle, gradescope, blackboard",
        ),
        (
            "canvas",
            ["--for", "canvas", "--column", "Lab 9"],
            f"'Lab 9'; expected --column with one of: Warm-up (201) | {TITLE} (202)",
        ),
        (
            "canvas",
            ["--for", "canvas", "--column", "Final Score"],
            "no columns called 'Final Score'",
        ),
        ("canvas", ["--scale"], "only with --for"),
        ("canvas", ["--for", "canvas", "--gradescope"], "exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    export: Export, tmp_path: Path, name: str, words: Sequence[str], found: str
) -> None:
    path = tmp_path / "grades.csv"
    path.write_text(dialect(TEMPLATES[name][1]), encoding="utf-8")
    code, out, err = export(str(path), *words)
    assert (code, out) == (2, "")
    assert found in err
    assert err.count("\n") == 1
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02",
        b"PK\x03\x04\x00\x00",
        b'Student,ID,Section,A (1)\r\n"Zhang, Ada,1,A,2',
        b"Student,ID,Section\r\nAda,1,A\r\n",
        "Student,ID,Section,A (1)\r\nAda,1,A,2\r\n".encode("utf-32"),
        b"Student,ID,Section,A (1)\r\n",
        b"Student,ID,SIS User ID,Section,A (1)\r\nAda,1,7,A,\r\nBo,2,7,A,\r\n",
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    export: Export, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "grades.csv"
    path.write_bytes(content)
    code, out, err = export(str(path), "--for", "canvas")
    assert (code, out) == (2, "")
    assert err.startswith(f"{path}: ")
    assert err.count("\n") == 1
    assert [*tmp_path.iterdir()] == [path]
    assert export(str(tmp_path / "absent.csv"), "--for", "canvas")[0] == 2


def test_the_template_is_never_overwritten(export: Export, tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    content = dialect(TEMPLATES["canvas"][1]).encode()
    path.write_bytes(content)
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    for out in (path, tmp_path / "." / "grades.csv", link):
        code, _, err = export(str(path), "--for", "canvas", "--out", str(out))
        assert code == 2
        assert "the file to fill in; expected another name" in err
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("headers", "wanted", "column"),
    [
        ([f"{TITLE} (1)", "Other (2)"], "", 3),
        (["Other (1)", "lab (2)"], "", 4),
        (["Other (1)"], "", 3),
        (["Other (1)", "Final Score (2)", "Notes"], "", 3),
        (["Other (1)", "More (2)"], "more", 4),
        (["More (1)", "More (2)"], "More (2)", 4),
        (["Other (1)", "More (2)"], "", "no columns called"),
        (["More (1)", "More (2)"], "More", "2 columns called 'More'"),
        ([f"{TITLE} (1)", f"{TITLE} (2)"], "", "2 columns called"),
        (["Notes", "Final Score"], "", "no columns called"),
    ],
)
def test_the_column_is_certain_or_asked_for(
    book: Book, tmp_path: Path, headers: list[str], wanted: str, column: int | str
) -> None:
    path = tmp_path / "template.csv"
    rows = [["Student", "ID", "Section", *headers], ["Ada", "1", "A", *[""] * len(headers)]]
    path.write_text(dialect(rows), encoding="utf-8")
    template, kind = read_template(path, "canvas")
    if isinstance(column, int):
        assert chosen_column(template, kind, wanted, book.task) == column
    else:
        with pytest.raises(UserError, match=re.escape(column)):
            chosen_column(template, kind, wanted, book.task)


def test_columns_that_are_read_only_are_no_choice(book: Book, tmp_path: Path) -> None:
    rows = [["Student", "ID", "Section", f"{TITLE} (1)", "Other (2)"]]
    rows += [["Points Possible", "", "", "(read only)", "100"], ["Ada", "1", "A", "", ""]]
    path = tmp_path / "template.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    template, kind = read_template(path, "canvas")
    assert chosen_column(template, kind, None, book.task) == 4


def test_hostile_names_stay_text_on_the_terminal(
    book: Book, export: Export, tmp_path: Path
) -> None:
    rows = [list(row) for row in TEMPLATES["gradescope"][1]]
    rows.append(["=cmd()", "\x1b[31mEve\u202e", "S1", "", *gradescope_row(0)[4:]])
    path = tmp_path / "grades.csv"
    path.write_text(dialect(rows), encoding="utf-8")
    code, _, err = export(str(path), "--for", "gradescope")
    assert code == 0
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "=cmd() \\x1b[31mEve" in err
    assert read((tmp_path / "grades-filled.csv").read_bytes())[-1] == rows[-1]


# csv.writer leaves a lone return unquoted.
cell = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12)


@given(
    cells=st.lists(cell, min_size=GRADED * 2, max_size=GRADED * 2),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from(["minimal", "all"]),
)
def test_any_text_in_other_cells_stays(
    book: Book,
    tmp_path: Path,
    cells: list[str],
    encoding: str,
    delimiter: str,
    end: str,
    quoting: str,
) -> None:
    rows = [["SID", "Total Score", "Max Points", "Status", "Note"]]
    rows += [[entry_number(i), "", "100", cells[2 * i], cells[2 * i + 1]] for i in range(GRADED)]
    path = tmp_path / "template.csv"
    path.write_bytes(dialect(rows, delimiter, end, quoting).encode(encoding))
    filling, content = fill(book, path, "gradescope")
    comma = filling.template.sheet.decimal_commas
    for i in range(GRADED):
        text = f"{total(book, i):g}"
        rows[i + 1][1] = text.replace(".", ",") if comma else text
    assert content == dialect(rows, delimiter, end, quoting).encode(encoding)


@given(st.binary(max_size=80) | st.text(' ";,\t\r\na1=', max_size=40).map(str.encode))
def test_a_sheet_has_the_rows_that_csv_reads_and_writes_the_bytes_that_it_read(
    content: bytes,
) -> None:
    try:
        sheet = Sheet(content)
    except ValueError:
        return
    assert sheet.changed({}) == content
    text = io.StringIO(sheet.text, newline="")
    rows = [*csv.reader(text, strict=True, delimiter=sheet.delimiter)]
    assert [[c.text for c in row] if row != [] else [] for row in sheet.rows] == [
        row or [""] for row in rows
    ]


@given(st.text(' ";,\t\r\na1=', max_size=40))
def test_what_a_sheet_refuses_csv_refuses_too(text: str) -> None:
    try:
        rows = csv_rows(text.encode())
    except (ValueError, csv.Error):
        return
    sheet = Sheet(text.encode())
    assert [n for n, _ in rows] == [
        n for n, row in enumerate(sheet.rows, 1) if any(c.text.strip() for c in row)
    ]


@given(st.binary(max_size=200), st.sampled_from(sorted(FORMATS)))
def test_any_bytes_are_a_template_or_refused(
    book: Book, tmp_path: Path, content: bytes, platform: str
) -> None:
    path = tmp_path / "template.csv"
    header = TEMPLATES["worksheet" if platform == "moodle" else platform][1][0]
    path.write_bytes(dialect([header]).encode() + content)
    try:
        _, written = fill(book, path, platform)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert written.startswith(dialect([header]).encode())


def test_the_export_of_a_platform_as_the_class_list(made: Made, tmp_path: Path) -> None:
    """Canvas' own gradebook as the roster: its ids say whose a download is."""
    path = tmp_path / "grades.csv"
    path.write_text(dialect(TEMPLATES["canvas"][1]), encoding="utf-8")
    roster = read_template(path, "canvas")[0].roster
    student = roster.uploader("Team 1_zhangada_LATE_5000_70_lab")
    assert student is not None
    assert student.canvas == "5000"
    assert roster.uploader("zhangada_1_70_lab") is None
