"""The commands of the grader."""

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from typer.exceptions import TyperException

from . import HOME, PROGRAM, __version__, metrics
from .artifacts import (
    Deviations,
    read_file,
    read_predictions,
    read_reconstructions,
    read_truth_images,
    read_truth_labels,
)
from .assessment.copies import data_files
from .assessment.pipeline import assess
from .assessment.stages import Settings
from .assignment import read_assignment
from .classroom import class_commands
from .display import results
from .display.result_page import render
from .errors import UserError
from .files import PRIVATE, write
from .new_assignment import assignment_text, check_answers, write_assignment
from .parameters import count_numbers
from .safe_text import SafeText
from .sandbox.command import Level
from .sandbox.isolation import best_level, obstacle, shortfall, supported_level
from .sandbox.launcher import landlock_version
from .sandbox.resources import temporary_folder
from .shipping import gradescope
from .shipping.bundle import ROOT, bundle, require_repository
from .shipping.package import Authors, package
from .staff import grade_commands, marking_commands
from .submission.check import check_submission
from .submission.contents import problem_of_address, problems_of_links
from .submission.rules import check as check_rules
from .submission.unpacking import carried_files, open_submission, weights_in

HERE = Path()
SHOWN = 20  # labels in a remark
LOCK = HOME / "requirements.lock"
OPTIONAL = {
    "distributed",
    "cryptography",
    "copydetect",
    "openpyxl",
    "bokeh",
}  # needed only by the commands for a class

# A shell completes the words of an installed program only.
app = typer.Typer(add_completion=PROGRAM == "vae-grader", no_args_is_help=True)
class_commands.register(app)
marking_commands.register(app)
grade_commands.register(app)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"vae-grader {__version__}")
        raise typer.Exit


@app.callback()  # without one, typer would read a single command's name as an argument
def commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="show the version and exit"
        ),
    ] = False,
) -> None:
    """Grade submissions of the course."""


@app.command()
def score(
    recon_truth: Annotated[Path, typer.Option(help="npz of the images to reconstruct")],
    recon: Annotated[Path, typer.Option(help="the submission's vae_reconstructed.npz")],
    truth: Annotated[Path, typer.Option(help="npz with the labels of the test images")],
    pred: Annotated[Path, typer.Option(help="the submission's vae.csv")],
    model: Annotated[Path | None, typer.Option(help="the submission's vae.pth")] = None,
    gmm: Annotated[Path | None, typer.Option(help="the submission's gmm_params.pkl")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="write every figure")] = None,
) -> None:
    """Score the files that a submission wrote, without running or unpickling any of them."""
    inputs = [path for path in (recon_truth, recon, truth, pred, model, gmm) if path]
    if json_path and json_path.resolve() in {path.resolve() for path in inputs}:
        raise UserError(json_path, "the name of a file to read", "another name for the figures")
    true_images = read_truth_images(recon_truth.resolve())
    true_labels = read_truth_labels(truth.resolve())
    recon_deviations, pred_deviations = Deviations(recon), Deviations(pred)
    images = read_reconstructions(recon, recon_deviations, len(true_images))
    labels = read_predictions(pred, pred_deviations, len(true_labels))
    unknown = metrics.unknown_labels(true_labels, labels)
    if unknown:
        found, classes = (", ".join(map(str, n[:SHOWN])) for n in (unknown, np.unique(true_labels)))
        pred_deviations.add(f"predicts {found}", classes, SafeText("labels of no class"))
    scores = results.Scores(
        reconstruction=metrics.reconstruction_scores(true_images, images),
        reconstruction_images=len(true_images),
        classification=metrics.classification_scores(true_labels, labels),
        classes=metrics.class_scores(true_labels, labels),
        classification_images=len(true_labels),
        parameters=count_numbers(model).numbers if model else None,
        gmm_bytes=len(read_file(gmm, "a pickle")) if gmm else None,
        remarks=[str(d) for d in (*recon_deviations.found, *pred_deviations.found)],
    )
    if json_path:
        write_json(results.to_json(scores), json_path)
    results.show(scores, Console())


