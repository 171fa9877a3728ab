"""Run the submitted program once, as a stage of the assignment requires, in a folder of its own.

The folder contains a fresh copy of the submission and the artefacts that the stage needs. Of what
the run leaves in it, only the named files are read.
"""

import builtins
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ..artifacts import (
    NAME_SIZE,
    NAMES,
    Deviation,
    Deviations,
    read_arrays,
    read_file,
    read_predictions,
    read_reconstructions,
    without_folder,
)
from ..assignment import NOTEBOOK, Assignment, Stage
from ..errors import UserError, printable
from ..judging import Artefact
from ..named_numbers import read_numbers
from ..safe_text import FormatError, SafeText
from ..sandbox import isolation, notebook_runner
from ..sandbox.command import Command, Level, Limits, Outcome, interpreter
from ..sandbox.resources import temporary_folder
from ..submission import rules
from ..submission.hiding import hidden_paths
from ..submission.notebook import Notebook, read_notebook, with_outputs, without_outputs
from ..submission.run_time import undeclared
from ..submission.unpacking import Submission, carried_files
from ..verdicts import Verdict
from .copies import DataSet
from .grade import Flag, Grade, Step

RUNNER = Path(notebook_runner.__file__)
LATENTS = "vae_latents.npz"  # for the author of a program, which learns the name by VARIABLE
VARIABLE = "VAE_LATENTS"
EXECUTED = "executed.ipynb"  # the notebook that a stage has run, in the stage's folder
TRACEBACK = "Traceback (most recent call last):"
ERROR_LINE = re.compile(r"[A-Za-z_][\w.]*(:|$)")  # after the places in a traceback
LINE_SIZE = 200  # characters of a program's last line
MOST_IMPORTS = 500  # names kept with a step
MOST_FLAGS = 20  # about imports, of one run


@dataclass(frozen=True)
class Settings:
    """How a submission is assessed: where data and weights are, what is run, at which level."""

    data_folder: Path
    level: Level
    train: bool = False
    weights_folder: Path | None = None
    only: tuple[str, ...] = ()
    retrain: bool = False

    @property
    def shows_data(self) -> bool:
        """Check whether a result may show images, labels and latents of the data.

        Only code that its own author runs, on data of their own, is trusted. A class run and an
        autograder refuse to trust code, so what they write never shows private data.
        """
        return self.level is Level.TRUSTED


@dataclass(frozen=True)
class Answers:
    """What an artefact says about each image, (N, ...), in the order of the data set."""

    values: np.ndarray
    deviations: list[Deviation]


@dataclass
class Bench:
    """What the steps of one assessment share.

    `made` has the artefacts so far; `answers` and `numbers` are the content of those that are
    scored, and `latents`, (N, 2), what their images were given. `findings` are those of the rules.
    """

    assignment: Assignment
    settings: Settings
    submission: Submission
    scratch: Path
    data: dict[str, DataSet]
    copies: dict[str, Path]
    grade: Grade
    made: dict[str, Path] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    latents: dict[str, np.ndarray] = field(default_factory=dict)
    findings: list[rules.Finding] = field(default_factory=list)
    program_seconds: float = 0.0  # for which the submission has run so far
    executed: Notebook | None = None  # if a stage has run the notebook

    def hidden_paths(self) -> tuple[Path, ...]:
        """Return the installed modules that a run must not see."""
        namespaces = self.settings.level.namespaces
        return tuple(hidden_paths(self.assignment.rules)) if namespaces else ()


def lay_out(
    bench: Bench, stage: Stage, folder: Path, copies: dict[str, Path], given: dict[str, Path]
) -> None:
    """Copy the submission, and the artefacts and data that the stage needs, to `folder`.

    A notebook comes without its outputs, which could carry anything.
    """
    home = bench.submission.folder
    kept, _ = carried_files(bench.submission, bench.assignment.artefact)
    for path in kept:
        target = folder / path.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == NOTEBOOK and bench.submission.notebook:
            target.write_text(without_outputs(bench.submission.notebook))
        else:
            shutil.copyfile(path, target)
    for name in stage.needs:
        shutil.copyfile(given[name], folder / name)
    place_data(stage, folder, copies)


