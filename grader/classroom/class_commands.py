"""The commands for a whole class."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .. import PROGRAM
from ..assessment.copies import data_files
from ..assignment import read_assignment
from ..display.results import PASSING, differences
from ..errors import UserError, printable
from ..files import write_whole
from ..sandbox import isolation
from ..sandbox.command import Level
from .class_run import ClassRun, Plan, find_submissions
from .lateness import read_extensions
from .open_book import FLAGS, SIMILAR
from .roster import read_class

INTERRUPTED = 130  # the exit code that shells give a command that Ctrl-C ended

RunFolder = Annotated[Path, typer.Argument(help="the folder of the run")]
RosterFile = Annotated[Path | None, typer.Option(help="the class list; later commands know it too")]
Jobs = Annotated[int | None, typer.Option(min=1, help="submissions at once; default: one per CPU")]


def with_tls(address: str | None) -> str | None:
    """Return a scheduler's address. Raises BadParameter if any user could connect to it."""
    if address is not None and not address.startswith("tls://"):
        expected = "a tls:// address, whose scheduler asks for certificates (docs/classes.md)"
        raise typer.BadParameter(f"{address}, which any user could connect to; expected {expected}")
    return address


Scheduler = Annotated[
    str | None, typer.Option(help="tls:// address of a Dask scheduler", callback=with_tls)
]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (batch, regrade, similarity, fetch):
        app.command()(command)


def grade(run: ClassRun, jobs: int | None, scheduler: str | None) -> None:
    """Grade the submissions that have no valid result, and show the progress."""
    from .batch import grade_class, most_jobs
    from .progress import Progress

    if isolation.best_level() is Level.TRUSTED:
        raise typer.BadParameter(f"this machine has no sandbox ({PROGRAM} doctor says why)")
    if problem := isolation.shortfall():
        print(f"{problem} ({PROGRAM} doctor says how)", file=sys.stderr)
    room = most_jobs(read_assignment(run.plan().assignment))
    if jobs is not None and jobs > room and scheduler is None:
        raise typer.BadParameter(f"--jobs {jobs}; this machine has memory for {room} at once")
    jobs = jobs or min(room, len(os.sched_getaffinity(0)))
    try:
        with Progress(run, Console(), jobs) as progress:
            count = grade_class(run.plan(), run, jobs, scheduler, progress.watch)
    except KeyboardInterrupt:
        run.index()
        found = f"{len(list(run.results()))} results in {run.folder}"
        print(f"interrupted: {found}; the same command grades the rest", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    results = [result for _, result in run.results()]
    print(f"{count} graded, {len(results)} results in {run.folder}")
    if failed := sum(map(bool, map(failed_steps, results))):
        again = f"{PROGRAM} regrade {run.folder} --failed"
        print(
            f"{failed} of them with a step that failed; if that was this machine's fault: {again}"
        )


def batch(
    submissions: Annotated[Path, typer.Argument(help="a folder of zips or folders, or an export")],
    data: Annotated[Path, typer.Option(help="the folder with the assignment's data sets")],
    out: Annotated[Path, typer.Option(help="the folder of the run; an existing run is resumed")],
    assignment: Annotated[str, typer.Option(help="a name, or the path of a TOML file")] = "a3",
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    train: Annotated[bool, typer.Option("--train", help="train even if there are weights")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="grade weights, never train")] = False,
    extensions: Annotated[Path | None, typer.Option(help="CSV of entry,due")] = None,
    roster: RosterFile = None,
) -> None:
    """Grade a class, on this machine or a cluster; submissions with a valid result are skipped."""
    # If one is missing, nothing has been written yet.
    import cryptography  # noqa: F401
    import distributed  # noqa: F401

    if train and weights:
        raise typer.BadParameter("--train and --weights exclude each other")
    data_files(read_assignment(assignment), data)
    problems: list[str] = []
    find_submissions(submissions, problems)
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    if extensions is not None:
        read_extensions(extensions)
        extensions = extensions.resolve()
    if roster is not None:
        for line in read_class(roster).left_out:
            print(f"{roster}: {printable(line)}", file=sys.stderr)
        roster = roster.resolve()
    if Path(assignment).suffix:
        assignment = str(Path(assignment).resolve())
    if out.exists() and not out.is_dir():
        raise UserError(out, "not a folder", "the name of a folder for the run")
    if out.resolve().is_relative_to(submissions.resolve()):
        raise UserError(out, "a folder among the submissions", "one outside of them")
    run = ClassRun(out.resolve())
    plan = Plan(
        submissions.resolve(), assignment, data.resolve(), train, weights, extensions, roster
    )
    run.save_plan(plan)
    with run.locked():
        grade(run, jobs, scheduler)


