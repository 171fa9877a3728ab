"""The state of a class run: a folder for each submission, and a SQLite index of them.

    RUN/run.json                     what is graded, and with what
    RUN/submissions/ID/results.json  the result; `key` identifies what it is the result of
                       report.html   the same as a page
                       evidence.json what people mark in it
                       earlier/N/    what regrading replaced
    RUN/fetched/ID/                  weights fetched from a link
    RUN/marks.jsonl                  marks that people gave; marks are only added
    RUN/requests.json                requests for another look at a mark
    RUN/index.sqlite                 one row per submission; can be rebuilt from the folders

A result counts if its key is the one that grading would give it now. So a run that was killed
resumes where it stopped, and nothing is graded again unless something that matters has changed.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from .. import HOME
from ..assessment.copies import data_files, digest_of
from ..assignment import Assignment
from ..errors import UserError, listed, printable, reason
from ..files import write_whole
from ..leftovers import is_leftover
from ..sandbox.resources import lock
from ..submission.unpacking import ARCHIVES, DOCUMENTS, is_tar
from .lateness import read_time

METADATA = "submission_metadata.yml"
# What students hand in instead of a zip; it is graded, and found to be in the wrong format.
HANDED_IN = ARCHIVES | {".ipynb", ".py"}
RESULTS, EVIDENCE = "results.json", "evidence.json"
TABLES = ("extensions", "roster", "ledger")  # of a plan


@dataclass(frozen=True)
class Entry:
    """A submission of a class. `submitted` and `students` are set only if an export has them."""

    id: str
    path: Path
    submitted: datetime | None = None
    students: list[str] = field(default_factory=list)


def find_submissions(folder: Path, problems: list[str] | None = None) -> list[Entry]:
    """Find the submissions in a folder, or in a bulk export from Gradescope.

    A submission is a folder, or a file that somebody may have handed in. What is left out or
    incomplete is added to `problems`. Raises UserError if there is no submission.
    """
    problems = [] if problems is None else problems
    if not folder.is_dir():
        raise UserError(folder, "no such folder", "a folder of zips or folders")
    paths = []
    for path in split_leftovers(folder, problems):
        if problem := problem_of_place(path):
            problems.append(f"{path.name}: left out: {problem}")
        else:
            paths.append(path)
    if (folder / METADATA).is_file():
        entries = read_export(folder, problems)
        known = {METADATA, *(entry.id for entry in entries)}
        problems += [
            f"{p.name}: left out: {METADATA} has no such row" for p in paths if p.name not in known
        ]
        return entries
    found: dict[str, Entry] = {}
    for path in paths:
        if not path.is_dir() and path.suffix.lower() not in HANDED_IN:
            problems.append(f"{path.name}: left out: neither a folder nor an archive nor a program")
            continue
        whole = path.is_dir() or path.suffix.lower() != ".zip" or path.stem in found
        name = printable(path.name if whole else path.stem)
        found[name] = Entry(name, lone_archive(path))
    if not found:
        raise UserError(folder, "no submission in it", "zips or folders")
    return list(found.values())


def problem_of_place(path: Path) -> str | None:
    """Return why what is at a path cannot be a submission, or None if it can."""
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        return "a link or a device"  # a link could lead to another student's work
    needed = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
    return None if os.access(path, needed) else "no permission to read it"


def split_leftovers(folder: Path, problems: list[str]) -> list[Path]:
    """Return the content of a folder in order, without hidden files and what systems leave.

    If there is any, a line about it is added to `problems`.
    """
    paths = sorted(folder.iterdir())
    left = [path.name for path in paths if is_leftover(PurePosixPath(path.name))]
    if left:
        problems.append(f"{listed(left)}: left out: hidden, or left by a system or tool")
    return [path for path in paths if path.name not in left]


def lone_archive(path: Path) -> Path:
    """Return the only archive in a folder with nothing in it but documents, otherwise `path`.

    Learning platforms export such folders.
    """
    inside = split_leftovers(path, []) if path.is_dir() else []
    work = [p for p in inside if p.is_dir() or p.suffix.lower() not in DOCUMENTS]
    alone = len(work) == 1 and (work[0].suffix.lower() == ".zip" or is_tar(work[0]))
    # A link could lead to another student's work.
    return work[0] if alone and not work[0].is_symlink() else path


def read_export(folder: Path, problems: list[str]) -> list[Entry]:
    """Read the submissions of a Gradescope export, whose metadata has Ruby symbols as keys.

    What a row lacks is added to `problems`. Raises UserError if there is no row with a folder.
    """
    path = folder / METADATA
    expected = "the metadata of a Gradescope export"
    try:
        table = yaml.safe_load(path.read_bytes())
    except Exception as error:  # YAML can fail in the constructors of its types
        raise UserError(path, f"cannot be read ({reason(error)})", expected) from error
    rows = {str(name): row for name, row in table.items()} if isinstance(table, dict) else {}
    folders = {path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}
    entries = []
    for name, row in sorted(rows.items(), key=lambda item: item[0]):
        if name not in folders:
            problems.append(f"{METADATA}: {name}: left out: it has no folder")
            continue
        details = row if isinstance(row, dict) else {}
        students, time = submitters(details), submission_time(details)
        if not students:
            problems.append(f"{METADATA}: {name}: graded, but its row names no student")
        if time is None:
            problems.append(f"{METADATA}: {name}: graded, but its row has no time; it is not late")
        entries.append(Entry(name, lone_archive(folder / name), time, students))
    if not entries:
        raise UserError(path, "no row with a folder", expected)
    return entries


def submitters(row: dict[str, Any]) -> list[str]:
    """Return the students in a row of an export, by number if it has one."""
    listed = row.get(":submitters")
    people = [s for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
    return [str(name) for s in people if (name := s.get(":sid") or s.get(":name"))]


def submission_time(row: dict[str, Any]) -> datetime | None:
    """Return the time of a row of an export; None if it has none."""
    stamp = row.get(":created_at")
    if isinstance(stamp, datetime):
        return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    try:
        return read_time(str(stamp))
    except ValueError:
        return None


def hash_files(paths: list[Path], root: Path) -> str:
    """Return the SHA-256 of the names and contents of files below `root`; do not follow links."""
    total = hashlib.sha256()
    for path in sorted(paths):
        try:
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        except OSError as error:  # grading it says so
            content = reason(error).encode()
        name = os.fsencode(path.relative_to(root))
        total.update(name + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def hash_submission(path: Path) -> str:
    """Return the SHA-256 of a zip, or of all files of a folder."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [p for p in path.rglob("*") if p.is_symlink() or p.is_file()]
    return hash_files(files, path)