def place_data(stage: Stage, folder: Path, copies: dict[str, Path]) -> None:
    """Copy the data sets of a stage to the paths in `folder` where the code expects them."""
    for place, name in stage.place.items():
        target, source = folder / place, copies[name]
        for path in (*reversed(target.relative_to(folder).parents), PurePosixPath(place)):
            inside = folder / path
            if inside.is_file() or (inside == target and inside.is_dir()):  # of the submission
                shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)


def words_of(bench: Bench, stage: Stage, copies: dict[str, Path]) -> tuple[str, ...]:
    """Return the words that run a stage."""
    if stage.kind == "notebook":
        return ("-c", RUNNER.read_text(), bench.submission.program, EXECUTED)
    return (bench.submission.program, *(word.format(**copies) for word in stage.words))


def limits_of(stage: Stage) -> Limits:
    return Limits(
        seconds=stage.limits.seconds,
        memory=int(stage.limits.memory_gib * 2**30),
        disk=int(stage.limits.disk_mib * 2**20),
        files=stage.limits.files,
        processes=stage.limits.processes,
        cpus=stage.limits.cpus,
    )


def last_words(output: str, folder: Path, home: Path, whole: bool) -> SafeText:
    """Return the last line that names an error, and the last place in the submission before it.

    The program ran in `folder`, a copy of the submission in `home`. Unless `whole`, only an error's
    kind is named, and only if it is one of Python's own: the text could contain test images.
    """
    whole_traceback = output[max(0, output.rfind(TRACEBACK)) :]
    lines = [line for line in whole_traceback.splitlines() if line.strip()]
    if not lines:
        return SafeText("nothing was printed")
    named = [line for line in lines[1:] if ERROR_LINE.match(line)] if TRACEBACK in output else []
    line = (named or lines[-1:])[0].strip()
    kind = line.split(":")[0]
    known = isinstance(getattr(builtins, kind, None), type)
    safe = SafeText(kind if known else "an error of its own")
    error = SafeText(printable(line[:LINE_SIZE])) if whole else safe
    place = last_place(output, folder, home)
    return SafeText(f"{error} in {place}" if place else error)


def last_place(output: str, folder: Path, home: Path) -> SafeText | None:
    """Return file and line of the last place in a traceback that is the submission's own code."""
    places = re.findall(rf'File "{re.escape(str(folder))}/([^"]+)", line (\d{{1,5}})', output)
    for name, line in reversed(places):
        path = home / name
        own = ".." not in path.parts and path.is_file() and path.suffix == ".py"
        if own and 1 <= int(line) <= path.read_bytes().count(b"\n") + 1:
            return SafeText(f"{printable(name)}, line {int(line)}")
    return None


def missing_module(output: str, bench: Bench) -> str | None:
    """Return the allowed module whose absence here ended a program, if one did.

    That the code imports it is a finding of the rules: a program can print anything.
    """
    allowed = {module.split(".")[0] for module in bench.assignment.rules.allowed}
    missing = {f.module for f in bench.findings if f.kind is rules.Kind.MISSING} & allowed
    found = re.search(r"ModuleNotFoundError: No module named '([A-Za-z_]\w*)", output)
    return found[1] if found and found[1] in missing else None


def flag_imports(bench: Bench, stage: Stage, outcome: Outcome) -> list[str]:
    """Flag imports that the code does not show; return those of the program itself."""
    assert outcome.imports is not None
    own = rules.own_modules(bench.submission.folder, bench.assignment.rules)
    found = list(undeclared(outcome.imports, bench.findings, own, bench.assignment.rules))
    if outcome.verdict is Verdict.OK and not outcome.imports.complete:
        found.append(f"{stage.name} did not let all its imports be recorded")
    flags = [Flag("imports", text) for text in found[:MOST_FLAGS]]
    bench.grade.flags += [flag for flag in flags if flag not in bench.grade.flags]
    return sorted(map(printable, outcome.imports.by_program))[:MOST_IMPORTS]


