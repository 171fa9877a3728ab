"""Class lists as learning platforms and spreadsheets write them, and who is who on them."""

from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.classroom.class_run import Entry
from grader.classroom.gradebook import Book, gradebook
from grader.classroom.roster import Roster, Student, name_key, read_class, read_roster
from grader.errors import UserError
from tests.grader.test_gradebook import A3, result

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lab (77),Current Score\n"
    ",,,,,Manual Posting,\n"
    "    Points Possible,,,,,10.00,(read only)\n"
    '"Lovelace, Ada",11,2026CSZ0001,ada1,M 140,2.5,80\n'
    '"Student, Test",14,,,M 140,0,0\n'
)
MOODLE = (
    "Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade\n"
    "Participant 901,Ada Lovelace,2026CSZ0001,ada@uni.example,Submitted,,10.00\n"
)
MOODLE_GRADES = (
    "First name,Surname,ID number,Institution,Department,Email address,Assignment: Lab (Real)\n"
    "Ada,Lovelace,2026CSZ0001,,,ada@uni.example,-\n"
)
GRADESCOPE = (
    "First Name,Last Name,SID,Email,Sections,Total Score,Max Points,Status,Submission ID\n"
    "Ada,Lovelace,2026CSZ0001,ada@uni.example,M 140,,10.0,Missing,\n"
)
BLACKBOARD = (
    '"Last Name","First Name","Username","Student ID","Lab [Total Pts: 10 Score] |12345"\n'
    '"Lovelace","Ada","ada1","2026CSZ0001",""\n'
)
PLAIN = "entry number;name;e-mail;section\n2026CSZ0001;Ada Lovelace;ada@uni.example;M 140\n"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (CANVAS, {"canvas": "11", "login": "ada1", "section": "M 140"}),
        (MOODLE, {"moodle": "901", "email": "ada@uni.example"}),
        (MOODLE_GRADES, {"email": "ada@uni.example", "canvas": ""}),
        (GRADESCOPE, {"email": "ada@uni.example", "section": "M 140"}),
        (BLACKBOARD, {"login": "ada1"}),
        (PLAIN, {"email": "ada@uni.example", "section": "M 140"}),
        ("sep=;\r\n" + PLAIN, {"section": "M 140"}),
        (PLAIN.replace(";", "\t"), {"section": "M 140"}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_list_of_each_platform_is_read(
    tmp_path: Path, text: str, known: dict[str, str], encoding: str
) -> None:
    path = tmp_path / "roster.csv"
    path.write_bytes(text.encode(encoding))
    (ada,) = read_roster(path).students
    assert ada.entry == "2026CSZ0001"
    assert name_key(ada.name) == "ada lovelace"
    for kind, value in known.items():
        assert getattr(ada, kind) == value


def test_rows_that_are_no_students_are_named(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(CANVAS)
    assert read_roster(path).left_out == [
        "row 2: left out: no student",
        "row 3: left out: Points Possible",
        "row 5: left out: Student, Test",
    ]


def test_a_number_in_a_spreadsheet_is_an_entry_number(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Student ID", "Name"])
    book.active.append([20260001, "Ada Lovelace"])
    book.save(tmp_path / "roster.xlsx")
    assert read_roster(tmp_path / "roster.xlsx").students[0].entry == "20260001"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty file"),
        ("colour,size\nred,3\n", "a table of colour, size"),
        ("entry,name\n", "no student in it|a table of nothing"),
        ("entry,name\n1,Ada\n1,Bob\n", "row 3: 1, as in row 2"),
        ("entry,email\n1,a@b.c\n2,A@b.c\n", "row 3: A@b.c, as in row 2"),
        ("entry,name\n2.02E+11,Ada\n", "row 2: 2.02E[+]11, which a spreadsheet rounded"),
        ("entry,name\n1,Ada,x\n", "3 cells in row 2"),
    ],
)
def test_what_is_no_class_list_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=found):
        read_roster(path)


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"entry,name\n" + content)
    try:
        assert read_roster(path).students
    except UserError as error:
        assert "\n" not in str(error)


CLASS = Roster(
    [
        Student(2, "2026CSZ0001", "Ada Lovelace", "ada@uni.example", canvas="11", moodle="901"),
        Student(3, "2026CSZ0002", "Bob Ross", "bob@uni.example", "B"),
        Student(4, "2026CSZ0003", "Bob Ross", "ross@uni.example", "B"),
        Student(5, "2026CSZ0004", "2026CSZ0001", "odd@uni.example", "B"),
    ]
)


