"""Submissions that somebody should look at, each with its reasons."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..classroom.gradebook import Book
from ..classroom.similarity import Pair
from ..display.results import seconds_text
from .item_analysis import LEAST, complete, points_table

MANY = 3  # flags
RULES = (
    f"Compared are classes of at least {LEAST} submissions, by Tukey's rule: more than 1.5 "
    "interquartile ranges outside the middle half. Run times are compared by their ratios and must "
    f"differ from the median by a factor of 2. Many flags are {MANY} or more."
)


@dataclass(frozen=True)
class Outlier:
    """A submission that is worth a look, and why."""

    submission: str
    reasons: list[str]


def fences(values: pd.Series) -> tuple[float, float]:
    """Return the values outside of which Tukey (1977) calls others outliers.

    Nothing is outside if there are fewer than `LEAST`.
    """
    if len(values) < LEAST:
        return -np.inf, np.inf
    low, high = np.percentile(values, [25, 75])
    return float(low - 1.5 * (high - low)), float(high + 1.5 * (high - low))


def low_totals(totals: pd.Series) -> Iterator[tuple[str, str]]:
    low, _ = fences(totals)
    for name, total in totals[totals < low].items():
        yield str(name), f"total {total:g}, below {low:.4g}"


def disagreements(book: Book) -> Iterator[tuple[str, str]]:
    """Yield where the grader and people differ about the share of their points."""
    points = complete(points_table(book))
    shares = []
    for parts in (book.task.judged, book.task.manual):
        known = [part for part in parts if part.column in points]
        possible = sum(part.points for part in known)
        if not possible:
            return
        shares.append(points[[part.column for part in known]].sum(axis="columns") / possible)
    automatic, manual = shares
    low, high = fences(manual - automatic)
    for name in points.index:
        if not low <= manual[name] - automatic[name] <= high:
            yield name, f"{automatic[name]:.0%} of the automatic points, {manual[name]:.0%} by hand"


def run_times(book: Book) -> Iterator[tuple[str, str]]:
    """Yield very short and very long runs."""
    seconds = pd.Series({name: r["execution_time"] for name, r in book.results.items()})
    times = seconds[seconds > 0].map(math.log2)
    low, high = fences(times)
    middle = times.median()
    for name, time in times.items():
        text = f"ran for {seconds_text(2**time)}, the median is {seconds_text(2**middle)}"
        if time < min(low, middle - 1):
            yield str(name), f"very short: {text}"
        elif time > max(high, middle + 1):
            yield str(name), f"very long: {text}"


def similar(book: Book, pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        for name, other in ((pair.one, pair.other), (pair.other, pair.one)):
            if name in book.results:
                yield name, f"{pair.share:.0%} of the source in common with {other}"


def outliers(book: Book, totals: pd.Series, pairs: Sequence[Pair]) -> list[Outlier]:
    """Return the submissions worth a look, those with most reasons first.

    `totals` are those after lateness, by submission.
    """
    found: dict[str, list[str]] = {}
    flags = {name: len(book.own_flags(name)) for name in book.results}
    for name, reason in (
        *low_totals(totals),
        *disagreements(book),
        *run_times(book),
        *similar(book, pairs),
        *((name, f"{count} flags") for name, count in flags.items() if count >= MANY),
    ):
        found.setdefault(name, []).append(reason)
    ordered = sorted(found, key=lambda name: (-len(found[name]), name))
    return [Outlier(name, found[name]) for name in ordered]
