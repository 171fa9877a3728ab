"""Show a run on one self-contained HTML page: facts, plots, outliers, and everybody in a table."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from bokeh.resources import Resources
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from ..classroom.class_run import ClassRun
from ..classroom.gradebook import GRADED, MISSING, WAITING, Book, gradebook
from ..classroom.marks import Part
from ..classroom.similarity import Pair
from ..display.result_page import ENVIRONMENT
from ..files import write_whole
from .class_figures import as_json
from .class_plots import plots
from .item_analysis import LEAST, item_analysis
from .markers import RULE, compare_markers
from .outliers import RULES, outliers
from .requests import stored_requests

LATE, FLAGGED, UNMARKED = "late", "flagged", "marks missing"
CONTRADICTION, REQUEST = "contradiction", "open request"
STATES = (GRADED, MISSING, WAITING, LATE, FLAGGED, UNMARKED, CONTRADICTION, REQUEST)
MARKING = "marking.html"
MOST_COLUMNS = 8  # parts with a column of their own


def verdict_counts(book: Book) -> pd.DataFrame:
    """Count how often each step (a row) ended in each verdict (a column)."""
    rows = [
        {"step": step, "verdict": verdict}
        for result in book.results.values()
        for step, verdict in result["extra_data"]["verdicts"].items()
    ]
    frame = pd.DataFrame(rows, columns=["step", "verdict"])
    return pd.crosstab(frame["step"], frame["verdict"]).reindex(frame["step"].unique())


def leaderboard(graded: pd.DataFrame, *, named: bool) -> list[tuple[str, float]]:
    """Return the totals in descending order, without names unless `named`."""
    best = graded.sort_values("total", ascending=False, kind="stable")
    names = best["submission"] if named else pd.Series([f"#{i + 1}" for i in range(len(best))])
    return list(zip(names, best["total"], strict=True))


def states_of(book: Book, requested: set[str]) -> dict[str, list[str]]:
    """Return by submission what the table can be filtered by; `requested` have open requests."""
    contradictions, found = book.marks.contradictions(book.task), {}
    for name in book.results:
        missing = [p for p in book.task.manual if book.marks.points(name, p) is None]
        late = book.lateness(name, book.students(name)[0]).days > 0
        has = {
            GRADED: True,
            LATE: late,
            FLAGGED: bool(book.own_flags(name)),
            UNMARKED: bool(missing),
            CONTRADICTION: name in contradictions,
            REQUEST: name in requested,
        }
        found[name] = [state for state, true in has.items() if true]
    return found


def point_columns(book: Book) -> dict[str, list[str]]:
    """Return the parts that each column of points has: each its own, unless there are too many."""
    task = book.task
    own: list[Part] = task.parts
    if len(task.parts) > MOST_COLUMNS:
        own = [*task.metric, *task.manual]
    columns = {part.title: [part.column] for part in own}
    if len(task.parts) > MOST_COLUMNS:
        rest = [part.column for part in task.judged if part not in task.metric]
        columns |= {"checks and tests": rest} if rest else {}
    return columns


def number_text(value: Any) -> str:
    """Return a number for the table; nothing for what is missing."""
    return "" if value is None or pd.isna(value) else f"{value:g}"


def table_rows(
    book: Book, table: pd.DataFrame, numbers: dict[str, int], states: dict[str, list[str]]
) -> Iterator[dict[str, Any]]:
    """Yield the cells of each student, those who handed in nothing included."""
    columns = point_columns(book)
    for row in table.to_dict("records"):
        name = row["submission"]
        own = states.get(name, [row["status"]])
        result = book.results.get(name)
        verdicts = result["extra_data"]["verdicts"] if result else {}
        points = [[row.get(c, math.nan) for c in parts] for parts in columns.values()]
        yield {
            **{key: row.get(key, "") for key in ("student", "name", "section", "flags")},
            "submission": name,
            "number": numbers.get(name, ""),
            "points": [
                number_text(None if any(map(pd.isna, values)) else math.fsum(map(float, values)))
                for values in points
            ],
            "days_late": number_text(row.get("days_late")),
            "total": number_text(row["total"]),
            "states": own,
            "said": ", ".join(s for s in own if s not in (LATE, FLAGGED)),
            "verdicts": [f"{step}: {verdict}" for step, verdict in verdicts.items()],
        }


def render_class(run: ClassRun, book: Book, pairs: list[Pair], *, board: str) -> Path:
    """Write index.html and return its path; `board` is 'none', 'anonymous' or 'named'."""
    table = gradebook(book)
    graded = table[table["status"] == GRADED].drop_duplicates("submission")
    graded = graded.sort_values("submission", ignore_index=True)
    numbers = {str(name): number for number, name in enumerate(graded["submission"])}
    answered = book.marks.answered()
    requests = [r for r in stored_requests(run.folder) if r.id not in answered]
    states = states_of(book, {request.submission for request in requests})
    items, given = item_analysis(book), compare_markers(book)
    shown = [*plots(book, table, graded, items, given)]
    totals = graded.set_index("submission")["total"]
    rows = [*table_rows(book, table, numbers, states)]
    figures = [as_json(p.figure, f"p{i}") if p.figure else None for i, p in enumerate(shown)]
    page = ENVIRONMENT.get_template("class.html").render(
        task=book.task,
        book=book,
        count=len(graded),
        totals=totals,
        marked=book.marked(),
        contradictions=sum(CONTRADICTION in own for own in states.values()),
        requests=len(requests),
        plots=shown,
        figures=htmlsafe_json_dumps(figures, separators=(",", ":")),  # in Bokeh's order
        items=items,
        least=LEAST,
        markers=given,
        marker_rule=RULE,
        rules=RULES,
        outliers=outliers(book, totals, pairs),
        students={name: " ".join(book.students(name)) for name in book.results},
        verdicts=verdict_counts(book),
        pairs=pairs,
        compared=(run.folder / "similarity.html").exists(),
        marking=MARKING if (run.folder / MARKING).exists() else None,
        board=leaderboard(graded, named=board == "named") if board != "none" else [],
        columns=list(point_columns(book)),
        rows=rows,
        states=[state for state in STATES if any(state in row["states"] for row in rows)],
        sections=sorted({row["section"] for row in rows}),
        outcomes=list(dict.fromkeys(v for row in rows for v in row["verdicts"])),
        bokeh=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
    )
    path = run.folder / "index.html"
    write_whole(path, page)
    return path
