"""The result of an assessment: a verdict for each step, marks for each metric, and flags."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from ..assignment import Assignment
from ..errors import printable
from ..judging import Judged, Metric, Number
from ..metrics import Score
from ..safe_text import NOTHING, SafeText
from ..submission.contents import Check
from ..verdicts import Verdict

CENT = Decimal("0.01")

FAILED = SafeText("The grader failed here; staff will review it. The submission is not at fault.")


def rounded(share: float, points: float) -> Decimal:
    """Compute a share of some points, rounded to two decimals; points are rounded nowhere else."""
    exact = Decimal(repr(float(share))) * Decimal(repr(float(points)))
    return exact.quantize(CENT, ROUND_HALF_UP)


@dataclass
class Step:
    """One step of the pipeline. `message` is for the student; `output` is what a program printed.

    Students see the output only if `show_output`. `seconds` is wall time, `cpu_seconds` CPU time,
    and `peak_memory` is in bytes. `imports` are the modules that the program itself imported.
    """

    name: str
    verdict: Verdict
    message: SafeText = NOTHING
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    output: str = ""
    show_output: bool = False
    imports: list[str] = field(default_factory=list)


@dataclass
class Mark:
    """The result of one metric, check, number or test.

    `value`, between 0 and 1, is None if nothing could be scored. `details` are for staff. Students
    see a `hidden` mark after the grades are published.
    """

    name: str
    title: str
    possible: float
    bonus: bool = False
    hidden: bool = False
    value: float | None = None
    penalty: float = 0.0
    parts: dict[str, Score] = field(default_factory=dict)
    message: SafeText = NOTHING
    details: str = ""

    @property
    def points(self) -> Decimal:
        """Return the points earned."""
        share = max(0.0, min(1.0, self.value or 0.0)) * (1 - self.penalty)
        return rounded(share, self.possible)


@dataclass(frozen=True)
class Flag:
    """Something flagged for review; no marks are deducted."""

    source: str
    evidence: str


@dataclass
class Pictures:
    """Images and their reconstructions (N, H, W), and a confusion matrix (K, K), for the report."""

    originals: np.ndarray | None = None
    reconstructions: np.ndarray | None = None
    classes: list[int] = field(default_factory=list)
    confusion: np.ndarray | None = None


@dataclass(frozen=True)
class Section:
    """What people mark: the answer that a student wrote, and the pictures and texts near it.

    `text` is Markdown, and `printed` what programs wrote. Pictures are (H, W, 3) of uint8, by name;
    `reference` is one of the staff's to compare them with.
    """

    title: str
    points: float
    text: str = ""
    printed: str = ""
    pictures: tuple[tuple[str, np.ndarray], ...] = ()
    reference: np.ndarray | None = None
    problem: str = ""


@dataclass(frozen=True)
class Half:
    """One part of a metric: its value on the scale 0..1, its weight, and the points it gives."""

    name: str
    value: float
    weight: float
    possible: float

    @property
    def points(self) -> float:
        return self.weight * self.value * self.possible

    @property
    def missing(self) -> float:
        return self.weight * (1 - self.value) * self.possible


@dataclass(frozen=True)
class Example:
    """An image of a data set, (H, W), and what a program made of it.

    `number` is its place in the data set, from 0; `values` are measures of its reconstruction;
    `z` is its latent.
    """

    number: int
    image: np.ndarray
    reconstruction: np.ndarray | None = None
    values: dict[str, float] = field(default_factory=dict)
    truth: int | None = None
    predicted: int | None = None
    z: tuple[float, float] | None = None


@dataclass(frozen=True)
class Lesson:
    """What a metric's answers teach: its halves, what would raise it, and the images it lost on.

    `latents` are those of all images, (N, 2), and `labels` their classes, (N,), if they are known.
    `lost` says how many images are like the examples.
    """

    title: str
    halves: list[Half]
    hints: list[str]
    examples: list[Example]
    lost: int
    latents: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass
class Grade:
    """The whole assessment of one submission; `record` has what is needed to repeat it.

    `lessons` show images of the data, and `rules` have a line for each rule; both are empty unless
    `Settings.shows_data`.
    """

    assignment: str
    title: str
    submission: str
    sha256: str = ""
    members: list[str] = field(default_factory=list)
    weights: str = "none"
    numbers: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    manual: list[tuple[str, float]] = field(default_factory=list)
    remarks: list[SafeText] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=Pictures)
    sections: list[Section] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    rules: list[Check] = field(default_factory=list)
    most_points: float | None = None

    @property
    def points(self) -> Decimal:
        points = sum((mark.points for mark in self.marks), Decimal(0))
        return points if self.most_points is None else min(points, rounded(1, self.most_points))

    @property
    def possible(self) -> float:
        """Return the points that the grader can give; the rest are given by hand, or a bonus."""
        return sum(mark.possible for mark in self.marks if not mark.bonus)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def mark(self, name: str) -> Mark:
        return next(mark for mark in self.marks if mark.name == name)

    def replace(self, mark: Mark) -> None:
        """Put a mark in the place of the one with its name."""
        names = [old.name for old in self.marks]
        self.marks[names.index(mark.name)] = mark

    def fail(self, problem: str) -> None:
        """Add an error of the grader's own that ended the assessment."""
        self.steps.append(failed("grader", problem))
        self.flags.append(Flag("grader", "an error of the grader's own ended the assessment"))


def failed(name: str, problem: str) -> Step:
    """Return the step in which the grader itself failed."""
    return Step(name, Verdict.INTERNAL, FAILED, output=problem)


def empty_grade(assignment: Assignment, submission: str) -> Grade:
    """Return the grade of a submission before anything of it is assessed."""
    marks = [
        Mark(part.name, part.title, part.points, part.bonus, message=SafeText(missing(part)))
        for part in assignment.judged
    ]
    return Grade(
        assignment.name,
        assignment.title,
        printable(submission),
        marks=marks,
        manual=[(manual.title, manual.points) for manual in assignment.manual],
        most_points=assignment.most_points,
    )


def missing(judged: Judged) -> str:
    """Say why there is no mark as long as nothing of a submission was assessed."""
    if isinstance(judged, Metric | Number):
        return f"no {judged.artefact} that could be scored"
    return "not assessed"
