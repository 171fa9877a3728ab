"""What the log of marks says: what is marked, who gave what, and how markers agree."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from ..classroom.gradebook import Book
from ..classroom.marks import Given
from ..errors import printable
from ..judging import Manual


def state_lines(book: Book) -> Iterator[str]:
    """Yield for each part how much of it is marked, then the contradictions."""
    for title, count in book.marked().items():
        yield printable(f"{title}: {count} of {len(book.results)} marked")
    yield from contradiction_lines(book)


def contradiction_lines(book: Book) -> Iterator[str]:
    """Yield a line for each part of a submission with marks of different points."""
    for name, texts in book.marks.contradictions(book.task).items():
        yield from (printable(f"{name}: {text}: contradiction") for text in texts)


def unmarked_lines(book: Book) -> Iterator[str]:
    """Yield for each part that is not marked in every submission how many count 0 for that."""
    whole = len(book.results)
    for title, count in book.marked().items():
        if count < whole:
            yield printable(f"{title}: {whole - count} of {whole} are not marked, which counts 0")


def history_lines(book: Book) -> Iterator[str]:
    """Yield a line for each mark that was ever given, in the order of the log."""
    parts = {part.column: part for part in book.task.parts}
    standing = {
        given.id
        for own in book.marks.standing.values()
        for marks in own.values()
        for given in marks
    }
    for given in book.marks.given:
        part = parts.get(given.part)
        score = given.score(part) if part else None
        points = "no change" if score is None else f"{score:g}"
        points = "withdrawn" if given.withdrawn else points
        when = given.time.isoformat() if given.time else "no time"
        words = [when, given.marker or "nobody", given.submission, f"{given.part}: {points}"]
        words += [", ".join(given.items)] if given.items else []
        words += [f"adjusted by {given.adjustment:+g}"] if given.adjustment else []
        words += [given.comment] if given.comment else []
        words += [f"answer: {given.answer}"] if given.answer else []
        words += [] if given.id in standing else ["replaced"]
        yield printable("  ".join(words))


def doubly_marked(book: Book, part: Manual) -> dict[tuple[str, str], list[tuple[Given, Given]]]:
    """Return for each two markers their marks of the same submissions.

    The first mark of each counts, given without having seen the other's.
    """
    found: dict[tuple[str, str], list[tuple[Given, Given]]] = {}
    first: dict[str, dict[str, Given]] = {}
    for given in book.marks.given:
        if given.part == part.title and not given.withdrawn and given.submission in book.results:
            first.setdefault(given.submission, {}).setdefault(given.marker, given)
    for own in first.values():
        blind = {m: g for m, g in own.items() if not {o.id for o in own.values()} & {*g.replaces}}
        for one, other in combinations(sorted(blind), 2):
            found.setdefault((one, other), []).append((blind[one], blind[other]))
    return found


def weighted_kappa(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968) of two markers' points.

    It is 1 - (mean squared difference) / (that of pairs drawn by chance); NaN without differences.
    """
    chance = np.mean((one[:, None] - other[None, :]) ** 2)
    return float(1 - np.mean((one - other) ** 2) / chance) if chance else float("nan")


def agreement_lines(book: Book) -> Iterator[str]:
    """Yield how two markers agree on each part that both marked: points, then items."""
    for part in book.task.manual:
        for (one, other), pairs in doubly_marked(book, part).items():
            a, b = np.array([[g.score(part) for g in pair] for pair in pairs]).T
            kappa = weighted_kappa(a, b)
            yield printable(
                f"{part.title}: {one} and {other}: {len(pairs)} marked by both; "
                f"mean difference {np.mean(a - b):+.2f}, absolute {np.mean(np.abs(a - b)):.2f}; "
                f"weighted kappa {f'{kappa:.2f}' if np.isfinite(kappa) else 'not defined'}"
            )
            for item in part.item:
                has = [[item.name in given.items for given in pair] for pair in pairs]
                ours, theirs = zip(*has, strict=True)
                same = sum(x == y for x, y in has)
                differs = len({*ours, *theirs}) > 1  # otherwise, chance explains everything
                said = f"{cohen_kappa_score(ours, theirs):.2f}" if differs else "not defined"
                yield printable(f"    {item.title}: {same} of {len(has)} equal; kappa {said}")
