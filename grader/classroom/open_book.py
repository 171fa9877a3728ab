"""Collect the data for a run's gradebook: results, submissions, and what staff added later."""

import json
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..assignment import Assignment, read_assignment
from ..errors import UserError, printable
from .class_run import ClassRun, find_submissions
from .gradebook import Book
from .lateness import read_extensions
from .ledger import read_ledger, used_before
from .marks import read_log, without_place
from .roster import Roster, read_class

SIMILAR, FLAGS = "similarity.json", "flags.json"


def load(run: ClassRun, name: str) -> dict[str, Any]:
    """Read a JSON file in the folder of the run; return an empty dict if there is none.

    Raises UserError if it is damaged.
    """
    path = run.folder / name
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise UserError(path, "damaged", "the file as the grader wrote it") from error


def say(text: str) -> None:
    """Print what is left out on stderr."""
    print(printable(text), file=sys.stderr)


def open_book(folder: Path, roster: Path | None = None, ledger: Path | None = None) -> Book:
    """Collect the current submissions of a run, their results, and what people gave them.

    What is left out is printed on stderr. A roster that is given is the run's from now on. Raises
    UserError if there are no results.
    """
    run = ClassRun(folder.resolve())
    plan = run.plan()
    source = roster or plan.roster
    known = read_class(source) if source else None
    if roster is not None and known is not None:
        for line in known.left_out:
            say(f"{roster}: {line}")
        with run.locked():
            run.save_plan(replace(run.plan(), roster=roster.resolve()))
    task = read_assignment(plan.assignment)
    entries = {entry.id: entry for entry in find_submissions(plan.submissions)}
    results = dict(run.results())
    for name in sorted(results.keys() - entries.keys()):
        say(f"{name}: left out, because it is no longer among the submissions")
    results = {name: result for name, result in results.items() if name in entries}
    for name in sorted(entries.keys() - results.keys()):
        say(f"{name}: handed in, and not graded yet; batch grades it")
    if not results:
        raise UserError(run.folder, "no result yet", "a run that has graded something")
    extensions = read_extensions(plan.extensions) if plan.extensions else {}
    marks = read_log(run.folder)
    for name in sorted(marks.standing.keys() - results.keys()):
        say(f"{name}: its marks stay in the log, but it is not among the submissions")
    for text in without_place(marks, task):
        say(text)
    book = Book(
        task,
        results,
        entries,
        with_keys(extensions, known),
        marks,
        load(run, FLAGS),
        known,
        bank_used(ledger, plan.ledger, task),
    )
    for student in sorted(book.extensions.keys() - book.submissions_of.keys()):
        say(f"{student}: has an extension, and no submission")
    if task.late.due is None and any(entry.submitted for entry in entries.values()):
        say("the assignment has no [late] due date, so no submission is late")
    return book


def with_keys(extensions: dict[str, datetime], roster: Roster | None) -> dict[str, datetime]:
    """Return the extensions by what tables call the students."""
    if roster is None:
        return extensions
    found = {word: roster.find(word) for word in extensions}
    latest: dict[str, datetime] = {}
    for word, due in extensions.items():
        key = student.key if (student := found[word]) else word
        latest[key] = max(due, latest.get(key, due))
    return latest


def bank_used(new: Path | None, known: Path | None, task: Assignment) -> dict[str, int]:
    """Return the free late days that students took for earlier assignments.

    A `new` ledger may not exist yet. Raises UserError if the run's own is gone.
    """
    if not task.late.bank or task.late.due is None:
        return {}
    if new is not None:
        return used_before(read_ledger(new), task) if new.exists() else {}
    return used_before(read_ledger(known), task) if known else {}
