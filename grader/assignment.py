"""An assignment as data, read from TOML: what is run, what it makes, and how that is judged.

`docs/assignment.md` explains the format; `assignments/a3.toml` is the first assignment, and
`judging.py` has the tables about marks.
"""

import hashlib
import re
import string
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
)
from pydantic import field_validator as check_field
from pydantic import model_validator as check_model

from .errors import UserError
from .judging import (
    Artefact,
    FileName,
    FunctionTest,
    Input,
    Judged,
    Manual,
    Metric,
    Name,
    NotebookCheck,
    Number,
    Points,
    Probe,
    Table,
    check_pattern,
    expect_known,
)

FOLDER = Path(__file__).parent / "assignments"
NOTEBOOK = ".ipynb"
# What a gradebook and the calls of tests have in addition.
COLUMNS = (
    *("student", "name", "email", "section", "submission", "status"),
    *("days_late", "bank_days", "penalty", "total", "flags"),
)
RESERVED = {"np", "torch", "nn", "device", "file", "allow_pickle"}

Share = Annotated[float, Field(ge=0, le=1)]
Program = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9_][A-Za-z0-9_.-]*)\.(py|ipynb)$")]
Ending = Annotated[str, Field(pattern=r"^\.[A-Za-z0-9]+$")]
Place = Annotated[str, Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
Places = list[Literal["included", "fetched", "trained"]]


class SubmissionFormat(Table):
    """The parts of a submission.

    `entry_number` is a regular expression that must match the whole entry number. `program_name` is
    one for the name of the program, whose groups are entry numbers; the zip and the report are then
    named after the program.
    """

    zip_name: FileName | None = None
    zip_mib: PositiveFloat = 100
    files: list[FileName] = []
    file_types: list[Ending] = []
    program_name: str | None = None
    link_file: FileName | None = None
    group_file: FileName | None = None
    entry_number: str | None = None
    report: bool | Literal["optional"] = False
    report_pages: PositiveInt | None = None

    @check_field("program_name", "entry_number")
    @classmethod
    def check_patterns(cls, pattern: str | None) -> str | None:
        return check_pattern(pattern)


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
    images differ by one from those in the file, so that no table of exact images knows them. The
    kind "file" is a public file or folder, which a submission sees as it is.
    """

    file: Annotated[list[FileName], Field(min_length=1)]
    kind: Literal["images", "file"] = "images"
    stand_in: str | None = None
    labels: Literal["real", "dummy", "none"] = "dummy"
    shuffled: bool = False
    perturbed: bool = False

    @check_field("file", mode="before")
    @classmethod
    def one_name_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @check_model(mode="after")
    def check_kind(self) -> Self:
        if self.kind == "file" and self.model_fields_set - {"file", "kind"}:
            raise ValueError("no other keys for a data set of the kind file, which is public")
        return self

    @property
    def private(self) -> bool:
        """Check whether a submission must not read the file itself."""
        return self.kind == "images" and (self.labels != "real" or self.shuffled)

    def path(self, folder: Path) -> Path:
        """Return the data set's path in a folder, or its path under its first name if missing."""
        paths = [folder / name for name in self.file]
        there = Path.exists if self.kind == "file" else Path.is_file
        return next(filter(there, paths), paths[0])


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
    """A run of what was handed in.

    A program gets `words` and makes artefacts; a notebook is run from top to bottom; tests call
    functions. `place` puts data sets at the paths where the code expects them. `solution` is a
    program, next to the assignment's file, whose results the tests expect.
    """

    name: Name
    kind: Literal["program", "notebook", "tests"] = "program"
    words: list[str] = []
    place: dict[Place, str] = {}
    needs: list[FileName] = []
    makes: list[FileName] = []
    solution: FileName | None = None
    trains: bool = False
    show_output: bool = False
    limits: StageLimits = StageLimits()

    @check_model(mode="after")
    def check_kind(self) -> Self:
        allowed = {
            "program": {"words", "place", "needs", "makes", "trains", "show_output"},
            "notebook": {"place", "needs", "makes", "trains", "show_output"},
            "tests": {"place", "solution"},
        }[self.kind]
        for key in sorted(self.model_fields_set - allowed - {"name", "kind", "limits"}):
            raise ValueError(f"no '{key}' for a stage of the kind {self.kind}")
        if self.kind == "program" and not self.makes:
            raise ValueError("under 'makes', at least one file")
        return self

    def used_data(self) -> list[str]:
        """Return the names of the data sets among its words."""
        fields = (field for word in self.words for _, field, _, _ in string.Formatter().parse(word))
        return [field for field in fields if field is not None]


class Late(Table):
    """The share of points lost after one day, two days, ...; after the last of them, all points.

    Without `days`, nothing is lost. `zone` is the time zone of the course, whose clocks count. Each
    student has `bank` free days for all assignments together, of which one takes at most
    `bank_at_once`.
    """

    days: list[Share] = []
    due: AwareDatetime | None = None
    zone: str | None = None
    bank: NonNegativeInt = 0
    bank_at_once: PositiveInt | None = None

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
    24 hours. Of uploads after the first `feedback_uploads`, students see no marks before grades are
    published.
    """

    training_minutes: Annotated[float, Field(gt=0, le=30)] | None = None
    uploads_a_day: PositiveInt | None = None
    feedback_uploads: NonNegativeInt | None = None


class Assignment(Table):
    """A whole assignment file. `most_points` limits the sum of all points, bonuses included."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    program: Program
    seed: int = 0
    weights: Places = ["included", "fetched", "trained"]
    format_penalty: Share = 0
    most_points: Points | None = None
    submission: SubmissionFormat = SubmissionFormat()
    rules: Rules = Rules()
    data: dict[str, Data] = {}
    stage: list[Stage] = []
    artefact: dict[FileName, Artefact] = {}
    metric: list[Metric] = []
    check: list[NotebookCheck] = []
    number: list[Number] = []
    input: dict[Name, Input] = {}
    test: list[FunctionTest] = []
    manual: list[Manual] = []
    probe: list[Probe] = []
    late: Late = Late()
    gradescope: Gradescope = Gradescope()
    _folder: Path = PrivateAttr(FOLDER)

    @check_model(mode="after")
    def check_names(self) -> Self:
        """Check that names are unique, and that each name that a table refers to exists."""
        if not (self.judged or self.manual):
            raise ValueError("a metric, check, number, test or manual, to give points for")
        for names in ([s.name for s in self.stage], [judged.name for judged in self.judged]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"a name of its own for each stage and mark, not {twice[0]!r}")
        titles = [manual.title for manual in self.manual]
        taken = [*COLUMNS, *(part.name for part in self.judged)]
        for title in (*titles, *(part.name for part in self.judged)):
            if titles.count(title) > 1 or (*titles, *taken).count(title) > 1:
                raise ValueError(f"a name or title that no other column has, not {title!r}")
        for name in RESERVED & self.input.keys():
            raise ValueError(f"another name for the input {name!r}, which is taken")
        expect_known("data", (d.stand_in for d in self.data.values() if d.stand_in), self.data)
        expect_known("data", (a.of for a in self.artefact.values() if a.of), self.data)
        self.check_stages()
        self.check_marks()
        return self

    def check_stages(self) -> None:
        """Check the names that stages refer to, and that there is what they run."""
        made = {name for name in self.artefact if name not in self.made()}
        for stage in self.stage:
            expect_known("artefact", (*stage.needs, *stage.makes), self.artefact)
            expect_known("data", (*stage.used_data(), *stage.place.values()), self.data)
            expect_known("artefact that an earlier stage makes", stage.needs, made)
            made |= set(stage.makes)
            if stage.kind != "tests" and (stage.kind == "notebook") != self.is_notebook:
                raise ValueError(f"for a stage of the kind {stage.kind}, another program")
            if stage.kind == "tests" and any(self.data[n].private for n in stage.place.values()):
                raise ValueError("only public data under 'place' of tests, whose errors are shown")
        kinds = [stage.kind for stage in self.stage]
        if kinds.count("tests") != bool(self.test) or kinds.count("notebook") > 1:
            raise ValueError("one stage of the kind tests if there are tests, and one notebook")
        needing = [test.name for test in self.test if test.by_solution]
        if needing and not any(stage.solution for stage in self.stage):
            raise ValueError(f"a 'solution' for its stage, or what the test {needing[0]} expects")

    def check_marks(self) -> None:
        """Check the names that marks and probes refer to."""
        for metric in self.metric:
            expect_known("artefact", [metric.artefact], self.artefact)
            metric.check_kind(self.artefact[metric.artefact].kind)
        for kind, names in (
            ("numbers", [number.artefact for number in self.number]),
            ("text or picture", [m.artefact for m in self.manual if m.artefact]),
        ):
            known = {n for n, artefact in self.artefact.items() if artefact.kind in kind.split()}
            expect_known(f"artefact of the kind {kind}", names, known)
        if not self.is_notebook and (self.check or any(m.section for m in self.manual)):
            raise ValueError("a notebook as the program, for checks and sections")
        for probe in self.probe:
            expect_known("stage", [probe.stage], [stage.name for stage in self.stage])
            expect_known("artefact", [probe.artefact], self.stage_named(probe.stage).makes)

    @property
    def judged(self) -> list[Judged]:
        """Return everything that the grader gives points for, in the order of the gradebook."""
        return [*self.metric, *self.check, *self.number, *self.test]

    @property
    def parts(self) -> list[Judged | Manual]:
        """Return everything that gives points: what the grader marks, then what people mark."""
        return [*self.judged, *self.manual]

    @property
    def is_notebook(self) -> bool:
        return self.program.endswith(NOTEBOOK)

    @property
    def possible(self) -> float:
        """Return the points that can be reached without a bonus."""
        points = sum(part.points for part in self.parts if not part.bonus)
        return points if self.most_points is None else min(points, self.most_points)

    def limited(self, points: float) -> float:
        """Return a sum of points, cut to the most that the assignment gives."""
        return points if self.most_points is None else min(points, self.most_points)

    def made(self) -> set[str]:
        """Return the names of the artefacts that stages make; the others are handed in."""
        return {name for stage in self.stage for name in stage.makes}

    def companion(self, name: str) -> Path:
        """Return the path of a file next to the assignment's own."""
        return self._folder / name

    def companions(self) -> list[Path]:
        """Return the files next to the assignment's own that it needs."""
        names = [stage.solution for stage in self.stage] + [m.reference for m in self.manual]
        return [self.companion(name) for name in dict.fromkeys(names) if name]

    def digest(self) -> str:
        """Return the SHA-256 of all in the assignment's file and next to it that a result needs.

        Rubrics and late days change totals, but no result.
        """
        later: Any = {"late": True, "manual": {"__all__": {"start", "item"}}}
        total = hashlib.sha256(self.model_dump_json(exclude=later).encode())
        for path in self.companions():
            total.update(path.read_bytes())
        return total.hexdigest()

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


def line_of(content: str, keys: tuple[int | str, ...], message: str) -> int | None:
    """Return the line of a TOML file where a mistake is, or None if it is not certain.

    `keys` lead to it: tables, positions in arrays of tables, and a key. Without them, the first
    name that the message quotes is looked for.
    """
    lines = content.splitlines()
    quoted = re.search(r"'([^']+)'", message)
    if not keys:
        name = rf"(?<![\w.-]){re.escape(quoted[1])}(?![\w.-])" if quoted else r"(?!)"
        return next((n for n, line in enumerate(lines, 1) if re.search(name, line)), None)
    plain = [re.sub(r"[\s\"']", "", line) for line in lines]
    table, *rest = map(str, keys)
    begin = 0
    headers = [n for n, line in enumerate(plain) if line.startswith("[") and "=" not in line]
    if rest and rest[0].isdigit():
        tables = [n for n in headers if plain[n].startswith(f"[[{table}]]")]
        begin = tables[int(rest[0])] if int(rest[0]) < len(tables) else 0
    else:
        wanted = [f"[{'.'.join(path)}]" for path in ([table, *rest[:1]], [table])]
        begin = next((n for name in wanted for n in headers if plain[n].startswith(name)), 0)
    end = next((n for n in headers if n > begin), len(lines))
    for key in reversed(keys):
        for number in range(begin, end):
            if re.search(rf"(^|[{{,]){re.escape(str(key))}=", plain[number]):
                return number + 1
    return begin + 1 if begin else None


def explain(path: Path, content: str, error: ValidationError) -> UserError:
    """Report the first mistake that pydantic found: file and line, key, what was expected."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = ".".join(map(str, first["loc"])) or "the whole file"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    line = line_of(content, first["loc"], message)
    place = f"{path}:{line}" if line else path
    if first["type"] == "missing":
        return UserError(place, f"no key {key}", "one")
    if first["type"] == "extra_forbidden":
        return UserError(place, f"the unknown key {key}", "one of docs/assignment.md")
    found = "" if isinstance(first["input"], dict | BaseModel) else f" = {first['input']!r:.60}"
    return UserError(place, f"{key}{found}", message)


def read_assignment(name: str) -> Assignment:
    """Read the assignment called `name`, or the one in the file at that path.

    Raises UserError, which names the file, the key and what was expected.
    """
    path = Path(name) if PurePosixPath(name).suffix else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise UserError(path, "no such file", f"the path of a TOML file, or one of: {known}")
    return parse_assignment(path.read_bytes(), path)


def parse_assignment(content: bytes, path: Path) -> Assignment:
    """Read the content of an assignment's file. Raises UserError, which names the `path`."""
    try:
        text = content.decode("utf-8-sig")
        task = Assignment.model_validate(tomllib.loads(text.replace("\r\n", "\n")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(path, f"not TOML ({error})", "a file in the TOML format") from error
    except ValidationError as error:
        raise explain(path, text, error) from error
    task._folder = path.absolute().parent
    for companion in task.companions():
        if not companion.is_file():
            raise UserError(path, f"it names {companion.name}", "that file next to it")
    return task
