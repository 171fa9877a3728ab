"""A page for one student: the points, how they come about, and answers to requests.

It has only what students may read: from results.json, the texts of `tests`; never flags, records,
similarity, or who marked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from ..classroom.gradebook import Book
from ..classroom.lateness import Lateness
from ..classroom.marks import Given, Marks, Part
from ..classroom.roster import Student
from ..display.markdown import to_html
from ..display.result_page import ENVIRONMENT
from ..judging import Item, Manual
from .requests import Request

HEADING = re.compile(r"<(/?)h[1-6]>")
STEP = "Step: "


@dataclass(frozen=True)
class PartView:
    """The points of a part, None if it is not marked, and what they are given for.

    `text` is the grader's own; `by_hand` says that people put their points in place of its points.
    """

    part: Part
    points: float | None
    text: str = ""
    by_hand: bool = False
    start: float = 0.0
    items: list[Item] = field(default_factory=list)
    adjustment: float = 0.0
    comment: str = ""

    @property
    def has_details(self) -> bool:
        """Check whether there is more to say than the points."""
        return bool(
            self.text or self.by_hand or self.start or self.items or self.adjustment or self.comment
        )

    @property
    def is_limited(self) -> bool:
        """Check whether the sum is outside of what the part can give."""
        if not (self.start or self.items or self.adjustment) or self.points is None:
            return False
        whole = self.start + sum(item.points for item in self.items) + self.adjustment
        return round(whole, 2) != round(self.points, 2)


@dataclass(frozen=True)
class Answer:
    """A request, its answer, and the points before and after; no answer yet is None."""

    request: Request
    title: str
    answer: str | None = None
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class SubmissionView:
    """What the page says about one submission of the student."""

    name: str
    parts: list[PartView]
    points: float
    total: float
    late: Lateness
    has_time: bool
    steps: list[dict[str, Any]]
    answers: list[Answer]

    @property
    def marked(self) -> bool:
        """Check whether every part has points."""
        return all(view.points is not None for view in self.parts)


def part_view(book: Book, name: str, part: Part, points: float | None, text: str) -> PartView:
    """Return a part of a submission with the mark that counts, if people gave one."""
    standing = book.marks.of(name, part.column)
    if not standing:
        return PartView(part, points, text)
    given = standing[0]
    agreed = [g.comment.strip() for g in standing if g.score(part) == given.score(part)]
    comment = "\n\n".join(dict.fromkeys(filter(None, agreed)))
    if given.points is not None or not isinstance(part, Manual):
        by_hand = given.points is not None and not isinstance(part, Manual)
        return PartView(part, points, text, by_hand, comment=comment)
    items = [item for item in part.item if item.name in given.items]
    return PartView(part, points, text, False, part.start, items, given.adjustment, comment)


def points_with(book: Book, marks: Sequence[Given], name: str, part: Part) -> float | None:
    """Return the points of a part as they are with these marks of the log."""
    own = Marks([*marks]).points(name, part)
    figures = book.results[name]["extra_data"]["metrics"].get(part.column)
    return float(figures["points"]) if own is None and figures else own


def answer_view(book: Book, request: Request) -> Answer:
    """Return a request with its answer, and what that changed."""
    parts = {part.column: part for part in book.task.parts}
    part = parts.get(request.part)
    given = book.marks.answered().get(request.id)
    title = part.title if part else request.part
    if given is None or part is None:
        return Answer(request, title, given.answer if given else None)
    log = book.marks.given
    place = next(i for i, other in enumerate(log) if other is given)
    points = [points_with(book, log[:end], request.submission, part) for end in (place, place + 1)]
    return Answer(request, title, given.answer, *points)


def submission_view(
    book: Book, name: str, student: str, requests: Sequence[Request]
) -> SubmissionView:
    """Return what a student's page says about a submission."""
    points = book.points(name)
    tests = book.results[name].get("tests", [])
    texts = {test["name"]: test.get("output", "") for test in tests}
    parts = [
        part_view(book, name, part, points[part.column], texts.get(part.title, ""))
        for part in book.task.parts
    ]
    own = [r for r in requests if r.submission == name and r.student == student]
    return SubmissionView(
        name,
        parts,
        book.before_lateness(points),
        book.row(name, student)["total"],
        book.lateness(name, student),
        book.entries[name].submitted is not None and book.task.late.due is not None,
        [test for test in tests if test["name"].startswith(STEP)],
        [answer_view(book, request) for request in own],
    )


def number(value: float) -> str:
    """Return points with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


def markdown(text: str) -> Markup:
    """Return a comment as HTML; its headings are bold lines, since the page has its own."""
    return Markup(HEADING.sub(lambda m: "</strong></p>" if m[1] else "<p><strong>", to_html(text)))


def render_feedback(
    book: Book, key: str, student: Student, names: Sequence[str], requests: Sequence[Request]
) -> str:
    """Return the page of a student with these submissions, or with none, as HTML.

    `key` is what tables call the student.
    """
    views = [submission_view(book, name, key, requests) for name in names]
    return ENVIRONMENT.get_template("feedback.html").render(
        task=book.task,
        student=student,
        submissions=views,
        number=number,
        markdown=markdown,
        step=STEP,
    )