def explain(
    verdict: Verdict, stage: Stage, output: str, folder: Path, home: Path, module: str | None
) -> SafeText:
    """Describe what happened, for the student.

    The program ran in `folder`, a copy of the submission in `home`.
    """
    limits = stage.limits
    words = last_words(output, folder, home, stage.show_output)
    text = {
        Verdict.OK: "",
        Verdict.RUNTIME_ERROR: f"the program ended with an error: {words}",
        Verdict.TIME_LIMIT: f"the program ran longer than {limits.seconds:g} s",
        Verdict.MEMORY_LIMIT: f"the program needed more than {limits.memory_gib:g} GiB of memory",
        Verdict.OUTPUT_LIMIT: (
            f"the program wrote more than {limits.disk_mib:g} MiB or {limits.files} files"
        ),
        Verdict.ENVIRONMENT: f"the package {module} is allowed, but not installed on this machine",
    }[verdict]
    return SafeText(text)


def told(bench: Bench, step: Step, problem: UserError | Deviation, folder: Path) -> SafeText:
    """Return what a student may read about a file in `folder` that a step wrote.

    That is everything if students see what the step prints, or if the code is the user's own.
    """
    if step.show_output or bench.settings.level is Level.TRUSTED:
        return SafeText(str(problem).replace(f"{folder}/", ""))
    if isinstance(problem, FormatError | Deviation):
        return problem.for_students()
    return SafeText("a file is not in the required format")


@contextmanager
def stage_run(
    bench: Bench, stage: Stage, copies: dict[str, Path], given: dict[str, Path]
) -> Iterator[tuple[Step, Path]]:
    """Run a stage on these copies and artefacts; yield its step and the folder it leaves behind."""
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        folder.mkdir(mode=0o700)
        lay_out(bench, stage, folder, copies, given)
        command = Command(
            words=(interpreter(), *words_of(bench, stage, copies)),
            folder=folder,
            readable=tuple(copies[name] for name in stage.used_data()),
            hidden=bench.hidden_paths(),
            recorded=stage.kind == "program",  # a notebook's kernel is another program
            variables={VARIABLE: LATENTS} if bench.settings.shows_data else {},
        )
        outcome = isolation.run(command, limits_of(stage), bench.settings.level)
        bench.program_seconds += outcome.seconds
        verdict, module = outcome.verdict, missing_module(outcome.output, bench)
        if verdict is Verdict.RUNTIME_ERROR and module:
            verdict = Verdict.ENVIRONMENT
        yield (
            Step(
                stage.name,
                verdict,
                explain(verdict, stage, outcome.output, folder, bench.submission.folder, module),
                outcome.seconds,
                outcome.cpu_seconds,
                outcome.peak_memory,
                outcome.output,
                stage.show_output,
                flag_imports(bench, stage, outcome) if command.recorded else [],
            ),
            folder,
        )


def collect(
    bench: Bench, step: Step, names: Iterable[str], folder: Path, into: Path
) -> dict[str, Path]:
    """Copy the files called `names` out of a folder. If one is missing, the format is wrong."""
    into.mkdir(mode=0o700, exist_ok=True)
    made = {}
    for name in names:
        try:
            handed_in = folder == bench.submission.folder
            expected = "a file that is handed in" if handed_in else "a file that the stage writes"
            content = read_file(folder / name, expected)
        except UserError as error:
            if step.verdict is Verdict.OK:
                step.verdict = Verdict.WRONG_FORMAT
                step.message = told(bench, step, error, folder)
                if folder != bench.submission.folder:
                    text = f"{step.message}; {new_files(bench, step, folder)}"
                    step.message = SafeText(text)
            continue
        (into / name).write_bytes(content)
        made[name] = into / name
    return made


def new_files(bench: Bench, step: Step, folder: Path) -> SafeText:
    """Say what else a stage wrote, for a student who looks for a missing file."""
    old = {path.name for path in bench.submission.folder.iterdir()} | set(bench.made)
    try:
        names = sorted({path.name for path in folder.iterdir()} - old)
    except OSError:
        return SafeText("the stage closed its folder")
    if not names:
        return SafeText("the stage wrote no file")
    if step.show_output or bench.settings.level is Level.TRUSTED:
        shown = ", ".join(name[:NAME_SIZE] for name in names[:NAMES])
        return SafeText(printable(f"the stage wrote {shown}"))
    return SafeText("the stage wrote other files")