def grader_version() -> str:
    """Return the SHA-256 of the grader's source, because another grader may give other results."""
    return hash_files(list(HOME.rglob("*.py")), HOME)


@dataclass(frozen=True)
class Plan:
    """The settings of a run, recorded in run.json; later commands read them from there.

    `extensions`, `roster` and `ledger` are tables of staff, which may be given at any time.
    """

    submissions: Path
    assignment: str
    data: Path
    train: bool = False
    weights: bool = False
    extensions: Path | None = None
    roster: Path | None = None
    ledger: Path | None = None


@contextmanager
def locked(path: Path, what: Path) -> Iterator[None]:
    """Lock a path for `what`. Raises UserError if another command has locked it."""
    held = lock(path, os.O_CREAT | os.O_RDWR)
    if held is None:
        raise UserError(what, "another command at work on it", "one at a time")
    try:
        yield
    finally:
        os.close(held)


class ClassRun:
    """The folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save_plan(self, plan: Plan) -> None:
        """Start or resume a run.

        Raises UserError if it was started with other settings, or cannot be written.
        """
        path = self.folder / "run.json"
        if path.exists():
            before = self.plan()
            tables = {name: getattr(plan, name) or getattr(before, name) for name in TABLES}
            plan = replace(plan, **tables)
            for name in ("submissions", "assignment", "data", "train", "weights"):
                old, new = getattr(before, name), getattr(plan, name)
                if old != new:
                    found = f"a run with {name} {old}, not {new}"
                    raise UserError(path, found, "the same again, or another folder")
        text = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(plan).items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(text, indent=2) + "\n")
        except OSError as error:
            found = f"cannot be written ({error.strerror})"
            raise UserError(self.folder, found, "a folder with write access") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run against other commands.

        Raises UserError if another one locked it, or if there is no run.
        """
        if not self.folder.is_dir():
            raise UserError(self.folder, "no such folder", "the folder that 'grader batch' wrote")
        with locked(self.folder / ".lock", self.folder):
            yield

    def plan(self) -> Plan:
        """Return the settings that the run started with. Raises UserError if it has none."""
        path = self.folder / "run.json"
        try:
            text = json.loads(path.read_text())
            for name in ("submissions", "data", *TABLES):
                text[name] = Path(text[name]) if text.get(name) else None
            return Plan(**text)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            found = f"no record of a run ({reason(error)})"
            raise UserError(path, found, "the folder that 'grader batch' wrote") from error

    def home(self, submission: str) -> Path:
        return self.folder / "submissions" / submission

    def fetched(self, submission: str) -> Path:
        return self.folder / "fetched" / submission

    def result(self, submission: str) -> dict[str, Any] | None:
        """Return the results.json of a submission, or None if there is none yet."""
        try:
            return dict(json.loads((self.home(submission) / RESULTS).read_text()))
        except FileNotFoundError:
            return None

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every result so far, in the order of the ids."""
        for path in sorted(self.folder.glob(f"submissions/*/{RESULTS}")):
            yield path.parent.name, dict(json.loads(path.read_text()))

    def set_aside(self, submission: str) -> None:
        """Move a result to `earlier`, to make room for the next."""
        home = self.home(submission)
        number = max((int(p.name) for p in home.glob("earlier/*")), default=0) + 1
        target = home / "earlier" / f"{number}"
        target.mkdir(parents=True)
        for name in (RESULTS, "report.html", EVIDENCE):  # without the first, it is graded again
            if (home / name).exists():
                shutil.move(home / name, target / name)

    def earlier(self, submission: str) -> dict[str, Any] | None:
        """Return the result that was set aside last, or None."""
        paths = sorted(
            self.home(submission).glob(f"earlier/*/{RESULTS}"), key=lambda p: int(p.parent.name)
        )
        return dict(json.loads(paths[-1].read_text())) if paths else None

    def index(self) -> Path:
        """Make index.sqlite from the results."""
        temporary = self.folder / f".index.{os.getpid()}.sqlite"
        temporary.unlink(missing_ok=True)
        rows = [
            (
                name,
                result["key"],
                result["score"],
                ",".join(result["extra_data"]["members"]),
                json.dumps(result["extra_data"]["verdicts"]),
                len(result["extra_data"]["flags"]),
                result["execution_time"],
            )
            for name, result in self.results()
        ]
        with closing(sqlite3.connect(temporary)) as database, database:
            database.execute(
                "CREATE TABLE submissions (id TEXT PRIMARY KEY, key TEXT, score REAL, "
                "members TEXT, verdicts TEXT, flags INTEGER, seconds REAL)"
            )
            database.executemany("INSERT INTO submissions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        path = self.folder / "index.sqlite"
        temporary.replace(path)
        return path


def keys(entries: list[Entry], assignment: Assignment, plan: Plan, run: ClassRun) -> dict[str, str]:
    """Return for each submission a hash of everything that its result depends on."""
    data = {name: digest_of(path) for name, path in data_files(assignment, plan.data).items()}
    common = [assignment.digest(), data, grader_version(), plan.train, plan.weights]
    found = {}
    for entry in entries:
        weights = run.fetched(entry.id)
        own = [hash_submission(entry.path), hash_submission(weights) if weights.is_dir() else None]
        text = json.dumps([*common, *own], sort_keys=True)
        found[entry.id] = hashlib.sha256(text.encode()).hexdigest()
    return found
