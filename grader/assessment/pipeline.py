"""The way from a submission to a Grade: unpack -> rules -> stages, each marked -> probes."""

import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..artifacts import without_folder
from ..assignment import Assignment
from ..errors import UserError
from ..safe_text import SafeText
from ..sandbox import isolation
from ..sandbox.command import Level, SandboxError
from ..sandbox.resources import temporary_folder
from ..submission import rules
from ..submission.check import check_opened, check_package, check_report
from ..submission.size import measure_size
from ..submission.unpacking import carried_files, open_submission, weights_in
from ..verdicts import Verdict
from .copies import data_digests, file_data, read_data_sets, write_copy
from .function_tests import make_inputs, run_test_stage
from .grade import Flag, Grade, Step, empty_grade, failed
from .lessons import teach
from .marking import give_mark, mark_checks, mark_number
from .probes import run_probes
from .sections import gather_sections
from .stages import Bench, Settings, check_answers, collect, limits_of, run_stage


def find_weights(bench: Bench) -> None:
    """Use the weights from the first place, in the assignment's order, that has all of them.

    If no place has all, put together what the places have. What is then still missing is trained if
    the assignment permits that, and then nothing else is used.
    """
    assignment, settings = bench.assignment, bench.settings
    names, places = assignment.trained_artefacts(), assignment.weights
    may_train = "trained" in places
    if may_train:
        places = places[: 0 if settings.train else places.index("trained")]
    folders = {"included": bench.submission.folder, "fetched": settings.weights_folder}
    found = {place: weights_in(f, names) for place in places if (f := folders[place]) is not None}
    whole = [place for place in found if len(found[place]) == len(names)]
    origins = {name: place for place in reversed(whole[:1] or [*found]) for name in found[place]}
    if may_train and len(origins) < len(names):
        bench.grade.weights = "trained"
        return
    bench.made |= {name: found[place][name] for name, place in origins.items()}
    used = set(origins.values())
    if len(used) < 2:
        bench.grade.weights = next(iter(used), "none")
        return
    bench.grade.weights = ", ".join(f"{name} {origins[name]}" for name in names if name in origins)
    bench.grade.remarks.append(SafeText(f"the weights are put together: {bench.grade.weights}"))


def without_training(bench: Bench) -> SafeText:
    """Say why nothing is trained."""
    missing = [n for n in bench.assignment.trained_artefacts() if n not in bench.made]
    if not missing:
        return SafeText(f"the weights are graded as they came ({bench.grade.weights})")
    found = f"has no {' and no '.join(missing)}" if bench.made else "has none"
    return SafeText(f"the assignment requires weights; the submission {found}")


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
    kept, left_out = carried_files(bench.submission, bench.assignment.artefact)
    program = bench.submission.program
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


def mark_new(bench: Bench, made: Collection[str]) -> None:
    """Give marks for these artefacts."""
    for metric in bench.assignment.metric:
        if metric.artefact in made and metric.artefact in bench.answers:
            bench.grade.replace(give_mark(bench, metric))
    for number in bench.assignment.number:
        if number.artefact in made and number.artefact in bench.numbers:
            bench.grade.replace(mark_number(bench, number))


def take_handed_in(bench: Bench) -> Step | None:
    """Read the artefacts that come with the submission; None if the assignment asks for none."""
    names = [name for name in bench.assignment.artefact if name not in bench.assignment.made()]
    if not names:
        return None
    step = Step("files", Verdict.OK)
    (bench.scratch / "made").mkdir(mode=0o700, exist_ok=True)
    made = collect(bench, step, names, bench.submission.folder, bench.scratch / "made")
    bench.made |= made
    check_answers(bench, step, made)
    mark_new(bench, names)
    return step


def run_stages(bench: Bench, done: Callable[[Step], Step]) -> None:
    """Run all stages in order; those that train, only if no weights came with the submission."""
    find_weights(bench)
    only = bench.settings.only
    for stage in bench.assignment.stage:
        if only and stage.name not in only:
            done(Step(stage.name, Verdict.SKIPPED, SafeText("not requested")))
        elif stage.trains and bench.grade.weights != "trained":
            done(Step(stage.name, Verdict.SKIPPED, without_training(bench)))
        else:
            try:
                run = run_test_stage if stage.kind == "tests" else run_stage
                step = run(bench, stage)
            except SandboxError as error:
                step = failed(stage.name, str(error))
            mark_new(bench, stage.makes)
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
        "assignment": assignment.digest(),
        "data": data_digests(assignment, settings.data_folder, bench.data),
        "perturbed": [name for name, data in bench.data.items() if data.settings.perturbed],
        "limits": {stage.name: asdict(limits_of(stage)) for stage in assignment.stage},
    }


def assess(
    path: Path, assignment: Assignment, settings: Settings, progress: Callable[[Grade], object] = id
) -> Grade:
    """Assess the submission, a zip or a folder, at `path`.

    Call `progress` before the first step and after each. Raises UserError before that if the
    grader's own data is missing or damaged.
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
    files = file_data(assignment, folder)
    make_inputs(assignment, folder)  # raises what is wrong with them
    progress(grade)
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        copies = {name: scratch / f"{name}.npz" for name in data}
        for name, copy in copies.items():
            write_copy(data[name], copy, generator)
        copies |= files
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
                for step in filter(None, (mark_checks(bench), take_handed_in(bench))):
                    done(step)
                run_stages(bench, done)
                done(run_probes(bench))
            grade.sections = gather_sections(bench)
            if settings.shows_data:
                grade.lessons = teach(bench)
                grade.rules = check_package(path, assignment)
                grade.rules += check_opened(submission, assignment, bench.findings)
        except Exception:  # a student gets a result whatever a submission breaks
            grade.fail(traceback.format_exc())
            progress(grade)
    return grade