@app.command()
def run(
    submission: Annotated[Path, typer.Argument(help="a zip or a folder")],
    data: Annotated[Path, typer.Option(help="the folder with the assignment's data sets")] = HERE,
    assignment: Annotated[str, typer.Option(help="a name, or the path of a TOML file")] = "a3",
    out: Annotated[Path | None, typer.Option(help="folder for results.json, report.html")] = None,
    weights_dir: Annotated[Path | None, typer.Option(help="weights fetched beforehand")] = None,
    train: Annotated[bool, typer.Option("--train", help="train even if there are weights")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="grade weights, never train")] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="compare with a training")] = False,
    stages: Annotated[str, typer.Option(help="only these, with commas between")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="the code is your own")] = False,
    against: Annotated[Path | None, typer.Option(help="an earlier results.json")] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="write results.json here")
    ] = None,
) -> None:
    """Assess a submission: unpack it, check its code, run its stages, score what they make."""
    task = read_assignment(assignment)
    if train and weights:
        raise typer.BadParameter("--train and --weights exclude each other")
    only = tuple(name for name in stages.split(",") if name)
    for name in only:
        if name not in (known := [stage.name for stage in task.stage]):
            raise typer.BadParameter(f"the stage '{name}'; expected some of {','.join(known)}")
    level = Level.TRUSTED if trust else best_level()
    if level is Level.TRUSTED and not trust:
        raise typer.BadParameter(
            f"this machine has no sandbox ({PROGRAM} doctor says why); "
            "--trust runs code of your own without one"
        )
    if not trust and (problem := shortfall()):
        print(f"{problem} ({PROGRAM} doctor says how)", file=sys.stderr)
    if weights:
        task = task.without_training()
    if weights_dir and not weights_dir.is_dir():
        raise UserError(weights_dir, "no such folder", "the folder of fetched weights")
    if not submission.exists():
        raise UserError(submission, "no such file or folder", "a submission's zip or folder")
    if out and out.exists() and not out.is_dir():
        raise UserError(out, "not a folder", "a folder for results.json and report.html")
    earlier = read_results(against) if against else None
    settings = Settings(
        data_folder=data.resolve(),
        level=level,
        train=train,
        weights_folder=weights_dir,
        only=only,
        retrain=retrain,
    )
    if not trust:  # before an earlier result is replaced
        data_files(task, settings.data_folder)
    console = Console()
    places = [path for path in (out / "results.json" if out else None, json_path) if path]

    def leave(content: dict[str, Any]) -> None:
        for path in places:
            write_json(content, path)

    grade = assess(
        submission.absolute(),
        task,
        settings,
        lambda so_far: leave(results.unfinished(results.to_gradescope(so_far))),
    )
    if out:
        write(render(grade), out / "report.html")
    leave(results.to_gradescope(grade))
    results.show_grade(grade, console)
    if earlier is not None:
        differences = results.differences(earlier, results.to_gradescope(grade)["extra_data"])
        for line in differences or [f"the same as in {against}"]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def read_results(path: Path) -> dict[str, Any]:
    """Read the `extra_data` of an earlier results.json. Raises UserError if it is not one."""
    try:
        return dict(json.loads(path.read_bytes())["extra_data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"not a results.json ({type(error).__name__})"
        raise UserError(path, found, "what an earlier run wrote") from error


@app.command("new")
def write_new(
    name: Annotated[str, typer.Argument(help="the assignment's name; NAME.toml is written")],
    title: Annotated[str, typer.Option(prompt="Title, for readers")],
    program: Annotated[
        str, typer.Option(prompt="What is handed in: a program's name, or *.ipynb for a notebook")
    ] = "*.ipynb",
    run: Annotated[
        bool, typer.Option("--run/--as-it-came", prompt="Should the grader run it?")
    ] = False,
    data: Annotated[
        bool, typer.Option(help="the run labels images of a test set, test.npz")
    ] = False,
    functions: Annotated[
        str, typer.Option(prompt="Functions to test, with commas between (none: leave empty)")
    ] = "",
    questions: Annotated[int, typer.Option(prompt="Questions that people mark")] = 3,
) -> None:
    """Write a new assignment's file from a few answers, with comments on what to change."""
    calls = [call.strip() for call in functions.split(",") if call.strip()]
    check_answers(name, program, calls, questions)
    content = assignment_text(
        name, title, program, run=run, data=data, functions=calls, questions=questions
    )
    path = Path(f"{name}.toml")
    write_assignment(path, content)
    print(f"wrote {path}; next: {PROGRAM} dry-run {path} SUBMISSION")


@app.command()
def dry_run(
    assignment: Annotated[str, typer.Argument(help="a name, or the path of a TOML file")],
    submission: Annotated[Path, typer.Argument(help="a zip or a folder to try it on")],
) -> None:
    """Show what an assignment would do with a submission, without running any of its code."""
    task = read_assignment(assignment)
    with temporary_folder() as folder:
        opened = open_submission(submission.absolute(), task, folder)
        files, _ = carried_files(opened, task.artefact)
        found = check_rules(opened.folder, files, opened.program, task.rules)
        findings = [str(finding) for finding in found]
        names = task.trained_artefacts()
        included = len(weights_in(opened.folder, names)) == len(names)
    print(results.preview_text(task, included, opened.remarks + findings))


def advice(level: Level) -> str:
    """Return the commands that set up a Python with which this machine supports `level`."""
    folder = "/opt/vae-grader" if os.geteuid() == 0 else "~/vae-grader"
    return (
        f"this machine supports level {level}, with a Python that every user can read:\n"
        f"    {readable_python()} -m venv {folder}\n"
        f"    {folder}/bin/python -m pip install {requirement()}\n"
        f"    {folder}/bin/{PROGRAM} doctor"
    )


def requirement() -> str:
    """Return the arguments with which pip prepares another environment for this grader."""
    if HOME.name == "grader":
        return f"--requirement {LOCK}"
    origin = metadata.distribution("vae-grader").read_text("direct_url.json")
    return str(json.loads(origin)["url"]) if origin else "vae-grader"


def readable_python() -> str:
    """Return the system's newest Python that can run the grader, or the path of one to install."""
    for minor in range(sys.version_info.minor + 9, 10, -1):
        if (path := Path(f"/usr/bin/python3.{minor}")).exists():
            return str(path)
    return "/usr/bin/python3.11"


@app.command()
def doctor() -> int:
    """List the sandbox levels that this machine supports, and say how to get a better one."""
    console = Console()
    best = best_level()
    for level in Level:
        found = obstacle(level)
        state = "works" if found is None else f"not here: {found}"
        console.print(f"{level:13} {state}", markup=False, soft_wrap=True)
    if supported_level() is not best:
        console.print(advice(supported_level()), markup=False, highlight=False, soft_wrap=True)
    if best is Level.TRUSTED:
        console.print("untrusted submissions cannot be run here", markup=False)
        return 1
    console.print(f"submissions are run at level {best}", markup=False)
    if best is Level.CONFINED and not landlock_version():
        text = "this kernel has no Landlock, so private files must be closed to other users"
        console.print(text, markup=False)
    return 0


@app.command("bundle")
def write_bundle(out: Annotated[Path, typer.Argument(help="the file to write")]) -> None:
    """Fold the core into one self-contained vae.py."""
    require_repository("bundle")
    source = bundle()
    write(source, out)
    print(f"wrote {out}: {len(source.splitlines())} lines")


@app.command("check")
def check_command(
    submission: Annotated[
        Path, typer.Argument(help="submission.zip, a folder, or the link's file")
    ],
    assignment: Annotated[str, typer.Option(help="a name, or the path of a TOML file")] = "a3",
) -> int:
    """Check a submission against every rule of the assignment, without running any of its code."""
    checks = check_submission(submission, read_assignment(assignment))
    results.show_checks(checks, Console())
    return int(any(check.passed is False for check in checks))


@app.command("package")
def write_package(
    data: Annotated[Path, typer.Option(help="the folder with the assignment's data sets")],
    group: Annotated[list[str], typer.Option(help="an entry number; repeated")],
    name: Annotated[list[str], typer.Option(help="the name of its owner; repeated")],
    model_link: Annotated[
        str | None, typer.Option(help="where the weights are; default: model_path.txt's")
    ] = None,
    model: Annotated[Path, typer.Option(help="trained first if it does not exist")] = Path(
        "vae.pth"
    ),
    weights: Annotated[bool, typer.Option("--weights", help="put the weights in too")] = False,
    out: Annotated[Path, typer.Option(help="the zip to write")] = Path("submission.zip"),
    assignment: Annotated[str, typer.Option(help="a name, or the path of a TOML file")] = "a3",
) -> int:
    """Make the submission's zip: the code in one file, the report, the entry numbers, the link."""
    require_repository("package")
    task = read_assignment(assignment)
    if task.program != "vae.py" or not task.trained_artefacts():
        raise UserError(
            assignment, f"the program {task.program}", "vae.py, with a stage that trains"
        )
    required = task.submission
    for entry in group:
        if not re.fullmatch(required.entry_number or ".+", entry, re.ASCII):
            raise typer.BadParameter(f"--group {entry}; expected an entry number like 2020CSZ1234")
    if len(set(group)) < len(group) or len(group) != len(name):
        raise typer.BadParameter("a --group and a --name for each author, each once")
    if required.zip_name and out.name != required.zip_name:
        raise typer.BadParameter(f"--out {out}; the course asks for {required.zip_name}")
    if model_link is None:
        links: list[str] = []
        problem = next(problems_of_links(ROOT / "model_path.txt", links), None)
        model_link = next(iter(links), "")
    else:
        problem = problem_of_address(model_link, "--model-link")
    if problem:
        raise typer.BadParameter(f"{problem} (give it with --model-link)")
    content = package(task, data, model, Authors(name, group), model_link, weights)
    with temporary_folder() as folder:
        trial = folder / out.name
        trial.write_bytes(content)
        checks = check_submission(trial, task)
    results.show_checks(checks, Console())
    if any(check.passed is False for check in checks):
        print(f"{out} was not written")
        return 1
    write(content, out)
    print(f"wrote {out}: {len(content) / 2**20:.1f} MiB")
    return 0


@app.command("gradescope")
def write_autograder(
    out: Annotated[Path, typer.Argument(help="the zip to write")],
    data: Annotated[Path, typer.Option(help="the folder with the assignment's data sets")],
    assignment: Annotated[str, typer.Option(help="a name, or the path of a TOML file")] = "a3",
) -> None:
    """Make the autograder's zip for Gradescope, including private data."""
    content = gradescope.pack(assignment, data)
    write(content, out)
    print(f"wrote {out}: {len(content) / 2**20:.1f} MiB")


@app.command(hidden=True)
def autograde(root: Annotated[Path, typer.Argument(help="/autograder")]) -> None:
    """Grade an upload on Gradescope; run_autograder calls this."""
    gradescope.grade_upload(root)


EXAMPLES = {
    "score": "--recon-truth test_recon.npz --recon vae_reconstructed.npz "
    "--truth test.npz --pred vae.csv --model vae.pth --gmm gmm_params.pkl",
    "run": "submission.zip --data data --out assessed",
    "new": "hw1",
    "dry-run": "a3 submission.zip",
    "doctor": "",
    "bundle": "build/vae.py",
    "check": "submission.zip",
    "package": "--data data --group 2026EE10001 --name Ada --weights",
    "gradescope": "autograder.zip --data data",
    "batch": "submissions --data data --out class --jobs 2",
    "regrade": "class --failed",
    "export": "class grades.csv --for canvas",
    "feedback": "class feedback.zip --for moodle",
    "stats": "class --board anonymous",
    "marking": "class --markers ada,bob --double 0.1",
    "marks": "class marks.csv",
    "rescore": "class",
    "requests": "class requests.csv",
    "ledger": "class ledger.csv",
    "similarity": "class --base starter",
    "fetch": "class --verify",
}
for command in app.registered_commands:
    name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
    if not command.hidden:
        command.epilog = f"Example: {PROGRAM} {name} {EXAMPLES[name]}"


def write_json(value: dict[str, Any], path: Path) -> None:
    write(json.dumps(value, indent=2) + "\n", path)


def main() -> int:
    """Run the command line; report a user's mistake in one line on stderr and return 2."""
    os.umask(PRIVATE)  # results are about students, and copies contain private images
    try:
        return app(prog_name=PROGRAM, standalone_mode=False) or 0
    except TyperException as error:
        message = error.format_message()
    except UserError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        message = f"this command needs {error.name}; python -m pip install {error.name}"
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; every file is whole, old or new", file=sys.stderr)
        return class_commands.INTERRUPTED
    print(message, file=sys.stderr)
    return 2
