"""The commands for staff, on a class that is graded."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..classroom.class_commands import RosterFile, RunFolder
from ..classroom.class_run import ClassRun
from ..classroom.gradebook import Book
from ..classroom.marks import POINTS, Given, write_log
from ..classroom.open_book import SIMILAR, load, open_book, say
from ..errors import UserError, printable
from ..files import write, write_whole
from .requests import stored_requests


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (marking, marks, rescore, requests, export, feedback, stats, ledger):
        app.command()(command)


def export(
    folder: RunFolder,
    file: Annotated[
        Path, typer.Argument(help="gradebook.csv, or .xlsx; with --for, what the platform exported")
    ],
    roster: RosterFile = None,
    gradescope: Annotated[bool, typer.Option("--gradescope", help="for an import there")] = False,
    platform: Annotated[
        str,
        typer.Option("--for", help="fill in a file of canvas, moodle, gradescope or blackboard"),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="with --for; default: FILE-filled.csv")] = None,
    column: Annotated[str, typer.Option(help="with --for: the column to fill in")] = "",
    scale: Annotated[
        bool, typer.Option("--scale", help="with --for: convert to the file's points")
    ] = False,
    zero: Annotated[
        bool, typer.Option("--zero", help="with --for: 0 for who handed in nothing")
    ] = False,
) -> int:
    """Write the gradebook, a row for each student, or fill in what a learning platform exported."""
    if platform:
        if gradescope:
            raise typer.BadParameter("--gradescope and --for exclude each other")
        return fill_in(open_book(folder, roster), file, platform, out, column, scale, zero)
    if out or column or scale or zero:
        raise typer.BadParameter("--out, --column, --scale and --zero only with --for")
    write_gradebook(open_book(folder, roster), file, gradescope)
    return 0


def write_gradebook(book: Book, out: Path, gradescope: bool) -> None:
    """Write the gradebook, or the columns of it that Gradescope can import."""
    from ..classroom.gradebook import for_gradescope, gradebook
    from ..classroom.tables import write_table

    table = gradebook(book)
    if gradescope:
        table, problems = for_gradescope(table)
        for problem in problems:
            print(problem, file=sys.stderr)
    write_table(table, out)
    missing = f", {len(book.missing)} of them not handed in" if book.missing else ""
    print(f"wrote {out}: {len(table)} rows{missing}")


def fill_in(
    book: Book, file: Path, platform: str, out: Path | None, column: str, scale: bool, zero: bool
) -> int:
    """Fill in a copy of what a platform exported; return 1 if a total did not get in."""
    from .grade_files import Filling, share_of
    from .mark_reports import unmarked_lines
    from .platforms import FORMATS, chosen_column, read_template

    if platform not in FORMATS:
        raise typer.BadParameter(f"--for {platform}; expected one of {', '.join(FORMATS)}")
    if zero and book.roster is None:
        raise typer.BadParameter("--zero needs --roster, which says who handed in nothing")
    target = out or file.with_name(f"{file.stem}-filled{file.suffix}")
    if target.exists() and file.exists() and target.samefile(file):
        raise UserError(target, "the file to fill in", "another name for the filled one")
    template, kind = read_template(file, platform)
    chosen = chosen_column(template, kind, column, book.task)
    share = share_of(template, kind, chosen, book.task.possible, scale)
    filling = Filling(book, template, kind, chosen, share, zero)
    filling.fill()
    write(template.sheet.changed(filling.texts), target)
    print(f"wrote {target}: {'; '.join(filling.report())}")
    for line in (*unmarked_lines(book), *filling.notes, *filling.problems):
        print(printable(line), file=sys.stderr)
    return int(bool(filling.problems))


def feedback(
    folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="the zip to write")],
    roster: RosterFile = None,
    platform: Annotated[
        str, typer.Option("--for", help="name the files as moodle or canvas expects them")
    ] = "",
) -> int:
    """Write a zip with a page for each student: points, how they come about, and answers."""
    from ..files import zipped
    from .feedback_files import LAYOUTS, feedback_files
    from .mark_reports import unmarked_lines

    if platform not in LAYOUTS:
        known = ", ".join(filter(None, LAYOUTS))
        raise typer.BadParameter(f"--for {platform}; expected one of {known}")
    book = open_book(folder, roster)
    files, problems = feedback_files(book, stored_requests(folder.resolve()), platform)
    write(zipped(files), out)
    print(f"wrote {out}: {len(files)} pages")
    found = book.marks.contradictions(book.task).items()
    notes = [f"{name}: {text}: contradiction" for name, texts in found for text in texts]
    for line in (*unmarked_lines(book), *notes, *problems):
        print(printable(line), file=sys.stderr)
    return int(bool(problems))


def stats(
    folder: RunFolder,
    roster: RosterFile = None,
    board: Annotated[str, typer.Option(help="leaderboard: none, anonymous or named")] = "none",
) -> None:
    """Write RUN/index.html: plots, what costs most, outliers, and everybody in a table."""
    from ..classroom.similarity import Pair
    from .class_page import render_class

    if board not in ("none", "anonymous", "named"):
        raise typer.BadParameter(f"--board {board}; expected none, anonymous or named")
    run = ClassRun(folder.resolve())
    pairs = [Pair(*pair) for pair in load(run, SIMILAR).get("pairs", [])]
    print(f"wrote {render_class(run, open_book(folder, roster), pairs, board=board)}")


def marking(
    folder: RunFolder,
    out: Annotated[Path | None, typer.Option(help="the page; default: RUN/marking.html")] = None,
    markers: Annotated[str, typer.Option(help="who share the work, with commas between")] = "",
    double: Annotated[
        float, typer.Option(help="the share of submissions that two of them mark")
    ] = 0.0,
) -> None:
    """Write a page on which people mark, without a server; 'marks' reads what it exports."""
    from .marking_page import read_split, write_marking

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
    from ..classroom.mark_tables import marks_template, read_marks
    from ..classroom.tables import write_table
    from .mark_files import read_mark_file
    from .mark_reports import agreement_lines, history_lines, state_lines

    if file is not None and (history or agreement):
        raise typer.BadParameter("--history and --agreement without a file")
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
            known = {request.id for request in stored_requests(run.folder)}
            new = read_mark_file(file, book, known, problems)
        else:
            now = datetime.now(UTC).replace(microsecond=0)
            new = read_marks(file, book, marker or file.stem, now, settle=settle)
        return take(run, book, new, problems)


def take(run: ClassRun, book: Book, new: list[Given], problems: list[str]) -> int:
    """Add marks to the log, say what that did, and return 1 if something was left out."""
    before = book.marks
    after = before.with_new(new)
    write_log(run.folder, after)
    write_points(run, points_by_hand(replace(book, marks=after)))
    read = {given.submission for given in after.given[len(before.given) :]}
    others = len(after.standing.keys() - {given.submission for given in new})
    rest = f"; those of {others} others stay" if others else ""
    print(f"read the marks of {len(read)} submissions{rest}")
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    for name, texts in after.contradictions(book.task).items():
        for text in texts:
            print(f"{name}: {text}: contradiction; the first counts until somebody settles it")
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
    from .requests import read_requests, store_requests, stored_requests

    run, problems = ClassRun(folder.resolve()), list[str]()
    book = open_book(folder)
    if source is not None:
        with run.locked():
            known = stored_requests(run.folder)
            new = [r for r in read_requests(source, book, problems) if r not in known]
            store_requests(run.folder, known + new)
        print(f"read {len(new)} new requests")
        for problem in problems:
            print(printable(problem), file=sys.stderr)
        return int(bool(problems))
    answered = book.marks.answered()
    for request in stored_requests(run.folder):
        answer = answered.get(request.id)
        state = f"answered: {answer.answer}" if answer else "waits"
        print(printable(f"{request.student}: {request.part}: {request.text[:80]}: {state}"))
    return 0


def ledger(
    folder: RunFolder,
    file: Annotated[Path, typer.Argument(help="the ledger, a CSV; written if it does not exist")],
) -> None:
    """Read the free late days that earlier assignments took, and add this one's."""
    from ..classroom.ledger import read_ledger, with_taken
    from ..classroom.tables import write_table

    run = ClassRun(folder.resolve())
    with run.locked():
        used = read_ledger(file) if file.exists() else []
        book = open_book(folder, ledger=file)
        if not book.task.late.bank or book.task.late.due is None:
            found = "an assignment without free late days"
            raise UserError(run.plan().assignment, found, "[late] with 'bank' and 'due'")
        taken = book.bank_days()
        write_table(with_taken(used, book.task, taken), file)
        run.save_plan(replace(run.plan(), ledger=file.resolve()))
    print(f"wrote {file}: {sum(taken.values())} free days of {sum(map(bool, taken.values()))}")
