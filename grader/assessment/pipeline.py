"""The way from a submission to a Grade: unpack -> rules -> stages, each marked -> probes."""

import hashlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..artifacts import without_folder
from ..assignment import Assignment, Stage
from ..errors import UserError
from ..safe_text import SafeText
from ..sandbox import isolation
from ..sandbox.command import Level, SandboxError
from ..sandbox.resources import temporary_folder
from ..submission import rules
from ..submission.check import check_report
from ..submission.size import measure_size
from ..submission.unpacking import carried_files, open_submission
from ..verdicts import Verdict
from .copies import read_data_sets, write_copy
from .grade import Flag, Grade, Step, empty_grade, failed
from .marking import give_mark
from .probes import run_probes
from .stages import Bench, Settings, limits_of, run_stage


def weights_in(folder: Path, names: list[str]) -> dict[str, Path]:
    """Return the files called `names` in a folder if all are there, otherwise nothing."""
    found = {name: folder / name for name in names if (folder / name).is_file()}
    return found if len(found) == len(names) else {}


def find_weights(bench: Bench) -> None:
    """Use the weights from the first place, in the assignment's order, that has them."""
    names = bench.assignment.trained_artefacts()
    places = {"included": bench.submission.folder, "fetched": bench.settings.weights_folder}
    for place in () if bench.settings.train else bench.assignment.weights:
        folder = places.get(place)
        if place == "trained":
            break
        if folder is not None and (found := weights_in(folder, names)):
            bench.made |= found
            bench.grade.weights = place
            return
    bench.grade.weights = "trained"


def check_size(bench: Bench) -> Step | None:
    """Check whether the numbers in all trained artefacts are within the limit.

    Return None if no limit is set or if there is no artefact.
    """
    size = measure_size(bench.made, bench.assignment)
    bench.grade.numbers |= size.numbers
    for text in size.unreadable:
        text = f"{text}; every four of its bytes are counted as a number"
        bench.grade.remarks.append(SafeText(text))
    bench.grade.flags += [Flag("size", doubt) for doubt in size.doubts]
    if size.allowed is None or not size.numbers:
        return None
    counted = " and ".join(f"{number:,} in {name}" for name, number in size.numbers.items())
    message = f"{size.total:,} numbers ({counted}); {size.allowed:,} are allowed"
    step = Step("size", Verdict.OK, SafeText("; ".join([message, *size.hints])))
    if size.too_large:
        step.verdict = Verdict.FORBIDDEN
    elif size.advised is not None and size.total > size.advised:
        text = f"the model has {size.total:,} numbers; {size.advised:,} are advised"
        bench.grade.remarks.append(SafeText(text))
    return step


def apply_rules(bench: Bench) -> Step:
    """Apply the rules on code. Forbidden code ends the assessment, unless it is the user's own."""
    home, grade = bench.submission.folder, bench.grade
    kept, left_out = carried_files(home, set(bench.assignment.artefact))
    program = bench.assignment.program
    if bench.settings.level is Level.TRUSTED:  # a user's own folder may hold more than a submission
        kept = rules.imported_files(home, kept, program)
    bench.findings = rules.check(home, kept, program, bench.assignment.rules)
    for path in left_out:
        size = path.stat().st_size >> 20
        text = f"{path.name} ({size} MiB) is left out: no stage needs it"
        grade.remarks.append(SafeText(text))
    forbidden = []
    for finding in bench.findings:
        if finding.kind in (rules.Kind.FORBIDDEN, rules.Kind.BROKEN):
            forbidden.append(finding.for_students())
        elif finding.kind is rules.Kind.SUSPICIOUS:
            grade.flags.append(Flag("rules", str(finding)))
        else:
            grade.remarks.append(finding.for_students())
    if not forbidden:
        return Step("rules", Verdict.OK)
    if bench.settings.level is Level.TRUSTED:
        grade.remarks += forbidden
        text = f"{len(forbidden)} findings, let pass for trusted code"
        return Step("rules", Verdict.OK, SafeText(text))
    return Step("rules", Verdict.FORBIDDEN, SafeText("; ".join(forbidden[:5])))


