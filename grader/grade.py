"""What an assessment comes to: a verdict for each step, marks for each metric, flags for people."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from .metrics import Score
from .verdicts import Verdict

CENT = Decimal("0.01")


def rounded(share: float, points: float) -> Decimal:
    """A share of some points, to the cent: rounded here and nowhere else."""
    exact = Decimal(repr(float(share))) * Decimal(repr(float(points)))
    return exact.quantize(CENT, ROUND_HALF_UP)


@dataclass
class Step:
    """One step of the pipeline. `message` is for the student; `output` is what a program printed.

    Seconds of wall and processor time, bytes of memory at the peak.
    """

    name: str
    verdict: Verdict
    message: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    output: str = ""
    show_output: bool = False


@dataclass
class Mark:
    """What one metric came to. `value`, between 0 and 1, is None where nothing could be scored."""

    name: str
    title: str
    possible: float
    value: float | None = None
    penalty: float = 0.0
    parts: dict[str, Score] = field(default_factory=dict)
    message: str = ""

    @property
    def points(self) -> Decimal:
        """Points earned."""
        share = max(0.0, min(1.0, self.value or 0.0)) * (1 - self.penalty)
        return rounded(share, self.possible)


@dataclass(frozen=True)
class Flag:
    """Something for a person to look at; it takes no marks."""

    source: str
    evidence: str


@dataclass
class Pictures:
    """For the report: images and their reconstructions (N, H, W), a confusion matrix (K, K)."""

    originals: np.ndarray | None = None
    reconstructions: np.ndarray | None = None
    classes: list[int] = field(default_factory=list)
    confusion: np.ndarray | None = None


@dataclass
class Grade:
    """The whole assessment of one submission; `record` is what another one needs to repeat it."""

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
    remarks: list[str] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def points(self) -> Decimal:
        return sum((mark.points for mark in self.marks), Decimal(0))

    @property
    def possible(self) -> float:
        """The points that the grader can give; a person gives the rest."""
        return sum(mark.possible for mark in self.marks)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)
