"""The marking page as its users meet it: in Chromium, mostly with the keyboard alone."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.classroom.marks import Given, Marks, read_log, write_log
from grader.classroom.open_book import open_book
from grader.cli import main
from grader.judging import Item, Manual
from grader.staff.marking_page import part_data
from grader.staff.requests import Request, store_requests
from tests.accessibility import violations
from tests.grader.staff_class import Made, entry_number, full_name, write_class

WHEN = "2026-11-05T10:00:00Z"
HOSTILE = "<img src=x onerror=alert(1)></script>\u2028=1+1 $\\beta$ \x1b[31m"


def mark(i: int, part: str = "Report", marker: str = "ada", **content: Any) -> Given:
    """Return a mark of the submission of student i."""
    record = {"submission": f"submission_{1000 + i}", "part": part, "marker": marker, "time": WHEN}
    return Given.model_validate(record | content)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_class(tmp_path, 10)


@pytest.fixture
def grader(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """Return a function that runs a command on the class and returns what it prints."""

    def run(line: str) -> str:
        words = [word.replace("RUN", str(made.run)) for word in line.split()]
        monkeypatch.setattr(sys, "argv", ["grader", *words])
        assert main() == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def visit(chromium: Any, made: Made, grader: Callable[[str], str]) -> Iterator[Callable[..., Any]]:
    """Return a function that writes the page and opens it in a browser with an empty storage.

    With `context`, it opens it again in a browser that was there before.
    """
    contexts, said = [], []

    def open_page(marker: str = "ada", options: str = "", context: Any = None, **size: Any) -> Any:
        grader(f"marking RUN {options}")
        if context is None:
            context = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | size))
            contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((made.run / "marking.html").as_uri())
        if page.is_visible("#who"):
            page.fill("#who-name", marker)
            page.keyboard.press("Enter")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def exported(page: Any, path: Path) -> list[dict[str, Any]]:
    """Click on Export, keep the file, and return its marks."""
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["format"] == "vae-grader marks 1"
    return list(content["marks"])


def points_by_student(path: Path, column: str) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["student"]: row[column] for row in csv.DictReader(file)}


def test_points_are_those_of_python(visit: Callable[..., Any]) -> None:
    page = visit()
    generator = np.random.default_rng(0)
    cases, expected = [], []
    for _ in range(400):
        values = generator.uniform(-3, 6, 8).round(int(generator.integers(1, 3)))
        items = [Item(name=f"i{i}", title="t", points=float(p)) for i, p in enumerate(values)]
        start = float(generator.choice([0, 2.5, 1.33]))
        part = Manual(
            title="P", points=float(generator.choice([2.67, 10])), start=start, item=items
        )
        chosen = [item.name for item in items if generator.random() < 0.5]
        adjustment = float(generator.uniform(-2, 2).__round__(2))
        cases.append([part_data(part), {"items": chosen, "adjustment": adjustment, "points": None}])
        expected.append(part.score(chosen, adjustment))
    found = page.evaluate("(cases) => cases.map(([part, mark]) => score(part, mark))", cases)
    assert found == expected


def test_ids_are_those_of_the_log(visit: Callable[..., Any]) -> None:
    page = visit()
    marks = [
        mark(1, items=["elbo", "some"], adjustment=-0.25, comment='"Überlegt"\\\n\t\x01\x7f\u2028'),
        mark(2, points=0, replaces=["a", "b"], withdrawn=True),
        mark(3, points=12.5, request="r", answer="</script>", comment="\U0001f600"),
    ]
    records = [given.model_dump(mode="json") for given in marks]
    found = page.evaluate("(records) => Promise.all(records.map(idOf))", records)
    assert found == [given.id for given in marks]


def test_marking_with_the_keyboard_alone(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    page = visit()
    assert page.evaluate("document.activeElement.id") == "rubric"
    names = []

    def here() -> None:
        names.append(page.evaluate("place().submission"))

    here()
    press(page, "1 2 Enter")  # ELBO and clear figures
    assert "15 of 20" in page.inner_text("#said")
    here()
    press(page, "2 3 a")  # a group gives one of its items
    page.keyboard.type("-0,5")
    press(page, "Escape c")
    page.keyboard.type("1 more line? jkn")  # letters in a field are no commands
    press(page, "Control+Enter")
    here()
    press(page, "Enter")  # 0 points
    here()
    press(page, "r ArrowDown Enter")  # the comment from before
    assert page.input_value("#comment") == "1 more line? jkn"
    press(page, "Escape 4 Enter")
    page.keyboard.press("1")  # a draft
    assert page.inner_text("#status") == "draft: not done"
    page.reload()
    assert page.inner_text("#total") == "8"
    assert page.inner_text("#position") == "5 of 8, 4 done"
    assert page.is_hidden("#who")
    press(page, "l 1 Enter")
    asked = page.evaluate("queue().places[0].submission")
    page.keyboard.press("h")
    assert page.inner_text("#position") == "5 of 8, 4 done"
    marks = exported(page, tmp_path / "ada-marks.json")
    assert "1 draft not done: left out" in page.inner_text("#said")
    assert len(marks) == 5
    assert grader(f"marks RUN {tmp_path / 'ada-marks.json'}").startswith("read the marks of ")
    grader(f"export RUN {tmp_path / 'book.csv'}")
    points = points_by_student(tmp_path / "book.csv", "Report")
    students = [entry_number(int(name[-4:]) - 1000) for name in names]
    assert [points[student] for student in students] == ["15.0", "2.5", "0.0", "5.0"]
    assert sum(value != "" for value in points.values()) == 4
    questions = points_by_student(tmp_path / "book.csv", "Question 1")
    assert questions[entry_number(int(asked[-4:]) - 1000)] == "15.0"


def test_a_later_export_replaces_the_earlier_one(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    page = visit()
    press(page, "1 Enter k 2")
    first = exported(page, tmp_path / "one.json")
    assert exported(page, tmp_path / "same.json") == first
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "same.json").read_bytes()
    page.keyboard.press("4")
    assert page.inner_text("#unsent") == "1 change not exported"
    exported(page, tmp_path / "two.json")
    grader(f"marks RUN {tmp_path / 'one.json'}")
    assert "contradiction" not in grader(f"marks RUN {tmp_path / 'two.json'}")
    again = visit(context=page.context)
    assert again.inner_text("#status") == "marked"
    assert again.inner_text("#total") == "20"
    again.click("#export")
    assert again.inner_text("#said").startswith("Nothing to export")


def test_withdrawing_and_undoing(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    write_log(made.run, Marks([mark(i, items=["elbo"]) for i in range(8)]))
    page = visit("bob")
    assert page.inner_text(".mark strong") == "8 of 20 by ada, 2026-11-05"
    press(page, "4")
    assert page.inner_text("#status") == "draft: not done"
    press(page, "u")
    assert (page.inner_text("#status"), page.inner_text("#total")) == ("marked", "8")
    press(page, "w")
    assert (page.inner_text("#status"), page.inner_text("#total")) == ("withdrawn", "\u2013")
    gone = page.evaluate("place().submission")
    (record,) = exported(page, tmp_path / "marks.json")
    assert record["withdrawn"]
    grader(f"marks RUN {tmp_path / 'marks.json'}")
    assert gone not in read_log(made.run).standing
    assert len(read_log(made.run).standing) == 7


def test_a_contradiction_is_settled(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    both = [
        mark(3, items=["elbo"], comment="short"),
        mark(3, marker="bob", items=["elbo", "clear"], adjustment=-1),
    ]
    write_log(made.run, Marks([*both, mark(4, items=["elbo"]), mark(4, marker="bob", points=8)]))
    page = visit("carl")
    press(page, "h")
    assert page.inner_text("#queues [aria-current]").split() == ["Contradictions", "0/1"]
    shown = page.inner_text(".marks")
    for text in (
        "8 of 20 by ada",
        "14 of 20 by bob",
        "short",
        "Clear figures",
        "adjusted by \u22121",
    ):
        assert text in shown
    assert page.inner_text("#total") == "\u2013"
    press(page, "Tab Tab Enter")  # copy the second
    assert page.inner_text("#total") == "14"
    page.focus("#rubric")
    press(page, "4 Enter")
    (record,) = exported(page, tmp_path / "carl.json")
    assert sorted(record["replaces"]) == sorted(given.id for given in both)
    assert "contradiction" not in grader(f"marks RUN {tmp_path / 'carl.json'}")
    (settled,) = read_log(made.run).of("submission_1003", "Report")
    assert (settled.marker, settled.items, settled.adjustment) == (
        "carl",
        ["elbo", "clear", "sources"],
        -1,
    )


def test_requests_are_answered(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    write_log(made.run, Marks([mark(5, "Question 1", items=["sign"])]))
    rows = [
        Request(
            "r1", entry_number(5), "submission_1005", "Question 1", "The sign is right", "Monday"
        ),
        Request("r2", entry_number(5), "submission_1005", "Question 1", "Of the whole group"),
        Request("r3", entry_number(6), "submission_1006", "cells_run", "It ran"),
        Request("r4", entry_number(7), "submission_1007", "cells_run", "It ran here"),
    ]
    store_requests(made.run, rows)
    page = visit("bob")
    page.keyboard.press("h")
    assert page.inner_text(".request") == "The sign is right"
    assert "Monday" in page.inner_text("#form")
    assert page.inner_text("#total") == "15"
    press(page, "Enter")
    assert page.inner_text("#said") == "Write an answer first."
    page.keyboard.type("You are right.")
    press(page, "Escape 1 Enter")
    assert page.inner_text(".request") == "Of the whole group"
    assert page.inner_text("#total") == "20"
    press(page, "e")
    page.keyboard.type("See the other answer.")
    press(page, "Control+Enter")
    assert "The grader gave" in page.inner_text("#form")
    press(page, "a")
    page.keyboard.type("41")
    assert page.get_attribute("#points", "aria-invalid") == "true"
    press(page, "Backspace Escape e")
    page.keyboard.type("Counted by hand.")
    press(page, "Control+Enter e")
    page.keyboard.type("It stays.")
    press(page, "Control+Enter")
    assert "Nothing is left in Requests" in page.inner_text("#said")
    records = exported(page, tmp_path / "bob.json")
    assert sorted(record["request"] for record in records) == ["r1", "r2", "r3", "r4"]
    grader(f"marks RUN {tmp_path / 'bob.json'}")
    book = open_book(made.run)
    answers = {request: given.answer for request, given in book.marks.answered().items()}
    assert answers == {
        "r1": "You are right.",
        "r2": "See the other answer.",
        "r3": "Counted by hand.",
        "r4": "It stays.",
    }
    assert book.marks.contradictions(book.task) == {}
    assert book.points("submission_1005")["Question 1"] == 20
    assert book.points("submission_1006")["cells_run"] == 4
    before = float(book.results["submission_1007"]["extra_data"]["metrics"]["cells_run"]["points"])
    assert book.points("submission_1007")["cells_run"] == before
    again = visit(context=page.context)
    assert "Requests" not in again.inner_text("#queues")


def test_names_are_hidden_until_asked_for(visit: Callable[..., Any], made: Made) -> None:
    store_requests(
        made.run, [Request("r1", entry_number(5), "submission_1005", "Report", "please")]
    )
    page = visit()
    for keys in ("j", "l", "l"):
        press(page, keys)
        text = page.inner_text("body")
        assert not [word for word in ("submission_", "2026CSZ", "Zhang") if word in text]
    page.click("#names")
    assert page.inner_text("#heading").endswith(
        f"submission_1005, {entry_number(5)} {full_name(5)}, Report"
    )
    assert f"Request of {entry_number(5)}" in page.inner_text("#form")
    page.reload()
    assert "2026CSZ" not in page.inner_text("body")


def test_every_part_and_marker_has_an_order_of_its_own(visit: Callable[..., Any]) -> None:
    page = visit()
    orders = page.evaluate(
        """() => ["ada", "bob", "carl"].flatMap((marker) => {
            session.marker = marker;
            return ["Report", "Question 1"].map((name) => shuffled(name).map(({ id }) => id));
        })"""
    )
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    assert len({order[0] for order in orders}) > 2


def test_two_who_mark_the_same_do_not_see_each_other(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    write_log(made.run, Marks([mark(i, items=["elbo"]) for i in range(8)]))
    page = visit("bob", "--markers ada,bob --double 1")
    assert page.inner_text("#position") == "1 of 8, 0 done"
    assert "by ada" not in page.inner_text("body")
    assert "Two people mark this one" in page.inner_text("#form")
    press(page, "2 Enter")
    (record,) = exported(page, tmp_path / "bob.json")
    assert record["replaces"] == []
    assert "contradiction" in grader(f"marks RUN {tmp_path / 'bob.json'}")


def test_mine_are_those_of_the_split(visit: Callable[..., Any]) -> None:
    page = visit("bob", "--markers ada,bob")
    assert page.inner_text("#position") == "1 of 4, 0 done"
    page.keyboard.press("m")
    assert page.inner_text("#position").endswith("of 8, 0 done")
    page.keyboard.press("m")
    page.click("#who-button")
    page.click("#known-markers button >> nth=0")
    assert page.inner_text("#marker") == "ada"
    assert page.inner_text("#position") == "1 of 4, 0 done"


def test_an_export_goes_on_in_another_browser(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit()
    press(page, "1 c")
    page.keyboard.type("kept")
    press(page, "Control+Enter 2 Enter")
    marks = exported(page, tmp_path / "ada.json")
    other = visit()
    other.set_input_files("#file", tmp_path / "ada.json")
    other.wait_for_function("document.querySelector('#said').textContent.startsWith('Imported')")
    assert other.inner_text("#said") == "Imported 2 marks."
    assert other.inner_text("#queues [aria-current]").split() == ["Report", "2/8"]
    assert exported(other, tmp_path / "again.json") == marks
    bob = visit("bob")
    bob.set_input_files("#file", tmp_path / "ada.json")
    bob.wait_for_function("document.querySelector('#said').textContent.includes('of ada')")
    (tmp_path / "odd.json").write_text("[")
    bob.set_input_files("#file", tmp_path / "odd.json")
    bob.wait_for_function("document.querySelector('#said').textContent.includes('not a file')")


def test_two_tabs_keep_each_others_marks(visit: Callable[..., Any]) -> None:
    page = visit()
    other = visit(context=page.context)
    press(page, "1 Enter")
    other.wait_for_function("session.drafts.size === 1")
    press(other, "n 2 Enter")
    page.wait_for_function("session.drafts.size === 2")
    page.reload()
    assert page.inner_text("#queues [aria-current]").split() == ["Report", "2/8"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("QuotaExceededError", "its storage is full"),
        ("SecurityError", "its storage is not available"),
    ],
)
def test_a_storage_that_fails_is_said(error: str, message: str, visit: Callable[..., Any]) -> None:
    page = visit()
    page.evaluate(
        "(name) => {"
        "    Storage.prototype.setItem = () => { throw new DOMException('no', name); };"
        "}",
        error,
    )
    press(page, "1 Enter")
    assert message in page.inner_text("#trouble")
    assert page.inner_text("#queues [aria-current]").split() == ["Report", "1/8"]


def test_hostile_texts_stay_text(
    visit: Callable[..., Any], made: Made, grader: Callable[[str], str], tmp_path: Path
) -> None:
    write_log(made.run, Marks([mark(i, comment=HOSTILE, points=3) for i in range(8)]))
    store_requests(
        made.run, [Request("r1", HOSTILE, "submission_1001", "Report", HOSTILE, HOSTILE)]
    )
    page = visit(HOSTILE.replace("\u2028", ""))
    assert page.input_value("#comment") == HOSTILE
    press(page, "r")
    assert page.text_content("#comment-list .text") == HOSTILE
    press(page, "Escape h")
    page.click("#names")
    assert page.text_content(".request") == HOSTILE
    page.fill("#answer", HOSTILE + "\x00")
    press(page, "Control+Enter")
    assert page.locator("img[src=x]").count() == 0
    exported(page, tmp_path / "marks.json")
    grader(f"marks RUN {tmp_path / 'marks.json'}")
    assert read_log(made.run).answered()["r1"].comment == HOSTILE.strip()


def test_no_evidence_says_to_grade_again(visit: Callable[..., Any], made: Made) -> None:
    for path in made.run.glob("submissions/*/evidence.json"):
        path.unlink()
    assert "grade again" in visit().inner_text("#seen")


def test_zoom_and_help_close_again(visit: Callable[..., Any]) -> None:
    page = visit()
    press(page, "z ArrowRight")
    assert page.inner_text("#zoom-name") == "page 2 (2 of 2)"
    width = page.locator("#zoom img").bounding_box()["width"]
    press(page, "+")
    assert page.locator("#zoom img").bounding_box()["width"] > width
    press(page, "Escape ?")
    assert page.is_hidden("#zoom")
    assert page.is_visible("#help")
    page.uncheck("#shortcuts")
    press(page, "Escape 1")
    assert page.inner_text("#status") == "not marked"


def test_touch_on_a_phone(visit: Callable[..., Any]) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap(".jump")
    page.tap("text=Clear figures")
    page.tap("text=Figures without units")
    assert page.inner_text("#total") == "3"
    page.tap("text=none")
    assert page.inner_text("#total") == "\u2013"
    page.tap("text=Derives the ELBO")
    page.tap("#done")
    assert page.inner_text("#queues [aria-current]").split() == ["Report", "1/8"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_axe_finds_nothing(
    scheme: str, size: tuple[int, int], visit: Callable[..., Any], made: Made
) -> None:
    write_log(made.run, Marks([mark(3, items=["elbo"]), mark(3, marker="bob", items=["clear"])]))
    store_requests(
        made.run, [Request("r1", entry_number(5), "submission_1005", "Report", "please")]
    )
    page = visit(
        options="--markers ada,bob",
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        is_mobile=size[0] < 500,
    )
    states = ("", "1 3", "Enter", "l", "l", "l", "e", "Escape ?", "Escape r", "Escape h h h z")
    for keys in states:
        press(page, keys)
        assert violations(page) == [], keys
    press(page, "Escape")
    page.click("#who-button")
    assert violations(page) == []


def test_two_hundred_submissions(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_class(tmp_path, 202)
    monkeypatch.setattr(sys, "argv", ["grader", "marking", str(made.run)])
    assert main() == 0
    path = made.run / "marking.html"
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.fill("#who-name", "ada")
    press(page, "Enter 1 Enter 1 Enter")
    assert page.inner_text("#position") == "3 of 200, 2 done"
    assert page.evaluate("document.getElementsByTagName('*').length") < 1000
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"{path.stat().st_size / 2**20:.1f} MiB, loaded in {loaded:.0f} ms")
    page.close()