@pytest.mark.parametrize(
    ("word", "row"),
    [
        ("2026csz0001", 2),  # the entry number goes before a name that looks like it
        ("ADA@uni.example", 2),
        ("Lovelace, Ada", 2),
        ("  ada   LOVELACE ", 2),
        ("Bob Ross", None),  # two of them
        ("Bob", None),
        ("", None),
    ],
)
def test_nobody_is_guessed(word: str, row: int | None) -> None:
    found = CLASS.find(word)
    assert (found.row if found else None) == row


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("lovelaceada_11_4711_lab.ipynb", 2),
        ("lovelaceada_LATE_11_4711_my_lab", 2),
        ("Ada Lovelace_901_assignsubmission_file_", 2),
        ("Ada Lovelace_901_assignsubmission_file", 2),
        ("Ada Lovelace_901_assignsubmission_file_lab", 2),
        ("somebody_12_4711_lab", None),
        # What a student calls a file comes after the id of who uploaded it.
        ("Eve_1_assignsubmission_file_x_901_assignsubmission_file_y", None),
        ("eve_12_4711_x_11_4711_y", None),
        ("lab_11", None),
    ],
)
def test_a_downloaded_submission_says_who_uploaded_it(name: str, row: int | None) -> None:
    found = CLASS.uploader(name)
    assert (found.row if found else None) == row


def book(members: dict[str, list[str]], students: dict[str, list[str]] | None = None) -> Book:
    entries = {n: Entry(n, Path(n), None, (students or {}).get(n, [])) for n in members}
    results = {name: result(own) for name, own in members.items()}
    return Book(A3, results, entries, roster=CLASS)


def test_everybody_has_a_row_and_those_who_are_not_on_the_roster_are_flagged() -> None:
    table = gradebook(book({"one": ["2026CSZ0001", "2026CSZ0009"], "two": []}))
    rows = table.set_index(["student", "submission"])
    assert list(table["student"]) == [
        *("", "2026CSZ0001", "2026CSZ0002", "2026CSZ0003", "2026CSZ0004", "2026CSZ0009")
    ]
    assert rows.loc[("2026CSZ0002", ""), "status"] == "not handed in"
    assert rows.loc[("2026CSZ0002", ""), "total"] == 0
    assert rows.loc[("2026CSZ0001", "one"), "name"] == "Ada Lovelace"
    assert "roster: 2026CSZ0009 is not on it" in str(rows.loc[("2026CSZ0001", "one"), "flags"])
    assert "roster: it names no student" in str(rows.loc[("", "two"), "flags"])


def test_a_match_by_name_alone_is_flagged() -> None:
    table = gradebook(book({"one": []}, {"one": ["Lovelace, Ada"]}))
    row = table[table["submission"] == "one"].iloc[0]
    assert row["student"] == "2026CSZ0001"
    assert "found by the name Lovelace, Ada alone" in row["flags"]


def test_whose_a_downloaded_submission_is_its_name_says() -> None:
    """A file of the student's adds only partners, and only if it names the uploader as well."""
    name = "Ada Lovelace_901_assignsubmission_file_"
    assert book({name: ["2026CSZ0002"]}).students(name) == ["2026CSZ0001"]
    together = book({name: ["2026CSZ0002", "2026CSZ0001"]})
    assert together.students(name) == ["2026CSZ0002", "2026CSZ0001"]
    assert "group: it names 2026CSZ0002" in gradebook(book({name: ["2026CSZ0002"]}))["flags"][0]


def test_a_submission_without_a_result_is_not_one_that_was_never_handed_in() -> None:
    whole = book({"one": ["2026CSZ0001"], "two": []}, {"two": ["2026CSZ0002"]})
    results = {"one": whole.results["one"]}
    table = gradebook(replace(whole, results=results)).set_index("student")
    assert table.loc["2026CSZ0002", "status"] == "not graded yet"
    assert table.loc["2026CSZ0003", "status"] == "not handed in"


def test_two_students_whom_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text("name,section\nLi Wei,A\nAda,A\nLi Wei,B\n")
    with pytest.raises(UserError, match="row 4: Li Wei, as in row 2"):
        read_class(path)
    assert len(read_roster(path).students) == 3
