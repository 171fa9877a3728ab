"""What each marker gave on average, and whether that differs by more than chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..classroom.gradebook import Book
from ..classroom.marks import Part

DRAWS = 9999
ALPHA = 0.05
RULE = (
    f"A marker is named if their mean is farther from that of the others' marks than in {ALPHA:.0%}"
    f" of {DRAWS:,} random assignments of the marks to markers (a permutation test), divided by the"
    " number of comparisons (Bonferroni). Markers of different sections may well differ because"
    " the sections do."
)


@dataclass(frozen=True)
class MarkerRow:
    """The marks of a marker for a part: how many, their mean and its standard error.

    `others` is the mean of all other marks, and `p` how often chance gives such a difference, times
    the number of comparisons; both are NaN if nobody else marked the part.
    """

    part: str
    possible: float
    marker: str
    submissions: list[str]
    mean: float
    error: float
    others: float
    p: float

    @property
    def is_far(self) -> bool:
        return self.p < ALPHA


def given_points(book: Book, part: Part) -> dict[str, dict[str, float]]:
    """Return the points of a part that count or contradict others, by marker and submission."""
    found: dict[str, dict[str, float]] = {}
    for name in book.results:
        for given in book.marks.of(name, part.column):
            points = given.score(part)
            if points is not None:
                found.setdefault(given.marker or "no name", {})[name] = points
    return found


def by_chance(own: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return how often random assignment gives means at least as far apart as these.

    It is a permutation test with `DRAWS` draws, (Fisher 1935), always with the same ones.
    """
    pooled = np.concatenate([own, others])
    drawn = np.random.default_rng(0).permuted(np.tile(pooled, (DRAWS, 1)), axis=1)
    apart = np.abs(drawn[:, : len(own)].mean(axis=1) - pooled.mean())
    return float(1 + np.sum(apart >= abs(own.mean() - pooled.mean()) - 1e-9)) / (DRAWS + 1)


def compare_markers(book: Book) -> list[MarkerRow]:
    """Return a row for each part and marker, in the order of the assignment and of names."""
    given = {part.column: given_points(book, part) for part in book.task.parts}
    comparisons = sum(len(markers) for markers in given.values() if len(markers) > 1)
    rows = []
    for part in book.task.parts:
        markers = {name: np.array([*p.values()]) for name, p in given[part.column].items()}
        for name in sorted(markers):
            own = markers[name]
            rest = [points for other, points in markers.items() if other != name]
            others = np.concatenate(rest) if rest else np.array([np.nan])
            p = by_chance(own, others) * comparisons if rest else np.nan
            error = own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.nan
            names = [*given[part.column][name]]
            mean, other_mean = float(own.mean()), float(others.mean())
            row = MarkerRow(part.title, part.points, name, names, mean, float(error), other_mean, p)
            rows.append(row)
    return rows
