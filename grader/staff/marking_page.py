"""The marking page: one file without a server, on which people mark a run part by part.

Its script is in templates/marking/. Each submission's evidence is a block of JSON, read when shown.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .. import HOME
from ..assignment import Assignment
from ..classroom.class_run import EVIDENCE, ClassRun
from ..classroom.gradebook import Book
from ..classroom.marks import LONGEST, Given, Marks, Part
from ..display.result_page import ENVIRONMENT
from ..errors import UserError
from ..files import write
from ..judging import Manual
from .mark_files import FORMAT
from .requests import Request

FOLDER = HOME / "templates" / "marking"
SCRIPTS = (
    "dom",
    "rubric",
    "marks",
    "store",
    "exchange",
    "queues",
    "evidence",
    "comments",
    "panel",
    "keys",
    "main",
)
LONGEST_MARKER = 200  # characters of a marker's name
UNREADABLE = "its evidence cannot be read: grade again"

Evidence = dict[str, dict[str, Any]]
"""What there is to see of a submission, by part; a reference picture is its place in a list."""


@dataclass(frozen=True)
class Split:
    """Who marks: a share `double` of the submissions is marked by two of the markers."""

    markers: tuple[str, ...] = ()
    double: float = 0.0


def drawn(*words: str) -> str:
    """Return a hash to sort by: like a shuffle, but the same every time."""
    return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()


def assigned(
    task: Assignment, part: Part, names: Iterable[str], split: Split
) -> dict[str, list[str]]:
    """Return the markers of each submission for one part.

    They take turns in a shuffled order; a share `split.double` of the submissions has a second.
    """
    markers, count = split.markers, len(split.markers)
    if not count:
        return {}
    order = sorted(names, key=lambda name: drawn(task.name, part.column, name))
    found = {name: [markers[i % count]] for i, name in enumerate(order)}
    again = sorted(order, key=lambda name: drawn(task.name, part.column, name, "double"))
    for i, name in enumerate(again[: round(split.double * len(again))]):
        first = markers.index(found[name][0])
        found[name].append(markers[(first + 1 + i % (count - 1)) % count])
    return found


def kept_evidence(run: ClassRun, name: str, problems: list[str]) -> list[dict[str, Any]] | None:
    """Return the evidence of a submission, or None if it was graded before evidence was kept.

    If it cannot be read, a line is added to `problems`.
    """
    path = run.home(name) / EVIDENCE
    if not path.exists():
        return None
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
        return [dict(section) | {"part": str(section["part"])} for section in sections]
    except (ValueError, KeyError, TypeError, RecursionError):
        problems.append(f"{name}: {UNREADABLE}")
        return []


def by_part(sections: list[dict[str, Any]], references: list[Any]) -> Evidence:
    """Return evidence by part; reference pictures, which submissions share, go to `references`."""
    found = {}
    for section in sections:
        reference = section.get("reference")
        if reference is not None and reference not in references:
            references.append(reference)
        place = None if reference is None else references.index(reference)
        found[section["part"]] = section | {"reference": place}
    return found


def part_data(part: Part) -> dict[str, Any]:
    """Return what the page needs to know about a part; the grader's parts have no rubric."""
    manual = isinstance(part, Manual)
    return {
        "name": part.column,
        "title": part.title,
        "points": part.points,
        "manual": manual,
        "start": part.start if isinstance(part, Manual) else 0.0,
        "items": [item.model_dump() for item in part.item] if isinstance(part, Manual) else [],
    }


def mark_data(given: Given, part: Part) -> dict[str, Any]:
    """Return a mark that stands, with its id and its points under the rubric as it is now."""
    kept = {"submission", "part", "marker", "time", "items", "points", "adjustment", "comment"}
    return given.model_dump(mode="json", include=kept) | {
        "id": given.id,
        "score": given.score(part),
    }


def standing_data(book: Book) -> list[dict[str, Any]]:
    """Return the marks that stand, for submissions and parts that there still are."""
    return [
        mark_data(given, part)
        for name in book.results
        for part in book.task.parts
        for given in book.marks.of(name, part.column)
    ]


def comments_before(marks: Marks, part: Part) -> list[tuple[str, int]]:
    """Return the comments given in a part, and for how many submissions; most used first."""
    pairs = [
        (given.comment.strip(), given.submission)
        for given in marks.given
        if given.part == part.column and given.comment.strip()
    ]
    return Counter(comment for comment, _ in dict.fromkeys(pairs)).most_common()


