"""The names of feedback files, by which a learning platform finds the student.

Moodle divides a path at "_" into the full name, the participant's id, two words for a plugin, and
the rest (mod/assign/feedback/file/importziplib.php). Before 4.1, it did not take a folder without a
"_" at its end; a file without a folder, as here, it has always taken. It leaves out names that
begin with "." or "~". Canvas takes the first two parts that are numbers for the ids of the user and
of the file handed in, and leaves out a name whose last part begins with "link"
(infer_comment_context_from_filename in its AbstractAssignment).
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from ..classroom.gradebook import Book
from ..classroom.roster import IN_CANVAS, IN_MOODLE, Roster, Student
from .feedback import render_feedback
from .requests import Request

RESERVED = '<>:"/\\|?*'  # by Windows, in names of files
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}
LONGEST = 120  # bytes of a name
Paths = dict[str, tuple[str, list[str]]]
"""The student of each file, and the submissions that it is about."""
Layout = tuple[Paths, list[str]]
"""The files, and who is left out."""


def safe(name: str) -> str:
    """Return a name for a file on any system, without what separates paths or is not shown."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(c if c.isprintable() and c not in RESERVED else " " for c in text)
    short = " ".join(text.split()).strip(" .~").encode()[:LONGEST].decode(errors="ignore")
    name = short.strip(" .~") or "student"
    # Not with "_", at which Moodle divides a path.
    return f"student {name}" if name.partition(".")[0].upper() in DEVICES else name


def everybody(book: Book) -> dict[str, list[str]]:
    """Return the submissions of each student, in the order of their keys; of some, none."""
    handed_in = {key: names for key, names in book.submissions_of.items() if key}
    return dict(sorted((handed_in | {s.key: [] for s in book.missing}).items()))


def nobodys(book: Book) -> list[str]:
    """Return the submissions that name no student."""
    return book.submissions_of.get("", [])


def plain_paths(book: Book) -> Layout:
    """Return ENTRY.html for each student; equal names get a number."""
    paths: Paths = {}
    taken: set[str] = set()
    for key, names in everybody(book).items():
        name, number = safe(key), 1
        while name.casefold() in taken:
            number += 1
            name = f"{safe(key)} ({number})"
        taken.add(name.casefold())
        paths[f"{name}.html"] = (key, names)
    return paths, [f"{name}: left out: it names no student" for name in nobodys(book)]


def participant(book: Book, key: str, names: Sequence[str]) -> str:
    """Return a student's id in Moodle: from the roster, or the name of the only one's submission.

    Return '' if it is not certain: who uploads a file chooses what is in it.
    """
    student = book.roster.find(key) if book.roster else None
    if student and student.moodle:
        return student.moodle
    own = [name for name in names if book.students(name) == [key]]
    found = {match[2] for name in own if (match := IN_MOODLE.fullmatch(name))}
    return found.pop() if len(found) == 1 and len(own) == len(names) else ""


def moodle_paths(book: Book) -> Layout:
    """Return the name that Moodle expects for each student; who has no id is left out."""
    ids = {key: participant(book, key, names) for key, names in everybody(book).items()}
    counts, roster = Counter(ids.values()), book.roster or Roster([])
    paths: Paths = {}
    problems = [f"{name}: left out: it names no student" for name in nobodys(book)]
    for key, names in everybody(book).items():
        if not ids[key]:
            problems.append(f"{key}: left out: no id of Moodle, on the roster or in the submission")
        elif counts[ids[key]] > 1:
            problems.append(f"{key}: left out: others have the id {ids[key]} of Moodle too")
        else:
            student = roster.find(key)
            name = safe(((student.name if student else "") or key).replace("_", " "))
            paths[f"{name}_{ids[key]}_assignsubmission_file_feedback.html"] = (key, names)
    return paths, problems


def canvas_paths(book: Book) -> Layout:
    """Return the name that Canvas expects for each submission, for the student who uploaded it.

    Who has none is left out.
    """
    paths: Paths = {}
    problems = []
    for name in sorted(book.results):
        students = [key for key in book.students(name) if key]
        uploader = book.roster.uploader(name) if book.roster else None
        key = uploader.key if uploader else students[0] if len(students) == 1 else ""
        match = IN_CANVAS.fullmatch(name)
        if match is None:
            who = " and ".join(students) or "nobody"
            problems.append(f"{who}: left out: '{name}' is no name that Canvas gave")
        elif not key:
            problems.append(f"{name}: left out: it does not say who uploaded it")
        else:
            kept = safe(name) == name and not name.rpartition("_")[2].startswith("link")
            file = name if kept else f"student_{match[1]}_{match[2]}_feedback"
            if f"{file}.html" in paths:
                problems.append(f"{name}: left out: it has the ids of another submission")
            else:
                paths[f"{file}.html"] = (key, [name])
    problems += [
        f"{student.key}: left out: Canvas has no way to give a file to who handed in nothing"
        for student in book.missing
    ]
    return paths, problems


LAYOUTS = {"": plain_paths, "moodle": moodle_paths, "canvas": canvas_paths}


def feedback_files(
    book: Book, requests: Sequence[Request], platform: str
) -> tuple[dict[str, bytes], list[str]]:
    """Return the content of each feedback file by its name, and who was left out."""
    roster, files = book.roster or Roster([]), {}
    paths, problems = LAYOUTS[platform](book)
    problems += [f"{name}: left out: not graded yet" for name in book.waiting]
    for path, (key, names) in paths.items():
        student = roster.find(key) or Student(0, entry=key)
        page = render_feedback(book, key, student, names, requests)
        files[path] = page.encode(errors="backslashreplace")
    return files, problems