def mark_new(bench: Bench, stage: Stage) -> None:
    """Give marks for what a stage made."""
    marks = bench.grade.marks
    for number, metric in enumerate(bench.assignment.metric):
        if metric.artefact in stage.makes and metric.artefact in bench.answers:
            marks[number] = give_mark(bench, metric)


def run_stages(bench: Bench, done: Callable[[Step], Step]) -> None:
    """Run all stages in order; those that train, only if no weights came with the submission."""
    find_weights(bench)
    only = bench.settings.only
    for stage in bench.assignment.stage:
        if only and stage.name not in only:
            done(Step(stage.name, Verdict.SKIPPED, SafeText("not requested")))
        elif stage.trains and bench.grade.weights != "trained":
            message = SafeText(f"the {bench.grade.weights} weights are graded")
            done(Step(stage.name, Verdict.SKIPPED, message))
        elif stage.trains and "trained" not in bench.assignment.weights:
            done(
                Step(
                    stage.name,
                    Verdict.SKIPPED,
                    SafeText("the assignment requires weights; the submission has none"),
                )
            )
        else:
            try:
                step = run_stage(bench, stage)
            except SandboxError as error:
                step = failed(stage.name, str(error))
            mark_new(bench, stage)
            done(step)
        size = check_size(bench) if stage.trains else None
        if size is not None and done(size).verdict is Verdict.FORBIDDEN:
            bench.made.clear()


def record(bench: Bench) -> dict:
    """Return what another assessment must share with this one to reach the same result."""
    assignment, settings = bench.assignment, bench.settings
    return {
        "seed": assignment.seed,
        "level": str(settings.level),
        "python": sys.version.split()[0],
        "packages": rules.versions(assignment.rules.allowed),
        "assignment": hashlib.sha256(assignment.model_dump_json().encode()).hexdigest(),
        "data": {name: data.sha256 for name, data in bench.data.items()},
        "perturbed": [name for name, data in bench.data.items() if data.settings.perturbed],
        "limits": {stage.name: asdict(limits_of(stage)) for stage in assignment.stage},
    }


def assess(
    path: Path, assignment: Assignment, settings: Settings, progress: Callable[[Grade], object] = id
) -> Grade:
    """Assess the submission, a zip or a folder, at `path`; call `progress` after each step.

    Raises UserError if the grader's own data is missing or damaged.
    """
    grade = empty_grade(assignment, path.name)
    generator = np.random.default_rng(assignment.seed)
    trusted = settings.level is Level.TRUSTED
    data, grade.remarks = read_data_sets(assignment, settings.data_folder, stand_ins=trusted)

    def done(step: Step) -> Step:
        grade.steps.append(step)
        progress(grade)
        return step

    folder = settings.data_folder
    private = (part.path(folder) for part in assignment.data.values() if part.private)
    isolation.require_closed(private, settings.level)
    if not trusted and (problem := isolation.shortfall()):
        grade.flags.append(Flag("sandbox", problem))
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        copies = {name: scratch / f"{name}.npz" for name in data}
        for name, copy in copies.items():
            write_copy(data[name], copy, generator)
        (scratch / "submission").mkdir(mode=0o700)
        try:
            submission = open_submission(path, assignment, scratch / "submission")
        except UserError as error:
            text = SafeText(without_folder(error, path.parent))
            done(Step("unpack", Verdict.WRONG_FORMAT, text))
            return grade
        bench = Bench(assignment, settings, submission, scratch, data, copies, grade)
        grade.sha256, grade.members = submission.sha256, submission.contents.members
        grade.remarks += map(SafeText, submission.remarks)
        grade.record = record(bench)
        done(Step("unpack", Verdict.OK))
        try:
            checks = check_report(submission.contents, assignment.submission, settings.level)
            broken = [check.message for check in checks if check.passed is False]
            grade.remarks += map(SafeText, broken)
            if done(apply_rules(bench)).verdict is Verdict.OK:
                run_stages(bench, done)
                done(run_probes(bench))
        except Exception:  # a student gets a result whatever a submission breaks
            grade.fail(traceback.format_exc())
            progress(grade)
    return grade
