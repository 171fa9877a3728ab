"""Similar submissions, found pair by pair with copydetect's fingerprints of their normal forms.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD
2003). The pairs are flagged for review; no marks are deducted.
"""

import io
import shutil
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from copydetect import CodeFingerprint, compare_files
from copydetect.utils import get_token_coverage
from numpy.typing import NDArray

from ..artifacts import without_folder
from ..assignment import NOTEBOOK, Assignment
from ..display.result_page import ENVIRONMENT
from ..errors import UserError, printable
from ..files import write_whole
from ..sandbox.resources import temporary_folder
from ..submission.notebook import Source, sources
from ..submission.unpacking import open_submission
from .class_run import Entry, find_submissions
from .normal_form import BREAK, NormalForm, normal_form

RUN_LENGTH = 12  # words in a row that count as common; shorter runs are idioms
# Share of a submission's words that are in runs which another has too, without known code.
# tests/grader/test_similarity.py: copies in six kinds of disguise have 0.99 at least, in others
# 0.82, and in seven at once 0.73. Independent programs there have 0.36 at most, and fourteen public
# ones with variational autoencoders had 0.39.
THRESHOLD = 0.5
LEAST = 50  # words in common; two short programs may well be alike
LARGEST = 1 << 20  # characters of a submission's sources together
SHOWN = 100  # pairs on the page
SUFFIXES = (".py", NOTEBOOK)


@dataclass(frozen=True)
class Pair:
    """Two submissions, and the larger share of one's source that is also in the other."""

    one: str
    other: str
    share: float


@dataclass(frozen=True)
class Work:
    """The sources of a submission in normal form, and their fingerprint."""

    id: str
    form: NormalForm
    print: CodeFingerprint


@dataclass(frozen=True)
class Place:
    """A file or cell for the page: its lines, and whether each is in the other submission too."""

    name: str
    lines: list[tuple[int, str, bool]]


@dataclass(frozen=True)
class Side:
    """One of two submissions for the page, and the share of it that the other has too."""

    id: str
    share: float
    places: list[Place]


def earlier_entries(folders: Sequence[Path]) -> list[Entry]:
    """Find the submissions of earlier years; FOLDER/NAME is the id of each.

    Raises UserError if there is none in a folder, or if two folders have the same name.
    """
    entries: dict[str, Entry] = {}
    for folder in folders:
        home = folder.resolve()
        for entry in find_submissions(home):
            name = f"{home.name}/{entry.id}"
            if name in entries:
                raise UserError(folder, "a second folder of this name", "another name")
            entries[name] = Entry(name, entry.path)
    return list(entries.values())


def read_folder(folder: Path) -> tuple[list[Source], list[str]]:
    """Return the Python in a folder, and a line about each file that is left out.

    If it is too much, the largest files are left out.
    """
    found: dict[str, list[Source]] = {}
    left_out, room = [], LARGEST
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    for path in paths:
        try:
            name = str(path.relative_to(folder))
            found[name] = list(sources(path, name))
        except UserError as error:
            left_out.append(f"not compared: {without_folder(error, folder)}")
    sizes = {name: sum(len(source.text) for source in parts) for name, parts in found.items()}
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        room -= sizes[name]
        if room < 0:
            left_out.append(printable(f"not compared: {name} has {sizes[name]:,} characters"))
            del found[name]
    return [source for parts in found.values() for source in parts], left_out


def read_entry(entry: Entry, task: Assignment) -> tuple[NormalForm, list[str]]:
    """Return a submission's normal form, and why parts of it are not compared.

    A submission that cannot be run may still have sources.
    """
    problem = f"not compared: no Python in {entry.path.name}"
    with temporary_folder() as scratch:
        try:
            if entry.path.is_file() and entry.path.suffix in SUFFIXES:
                shutil.copy(entry.path, scratch)
            else:
                open_submission(entry.path.absolute(), task, scratch)
        except UserError as error:
            problem = f"not compared: {without_folder(error, entry.path.parent)}"
        except OSError as error:
            problem = f"not compared: {entry.path.name} cannot be read ({error.strerror})"
        found, left_out = read_folder(scratch)
    form = normal_form(found)
    left_out += [f"compared as plain text, because it is no Python: {p}" for p in form.unparsed]
    return form, left_out if found or left_out else [printable(problem)]


