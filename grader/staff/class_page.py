"""Show a run on one self-contained HTML page: distributions, verdicts, a searchable table."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..assignment import Assignment
from ..classroom.class_run import ClassRun
from ..classroom.gradebook import Book, gradebook
from ..classroom.similarity import Pair
from ..display.result_page import ENVIRONMENT, embedded
from ..files import write_whole
from ..judging import Judged

COLOUR = "#0072B2"
BINS = 20


def histogram(values: pd.Series, title: str, most: float) -> Figure:
    figure = Figure(figsize=(4, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(values.dropna(), bins=BINS, range=(0, most), color=COLOUR)
    axes.set(xlabel=title, ylabel="submissions", xlim=(0, most))
    return figure


def scatter(table: pd.DataFrame, x: str, y: str) -> Figure:
    figure = Figure(figsize=(4, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.scatter(table[x], table[y], color=COLOUR, alpha=0.6, s=16)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure


def shares(table: pd.DataFrame, marks: list[Judged]) -> Figure:
    """Draw a bar for each mark: the mean share of its points."""
    figure = Figure(figsize=(8, 0.6 + 0.25 * len(marks)), layout="constrained")
    axes = figure.subplots()
    values = [table[mark.name].mean() / mark.points for mark in marks]
    axes.barh([mark.title for mark in marks], values, color=COLOUR)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="mean share of the points")
    return figure


def training_times(results: dict[str, dict[str, Any]], task: Assignment) -> Figure | None:
    """Plot the minutes of training against the budgets; return None if nobody trained."""
    stages = [stage for stage in task.stage if stage.trains]
    names = {stage.name for stage in stages}
    minutes = [
        step["seconds"] / 60
        for result in results.values()
        for step in result["extra_data"]["steps"]
        if step["name"] in names and step["seconds"]
    ]
    if not minutes:
        return None
    budgets = [(stage.limits.remark_seconds or stage.limits.seconds) / 60 for stage in stages]
    figure = Figure(figsize=(4, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(minutes, bins=BINS, range=(0, max(*minutes, *budgets)), color=COLOUR)
    for budget in budgets:
        axes.axvline(budget, color="#D55E00", linestyle="--")
    axes.set(xlabel="minutes of training (dashed: what is expected)", ylabel="submissions")
    return figure


def verdict_counts(results: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Count how often each step (a row) ended in each verdict (a column)."""
    rows = [
        {"step": step, "verdict": verdict}
        for result in results.values()
        for step, verdict in result["extra_data"]["verdicts"].items()
    ]
    frame = pd.DataFrame(rows)
    return pd.crosstab(frame["step"], frame["verdict"]).reindex(frame["step"].unique())


def leaderboard(table: pd.DataFrame, *, named: bool) -> list[tuple[str, float]]:
    """Return the totals in descending order, without names unless `named`."""
    best = table.sort_values("total", ascending=False, kind="stable")
    names = best["submission"] if named else pd.Series([f"#{i + 1}" for i in range(len(best))])
    return list(zip(names, best["total"], strict=True))


def render_class(run: ClassRun, book: Book, pairs: list[Pair], *, board: str) -> Path:
    """Write index.html and return its path; `board` is 'none', 'anonymous' or 'named'."""
    task, results = book.task, book.results
    table = gradebook(book).drop_duplicates("submission").sort_values("submission")
    metrics = {metric.name: metric.points for metric in task.metric}
    others = [judged for judged in task.judged if judged.name not in metrics and judged.points]
    pictures = {
        f"Points for {name}": histogram(table[name], f"{name}, points", points)
        for name, points in metrics.items()
    }
    highest = max(task.possible, table["total"].max())
    pictures["Totals"] = histogram(table["total"], "total", highest)
    if others:
        pictures["Share of the points, on average"] = shares(table, others)
    names = list(metrics)
    if len(names) > 1:
        pictures["One metric against the other"] = scatter(table, names[0], names[1])
    times = training_times(results, task)
    if times is not None:
        pictures["Training times"] = times
    columns = [*names, "days_late", "total"]
    page = ENVIRONMENT.get_template("class.html").render(
        title=task.title,
        count=len(table),
        mean=table["total"].mean(),
        median=table["total"].median(),
        pictures={caption: embedded(figure) for caption, figure in pictures.items()},
        verdicts=verdict_counts(results),
        columns=columns,
        rows=table.to_dict("records"),
        students={name: " ".join(book.students(name)) for name in results},
        pairs=pairs,
        board=leaderboard(table, named=board == "named") if board != "none" else [],
    )
    path = run.folder / "index.html"
    write_whole(path, page)
    return path
