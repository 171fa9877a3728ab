"""Run the submitted program once, as a stage of the assignment requires, in a folder of its own.

The folder contains a fresh copy of the submission and the artefacts that the stage needs. Of what
the run leaves in it, only the named files are read.
"""

import builtins
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..artifacts import (
    NAME_SIZE,
    NAMES,
    Deviation,
    Deviations,
    read_file,
    read_predictions,
    read_reconstructions,
    without_folder,
)
from ..assignment import Artefact, Assignment, Stage
from ..errors import UserError, printable
from ..sandbox import isolation
from ..sandbox.command import Command, Level, Limits, interpreter
from ..sandbox.resources import temporary_folder
from ..submission import rules
from ..submission.unpacking import Submission, carried_files
from ..verdicts import Verdict
from .copies import DataSet
from .grade import Grade, Step

LINE_SIZE = 200  # characters of a program's last line


@dataclass(frozen=True)
class Settings:
    """How a submission is assessed: where data and weights are, what is run, at which level."""

    data_folder: Path
    level: Level
    train: bool = False
    weights_folder: Path | None = None
    only: tuple[str, ...] = ()
    retrain: bool = False


@dataclass(frozen=True)
class Answers:
    """What an artefact says about each image, (N, ...), in the order of the data set."""

    values: np.ndarray
    deviations: list[Deviation]


@dataclass
class Bench:
    """What the steps of one assessment share.

    `made` has the artefacts so far, and `answers` the content of those that are scored. `missing`
    has the modules that the code imports and may import, but that are not installed here.
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
    missing: set[str] = field(default_factory=set)
    program_seconds: float = 0.0  # for which the submission has run so far


def lay_out(bench: Bench, stage: Stage, folder: Path, given: dict[str, Path]) -> None:
    """Copy the submission and the artefacts that the stage needs to `folder`."""
    home = bench.submission.folder
    kept, _ = carried_files(home, set(bench.assignment.artefact))
    for path in kept:
        target = folder / path.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name in stage.needs:
        shutil.copyfile(given[name], folder / name)


def limits_of(stage: Stage) -> Limits:
    return Limits(
        seconds=stage.limits.seconds,
        memory=int(stage.limits.memory_gib * 2**30),
        disk=int(stage.limits.disk_mib * 2**20),
        files=stage.limits.files,
        processes=stage.limits.processes,
        cpus=stage.limits.cpus,
    )


def last_words(output: str, whole: bool) -> str:
    """Return the last line that is not empty: in a traceback, it names the error.

    Unless `whole`, return only the kind of error and where it was raised, because the text could
    contain test images.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return "nothing was printed"
    if whole:
        return printable(lines[-1][:LINE_SIZE])
    kind = lines[-1].split(":")[0]
    error = kind if isinstance(getattr(builtins, kind, None), type) else "an error of its own"
    places = re.findall(r'File "[^"]*?(\w{1,30}\.py)", line (\d{1,5})', output)
    return f"{error} in {places[-1][0]}, line {places[-1][1]}" if places else error


def missing_module(output: str, bench: Bench) -> str | None:
    """Return the allowed module whose absence here ended a program, if one did.

    That the code imports it is a finding of the rules: a program can print anything.
    """
    found = re.search(r"ModuleNotFoundError: No module named '([A-Za-z_]\w*)", output)
    return found[1] if found and found[1] in bench.missing else None


def explain(verdict: Verdict, stage: Stage, output: str, module: str | None) -> str:
    """Describe what happened, for the student."""
    limits = stage.limits
    return {
        Verdict.OK: "",
        Verdict.RUNTIME_ERROR: (
            f"the program ended with an error: {last_words(output, stage.show_output)}"
        ),
        Verdict.TIME_LIMIT: f"the program ran longer than {limits.seconds:g} s",
        Verdict.MEMORY_LIMIT: f"the program needed more than {limits.memory_gib:g} GiB of memory",
        Verdict.OUTPUT_LIMIT: (
            f"the program wrote more than {limits.disk_mib:g} MiB or {limits.files} files"
        ),
        Verdict.ENVIRONMENT: f"the package {module} is allowed, but not installed on this machine",
    }[verdict]