def open_requests(book: Book, requests: list[Request], problems: list[str]) -> list[dict[str, Any]]:
    """Return the requests that nobody has answered, with what the grader gave for its parts.

    Those about a submission or a part that is gone are added to `problems`.
    """
    known = {part.column: part for part in book.task.parts}
    answered = book.marks.answered()
    found: list[dict[str, Any]] = []
    for request in requests:
        if request.id in answered:
            continue
        if request.submission not in book.results or request.part not in known:
            problems.append(
                f"request of {request.student}: left out: no {request.part} of {request.submission}"
            )
            continue
        manual = isinstance(known[request.part], Manual)
        grader = None if manual else given_by_grader(book, request)
        found.append(asdict(request) | {"grader": grader})
    return found


def given_by_grader(book: Book, request: Request) -> dict[str, Any]:
    """Return the points that the grader gave for the part of a request, and why."""
    figures = book.results[request.submission]["extra_data"]["metrics"]
    given = figures.get(request.part, {"points": "0"})
    return {"points": float(given["points"]), "details": given.get("details", "")}


def full_name(book: Book, student: str) -> str:
    """Return a student as tables call them, with the name on the roster."""
    name = book.identity(student).get("name", "")
    return f"{student} {name}" if name and name != student else student


def submission_data(book: Book) -> list[dict[str, Any]]:
    """Return the submissions, each with a number that says nothing about who handed it in."""
    order = sorted(book.results, key=lambda name: drawn(book.task.name, name))
    numbers = {name: number for number, name in enumerate(order, 1)}
    return [
        {
            "id": name,
            "number": numbers[name],
            "students": [full_name(book, student) for student in book.students(name) if student],
        }
        for name in book.results
    ]


def run_key(book: Book, folder: Path) -> str:
    """Return what names this run in a browser: the same when the page is written again.

    Nothing that happens to the run changes it, so that progress is found again.
    """
    return drawn(book.task.name, str(folder))[:16]


def page_data(
    book: Book, folder: Path, requests: list[Request], split: Split, problems: list[str]
) -> dict[str, Any]:
    """Return what the page knows, except for evidence.

    Requests that it leaves out are added to `problems`.
    """
    task = book.task
    shares = {part.column: assigned(task, part, book.results, split) for part in task.manual}
    return {
        "format": FORMAT,
        "assignment": task.name,
        "title": task.title,
        "key": run_key(book, folder),
        "longest": LONGEST,
        "parts": [part_data(part) for part in task.parts],
        "submissions": submission_data(book),
        "standing": standing_data(book),
        "known": [given.id for given in book.marks.given],
        "comments": {part.column: comments_before(book.marks, part) for part in task.parts},
        "requests": open_requests(book, requests, problems),
        "markers": split.markers,
        "assigned": shares,
    }


def render_marking(data: dict[str, Any], evidence: list[Evidence | None], references: Any) -> str:
    """Return the page as HTML. `evidence` is in the order of the submissions."""
    script = "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return ENVIRONMENT.get_template("marking.html").render(
        title=data["title"],
        data=data,
        evidence=evidence,
        references=references,
        style=Markup((FOLDER / "marking.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=digest,
        longest=LONGEST,
        longest_marker=LONGEST_MARKER,
    )


def write_marking(
    run: ClassRun, book: Book, requests: list[Request], split: Split, out: Path
) -> list[str]:
    """Write the page, and return a line for each thing that it cannot show.

    Raises UserError if there is nothing to mark, or the file cannot be written.
    """
    problems: list[str] = []
    data = page_data(book, run.folder, requests, split, problems)
    if not book.task.manual and not data["requests"]:
        assignment = run.plan().assignment
        raise UserError(assignment, "no part that people mark", "[[manual]] with a title")
    references: list[Any] = []
    evidence: list[Evidence | None] = []
    for name in book.results:
        sections = kept_evidence(run, name, problems)
        evidence.append(None if sections is None else by_part(sections, references))
    if missing := evidence.count(None):
        problems.append(f"{missing} graded before evidence was kept: grade again to see it")
    write(render_marking(data, evidence, references), out)
    return problems


def read_split(markers: str, double: float) -> Split | str:
    """Return who marks, or what is wrong with it."""
    names = tuple(name.strip() for name in markers.split(",")) if markers.strip() else ()
    if not all(names) or len({*names}) < len(names):
        return f"--markers {markers}; expected names with commas between, each once"
    if any(len(name) > LONGEST_MARKER for name in names):
        return f"--markers {markers[:40]}; expected names of at most {LONGEST_MARKER} characters"
    if not 0 <= double <= 1:
        return f"--double {double:g}; expected a share from 0 to 1"
    if double and len(names) < 2:
        return f"--double {double:g}; expected --markers with at least two names"
    return Split(names, double)
