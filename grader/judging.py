"""The ways to judge a submission: tables of an assignment's file that give points or find cheats.

Everything in `Judged` is marked by the grader, `Manual` by people. `docs/assignment.md` explains
each key.
"""

import ast
import math
import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic import field_validator as check_field
from pydantic import model_validator as check_model

from .metrics import OTHER_RANGE, problem_with_metric

MOST_DRAWN = 10_000_000  # numbers of an input
Points = Annotated[float, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Shape = list[Annotated[int, Field(ge=0)]]


def is_plain(value: object) -> bool:
    """Check whether a value is a number, a text, or consists of lists of them."""
    if isinstance(value, list):
        return all(map(is_plain, value))
    return isinstance(value, bool | int | float | str)


def is_rectangular(value: object) -> bool:
    """Check whether a value is a number, or consists of lists of equal length of numbers."""
    try:
        return np.asarray(value).dtype.kind in "buif"
    except ValueError:
        return False


def check_pattern(pattern: str | None) -> str | None:
    """Return a regular expression. Raises ValueError if it is none."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    return pattern


def check_cents(points: float) -> float:
    """Return points with at most two decimals. Raises ValueError for others, and beyond 10^6."""
    if abs(points) > 1e6 or abs(100 * points - round(100 * points)) > 1e-6:
        raise ValueError("points with at most two decimals")
    return points


Cents = Annotated[float, AfterValidator(check_cents)]


class Table(BaseModel):
    """A table of the TOML file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Artefact(Table):
    """A file that a stage makes, or that comes with the submission if no stage makes it.

    `of` is the data set that its images or labels belong to.
    """

    kind: Literal["weights", "file", "images", "labels", "numbers", "text", "picture"]
    of: str | None = None
    column: str | None = None
    numbers_allowed: PositiveInt | None = None
    numbers_advised: PositiveInt | None = None

    @check_model(mode="after")
    def check_kind(self) -> Self:
        if (self.kind in ("images", "labels")) != (self.of is not None):
            raise ValueError("a data set under 'of' for images and labels, and only for these")
        if (self.kind == "labels") != (self.column is not None):
            raise ValueError("a 'column' for labels, and only for these")
        if self.kind != "weights" and (self.numbers_allowed or self.numbers_advised):
            raise ValueError("limits on numbers for weights only")
        return self


class Judged(Table):
    """Something that the grader gives points for. A `bonus` is not among the possible points."""

    name: Name
    title: str
    points: Points
    bonus: bool = False

    @property
    def column(self) -> str:
        """Return what tables and marks call it."""
        return self.name


class Metric(Judged):
    """The weighted sum of `parts`, measures between 0 and 1, of an artefact.

    `arguments` are passed to a measure of a library. `scale` maps its values: the first number
    counts as 0, the second as 1.
    """

    artefact: FileName
    parts: dict[str, Annotated[float, Field(gt=0)]]
    arguments: dict[str, dict[str, Any]] = {}
    scale: dict[str, tuple[float, float]] = {}

    @check_field("parts")
    @classmethod
    def check_sum(cls, parts: dict[str, float]) -> dict[str, float]:
        if abs(sum(parts.values()) - 1) > 1e-9:
            raise ValueError("weights that add up to 1")
        return parts

    @check_model(mode="after")
    def check_measures(self) -> Self:
        for name in (*self.arguments, *self.scale):
            if name not in self.parts:
                raise ValueError(f"one of its parts in place of '{name}': {', '.join(self.parts)}")
        for name in OTHER_RANGE & self.parts.keys() - self.scale.keys():
            raise ValueError(f"a 'scale' for '{name}', whose values are not from 0 to 1")
        for name, (worst, best) in self.scale.items():
            if worst == best:
                raise ValueError(f"two different numbers for the scale of '{name}'")
        return self

    def check_kind(self, kind: str) -> None:
        """Raise ValueError if a part is no measure for this kind of artefact."""
        for name in self.parts:
            if problem := problem_with_metric(kind, name, self.arguments.get(name, {})):
                raise ValueError(problem)


class NotebookCheck(Judged):
    """A rule on a notebook as it was handed in; some kinds give a share of the points.

    cells_run: every code cell was run. cells_in_order: from top to bottom, each once. no_errors: no
    output is an error. table_filled: the table whose header has `columns` has no empty cell in
    `rows` rows. names: the code defines `names`. checkpoints: the code writes files called `names`,
    where {} stands for any text. file_name: as [submission] asks. file_types: likewise.
    """

    kind: Literal[
        "cells_run",
        "cells_in_order",
        "no_errors",
        "table_filled",
        "names",
        "checkpoints",
        "file_name",
        "file_types",
    ]
    names: list[str] = []
    columns: list[str] = []
    rows: PositiveInt = 1

    @check_model(mode="after")
    def check_keys(self) -> Self:
        if (self.kind in ("names", "checkpoints")) != bool(self.names):
            raise ValueError("'names' for the kinds names and checkpoints, and only for these")
        if (self.kind == "table_filled") != bool(self.columns):
            raise ValueError("'columns' for the kind table_filled, and only for this")
        return self


class Number(Judged):
    """A number in an artefact of numbers: `key` is its name there, by default its own."""

    artefact: FileName
    key: str | None = None
    equals: float | None = None
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    at_least: float | None = None
    at_most: float | None = None

    @check_model(mode="after")
    def check_bounds(self) -> Self:
        bounds = self.at_least is not None or self.at_most is not None
        if bounds == (self.equals is not None):
            raise ValueError("either 'equals', or 'at_least' and 'at_most' or one of them")
        low, high = self.at_least, self.at_most
        if low is not None and high is not None and low > high:
            raise ValueError("'at_least' below 'at_most'")
        if self.tolerance and self.equals is None:
            raise ValueError("a 'tolerance' only with 'equals'")
        return self


class Input(Table):
    """An input of tests: `values`, or `file` in the data folder, or `shape` drawn at random.

    A `file` is an .npz with an array of the input's name. `draw` is a distribution, with the bounds
    `low` and `high` for all but the normal one; the upper bound of integers is included.
    """

    values: Any = None
    file: FileName | None = None
    shape: Shape | None = None
    draw: Literal["normal", "uniform", "integers"] = "normal"
    low: float = 0.0
    high: float = 1.0
    kind: Literal["tensor", "array", "plain"] = "tensor"

    @check_model(mode="after")
    def check_origin(self) -> Self:
        if sum(origin is not None for origin in (self.values, self.file, self.shape)) != 1:
            raise ValueError("exactly one of 'values', 'file' and 'shape'")
        if self.values is not None and self.kind != "plain" and not is_rectangular(self.values):
            raise ValueError("under 'values', numbers in lists of equal length")
        if self.kind == "plain" and not is_plain(self.values):
            raise ValueError("under 'values', numbers, texts, and lists of them")
        if self.shape is not None and math.prod(self.shape) > MOST_DRAWN:
            raise ValueError(f"a 'shape' of at most {MOST_DRAWN:,} numbers")
        if self.low >= self.high:
            raise ValueError("a 'low' below 'high'")
        return self


class FunctionTest(Judged):
    """A call of what the submission defines, in the sandbox; its result is compared outside of it.

    `call` is an expression of Python with the names that the submission defines, the inputs, `np`,
    `torch` and `nn`; of several, the first that returns something counts. Expected is one of:
    `equals`, a literal; `shape`, of one array or of each of several, with all values `within` these
    bounds; `raises`, the kind of an exception; otherwise what the stage's solution returns.
    `hidden` tests tell students only whether they passed.
    """

    call: Annotated[list[str], Field(min_length=1)]
    equals: Any = None
    shape: Shape | list[Shape] | None = None
    within: tuple[float, float] | None = None
    raises: str | None = None
    tolerance: Annotated[float, Field(ge=0)] = 1e-4
    seconds: PositiveFloat = 10
    hidden: bool = False

    @check_field("call", mode="before")
    @classmethod
    def check_call(cls, call: object) -> object:
        calls = [call] if isinstance(call, str) else call
        for one in calls if isinstance(calls, list) else ():
            try:
                ast.parse(str(one).strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError) as error:
                raise ValueError("an expression of Python") from error
        return [str(one).strip() for one in calls] if isinstance(calls, list) else calls

    @check_model(mode="after")
    def check_expected(self) -> Self:
        if sum(e is not None for e in (self.equals, self.shape, self.raises)) > 1:
            raise ValueError("at most one of 'equals', 'shape' and 'raises'")
        if self.within is not None and self.shape is None:
            raise ValueError("'within' only with 'shape'")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError("under 'within', the lower bound first")
        if self.equals is not None and not is_plain(self.equals):
            raise ValueError("under 'equals', numbers, texts, and lists of them")
        return self

    @property
    def by_solution(self) -> bool:
        """Check whether a solution says what is expected."""
        return self.equals is None and self.shape is None and self.raises is None


class Item(Table):
    """An item of a rubric: points for whoever has it, below 0 to deduct.

    A submission gets at most one of the items of a `group`. Its student reads the `comment`.
    """

    name: Name
    title: Annotated[str, Field(min_length=1)]
    points: Cents
    group: Name | None = None
    comment: str = ""


class Manual(Table):
    """Points given by people, with what they are given for, shown on the result page.

    That is the `section` of a notebook, a regular expression for its heading, or an artefact, or
    otherwise the report. `reference` is a picture next to the assignment's file, shown for
    comparison. The rubric's items count from `start`; a mark is never below 0 or above `points`.
    """

    title: str
    points: Points
    bonus: bool = False
    section: Annotated[str | None, Field(min_length=1)] = None
    artefact: FileName | None = None
    reference: FileName | None = None
    start: Annotated[Cents, Field(ge=0)] = 0
    item: list[Item] = []

    @check_field("section")
    @classmethod
    def check_section(cls, section: str | None) -> str | None:
        return check_pattern(section)

    @check_model(mode="after")
    def check_items(self) -> Self:
        names = [item.name for item in self.item]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"a name of its own for each item, not {twice[0]!r}")
        if self.item:
            check_cents(self.points)
        if self.start > self.points or (self.start and not self.item):
            raise ValueError("a 'start' up to the part's points, for items that deduct from it")
        if self.item and not self.start and all(item.points <= 0 for item in self.item):
            raise ValueError("a 'start' above 0 if all items deduct")
        return self

    @property
    def column(self) -> str:
        """Return what tables and marks call it."""
        return self.title

    def score(self, items: Collection[str], adjustment: float = 0.0) -> float:
        """Return the points for these items of the rubric and an adjustment.

        Names that the rubric does not have any more count nothing. Cents are added up, which floats
        do without error: the marking page gets the same sum.
        """
        given = [item.points for item in self.item if item.name in items]
        cents = sum(round(100 * points) for points in (self.start, adjustment, *given))
        return min(max(cents, 0), round(100 * self.points)) / 100


class Probe(Table):
    """A check that runs a stage again under other conditions.

    noise: on images of noise, whose mean SSIM with the reconstructions must stay below `limit`, and
    on rotated images, whose reconstructions must resemble them more than the images before. damage:
    with the weights overwritten; at least the share `limit` of the answers must change by more than
    rounding. order: on the data in another order; at least the share `limit` of the answers must
    stay the same; half of the images are moved by less than a pixel. retrain: with retrained
    weights; the score may drop by at most `limit`.
    """

    kind: Literal["noise", "damage", "order", "retrain"]
    stage: str
    artefact: FileName
    limit: float


def expect_known(what: str, names: Any, known: Any) -> None:
    """Raise ValueError if one of `names` is not among the known ones."""
    for name in names:
        if name not in known:
            found = ", ".join(f"'{k}'" for k in sorted(known)) or "none"
            raise ValueError(f"a known {what} in place of '{name}': {found}")
