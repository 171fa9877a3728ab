"""An assignment as data, read from TOML: what is run, what it makes, and how that is scored.

`docs/assignment.md` explains the format; `assignments/a3.toml` is the first assignment.
"""

import string
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic import field_validator as check_field
from pydantic import model_validator as check_model

from .errors import UserError
from .metrics import IMAGE_METRICS, LABEL_METRICS

FOLDER = Path(__file__).parent / "assignments"

Share = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[float, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
Places = list[Literal["included", "fetched", "trained"]]


class Table(BaseModel):
    """A table of the TOML file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SubmissionFormat(Table):
    """The parts of a submission.

    `entry_number` is a regular expression that must match the whole entry number.
    """

    zip_name: FileName | None = None
    zip_mib: PositiveFloat = 100
    files: list[FileName] = []
    link_file: FileName | None = None
    group_file: FileName | None = None
    entry_number: str | None = None
    report: bool = False
    report_pages: PositiveInt | None = None


class Rules(Table):
    """Modules that a submission may import; the longest entry that matches a module decides."""

    allowed: list[Module] = []
    forbidden: list[Module] = []
    seed_call: str | None = None
    search_remark: bool = False


class Data(Table):
    """A data set: a file in the data folder, and what a submission sees of it.

    `file` may list several names; the first that is in the folder counts. If the file or its labels
    are missing, the data set `stand_in` replaces it for trusted code. Grey values of `perturbed`
    images differ by one from those in the file, so that no table of exact images knows them.
    """

    file: Annotated[list[FileName], Field(min_length=1)]
    stand_in: str | None = None
    labels: Literal["real", "dummy", "none"] = "dummy"
    shuffled: bool = False
    perturbed: bool = False

    @check_field("file", mode="before")
    @classmethod
    def one_name_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @property
    def private(self) -> bool:
        """Check whether a submission must not read the file itself."""
        return self.labels != "real" or self.shuffled

    def path(self, folder: Path) -> Path:
        """Return the data set's path in a folder, or its path under its first name if missing."""
        paths = [folder / name for name in self.file]
        return next((path for path in paths if path.is_file()), paths[0])


class StageLimits(Table):
    """The resources that a stage may use; exceeding `remark_seconds` only leaves a remark."""

    seconds: PositiveFloat = 300
    remark_seconds: PositiveFloat | None = None
    memory_gib: PositiveFloat = 4
    disk_mib: PositiveFloat = 1024
    files: PositiveInt = 10_000
    processes: PositiveInt = 256
    cpus: PositiveInt = 2


class Stage(Table):
    """A run of the program: its arguments, the artefacts that it needs, and those that it makes."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    words: list[str]
    needs: list[FileName] = []
    makes: Annotated[list[FileName], Field(min_length=1)]
    trains: bool = False
    show_output: bool = False
    limits: StageLimits = StageLimits()

    def used_data(self) -> list[str]:
        """Return the names of the data sets among its words."""
        fields = (field for word in self.words for _, field, _, _ in string.Formatter().parse(word))
        return [field for field in fields if field is not None]


class Artefact(Table):
    """A file that a stage makes. `of` is the data set that its images or labels belong to."""

    kind: Literal["weights", "file", "images", "labels"]
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


class Metric(Table):
    """Points for an artefact: the weighted sum of `parts`, between 0 and 1, times `points`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    artefact: FileName
    parts: dict[str, Annotated[float, Field(gt=0)]]
    points: Points

    @check_field("parts")
    @classmethod
    def check_sum(cls, parts: dict[str, float]) -> dict[str, float]:
        if abs(sum(parts.values()) - 1) > 1e-9:
            raise ValueError("weights that add up to 1")
        return parts


class Manual(Table):
    """Points given by hand."""

    title: str
    points: Points


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


class Late(Table):
    """The share of points lost after one day, two days, ...; after the last of them, all points.

    Without `days`, nothing is lost. `zone` is the time zone of the course, whose clocks count.
    """

    days: list[Share] = []
    due: AwareDatetime | None = None
    zone: str | None = None

    @check_field("zone")
    @classmethod
    def check_zone(cls, zone: str | None) -> str | None:
        try:
            return zone if zone is None else ZoneInfo(zone).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("the name of a time zone, such as Asia/Kolkata") from error


class Gradescope(Table):
    """Settings for Gradescope, whose own clock ends everything after at most 40 minutes.

    Without `training_minutes`, nothing is trained. `uploads_a_day` limits the uploads graded in
    24 hours.
    """

    training_minutes: Annotated[float, Field(gt=0, le=30)] | None = None
    uploads_a_day: PositiveInt | None = None


class Assignment(Table):
    """A whole assignment file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    program: FileName
    seed: int = 0
    weights: Places = ["included", "fetched", "trained"]
    format_penalty: Share = 0
    submission: SubmissionFormat = SubmissionFormat()
    rules: Rules = Rules()
    data: dict[str, Data]
    stage: Annotated[list[Stage], Field(min_length=1)]
    artefact: dict[FileName, Artefact]
    metric: Annotated[list[Metric], Field(min_length=1)]
    manual: list[Manual] = []
    probe: list[Probe] = []
    late: Late = Late()
    gradescope: Gradescope = Gradescope()

    @check_model(mode="after")
    def check_names(self) -> Self:
        """Check that names are unique, and that each name that a table refers to exists."""
        stages = [stage.name for stage in self.stage]
        expect_known("data", (a.of for a in self.artefact.values() if a.of), self.data)
        for names in (stages, [metric.name for metric in self.metric]):
            if len(set(names)) < len(names):
                raise ValueError("a name of its own for each stage and each metric")
        expect_known("data", (d.stand_in for d in self.data.values() if d.stand_in), self.data)
        made: set[str] = set()
        for stage in self.stage:
            expect_known("artefact", (*stage.needs, *stage.makes), self.artefact)
            expect_known("data", stage.used_data(), self.data)
            expect_known("artefact that an earlier stage makes", stage.needs, made)
            made |= set(stage.makes)
        for probe in self.probe:
            expect_known("stage", [probe.stage], stages)
            expect_known("artefact", [probe.artefact], self.stage_named(probe.stage).makes)
        for metric in self.metric:
            expect_known("artefact", [metric.artefact], made)
            known = metrics_for(self.artefact[metric.artefact].kind)
            expect_known(f"metric of {metric.artefact}", metric.parts, known)
        return self

    def stage_named(self, name: str) -> Stage:
        return next(stage for stage in self.stage if stage.name == name)

    def without_training(self) -> Self:
        """Return the assignment restricted to weights that come with a submission."""
        places = [place for place in self.weights if place != "trained"]
        return self.model_copy(update={"weights": places})

    def with_limits(self, changes: Callable[[Stage], dict[str, Any]]) -> Self:
        """Return the assignment with other limits: `changes` of a stage are its new values."""
        stages = [
            stage.model_copy(update={"limits": stage.limits.model_copy(update=changes(stage))})
            for stage in self.stage
        ]
        return self.model_copy(update={"stage": stages})

    def trained_artefacts(self) -> list[str]:
        """Return the names of the artefacts that a submission may include instead of training."""
        return [name for stage in self.stage if stage.trains for name in stage.makes]


def metrics_for(kind: str) -> list[str]:
    """Return the names of the metrics for a kind of artefact."""
    return {"images": list(IMAGE_METRICS), "labels": list(LABEL_METRICS)}.get(kind, [])


def expect_known(what: str, names: Any, known: Any) -> None:
    for name in names:
        if name not in known:
            found = ", ".join(f"'{k}'" for k in sorted(known)) or "none"
            raise ValueError(f"a known {what} in place of '{name}': {found}")


def explain(path: Path, error: ValidationError) -> UserError:
    """Report the first mistake that pydantic found in one line: file, key, what was expected."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = ".".join(map(str, first["loc"])) or "the whole file"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "missing":
        return UserError(path, f"no key {key}", "one")
    if first["type"] == "extra_forbidden":
        return UserError(path, f"the unknown key {key}", "one of docs/assignment.md")
    found = "" if isinstance(first["input"], dict | BaseModel) else f" = {first['input']!r:.60}"
    return UserError(path, f"{key}{found}", message)


def read_assignment(name: str) -> Assignment:
    """Read the assignment called `name`, or the one in the file at that path.

    Raises UserError, which names the file, the key and what was expected.
    """
    path = Path(name) if PurePosixPath(name).suffix else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise UserError(path, "no such file", f"the path of a TOML file, or one of: {known}")
    try:
        return Assignment.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(path, f"not TOML ({error})", "a file in the TOML format") from error
    except ValidationError as error:
        raise explain(path, error) from error