def regrade(
    folder: RunFolder,
    only: Annotated[list[str] | None, typer.Option(help="a submission's id; repeated")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="those with a failed step")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="those with a change")] = False,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
) -> None:
    """Grade again, and show what changed; old results are kept."""
    from .batch import prepare, waiting

    run = ClassRun(folder.resolve())
    plan = run.plan()
    data_files(read_assignment(plan.assignment), plan.data)  # before a result is set aside
    ids = [entry.id for entry in find_submissions(plan.submissions)]
    for name in only or []:
        if name not in ids:
            raise typer.BadParameter(f"--only {name}; expected a submission of this run")
    if only:
        chosen = list(only)
    elif failed:
        chosen = [name for name, result in run.results() if name in ids and failed_steps(result)]
    elif changed:
        _, entries, wanted = prepare(plan, run)
        chosen = [entry.id for entry in waiting(entries, wanted, run) if run.result(entry.id)]
    else:
        chosen = ids
    with run.locked():
        for name in chosen:
            if run.result(name) is not None:
                run.set_aside(name)
        grade(run, jobs, scheduler)
    for name in chosen:
        before, after = run.earlier(name), run.result(name)
        if before and after:
            lines = differences(before["extra_data"], after["extra_data"])
            score = f"{before['score']:g} -> {after['score']:g}"
            print(f"{name}: {score}" + "".join(f"\n    {line}" for line in lines))


def failed_steps(result: dict[str, Any]) -> list[str]:
    """Return the steps of a result that did not pass."""
    verdicts = result["extra_data"]["verdicts"]
    return [step for step, verdict in verdicts.items() if verdict not in PASSING]


def similarity(
    folder: RunFolder,
    base: Annotated[Path | None, typer.Option(help="known code, such as the starter's")] = None,
    old: Annotated[
        list[Path] | None, typer.Option(help="submissions of an earlier year; repeated")
    ] = None,
) -> None:
    """Compare all sources, flag similar pairs, and write a page that shows them."""
    from .similarity import compare, earlier_entries

    run = ClassRun(folder.resolve())
    if base is not None and not base.is_dir():
        raise UserError(base, "no such folder", "a folder of known code")
    plan = run.plan()
    task, entries = read_assignment(plan.assignment), find_submissions(plan.submissions)
    page, ids = run.folder / "similarity.html", {entry.id for entry in entries}
    pairs, left_out = compare(entries, task, base, page, earlier_entries(old or []))
    for name, texts in left_out.items():
        for text in texts:
            print(f"{name}: {text}", file=sys.stderr)
    flags = {name: texts for name, texts in left_out.items() if name in ids}
    for pair in pairs:
        for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
            if one in ids:
                flags.setdefault(one, []).append(
                    f"similar: {pair.share:.0%} in common with {other}"
                )
        print(f"{pair.share:.0%}  {pair.one}  {pair.other}")
    record = {"pairs": [[p.one, p.other, p.share] for p in pairs]}
    write_whole(run.folder / SIMILAR, json.dumps(record, indent=2) + "\n")
    write_whole(run.folder / FLAGS, json.dumps(flags, indent=2) + "\n")
    print(f"wrote {page}: {len(pairs)} pairs")


def fetch(
    folder: RunFolder,
    check: Annotated[
        bool, typer.Option("--verify", help="check whether links still give the same weights")
    ] = False,
    private: Annotated[
        bool, typer.Option("--allow-private", help="follow links into this machine's network too")
    ] = False,
) -> int:
    """Download the weights that submissions link to, or check whether they are still the same."""
    from .fetch import fetch_all, verify

    run = ClassRun(folder.resolve())
    plan = run.plan()
    task, entries = read_assignment(plan.assignment), find_submissions(plan.submissions)
    if check:
        changed = verify(entries, task, run, private)
        for name, text in changed.items():
            print(f"{name}: {text}")
        print(f"{len(changed)} of {len(entries)} links changed")
        return int(bool(changed))
    records = fetch_all(entries, task, run, private)
    problems = {name: r["problem"] for name, r in records.items() if "problem" in r}
    for name, text in problems.items():
        print(f"{name}: {text}", file=sys.stderr)
    print(f"{len(records) - len(problems)} of {len(records)} have their weights here")
    return 0
