"""The commands with which grades go out: tables, the class page, feedback."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..classroom.class_commands import RosterFile, RunFolder
from ..classroom.class_run import ClassRun, locked
from ..classroom.gradebook import GRADESCOPE, Book, for_gradescope, gradebook
from ..classroom.ledger import read_ledger, with_taken
from ..classroom.open_book import SIMILAR, load, open_book, say
from ..classroom.tables import read_table, write_table
from ..errors import UserError
from ..files import write, zipped
from .feedback_files import LAYOUTS, feedback_files
from .grade_files import Filling, share_of
from .mark_reports import contradiction_lines, unmarked_lines
from .platforms import FORMATS, chosen_column, read_template
from .requests import stored_requests


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (export, feedback, stats, ledger):
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
    table = gradebook(book)
    check_ours(out, {*GRADESCOPE.values()} if gradescope else {"student", "submission", "total"})
    if gradescope:
        table, problems = for_gradescope(table)
        for problem in problems:
            say(problem)
    write_table(table, out)
    which = "left out, because" if gradescope else "of them"
    missing = f", {len(book.missing)} {which} not handed in" if book.missing else ""
    print(f"wrote {out}: {len(table)} rows{missing}")


def check_ours(file: Path, columns: set[str]) -> None:
    """Raise UserError if there is a file already, and it is no gradebook with these columns.

    Whoever forgets --for keeps what the platform exported.
    """
    expected = "a new file, or a gradebook to write again; --for PLATFORM to fill in a file"
    if file.suffix in (".csv", ".xlsx") and file.exists() and file.stat().st_size:
        rows = read_table(file, columns, expected)
        if "SID" in columns and rows and rows[0][1].keys() != columns:
            raise UserError(file, "other columns", expected)


def fill_in(
    book: Book, file: Path, platform: str, out: Path | None, column: str, scale: bool, zero: bool
) -> int:
    """Fill in a copy of what a platform exported; return 1 if a total did not get in."""
    if platform not in FORMATS:
        raise typer.BadParameter(f"--for {platform}; expected one of {', '.join(FORMATS)}")
    if zero and book.roster is None:
        raise typer.BadParameter("--zero needs --roster, which says who handed in nothing")
    if zero and book.waiting:
        raise typer.BadParameter(f"--zero, but {len(book.waiting)} are not graded yet")
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
        say(line)
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
    if platform not in LAYOUTS:
        known = ", ".join(filter(None, LAYOUTS))
        raise typer.BadParameter(f"--for {platform}; expected one of {known}")
    if out.suffix != ".zip":
        raise UserError(out, f"the ending '{out.suffix}'", ".zip")
    book = open_book(folder, roster)
    files, problems = feedback_files(book, stored_requests(folder.resolve()), platform)
    write(zipped(files), out)
    print(f"wrote {out}: {len(files)} pages")
    for line in (*unmarked_lines(book), *contradiction_lines(book), *problems):
        say(line)
    return int(bool(problems))


def stats(
    folder: RunFolder,
    roster: RosterFile = None,
    board: Annotated[str, typer.Option(help="leaderboard: none, anonymous or named")] = "none",
) -> None:
    """Write RUN/index.html: plots, what costs most, outliers, and everybody in a table."""
    from ..classroom.similarity import Pair  # these two need the packages for a class
    from .class_page import render_class

    if board not in ("none", "anonymous", "named"):
        raise typer.BadParameter(f"--board {board}; expected none, anonymous or named")
    run = ClassRun(folder.resolve())
    pairs = [Pair(*pair) for pair in load(run, SIMILAR).get("pairs", [])]
    print(f"wrote {render_class(run, open_book(folder, roster), pairs, board=board)}")


def ledger(
    folder: RunFolder,
    file: Annotated[Path, typer.Argument(help="the ledger, a CSV; written if it does not exist")],
) -> None:
    """Read the free late days that earlier assignments took, and add this one's."""
    run = ClassRun(folder.resolve())
    with run.locked(), locked(file.with_name(f".{file.name}.lock"), file):
        used = read_ledger(file) if file.exists() else []
        book = open_book(folder, ledger=file)
        if not book.task.late.bank or book.task.late.due is None:
            found = "an assignment without free late days"
            raise UserError(run.plan().assignment, found, "[late] with 'bank' and 'due'")
        taken = book.bank_days()
        write_table(with_taken(used, book.task, taken), file)
        run.save_plan(replace(run.plan(), ledger=file.resolve()))
    print(f"wrote {file}: {sum(taken.values())} free days of {sum(map(bool, taken.values()))}")
