"""Marks that people give: a log, RUN/marks.jsonl, to which marks are only added.

Each line is a mark for a part of a submission, and says which marks it replaces: those that its
marker saw. The marks that nothing replaces count. If there are several and their points differ,
their markers contradict each other: the one that was read first counts, and both are shown until
somebody gives one that replaces them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..assignment import Assignment
from ..errors import UserError, listed, printable
from ..files import write_whole
from ..judging import Judged, Manual

LOG = "marks.jsonl"
POINTS = "marks.json"  # the points that counted last, by submission and part
LONGEST = 20_000  # characters of a comment
MOST = 1e6  # points that a mark can be adjusted by
Part = Judged | Manual
Text = Annotated[str, Field(max_length=LONGEST)]


class Given(BaseModel):
    """A mark that `marker` gave: items of the rubric with an adjustment, or `points` outright.

    `replaces` has the ids of the marks that the marker saw. A mark that is `withdrawn` replaces
    others by none. `request` is the id of the request that it answers, with the text `answer`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    submission: str
    part: str
    marker: Annotated[str, Field(max_length=200)]
    time: AwareDatetime | None = None
    items: list[str] = []
    points: float | None = None
    adjustment: Annotated[float, Field(ge=-MOST, le=MOST)] = 0.0
    comment: Text = ""
    replaces: list[str] = []
    withdrawn: bool = False
    request: str | None = None
    answer: Text = ""

    @cached_property
    def id(self) -> str:
        """Return a hash of the mark: a file that is read twice adds nothing the second time.

        Defaults are left out, so that a later version with more fields has the same ids.
        """
        text = self.model_dump_json(exclude_defaults=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def score(self, part: Part) -> float | None:
        """Return its points under a part's rubric as it is now.

        None means that the mark leaves the points to the grader.
        """
        if self.points is not None:
            return min(max(self.points, 0.0), part.points)
        return part.score(self.items, self.adjustment) if isinstance(part, Manual) else None


@dataclass(frozen=True)
class Marks:
    """All marks of a run, in the order in which they were read."""

    given: list[Given] = field(default_factory=list)

    @cached_property
    def standing(self) -> dict[str, dict[str, list[Given]]]:
        """Return the marks that nothing replaces, by submission and part, the first first."""
        replaced = {(g.submission, g.part, old) for g in self.given for old in g.replaces}
        found: dict[str, dict[str, list[Given]]] = {}
        for given in self.given:
            place = (given.submission, given.part, given.id)
            if place not in replaced and not given.withdrawn:
                found.setdefault(given.submission, {}).setdefault(given.part, []).append(given)
        return found

    def of(self, submission: str, part: str) -> list[Given]:
        """Return the marks of a part that nothing replaces; the first counts."""
        return self.standing.get(submission, {}).get(part, [])

    def points(self, submission: str, part: Part) -> float | None:
        """Return the points that people gave for a part, or None if nobody did."""
        standing = self.of(submission, part.column)
        return standing[0].score(part) if standing else None

    def contradiction(self, submission: str, part: Part) -> str:
        """Say which points contradict each other, and who gave them; empty if none do."""
        scored = [(given, given.score(part)) for given in self.of(submission, part.column)]
        if len({points for _, points in scored}) < 2:
            return ""
        said = [
            f"{'no change' if points is None else f'{points:g}'} by {given.marker or 'nobody'}"
            for given, points in scored
        ]
        return printable(f"{part.title}: {' and '.join(said)}")

    def contradictions(self, task: Assignment) -> dict[str, list[str]]:
        """Return the contradictions by submission."""
        found = {
            name: [text for part in task.parts if (text := self.contradiction(name, part))]
            for name in self.standing
        }
        return {name: texts for name, texts in found.items() if texts}

    def with_new(self, new: Iterable[Given]) -> "Marks":
        """Return the marks with those of `new` that are not among them."""
        by_id = {given.id: given for given in (*self.given, *new)}
        return Marks([*by_id.values()])

    def answered(self) -> dict[str, Given]:
        """Return the answers to requests, by the request's id; of several, the last."""
        return {given.request: given for given in self.given if given.request}


def read_log(folder: Path) -> Marks:
    """Read the marks of a run. Raises UserError if the log is damaged."""
    path, given = folder / LOG, []
    if path.exists():
        # Not splitlines(): comments may contain other ends of lines, such as U+2028.
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            try:
                given += [Given.model_validate_json(line)] if line else []
            except ValidationError as error:
                found = f"line {number} is damaged ({error.errors()[0]['msg']})"
                raise UserError(path, found, "the marks as 'grader marks' wrote them") from error
    elif (folder / POINTS).exists():  # earlier versions kept points alone
        for name, parts in json.loads((folder / POINTS).read_text(encoding="utf-8")).items():
            given += [
                Given(submission=name, part=part, marker="", points=points)
                for part, points in parts.items()
            ]
    return Marks(given)


def write_log(folder: Path, marks: Marks) -> None:
    """Write the marks of a run, all or none of the new ones, whatever ends this program."""
    lines = [given.model_dump_json(exclude_defaults=True) + "\n" for given in marks.given]
    write_whole(folder / LOG, "".join(lines))


def without_place(marks: Marks, task: Assignment) -> list[str]:
    """Say which marks that count name a part or an item that the assignment no longer has."""
    parts = {part.column: part for part in task.parts}
    counts: Counter[str] = Counter()
    for given in (g for own in marks.standing.values() for some in own.values() for g in some):
        part = parts.get(given.part)
        if part is None:
            counts[f"part '{given.part}'"] += 1
        elif isinstance(part, Manual):
            known = {item.name for item in part.item}
            counts.update(f"item '{i}' of '{given.part}'" for i in given.items if i not in known)
    return [
        f"the assignment has no {what} (any more): {count} marks name it, and get no points for it"
        for what, count in counts.items()
    ]


def problem_with(given: Given, task: Assignment, submissions: Iterable[str]) -> str | None:
    """Return why a mark cannot be taken, or None if it can."""
    part = next((part for part in task.parts if part.column == given.part), None)
    if given.submission not in submissions:
        return f"no submission '{given.submission}' in this run"
    if part is None:
        return f"no part '{given.part}' in the assignment"
    known = {item.name: item for item in part.item} if isinstance(part, Manual) else {}
    if unknown := [name for name in given.items if name not in known]:
        return f"no item {listed(unknown)} in the rubric of '{given.part}'"
    groups = [known[name].group for name in given.items if known[name].group]
    if twice := {group for group in groups if groups.count(group) > 1}:
        return f"several items of the group {listed(sorted(map(str, twice)))}"
    if len(set(given.items)) < len(given.items):
        return "an item twice"
    if given.points is not None and not 0 <= given.points <= part.points:
        return f"{given.points:g} points for '{given.part}'; expected 0 to {part.points:g}"
    return None
