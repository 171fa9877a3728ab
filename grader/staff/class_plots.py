"""Choose the plots of the class page, each with a sentence, also where there is nothing to plot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..classroom.gradebook import GRADED, Book
from . import class_figures as draw
from .item_analysis import Row
from .markers import MarkerRow


@dataclass(frozen=True)
class Plot:
    """A plot with its title and a sentence; without a figure, the sentence says why."""

    title: str
    text: str
    figure: Any = None


def timeline(book: Book, numbers: dict[str, int], everybody: int) -> Plot:
    """Plot the submissions against the due date; `everybody` is the size of the class."""
    title, due = "When they handed in", book.task.late.due
    if due is None:
        return Plot(title, "The assignment has no due date.")
    times = {n: t for n in book.results if (t := book.entries[n].submitted) is not None}
    if not times:
        return Plot(title, "No submission has a time stamp.")
    rows, seen = [], set[str]()
    for name in sorted(times, key=lambda name: (times[name], name)):
        students = book.students(name)
        seen |= {student or name for student in students}
        seconds, late = (times[name] - due).total_seconds(), book.lateness(name, students[0]).days
        side = "before" if seconds <= 0 else "after"
        what = f"{name}: {abs(seconds) / draw.DAY:.1f} days {side} it"
        what += f", {draw.count(late, 'day')} late" if late else ""
        share = min(100 * len(seen) / everybody, 100)
        cells = {"number": numbers[name], "what": what, "seconds": seconds}
        rows.append(cells | {"late": late > 0, "share": share})
    late_ones = sum(bool(row["late"]) for row in rows)
    text = f"Late: {late_ones} of {draw.count(len(rows))}. "
    text += "Dashed: what each late day costs that is not free." if book.task.late.days else ""
    return Plot(title, text, draw.timeline(pd.DataFrame(rows), book.task.late.days))


def sections(table: pd.DataFrame, most: float) -> Plot:
    title = "Sections"
    if "section" not in table:
        return Plot(title, "Without a roster (--roster FILE), nobody's section is known.")
    if table["section"].nunique() < 2:
        return Plot(title, "Everybody is in the same section, so there is nothing to compare.")
    found = table.groupby("section")["total"].agg(["count", "median"])
    medians = [
        f"{s or 'no section'} {r['median']:.4g} ({r['count']:g})" for s, r in found.iterrows()
    ]
    text = "A box is the middle half, with the median: " + ", ".join(medians) + "."
    return Plot(title, text, draw.sections(table, most))


def markers(book: Book, rows: list[MarkerRow], numbers: dict[str, int]) -> Plot:
    title = "Markers"
    if not book.task.manual:
        return Plot(title, "People mark nothing in this assignment.")
    if not rows:
        return Plot(title, "Nobody has marked anything yet.")
    far = [f"{row.marker} ({row.part})" for row in rows if row.is_far]
    text = f"Farther from the others than by chance: {', '.join(far) or 'nobody'}. Lines: one "
    return Plot(title, text + "standard error.", draw.markers(rows, numbers))


def training(book: Book, names: pd.Series) -> Iterator[Plot]:
    """Yield the minutes of each training stage against its budget, if anybody trained."""
    for stage in book.task.stage:
        minutes = {
            number: step["seconds"] / 60
            for number, name in names.items()
            for step in book.results[name]["extra_data"]["steps"]
            if stage.trains and step["name"] == stage.name and step["seconds"]
        }
        if minutes:
            budget = (stage.limits.remark_seconds or stage.limits.seconds) / 60
            most = 1.05 * max(*minutes.values(), budget)
            figure = draw.histogram(pd.Series(minutes), names, "minutes of training", most)
            draw.upright(figure, budget)
            text = f"Dashed: the {budget:g} minutes that are expected."
            yield Plot(f"Training times: {stage.name}", text, figure)


def totals_plot(graded: pd.DataFrame, possible: float, most: float) -> Plot:
    totals = graded["total"]
    text = f"Dashed: the median, {totals.median():.4g} of {possible:g}."
    if len(totals) == 1:
        text = f"The only submission has {totals[0]:g} of {possible:g} points."
    elif totals.nunique() == 1:
        text = f"All totals are equal: {totals[0]:g} of {possible:g} points."
    figure = draw.histogram(totals, graded["submission"], "points in total", most)
    draw.upright(figure, totals.median())
    return Plot("Totals", text, figure)


def costs(items: list[Row], numbers: dict[str, int]) -> Plot:
    title = "What costs most"
    if not any(row.lost > 0 for row in items):
        return Plot(title, "Nobody lost a point in what is marked so far.")
    text = f"At most {draw.SHOWN} parts and items; the table below has all."
    return Plot(title, text, draw.item_bars(items, numbers))


def metrics(book: Book, graded: pd.DataFrame) -> Iterator[Plot]:
    """Yield the points for each metric, and those for the first against the second."""
    found = book.task.metric
    for metric in found:
        values = graded[metric.name].astype(float)
        figure = draw.histogram(values, graded["submission"], "points", metric.points)
        yield Plot(metric.title, f"Mean {values.mean():.4g} of {metric.points:g}.", figure)
    if len(found) > 1:
        figure = draw.scatter(graded.assign(number=graded.index), found[0], found[1])
        yield Plot("One metric against the other", "A point is a submission.", figure)


def plots(
    book: Book, table: pd.DataFrame, graded: pd.DataFrame, items: list[Row], given: list[MarkerRow]
) -> Iterator[Plot]:
    """Yield all plots. `table` has a row for each student, `graded` one for each submission."""
    numbers = {str(name): number for number, name in enumerate(graded["submission"])}
    handed_in = table[table["status"] == GRADED]
    told = handed_in["submission"] + ": " + handed_in["total"].map("{:g}".format)
    handed_in = handed_in.assign(number=handed_in["submission"].map(numbers), what=told)
    most = float(max(book.task.possible, graded["total"].max()))
    everybody = table["student"].where(table["student"] != "", table["submission"]).nunique()
    yield totals_plot(graded, book.task.possible, most)
    yield timeline(book, numbers, everybody)
    yield sections(handed_in, most)
    yield costs(items, numbers)
    yield markers(book, given, numbers)
    yield from metrics(book, graded)
    yield from training(book, graded["submission"])
