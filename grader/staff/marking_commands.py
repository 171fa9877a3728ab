"""The commands with which people mark a graded class."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..classroom.class_commands import RunFolder
from ..classroom.class_run import ClassRun
from ..classroom.gradebook import Book
from ..classroom.mark_tables import marks_template, read_marks
from ..classroom.marks import POINTS, Given, write_log
from ..classroom.open_book import load, open_book, say
from ..classroom.tables import write_table
from ..errors import UserError, printable
from ..files import write_whole
from .mark_files import read_mark_file
from .mark_reports import agreement_lines, contradiction_lines, history_lines, state_lines
from .marking_page import read_split, write_marking
from .requests import read_requests, store_requests, stored_requests


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (marking, marks, rescore, requests):
        app.command()(command)


def marking(
    folder: RunFolder,
    out: Annotated[Path | None, typer.Option(help="the page; default: RUN/marking.html")] = None,
    markers: Annotated[str, typer.Option(help="who share the work, with commas between")] = "",
    double: Annotated[
        float, typer.Option(help="the share of submissions that two of them mark")
    ] = 0.0,
) -> None:
    """Write a page on which people mark, without a server; 'marks' reads what it exports."""
    split = read_split(markers, double)
    if isinstance(split, str):
        raise typer.BadParameter(split)
    if out is not None and out.suffix != ".html":
        raise UserError(out, f"the ending '{out.suffix}'", ".html")
    run = ClassRun(folder.resolve())
    page = out or run.folder / "marking.html"
    book = open_book(folder)
    for problem in write_marking(run, book, stored_requests(run.folder), split, page):
        say(problem)
    size = page.stat().st_size / 2**20
    print(f"wrote {page}: {len(book.results)} submissions, {size:.1f} MiB")


def marks(
    folder: RunFolder,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="marks from the marking page (.json), or a table (.csv, .xlsx), which is written "
            "if it does not exist; without it, say what is marked"
        ),
    ] = None,
    marker: Annotated[str, typer.Option(help="who filled in the table; default: its name")] = "",
    settle: Annotated[
        bool, typer.Option("--settle", help="a table's marks replace those of other markers")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="who gave what and when")] = False,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="compare what several markers gave")
    ] = False,
) -> int:
    """Read marks that people gave, or write a table to fill in."""
    if file is not None and (history or agreement):
        raise typer.BadParameter("--history and --agreement without a file")
    if history and agreement:
        raise typer.BadParameter("--history and --agreement exclude each other")
    if file is None:
        lines = history_lines if history else agreement_lines if agreement else state_lines
        for line in lines(open_book(folder)):
            print(line)
        return 0
    if not file.exists() and file.suffix != ".json":
        template = marks_template(open_book(folder))
        write_table(template, file)
        print(f"wrote {file}: {len(template)} rows to fill")
        return 0
    run, problems = ClassRun(folder.resolve()), list[str]()
    with run.locked():
        book = open_book(folder)
        if file.suffix == ".json":
            new = read_mark_file(file, book, stored_requests(run.folder), problems)
        else:
            now = datetime.now(UTC).replace(microsecond=0)
            who = marker or "/".join(file.with_suffix("").parts[-2:])
            new = read_marks(file, book, who, now, settle=settle)
        return take(run, book, new, problems)


def take(run: ClassRun, book: Book, new: list[Given], problems: list[str]) -> int:
    """Add marks to the log, say what that did, and return 1 if something was left out."""
    before = book.marks
    after = before.with_new(new)
    book = replace(book, marks=after)
    points = points_by_hand(book)
    write_log(run.folder, after)
    write_points(run, points)
    read = {given.submission for given in after.given[len(before.given) :]}
    others = len(after.standing.keys() - {given.submission for given in new})
    rest = f"; those of {others} others stay" if others else ""
    print(f"read the marks of {len(read)} submissions{rest}")
    for problem in problems:
        say(problem)
    for line in contradiction_lines(book):
        print(f"{line}; the first counts until somebody settles it")
    return int(bool(problems))


def rescore(folder: RunFolder) -> None:
    """Say whose points changed since marks were read last, after a change of the rubric."""
    run = ClassRun(folder.resolve())
    with run.locked():
        book = open_book(folder)
        before, now = load(run, POINTS), points_by_hand(book)
        changed = [name for name in book.results if before.get(name) != now.get(name)]
        for name in changed:
            old, new = before.get(name, {}), now.get(name, {})
            for column in sorted(old.keys() | new.keys()):
                if old.get(column) != new.get(column):
                    said = [f"{p[column]:g}" if column in p else "not marked" for p in (old, new)]
                    print(printable(f"{name}: {column}: {said[0]} -> {said[1]}"))
        write_log(run.folder, book.marks)  # an earlier version kept points alone
        write_points(run, now)
    print(f"{len(changed)} of {len(book.results)} submissions changed")


def points_by_hand(book: Book) -> dict[str, dict[str, float]]:
    """Return the points that people gave and that count, by submission and part."""
    found: dict[str, dict[str, float]] = {}
    for name in book.marks.standing:
        for part in book.task.parts:
            if (points := book.marks.points(name, part)) is not None:
                found.setdefault(name, {})[part.column] = points
    return found


def write_points(run: ClassRun, points: dict[str, dict[str, float]]) -> None:
    write_whole(run.folder / POINTS, json.dumps(points, indent=2, sort_keys=True) + "\n")


def requests(
    folder: RunFolder,
    source: Annotated[
        Path | None,
        typer.Argument(help="a table of student, part, text, date, or a folder of letters"),
    ] = None,
) -> int:
    """Read requests for another look at a mark, or list those that wait and those answered."""
    run, problems = ClassRun(folder.resolve()), list[str]()
    book = open_book(folder)
    if source is not None:
        with run.locked():
            known = stored_requests(run.folder)
            both = dict.fromkeys((*known, *read_requests(source, book, problems)))
            store_requests(run.folder, [*both])
        print(f"read {len(both) - len(known)} new requests")
        for problem in problems:
            say(problem)
        return int(bool(problems))
    answered = book.marks.answered()
    for request in stored_requests(run.folder):
        answer = answered.get(request.id)
        state = f"answered: {answer.answer}" if answer else "waits"
        print(printable(f"{request.student}: {request.part}: {request.text[:80]}: {state}"))
    return 0
