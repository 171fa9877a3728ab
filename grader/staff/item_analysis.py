"""Which part of an assignment, or item of a rubric, costs the class most, and whether it tells
strong submissions from weak ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ..classroom.gradebook import Book
from ..judging import FunctionTest, Item, Judged, Manual, Metric, NotebookCheck, Number

LEAST = 10  # submissions; correlations of fewer say little
LOW = 0.2  # discrimination below this is poor (Ebel and Frisbie 1991, Essentials of Educational
# Measurement, chapter 13)
KINDS: dict[type, str] = {
    Metric: "metric",
    NotebookCheck: "check",
    Number: "number",
    FunctionTest: "test",
    Manual: "by hand",
}
ITEM = "rubric item"


@dataclass(frozen=True)
class Row:
    """What the class did with a part, or with an item of its rubric.

    `count` submissions are marked in it. `lost` is the mean of the points that it cost one of them,
    NaN for a bonus; `share`, how many of them have the item, or all points of the part;
    `discrimination`, the correlation of its points with the rest of the total, NaN if there is
    none. `losers` are the submissions that it cost points.
    """

    title: str
    kind: str
    points: float
    count: int
    lost: float
    share: float
    discrimination: float
    losers: list[str]

    @property
    def is_low(self) -> bool:
        """Check whether it does not measure what the rest of the assignment measures."""
        return self.discrimination < LOW


def points_table(book: Book) -> pd.DataFrame:
    """Return the points before lateness: a row for each submission, a column for each part.

    NaN stands for what nobody has marked yet.
    """
    columns = [part.column for part in book.task.parts]
    rows = [book.points(name) for name in book.results]
    return pd.DataFrame(rows, index=list(book.results), columns=columns, dtype=float)


def complete(points: pd.DataFrame) -> pd.DataFrame:
    """Return the submissions that are marked in every part in which anybody is."""
    return points.dropna(axis="columns", how="all").dropna()


def discrimination(credit: pd.Series, totals: pd.Series) -> float:
    """Return Pearson's correlation of some points, (N,), with the rest of the totals, (M,).

    Only submissions that have both count. NaN if they are fewer than `LEAST`, or all the same.
    """
    own, all_points = credit.align(totals, join="inner")
    rest = (all_points - own).round(6)
    if len(own) < LEAST or own.nunique() < 2 or rest.nunique() < 2:
        return math.nan
    return float(own.corr(rest))


def part_row(part: Judged | Manual, points: pd.DataFrame, totals: pd.Series) -> Row:
    own = points[part.column].dropna()
    lost = part.points - own
    return Row(
        part.title,
        KINDS[type(part)] + (", bonus" if part.bonus else ""),
        part.points,
        len(own),
        math.nan if part.bonus else float(lost.mean()),
        float((lost <= 1e-9).mean()),
        discrimination(own, totals),
        list(own.index[lost > 1e-9]),
    )


def item_losses(part: Manual, item: Item, items: dict[str, list[str]]) -> pd.Series:
    """Return what an item of a rubric costs each submission, by the items that it has.

    That is what the best item of its group has more. Who has none of the group loses the points of
    the best one to it.
    """
    group = [i for i in part.item if i is item or (item.group and i.group == item.group)]
    best = max(group, key=lambda i: i.points)
    most = max(best.points, 0.0)
    losses = {}
    for name, has in items.items():
        if item.name in has:
            losses[name] = most - item.points
        else:
            nothing = item is best and not any(i.name in has for i in group)
            losses[name] = most if nothing else 0.0
    return pd.Series(losses, dtype=float)


def item_rows(book: Book, part: Manual, totals: pd.Series) -> Iterator[Row]:
    """Yield a row for each item of a part's rubric.

    Marks whose points were typed in, without the rubric, do not count.
    """
    first = {n: standing[0] for n in book.results if (standing := book.marks.of(n, part.column))}
    items = {name: given.items for name, given in first.items() if given.points is None}
    for item in part.item:
        losses = item_losses(part, item, items)
        has = pd.Series({name: item.name in own for name, own in items.items()}, dtype=float)
        yield Row(
            f"{item.title} ({part.title})",
            ITEM,
            item.points,
            len(items),
            float(losses.mean()),
            float(has.mean()),
            discrimination(item.points * has, totals),
            list(losses.index[losses > 0]),
        )


def item_analysis(book: Book) -> list[Row]:
    """Return a row for each part and rubric item that somebody is marked in.

    What costs most is first; bonuses are last.
    """
    points = points_table(book)
    totals = complete(points).sum(axis="columns")
    rows = [part_row(part, points, totals) for part in book.task.parts if part.points]
    for part in book.task.manual:
        rows += item_rows(book, part, totals)
    rows = [row for row in rows if row.count]
    return sorted(rows, key=lambda row: (math.isnan(row.lost), -row.lost))