def fingerprint(name: str, form: NormalForm, known: Container[int] = ()) -> CodeFingerprint:
    """Return the fingerprint of a normal form, without known code.

    Every run of words is in it (its window is 1): Python hashes texts differently in each process,
    so that a choice among them would not be the same twice.
    """
    found = CodeFingerprint(name, RUN_LENGTH, 1, filter=False, fp=io.StringIO(form.text))
    # copydetect's own removal of known code also removes what a text says twice.
    for run, starts in list(found.hash_idx.items()):
        if run in known or BREAK in form.text[starts[0] : starts[0] + RUN_LENGTH]:
            del found.hash_idx[run]
    found.hashes = set(found.hash_idx)
    found.token_coverage = get_token_coverage(found.hash_idx, RUN_LENGTH, len(form.text))
    return found


def known_runs(base: Path | None) -> set[int]:
    """Return the fingerprint of known code. Raises UserError for a notebook that is damaged."""
    if base is None:
        return set()
    found, left_out = read_folder(base)
    if left_out:
        raise UserError(base, left_out[0], "files of known code that can be read")
    return fingerprint(str(base), normal_form(found)).hashes


def common(one: Work, other: Work) -> tuple[float, float] | None:
    """Return the shares of two submissions that the other has too; None if they are not similar."""
    count, shares, _ = compare_files(one.print, other.print)
    if count < LEAST or max(shares) < THRESHOLD:
        return None
    # copydetect also counts what lies between two runs, even if it is known code.
    return min(float(shares[0]), 1.0), min(float(shares[1]), 1.0)


def side(work: Work, share: float, spans: NDArray[np.int64]) -> Side:
    """Return a submission for the page; `spans` has the starts and ends, (2, N), of common text."""
    marked = {row for start, end in spans.T for row in work.form.rows[start:end]}
    places = [
        Place(name, [(line.number, line.text, row in marked) for row, line in group])
        for name, group in groupby(enumerate(work.form.lines), key=lambda item: item[1].place)
    ]
    return Side(work.id, share, places)


def sides(one: Work, other: Work, shares: tuple[float, float]) -> tuple[Side, Side]:
    """Return two submissions for the page."""
    spans = compare_files(one.print, other.print)[2]
    return side(one, shares[0], spans[0]), side(other, shares[1], spans[1])


def compare(
    entries: list[Entry], task: Assignment, base: Path | None, out: Path, old: Sequence[Entry] = ()
) -> tuple[list[Pair], dict[str, list[str]]]:
    """Find the pairs above `THRESHOLD`, the most similar first; write their page to `out`.

    Code below `base`, such as starter code, is not counted. `old` are submissions of earlier years,
    which are compared with the others only. Returns also what could not be compared, by submission.
    Raises UserError if there is known code that cannot be read.
    """
    known, left_out = known_runs(base), dict[str, list[str]]()
    works: list[Work] = []
    for entry in [*entries, *old]:
        form, problems = read_entry(entry, task)
        if problems:
            left_out[entry.id] = problems
        works.append(Work(entry.id, form, fingerprint(entry.id, form, known)))
    found = sorted(
        (-max(shares), one.id, other.id, one, other, shares)
        for number, one in enumerate(works[: len(entries)])
        for other in works[number + 1 :]
        if (shares := common(one, other))
    )
    page = ENVIRONMENT.get_template("similarity.html").render(
        pairs=[sides(one, other, shares) for *_, one, other, shares in found[:SHOWN]],
        count=len(found),
        base=base,
    )
    write_whole(out, page)
    return [Pair(one, other, -share) for share, one, other, *_ in found], left_out
