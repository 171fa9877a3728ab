"""This grader as a Gradescope autograder: the zip that staff upload, and what it does there.

https://gradescope-autograders.readthedocs.io/en/latest/specs/: the zip is unpacked to
/autograder/source and its setup.sh is run once. For each submission, run_autograder is run as root.
It reads /autograder/submission and submission_metadata.json, and writes results/results.json.
"""

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .. import HOME
from ..assessment.copies import data_files, plain_files
from ..assessment.grade import FAILED, Grade, rounded
from ..assessment.pipeline import assess
from ..assessment.stages import Settings
from ..assignment import FOLDER, Assignment, read_assignment
from ..classroom.class_run import Entry
from ..classroom.fetch import fetch
from ..classroom.lateness import days_late, read_time, share_lost
from ..display import results
from ..errors import UserError
from ..files import write_whole, zipped
from ..safe_text import SafeText
from ..sandbox.command import Level
from ..sandbox.isolation import best_level
from ..sandbox.resources import temporary_folder
from ..submission.unpacking import open_submission, weights_in

TEMPLATES = HOME / "templates"
PROGRAMS = ("setup.sh", "run_autograder")
NONCE = "AUTOGRADER_NONCE"


def source_files() -> Iterator[Path]:
    """Yield the files of this package that the autograder needs."""
    for path in sorted(HOME.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.parent.name != "assignments":
            yield path


def pack(assignment: str, data_folder: Path) -> bytes:
    """Return the content of autograder.zip. Raises UserError if data is missing."""
    task = read_assignment(assignment)
    toml = Path(assignment) if Path(assignment).suffix else FOLDER / f"{assignment}.toml"
    files = {name: (TEMPLATES / name).read_bytes() for name in PROGRAMS}
    files |= {
        f"grader/{path.relative_to(HOME).as_posix()}": path.read_bytes() for path in source_files()
    }
    files["assignment.toml"] = toml.read_bytes()
    files |= {path.name: path.read_bytes() for path in task.companions()}
    for path in data_files(task, data_folder).values():
        for file in plain_files(path):
            files[f"data/{file.relative_to(path.parent).as_posix()}"] = file.read_bytes()
    return zipped(files, PROGRAMS)


@dataclass(frozen=True)
class Upload:
    """Gradescope's data on a submission.

    There are `uploads` before it; `earlier` has the times and scores of those that are graded.
    """

    submitted: datetime | None
    due: datetime | None
    earlier: list[tuple[datetime, float]]
    uploads: int


def read_upload(path: Path) -> Upload:
    """Read submission_metadata.json; leave out what is missing or in another form.

    A group's due date is the latest of the assignment's and its members', because extensions are
    recorded with the users.
    """
    metadata: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        metadata = dict(json.loads(path.read_bytes()))

    def time(value: Any) -> datetime | None:
        try:
            return read_time(str(value))
        except ValueError:
            return None

    def table(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    def tables(value: Any) -> list[dict[str, Any]]:
        return [table(row) for row in value] if isinstance(value, list) else []

    places = [metadata, *tables(metadata.get("users"))]
    dues = [time(table(place.get("assignment")).get("due_date")) for place in places]
    earlier = []
    before = tables(metadata.get("previous_submissions"))
    for row in before:
        when = time(row.get("submission_time"))
        if when is not None:
            # A submission that is still being graded has no score yet.
            with suppress(KeyError, TypeError, ValueError):
                earlier.append((when, float(row["score"])))
    return Upload(
        submitted=time(metadata.get("created_at")),
        due=max((due for due in dues if due is not None), default=None),
        earlier=sorted(earlier),
        uploads=len(before),
    )


def too_many(upload: Upload, task: Assignment) -> bool:
    """Check whether the assignment's limit on uploads in 24 hours was reached before this one."""
    limit = task.gradescope.uploads_a_day
    if limit is None or upload.submitted is None:
        return False
    graded: list[datetime] = []  # uploads beyond the limit were not graded and do not count
    for when in [*(when for when, _ in upload.earlier), upload.submitted]:
        full = sum(other > when - timedelta(days=1) for other in graded) >= limit
        if not full:
            graded.append(when)
    return full


def with_lateness(content: dict[str, Any], upload: Upload, task: Assignment) -> dict[str, Any]:
    """Return results.json with the deduction for lateness."""
    if upload.submitted is None or upload.due is None:
        return content
    days = days_late(upload.submitted, upload.due, task.late.zone)
    share = share_lost(days, task.late)
    content["extra_data"]["late"] = {"days": days, "share_lost": share, "due": str(upload.due)}
    if share:
        content["score"] = float(rounded(1 - share, content["score"]))
        text = f"{days} days late: {share:.0%} less, {content['score']:g} points in all."
        content["output"] = f"{text}\n{content['output']}"
    return content


def with_feedback(content: dict[str, Any], upload: Upload, task: Assignment) -> dict[str, Any]:
    """Return results.json without marks before grades are published, if there were many uploads.

    Gradescope shows no total while a test is hidden.
    """
    limit = task.gradescope.feedback_uploads
    if limit is None or upload.uploads < limit:
        return content
    tests = [
        test | ({"visibility": "after_published"} if "score" in test else {})
        for test in content["tests"]
    ]
    text = f"Marks are shown for the first {limit} uploads; those of this one, with the grades."
    return content | {"tests": tests, "leaderboard": [], "output": text}


def for_gradescope(task: Assignment) -> Assignment:
    """Return the assignment, restricted to what fits into Gradescope's time.

    Weights are graded. Nothing is trained unless the assignment says so, and then for no longer
    than it says.
    """
    minutes = task.gradescope.training_minutes
    if minutes is None:
        return task.without_training()
    most = 60 * minutes
    return task.with_limits(
        lambda stage: {"seconds": min(stage.limits.seconds, most)} if stage.trains else {}
    )


def fetch_weights(root: Path, task: Assignment, folder: Path) -> dict[str, Any]:
    """Fetch the weights behind a submission's link into `folder`, unless it includes its own.

    Return a record of it, or {} if nothing was to be fetched.
    """
    if "fetched" not in task.weights:
        return {}
    names = task.trained_artefacts()
    with temporary_folder() as scratch, suppress(UserError):
        submission = open_submission(root / "submission", task, scratch)
        if len(weights_in(submission.folder, names)) == len(names):
            return {}
    return fetch(Entry("upload", root / "submission"), task, folder)


def write_results(content: dict[str, Any], root: Path) -> None:
    """Write results.json, with the proof that it comes from the grader if the harness asks for one.

    Securescope, a harness with more defences, expects this: github.com/saligrama/securescope.
    """
    if NONCE in os.environ:
        content = content | {"nonce": os.environ[NONCE]}
    write_whole(root / "results" / "results.json", json.dumps(content, indent=2) + "\n")


def grade_upload(root: Path) -> None:
    """Grade the upload in /autograder, or another `root`; results.json exists at all times."""
    (root / "results").mkdir(exist_ok=True)
    for private in ("source", "results", "submission_metadata.json"):
        with suppress(FileNotFoundError):
            (root / private).chmod(0o700)
    partial = results.STARTED
    write_results(partial, root)
    upload = read_upload(root / "submission_metadata.json")
    task = for_gradescope(read_assignment(str(root / "source" / "assignment.toml")))
    if too_many(upload, task):
        score = upload.earlier[-1][1]
        text = (
            f"More than {task.gradescope.uploads_a_day} uploads within 24 hours: this one was not "
            "graded, and the previous score counts."
        )
        write_results(partial | {"score": score, "output": text}, root)
        return

    def content(grade: Grade) -> dict[str, Any]:
        late = with_lateness(results.to_gradescope(grade), upload, task)
        return with_feedback(late, upload, task)

    def progress(grade: Grade) -> None:
        write_results(results.unfinished(content(grade)), root)

    try:
        level = best_level()
        if level is Level.TRUSTED:
            raise RuntimeError("no sandbox on this machine: nothing was run")
        with temporary_folder() as folder:
            record = fetch_weights(root, task, folder)
            settings = Settings(root / "source" / "data", level, weights_folder=folder)
            grade = assess(root / "submission", task, settings, progress)
        if "problem" in record and grade.weights in ("none", "trained"):
            text = SafeText("weights are missing, and the link did not give them")
            grade.remarks.append(text)
        final = content(grade)
        final["extra_data"]["fetched"] = record
        write_results(final, root)
    except Exception:  # whatever fails, the student must read that it was not their fault
        extra = {"error": traceback.format_exc()}
        write_results(partial | {"output": FAILED, "extra_data": extra}, root)
    os.sync()
