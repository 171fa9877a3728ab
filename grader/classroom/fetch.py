"""Fetch weights by the link in a submission's own file, to an archive or to a folder on a drive.

The fetched files are untrusted: their size is limited, they are unpacked by this package's own
rules, and they are never loaded here. Their hash and time are kept, to detect later changes behind
the link.
"""

import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..assignment import Assignment
from ..errors import UserError, printable
from ..files import write_whole
from ..sandbox.resources import temporary_folder
from ..submission.contents import problem_of_link, read_lines
from ..submission.unpacking import open_submission, unpack
from .class_run import ClassRun, Entry, hash_submission
from .download import EXPECTED, download

RECORD = "fetch.json"


def link_of(entry: Entry, task: Assignment) -> str:
    """Return the link of a submission. Raises UserError if it has none."""
    with temporary_folder() as folder:
        submission = open_submission(entry.path.absolute(), task, folder)
        path = submission.folder / (task.submission.link_file or "")
        problem = problem_of_link(path)
        if problem:
            raise UserError(entry.path, problem, "a link")
        return read_lines(path)[0]


def take_weights(folder: Path, names: list[str], target: Path) -> None:
    """Copy the files called `names` from a download, or from the archive in it, to `target`."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name not in names]
    archives = [path for path in files if zipfile.is_zipfile(path)]
    if len(archives) == 1:
        unpack(archives[0], folder)
    for name in names:
        found = sorted(p for p in folder.rglob(name) if p.is_file() and not p.is_symlink())
        if len(found) != 1:
            raise UserError(folder, f"{len(found)} files called {name}", EXPECTED)
        shutil.copyfile(found[0], target / name)


def fetch(entry: Entry, task: Assignment, target: Path, private: bool = False) -> dict[str, Any]:
    """Fetch a submission's weights into the empty folder `target`, and return a record of it.

    Problems are part of the record, because one student's link must not stop the others. Links to
    addresses that are not public are followed only if `private`.
    """
    record: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        record["link"] = link_of(entry, task)
        with temporary_folder() as folder:
            download(record["link"], folder, private)
            take_weights(folder, task.trained_artefacts(), target)
        record["sha256"] = hash_submission(target)
    except UserError as error:
        record["problem"] = str(error)
    except Exception as error:  # networks and drives fail in many ways
        record["problem"] = printable(f"{type(error).__name__}: {error}")
    return record


def same_link(record_path: Path, entry: Entry, task: Assignment) -> bool:
    """Check whether the fetched weights are from the link that the submission has now."""
    try:
        return bool(json.loads(record_path.read_text())["link"] == link_of(entry, task))
    except (OSError, ValueError, KeyError, UserError):
        return False


def fetch_all(
    entries: list[Entry], task: Assignment, run: ClassRun, private: bool = False
) -> dict[str, dict[str, Any]]:
    """Fetch weights for submissions that have none from their link yet; return all records."""
    records = {}
    for entry in entries:
        home = run.fetched(entry.id)
        record_path = home.with_name(f"{entry.id}.{RECORD}")
        if home.is_dir() and same_link(record_path, entry, task):
            records[entry.id] = dict(json.loads(record_path.read_text()))
            continue
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder() as folder:
            records[entry.id] = fetch(entry, task, folder, private)
            write_whole(record_path, json.dumps(records[entry.id], indent=2) + "\n")
            if "problem" not in records[entry.id]:
                partial = home.with_name(f".{entry.id}.part")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(folder, partial)
                partial.rename(home)
    return records


def verify(
    entries: list[Entry], task: Assignment, run: ClassRun, private: bool = False
) -> dict[str, str]:
    """Fetch all weights again, and return the submissions whose link changed.

    For each of them, say what the link gives now, or that it was never fetched.
    """
    changed = {}
    for entry in entries:
        path = run.fetched(entry.id).with_name(f"{entry.id}.{RECORD}")
        if not path.is_file():
            changed[entry.id] = "was never fetched"
            continue
        before = dict(json.loads(path.read_text()))
        with temporary_folder() as folder:
            after = fetch(entry, task, folder, private)
        if before.get("sha256") != after.get("sha256"):
            problem = after.get("problem", "other weights")
            changed[entry.id] = f"{problem} (fetched at {before['time']})"
    return changed