@contextmanager
def stage_run(
    bench: Bench, stage: Stage, copies: dict[str, Path], given: dict[str, Path]
) -> Iterator[tuple[Step, Path]]:
    """Run a stage on these copies and artefacts; yield its step and the folder it leaves behind."""
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        folder.mkdir(mode=0o700)
        lay_out(bench, stage, folder, given)
        words = [word.format(**copies) for word in stage.words]
        command = Command(
            words=(interpreter(), bench.assignment.program, *words),
            folder=folder,
            readable=tuple(copies[name] for name in stage.used_data()),
            hidden=tuple(rules.package_folders(bench.assignment.rules.hidden)),
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
                explain(verdict, stage, outcome.output, module),
                outcome.seconds,
                outcome.cpu_seconds,
                outcome.peak_memory,
                outcome.output,
                stage.show_output,
            ),
            folder,
        )


def collect(bench: Bench, step: Step, stage: Stage, folder: Path, into: Path) -> dict[str, Path]:
    """Copy what the stage made out of its folder. If a file is missing, the format is wrong."""
    into.mkdir(mode=0o700, exist_ok=True)
    made = {}
    for name in stage.makes:
        try:
            content = read_file(folder / name, "a file that the stage writes")
        except UserError as error:
            if step.verdict is Verdict.OK:
                step.verdict = Verdict.WRONG_FORMAT
                step.message = f"{without_folder(error, folder)}; {new_files(bench, stage, folder)}"
            continue
        (into / name).write_bytes(content)
        made[name] = into / name
    return made


def new_files(bench: Bench, stage: Stage, folder: Path) -> str:
    """List what a stage wrote, for a student who looks for a missing file."""
    old = {path.name for path in bench.submission.folder.iterdir()} | set(stage.needs)
    try:
        names = sorted({path.name[:NAME_SIZE] for path in folder.iterdir()} - old)[:NAMES]
    except OSError:
        return "the stage closed its folder"
    return printable(f"the stage wrote {', '.join(names)}" if names else "the stage wrote no file")


def read_answers(
    artefact: Artefact, path: Path, data: DataSet, deviations: Deviations
) -> np.ndarray:
    """Return what an artefact says about each image of the copy. Raises UserError."""
    if artefact.kind == "images":
        return read_reconstructions(path, deviations, len(data.images), data.side)
    assert artefact.column is not None
    return read_predictions(path, deviations, len(data.images), artefact.column)


def check_answers(bench: Bench, step: Step, made: dict[str, Path]) -> None:
    """Read the artefacts that are scored; an error becomes the step's message."""
    for name, path in made.items():
        artefact = bench.assignment.artefact[name]
        if artefact.of is None:
            continue
        data, deviations = bench.data[artefact.of], Deviations(Path(name))
        try:
            values = data.restore(read_answers(artefact, path, data, deviations))
            bench.answers[name] = Answers(values, deviations.found)
        except UserError as error:
            step.verdict = Verdict.WRONG_FORMAT
            step.message = without_folder(error, path.parent)
        bench.grade.remarks += map(str, deviations.found)


def run_stage(bench: Bench, stage: Stage) -> Step:
    """Run a stage; its artefacts count, unless a limit stopped it or a package is missing here."""
    missing = [name for name in stage.needs if name not in bench.made]
    if missing:
        message = f"there is no {' and no '.join(missing)} to go on with"
        return Step(stage.name, Verdict.SKIPPED, message)
    with stage_run(bench, stage, bench.copies, bench.made) as (step, folder):
        if step.verdict in (Verdict.OK, Verdict.RUNTIME_ERROR):
            made = collect(bench, step, stage, folder, bench.scratch / "made")
            bench.made |= made
            check_answers(bench, step, made)
    late = stage.limits.remark_seconds
    if late is not None and step.seconds > late:
        bench.grade.remarks.append(
            f"{stage.name} took {step.seconds / 60:.0f} minutes; "
            f"the assignment expects {late / 60:.0f}"
        )
    return step
