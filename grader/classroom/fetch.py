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
from ..errors import UserError, printable, reason
from ..files import write_whole
from ..sandbox.resources import temporary_folder
from ..submission.contents import problems_of_links
from ..submission.unpacking import is_tar, open_submission, unpack, weights_in
from .class_run import ClassRun, Entry, hash_submission
from .download import download

RECORD = "fetch.json"


def read_needs(entry: Entry, task: Assignment) -> tuple[list[str], list[str]]:
    """Return the links of a submission, and the names of the weights that it does not include.

    Raises UserError if it has no link.
    """
    with temporary_folder() as folder:
        submission = open_submission(entry.path.absolute(), task, folder)
        included = weights_in(submission.folder, task.trained_artefacts())
        missing = [name for name in task.trained_artefacts() if name not in included]
        links, name = submission.contents.links, task.submission.link_file
        if not links and name:
            problems = problems_of_links(submission.folder / name, links)
            raise UserError(entry.path, next(problems), "a link")
        return links, missing


def take_weights(link: str, folder: Path, names: list[str], target: Path) -> list[str]:
    """Copy the files called `names` from a download, or from the archive in it, to `target`.

    Return the names that were found. Raises UserError if a name is there twice.
    """
    files = [path for path in folder.iterdir() if path.is_file() and path.name not in names]
    archives = [path for path in files if zipfile.is_zipfile(path) or is_tar(path)]
    if len(archives) == 1:
        unpack(archives[0], folder)
    found = {
        name: [path for path in folder.rglob(name) if path.is_file() and not path.is_symlink()]
        for name in names
    }
    for name, paths in found.items():
        if len(paths) > 1:
            raise UserError(link, f"{len(paths)} files called {name}", "one")
    for name, paths in found.items():
        for path in paths:
            shutil.copyfile(path, target / name)
    return [name for name in names if found[name]]


def fetch_link(
    link: str, names: list[str], target: Path, private: bool
) -> tuple[list[str], str | None]:
    """Download what a link leads to; return the names that were found there, and what failed."""
    try:
        with temporary_folder() as folder:
            download(link, folder, private)
            return take_weights(link, folder, names, target), None
    except UserError as error:
        return [], str(error)
    except Exception as error:  # networks and drives fail in many ways
        return [], printable(f"{link}: {type(error).__name__}: {reason(error)}")


def fetch(entry: Entry, task: Assignment, target: Path, private: bool = False) -> dict[str, Any]:
    """Fetch a submission's weights into the empty folder `target`, and return a record of it.

    What one link lacks may be included in the submission, or come from its next link. Problems are
    part of the record, because one student's link must not stop the others. Links to addresses that
    are not public are followed only if `private`.
    """
    record: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        links, needed = read_needs(entry, task)
    except UserError as error:
        return record | {"problem": str(error)}
    except Exception as error:  # whatever is in a submission, the others are fetched
        return record | {"problem": printable(f"{type(error).__name__}: {reason(error)}")}
    record |= {"links": links, "found": {}}
    wanted, problems = task.trained_artefacts(), []
    for link in links:
        found, problem = fetch_link(link, wanted, target, private)
        record["found"][link] = found
        problems += [problem] if problem else []
        wanted = [name for name in wanted if name not in found]
        needed = [name for name in needed if name not in found]
        if not needed:
            break
    if needed:
        problems.append(f"{entry.path}: no {' and no '.join(needed)} in it or behind its link")
    if problems:
        record["problem"] = "; ".join(problems)
    record["sha256"] = hash_submission(target)
    return record


def same_links(record_path: Path, entry: Entry, task: Assignment) -> bool:
    """Check whether the fetched weights are from the links that the submission has now."""
    try:
        record = json.loads(record_path.read_text())
        return "problem" not in record and record["links"] == read_needs(entry, task)[0]
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
        if home.is_dir() and same_links(record_path, entry, task):
            records[entry.id] = dict(json.loads(record_path.read_text()))
            continue
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder() as folder:
            records[entry.id] = fetch(entry, task, folder, private)
            write_whole(record_path, json.dumps(records[entry.id], indent=2) + "\n")
            if any(folder.iterdir()):
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