def read_answers(
    artefact: Artefact, path: Path, data: DataSet, deviations: Deviations
) -> np.ndarray:
    """Return what an artefact says about each image of the copy. Raises UserError."""
    if artefact.kind == "images":
        return read_reconstructions(path, deviations, len(data.images), data.side)
    assert artefact.column is not None
    return read_predictions(path, deviations, len(data.images), artefact.column)


def check_other(bench: Bench, name: str, path: Path, step: Step) -> None:
    """Read an artefact of numbers; an error becomes the step's message."""
    if bench.assignment.artefact[name].kind == "numbers":
        try:
            bench.numbers[name] = read_numbers(path)
        except UserError as error:
            step.verdict = Verdict.WRONG_FORMAT
            step.message = SafeText(f"{name} has no numbers that can be read")
            bench.grade.flags.append(Flag(name, without_folder(error, path.parent)))


def check_answers(bench: Bench, step: Step, made: dict[str, Path]) -> None:
    """Read the artefacts that are scored; an error becomes the step's message."""
    for name, path in made.items():
        artefact = bench.assignment.artefact[name]
        if artefact.of is None:
            check_other(bench, name, path, step)
            continue
        data, deviations = bench.data[artefact.of], Deviations(Path(name))
        try:
            values = data.restore(read_answers(artefact, path, data, deviations))
            bench.answers[name] = Answers(values, deviations.found)
        except UserError as error:
            step.verdict = Verdict.WRONG_FORMAT
            step.message = told(bench, step, error, path.parent)
        bench.grade.remarks += [told(bench, step, d, path.parent) for d in deviations.found]


def read_latents(bench: Bench, step: Step, made: Iterable[str], folder: Path) -> None:
    """Keep the latents that a stage left next to the answers that it made, if it left any."""
    path = folder / LATENTS
    if not path.exists():
        return
    for name in bench.answers.keys() & set(made):
        data = bench.data[str(bench.assignment.artefact[name].of)]
        expected = f"'z' of shape ({len(data.images)}, 2), as numbers"
        try:
            z = read_arrays(path).get("z", np.empty(0))
            if z.shape != (len(data.images), 2) or not np.isfinite(z).all():
                raise UserError(path, f"no such array (z has the shape {z.shape})", expected)
            bench.latents[name] = data.restore(z)
        except UserError as error:
            bench.grade.remarks.append(told(bench, step, error, folder))


def read_executed(bench: Bench, step: Step, folder: Path) -> None:
    """Keep the notebook that a stage has run; say which cell ended with an error."""
    assert bench.submission.notebook is not None
    try:
        executed = read_notebook(folder / EXECUTED)
        bench.executed = with_outputs(bench.submission.notebook, executed)
    except UserError as error:
        step.verdict = Verdict.WRONG_FORMAT
        step.message = SafeText("the notebook was not run to its end")
        bench.grade.flags.append(Flag(step.name, without_folder(error, folder)))
        return
    for cell in bench.executed.code:
        for output in cell.outputs:
            if output.output_type == "error":
                known = isinstance(getattr(builtins, output.ename, None), type)
                kind = output.ename if known else "an error of its own"
                step.message = SafeText(f"cell {cell.number} ended with {kind}")


def run_stage(bench: Bench, stage: Stage) -> Step:
    """Run a program or a notebook.

    Its artefacts count, unless a limit stopped it or a package is missing here.
    """
    missing = [name for name in stage.needs if name not in bench.made]
    if missing:
        message = SafeText(f"there is no {' and no '.join(missing)} to go on with")
        return Step(stage.name, Verdict.SKIPPED, message)
    with stage_run(bench, stage, bench.copies, bench.made) as (step, folder):
        if step.verdict in (Verdict.OK, Verdict.RUNTIME_ERROR):
            if stage.kind == "notebook":
                read_executed(bench, step, folder)
            made = collect(bench, step, stage.makes, folder, bench.scratch / "made")
            bench.made |= made
            check_answers(bench, step, made)
            if bench.settings.shows_data:
                read_latents(bench, step, made, folder)
    late = stage.limits.remark_seconds
    if late is not None and step.seconds > late:
        text = f"{stage.name} took {step.seconds / 60:.0f} minutes"
        bench.grade.remarks.append(SafeText(f"{text}; the assignment expects {late / 60:.0f}"))
    return step
