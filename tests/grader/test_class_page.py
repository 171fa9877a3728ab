"""The class page: what it says against the gradebook, and what it does in a browser."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.classroom.class_run import RESULTS, ClassRun, find_submissions
from grader.classroom.gradebook import Book, gradebook
from grader.classroom.marks import Given, Marks, write_log
from grader.classroom.open_book import FLAGS, SIMILAR, open_book
from grader.classroom.similarity import Pair, compare
from grader.staff.item_analysis import complete, item_analysis, points_table
from grader.staff.markers import by_chance, compare_markers
from grader.staff.outliers import fences, outliers
from grader.staff.requests import Request, store_requests
from tests.accessibility import violations
from tests.grader.classes import HONEST, grader
from tests.grader.staff_class import ASSIGNMENT, DUE, Made, entry_number, write_class

COUNT, MISSING = 30, 2
HOSTILE = "<img src=x onerror=\"document.title='run'\"> & '$$\\alpha$$' </script>"


def change_results(run: ClassRun, change: Callable[[int, dict[str, Any]], None]) -> None:
    """Change each result of a run in place, given its number."""
    for number, (name, result) in enumerate(run.results()):
        change(number, result)
        (run.home(name) / RESULTS).write_text(json.dumps(result), "utf-8")


def liven(number: int, result: dict[str, Any]) -> None:
    """Give a result a run time of its own; one is very long, and two verdicts are bad."""
    result["execution_time"] = 60.0 if number == 7 else 2 + number / 100
    if number in (5, 6):
        result["extra_data"]["verdicts"]["rules"] = "FORBIDDEN"


def drawn_marks(names: list[str]) -> list[Given]:
    """Return marks by three markers, of whom ana gives five points less for the report."""
    generator = np.random.default_rng(1)
    marks = []
    for number, name in enumerate(names[:-3]):
        time, marker = DUE + timedelta(days=3, minutes=number), ("kim", "lee", "ana")[number % 3]
        common: Any = {"submission": name, "marker": marker, "time": time}
        has = [item for item in ("elbo", "sources") if generator.random() < 0.9]
        has += [["clear"], ["some"], []][int(generator.integers(3))]
        less = -5 if marker == "ana" else 0
        marks.append(Given(part="Report", items=has, adjustment=less, **common))
        has = [item for item in ("sign", "no_reason") if generator.random() < 0.4]
        marks.append(Given(part="Question 1", items=has, **common))
    marks.append(Given(submission=names[4], part="Report", marker="max", time=time, points=1))
    return marks


def lively_class(folder: Path, count: int = COUNT) -> Made:
    """Write a class with marks, a contradiction, a request, similar sources, and odd run times."""
    made = write_class(folder, count, MISSING)
    run = ClassRun(made.run)
    change_results(run, liven)
    names = [name for name, _ in run.results()]
    write_log(made.run, Marks(drawn_marks(names)))
    store_requests(made.run, [Request("1", entry_number(3), names[3], "Report", "please")])
    (made.run / SIMILAR).write_text(json.dumps({"pairs": [[names[2], names[9], 0.83]]}))
    return made


def write_page(made: Made, words: str = "") -> str:
    """Run the command and return the page."""
    with pytest.MonkeyPatch.context() as patch:
        assert grader(f"stats {made.run} {words}", patch) == 0
    return (made.run / "index.html").read_text("utf-8")


class Tables(HTMLParser):
    """Collect the texts of the cells of each row of a table, by the table's id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.table = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.table = dict(attrs).get("id") or ""
            self.rows[self.table] = []
        elif tag == "tr":
            self.rows[self.table].append([])
        elif tag in ("td", "th"):
            self.rows[self.table][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.table and self.rows[self.table] and self.rows[self.table][-1]:
            self.rows[self.table][-1][-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        self.table = "" if tag == "table" else self.table


def tiles(page: str) -> dict[str, str]:
    """Return the numbers at the top of the page by their labels."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(?:<button[^>]*>)?(.*?)<", page)
    return dict(found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a lively class. Do not write to it."""
    return lively_class(tmp_path_factory.mktemp("class") / "class")


@pytest.fixture(scope="module")
def page(made: Made) -> str:
    return write_page(made, "--board named")


@pytest.fixture(scope="module")
def book(made: Made) -> Book:
    return open_book(made.run)


def test_the_facts_are_those_of_the_gradebook(page: str, book: Book) -> None:
    graded = gradebook(book).query("status == 'graded'")
    found = tiles(page)
    assert found["submissions"] == str(len(graded)) == str(COUNT - MISSING)
    assert found["students on the roster"] == str(COUNT)
    assert found["not handed in"] == str(MISSING)
    assert found["mean of 100"] == f"{graded['total'].mean():.2f}"
    assert found["median"] == f"{graded['total'].median():.2f}"
    assert found["of 56 parts marked by hand"] == str(2 * (COUNT - MISSING - 3))
    assert found["contradictions"] == found["open requests"] == "1"
    for student in book.missing:
        assert f"<li>{student.key}, {student.name.replace(chr(39), '&#39;')}" in page


def test_everybody_is_in_the_table_with_the_gradebook_s_numbers(page: str, book: Book) -> None:
    header, *rows = Tables(page).rows["everybody"]
    table = gradebook(book)
    assert [row[header.index("entry")] for row in rows] == list(table["student"])
    names = {"name": "name", "section": "section", "submission": "submission", "flags": "flags"}
    for heading, column in names.items():
        assert [row[header.index(heading)] for row in rows] == list(table[column])
    parts = {"Every code cell was run": "cells_run", "Report": "Report", "Question 1": "Question 1"}
    for heading, column in (parts | {"total": "total", "days late": "days_late"}).items():
        shown = [row[header.index(heading)] for row in rows]
        expected = ["" if pd.isna(value) else f"{value:g}" for value in table[column]]
        assert shown == expected
    status = dict(
        zip(table["submission"], (row[header.index("status")] for row in rows), strict=True)
    )
    assert status[""] == "not handed in"
    assert status["submission_1003"] == "graded, open request"
    assert status["submission_1004"] == "graded, contradiction"
    assert status["submission_1027"] == "graded, marks missing"


def test_item_analysis_against_pandas(book: Book) -> None:
    rows = {row.title: row for row in item_analysis(book)}
    table = gradebook(book).query("status == 'graded'").set_index("submission")
    parts = {"cells_run": 40, "no_errors": 20, "Report": 20, "Question 1": 20}
    points = table[list(parts)].astype(float)
    whole = points.dropna()
    for part in book.task.parts:
        row, own = rows[part.title], points[part.column].dropna()
        assert row.count == len(own)
        assert row.lost == pytest.approx((parts[part.column] - own).mean())
        assert row.share == pytest.approx(np.mean(own == parts[part.column]))
        rest = whole.drop(columns=part.column).sum(axis=1)
        expected = np.corrcoef(whole[part.column], rest)[0, 1]
        assert row.discrimination == pytest.approx(expected)
    assert [r.lost for r in rows.values()] == sorted((r.lost for r in rows.values()), reverse=True)
    first = {g.submission: g for g in reversed(book.marks.given) if g.part == "Report"}
    has = pd.DataFrame(
        {n: {i: i in g.items for i in ("elbo", "clear", "some")} for n, g in first.items()}
    ).T
    assert rows["Derives the ELBO (Report)"].lost == pytest.approx(8 * (1 - has["elbo"].mean()))
    nothing = ~(has["clear"] | has["some"]).astype(bool)
    assert rows["Clear figures (Report)"].lost == pytest.approx(7 * nothing.mean())
    some = rows["Figures without units or legends (Report)"]
    assert some.lost == pytest.approx(4 * has["some"].mean())
    assert some.share == pytest.approx(has["some"].mean())
    credit = 3.0 * has["some"].astype(float)
    expected = np.corrcoef(credit, whole.loc[credit.index].sum(axis=1) - credit)[0, 1]
    assert some.discrimination == pytest.approx(expected)
    question = [g for g in book.marks.given if g.part == "Question 1"]
    sign = np.mean(["sign" in g.items for g in question])
    assert rows["Sign of the KL term is wrong (Question 1)"].lost == pytest.approx(5 * sign)


def test_incomplete_submissions_do_not_disturb_correlations(book: Book) -> None:
    points = points_table(book)
    assert points.isna().any(axis=None)
    assert len(complete(points)) == COUNT - MISSING - 3
    nobody = points.assign(Report=np.nan)
    assert "Report" not in complete(nobody)
    assert len(complete(nobody)) == COUNT - MISSING - 3


def test_only_a_marker_beyond_chance_is_named(book: Book, page: str) -> None:
    rows = compare_markers(book)
    far = {(row.part, row.marker) for row in rows if row.is_far}
    assert ("Report", "ana") in far
    assert not {row for row in far if row[0] == "Question 1"}
    ana = next(row for row in rows if row.marker == "ana" and row.part == "Report")
    marks = [g for g in book.marks.given if g.part == "Report"]
    points = pd.Series([g.score(book.task.manual[0]) for g in marks], dtype=float)
    own = np.array([g.marker == "ana" for g in marks])
    assert ana.mean == pytest.approx(points[own].mean())
    assert ana.others == pytest.approx(points[~own].mean())
    assert "Farther from the others than by chance: ana (Report)" in page


def test_the_permutation_test_agrees_with_scipy() -> None:
    from scipy.stats import permutation_test

    generator = np.random.default_rng(3)
    own, others = generator.normal(0.5, 1, 20), generator.normal(0, 1, 40)
    expected = permutation_test(
        (own, others),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        vectorized=True,
        n_resamples=9999,
        alternative="two-sided",
    )
    assert by_chance(own, others) == pytest.approx(expected.pvalue, abs=0.02)
    assert by_chance(np.array([3.0]), np.array([3.0, 3.0])) == 1


def test_outliers_have_their_reasons(book: Book) -> None:
    table = gradebook(book).query("status == 'graded'").set_index("submission")
    found = outliers(book, table["total"], [Pair("submission_1002", "submission_1009", 0.83)])
    reasons = {outlier.submission: " ".join(outlier.reasons) for outlier in found}
    assert "very long: ran for 60.0 s" in reasons["submission_1007"]
    assert "83% of the source in common with submission_1009" in reasons["submission_1002"]
    assert "submission_1002" in reasons["submission_1009"]
    low = np.percentile(table["total"], 25) - 1.5 * np.subtract(
        *np.percentile(table["total"], [75, 25])
    )
    assert {n for n, r in reasons.items() if "total" in r} == {*table.index[table["total"] < low]}


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_fences_leave_the_middle_half_alone(values: list[float]) -> None:
    low, high = fences(pd.Series(values, dtype=float))
    inside = sum(low <= value <= high for value in values)
    assert inside >= len(values) / 2
    assert len(values) >= 10 or inside == len(values)


def test_the_same_run_gives_the_same_bytes(made: Made, page: str) -> None:
    again = write_page(made, "--board named")
    assert again == page
    assert len(page) < 2e6


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|<link", page.split("</head>")[1])


def assignment(made: Made, change: Callable[[str], str]) -> None:
    made.assignment.write_text(change(ASSIGNMENT), encoding="utf-8")


def test_empty_states_are_sentences(tmp_path: Path) -> None:
    made = write_class(tmp_path / "class", 1, 0)

    def equal(_number: int, result: dict[str, Any]) -> None:
        for figures in result["extra_data"]["metrics"].values():
            figures["points"] = "10"

    change_results(ClassRun(made.run), equal)
    page = write_page(made)
    for sentence in (
        "The only submission has 20 of 100 points.",
        "Everybody on the roster has handed in.",
        "Nobody has marked anything yet.",
        "Everybody is in the same section",
        "No submission stands out.",
    ):
        assert sentence in page
    assignment(made, lambda text: re.sub(r"(?s)\[late\].*?\n\n", "", text))
    (made.run / "run.json").write_text(
        json.dumps(json.loads((made.run / "run.json").read_text()) | {"roster": None})
    )
    (tmp_path / "class" / "submissions" / "submission_metadata.yml").unlink()
    page = write_page(made)
    assert "The assignment has no due date." in page
    assert "nobody knows who has not handed in" in page
    assert "nobody&#39;s section is known" in page
    assignment(made, lambda text: text.split("[[manual]]")[0])
    page = write_page(made)
    assert "People mark nothing in this assignment." in page
    assert "marked by hand" not in page


def test_equal_totals_are_said_and_nobody_stands_out(tmp_path: Path) -> None:
    made = write_class(tmp_path / "class", 14, 2)
    (tmp_path / "class" / "submissions" / "submission_metadata.yml").unlink()

    def equal(number: int, result: dict[str, Any]) -> None:
        result["extra_data"]["members"] = [entry_number(number)]
        result["extra_data"]["flags"] = []
        for figures in result["extra_data"]["metrics"].values():
            figures["points"] = "10"

    change_results(ClassRun(made.run), equal)
    page = write_page(made)
    assert "All totals are equal: 20 of 100 points." in page
    assert "No submission has a time stamp." in page
    assert "No submission stands out." in page
    rows = Tables(page).rows["items"][1:]
    assert {row[-1] for row in rows} == {"none"}, "no correlation of what is all the same"


def test_parts_that_are_too_many_share_a_column(tmp_path: Path) -> None:
    made = write_class(tmp_path / "class", 3, 0)
    check = '[[check]]\nname = "more_{}"\ntitle = "More"\nkind = "cells_run"\npoints = 1\n\n'
    more = "".join(check.format(i) for i in range(8))
    assignment(made, lambda text: text.replace("[[manual]]", more + "[[manual]]", 1))
    header, *rows = Tables(write_page(made)).rows["everybody"]
    assert "checks and tests" in header
    book = open_book(made.run)
    table = gradebook(book)
    expected = (table["cells_run"] + table["no_errors"]).map("{:g}".format)
    assert [row[header.index("checks and tests")] for row in rows] == list(expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("RUN --board all", "expected none, anonymous or named"),
        ("nowhere", "no record of a run"),
        ("RUN --roster nowhere.csv", "nowhere.csv: cannot be"),
    ],
)
def test_a_mistake_is_one_line(
    made: Made,
    page: str,
    words: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert grader(f"stats {words.replace('RUN', str(made.run))}", monkeypatch) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert (made.run / "index.html").read_text("utf-8") == page


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; afterwards, no error and no request may have been."""
    said: list[str] = []
    contexts = []

    def open_page(path: Path, *, phone: bool = False, dark: bool = False) -> Any:
        size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            viewport=size, color_scheme=scheme, has_touch=phone, is_mobile=phone
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else 0)
        page.goto(path.as_uri())
        if path.name == "index.html":
            page.wait_for_selector("body[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def shown(page: Any) -> list[str]:
    """Return the submissions of the rows that the table shows."""
    rows = page.eval_on_selector_all(
        "#everybody tbody tr:not([hidden])", "rows => rows.map((row) => row.cells[3].textContent)"
    )
    return [str(name) for name in rows]


PLACE = """([plot, x, y]) => {
  const view = Object.values(Bokeh.index.roots ?? Bokeh.index).find(
    (view) => document.getElementById(`plot-${plot}`).contains(view.el));
  const box = view.canvas_view.el.getBoundingClientRect();
  const { frame } = view;
  return [box.left + frame.x_scale.compute(x), box.top + frame.y_scale.compute(y)];
}"""


def plot_number(page: Any, title: str) -> int:
    figure = page.locator("figure", has=page.get_by_role("heading", name=title, exact=True))
    return int(figure.locator("[id^=plot-]").get_attribute("id").removeprefix("plot-"))


def place_of(page: Any, title: str, x: float, y: float) -> tuple[float, float]:
    """Return where a point of a plot is on the screen, after scrolling to the plot."""
    number = plot_number(page, title)
    page.locator(f"#plot-{number}").scroll_into_view_if_needed()
    left, top = page.evaluate(PLACE, [number, x, y])
    return left, top


def test_filters_and_order(made: Made, page: str, book: Book, opened: Callable[..., Any]) -> None:
    view = opened(made.run / "index.html")
    table = gradebook(book)
    assert shown(view) == list(table["submission"])
    assert view.inner_text("#shown") == f"{COUNT} of {COUNT} shown"
    view.fill("#search", entry_number(3).upper())
    assert shown(view) == ["submission_1003"]
    view.fill("#search", "")
    view.select_option("#section", "in A")
    assert shown(view) == list(table.query("section == 'A'")["submission"])
    view.select_option("#state", "late")
    assert shown(view) == list(table.query("section == 'A' and days_late > 0")["submission"])
    view.click(".filters .clear")
    view.select_option("#outcome", "rules: FORBIDDEN")
    assert shown(view) == ["submission_1005", "submission_1006"]
    view.click(".filters .clear")
    view.click(".tiles button[data-state='not handed in']")
    assert view.inner_text("#shown") == f"{MISSING} of {COUNT} shown"
    view.click(".filters .clear")
    heading = view.locator("#everybody th", has_text="total").locator("button")
    for falling in (False, True):
        heading.focus()
        view.keyboard.press("Enter")
        ordered = table.sort_values("total", ascending=not falling)["total"]
        totals = view.eval_on_selector_all(
            "#everybody tbody tr", "rows => rows.map((r) => Number(r.cells[9].textContent))"
        )
        assert totals == list(ordered)


def test_a_click_in_a_plot_filters_the_table(
    made: Made, page: str, book: Book, opened: Callable[..., Any]
) -> None:
    view = opened(made.run / "index.html")
    table = gradebook(book).query("status == 'graded'")
    best = table[table["total"] >= 95]
    view.mouse.click(*place_of(view, "Totals", 97.5, len(best) / 2))
    view.locator("#picked").wait_for()
    assert shown(view) == list(best["submission"])
    assert view.inner_text("#what").startswith("95 to 100 points in total")
    view.mouse.click(*place_of(view, "What costs most", 0.1, 0))
    row = item_analysis(book)[0]
    view.locator("#what", has_text="lost points").wait_for()
    assert sorted(shown(view)) == sorted(row.losers)
    view.click("#picked .clear")
    assert len(shown(view)) == COUNT
    assert view.locator("#picked").is_hidden()


def trained_class(folder: Path) -> Made:
    """Write a class that was graded by A3: two metrics, and a stage that trains."""
    made = write_class(folder, COUNT, MISSING)
    generator = np.random.default_rng(2)
    plan = json.loads((made.run / "run.json").read_text()) | {"assignment": "a3"}
    (made.run / "run.json").write_text(json.dumps(plan))
    task = read_assignment("a3")

    def as_a3(_number: int, result: dict[str, Any]) -> None:
        figures = {
            metric.name: {"points": f"{metric.points * generator.beta(5, 2):.2f}", "parts": {}}
            for metric in task.metric
        }
        result["extra_data"]["metrics"] = figures
        train = {"name": "train", "seconds": 60 * float(generator.uniform(2, 30))}
        result["extra_data"]["steps"] = [train]

    change_results(ClassRun(made.run), as_a3)
    (made.run / "marking.html").touch()
    return made


def test_metrics_and_training_times_are_plotted(tmp_path: Path, opened: Callable[..., Any]) -> None:
    made = trained_class(tmp_path / "class")
    page = write_page(made)
    assert '<a href="marking.html">' in page
    view = opened(made.run / "index.html")
    table = gradebook(open_book(made.run)).query("status == 'graded'")
    one, other = read_assignment("a3").metric
    point = table.iloc[0]
    for title in (one.title, other.title, "Training times: train"):
        assert plot_number(view, title) >= 0
    place = place_of(view, "One metric against the other", point[one.name], point[other.name])
    view.mouse.click(*place)
    view.locator("#picked").wait_for()
    assert point["submission"] in shown(view)
    assert f"{point['submission']}: {point[one.name]:g} and" in view.inner_text("#what")


def hostile_class(folder: Path) -> Made:
    """Write a class whose submission, student, section, flags, parts and markers are hostile."""
    made = write_class(folder, 12, 1)
    run = ClassRun(made.run)
    name = HOSTILE.replace("/", "")
    for place in (run.home("submission_1002"), folder / "submissions" / "submission_1002"):
        place.rename(place.with_name(name))
    metadata = folder / "submissions" / "submission_metadata.yml"
    text = metadata.read_text("utf-8")
    metadata.write_text(text.replace("submission_1002", json.dumps(name)), "utf-8")
    table = pd.read_csv(made.roster, dtype=str)
    table.loc[2, ["name", "section"]] = HOSTILE
    table.loc[11, ["name", "section"]] = HOSTILE
    table.to_csv(made.roster, index=False)
    (made.run / FLAGS).write_text(json.dumps({name: [HOSTILE] * 3}))
    (made.run / SIMILAR).write_text(json.dumps({"pairs": [[name, HOSTILE, 0.9]]}))
    title = json.dumps(HOSTILE)
    assignment(made, lambda text: text.replace('"Report"', title))
    names = [name for name, _ in run.results()]
    marks = [Given(submission=n, part=HOSTILE, marker=HOSTILE, time=DUE, points=3) for n in names]
    write_log(made.run, Marks(marks))
    return made


def test_hostile_names_stay_text(tmp_path: Path, opened: Callable[..., Any]) -> None:
    made = hostile_class(tmp_path / "class")
    write_page(made, "--board named")
    view = opened(made.run / "index.html")
    name = HOSTILE.replace("/", "")
    assert name in shown(view)
    view.select_option("#section", f"in {HOSTILE}")
    assert shown(view) == [name, ""]
    book = open_book(made.run)
    total = gradebook(book).query("submission == @name")["total"].item()
    sections = sorted({student.section for student in book.roster.students} if book.roster else ())
    for title, y in (("Sections", sections.index(HOSTILE) - 0.25), ("Totals", 0.5)):
        view.mouse.move(*place_of(view, title, total - 0.2 * (title == "Totals"), y))
        view.wait_for_timeout(300)
        tooltips = view.locator(".bk-tooltip-row-value")
        assert name in " ".join(tooltips.all_inner_texts()), "the tooltip shows it as text"
    assert view.title() == "Lab: a VAE of digits: 11 submissions"
    assert view.locator("img, [onerror]").count() == 0


@pytest.fixture(scope="module")
def similarity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of two similar submissions."""
    folder = tmp_path_factory.mktemp("similar")
    for name in ("one", "other"):
        (folder / "class" / name).mkdir(parents=True)
        (folder / "class" / name / "vae.py").write_text(f"{HONEST}\nNAME = {'x' * 200!r}\n")
    entries = find_submissions(folder / "class")
    compare(entries, read_assignment("a3"), None, folder / "similarity.html")
    return folder / "similarity.html"


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("dark", [False, True])
def test_the_pages_pass_axe_and_fit(
    made: Made, page: str, similarity: Path, opened: Callable[..., Any], phone: bool, dark: bool
) -> None:
    report = made.run / "submissions" / "submission_1003" / "report.html"
    for path in (made.run / "index.html", report, similarity):
        view = opened(path, phone=phone, dark=dark)
        assert violations(view) == [], path.name
        width = view.evaluate("document.documentElement.scrollWidth")
        assert width == (390 if phone else 1440), path.name


def test_a_phone_can_pick_a_point(made: Made, page: str, opened: Callable[..., Any]) -> None:
    view = opened(made.run / "index.html", phone=True)
    view.touchscreen.tap(*place_of(view, "What costs most", 0.1, 0))
    view.locator("#picked").wait_for()
    assert 0 < len(shown(view)) < COUNT


def test_plots_follow_the_colours_of_the_page(
    made: Made, page: str, opened: Callable[..., Any]
) -> None:
    ink = "Bokeh.documents[0].roots()[0].below[0].axis_label_text_color"
    view = opened(made.run / "index.html", dark=True)
    assert view.evaluate(ink) == "#ddd"
    view.emulate_media(color_scheme="light")
    frame = "requestAnimationFrame"  # in which a page learns of it
    view.evaluate(f"new Promise((done) => {frame}(() => {frame}(done)))")
    assert view.evaluate(ink) == "#222"
