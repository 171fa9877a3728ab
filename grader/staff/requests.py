"""Requests for another look at a mark: a table or a folder of letters becomes a queue.

RUN/requests.json has every request that was ever read. A request is answered by a mark that names
its id (`Given.request`), with another score or the same, and a text for the student.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from pathlib import Path, PurePosixPath

from ..artifacts import read_file
from ..classroom.gradebook import Book
from ..classroom.roster import plain
from ..classroom.tables import read_table
from ..errors import UserError, printable, reason
from ..files import write_whole
from ..leftovers import is_leftover
from ..texts import decoded

STORE = "requests.json"
LARGEST = 1 << 20  # bytes of a letter
LONGEST = 20_000  # characters of a text
EXPECTED = "a table with the columns student, part, text and date, or a folder of letters"
REPLY = re.compile(r"\s*((re|aw|fwd?)\s*:\s*)*", re.IGNORECASE)  # what mail programs put before
LETTERS = (".txt", ".md", ".eml")

Raw = tuple[str, dict[str, str]]
"""Where a request stands, and its student, part, text and date."""


@dataclass(frozen=True)
class Request:
    """A student's request about a part of a submission; `date` as the student or platform wrote."""

    id: str
    student: str
    submission: str
    part: str
    text: str
    date: str = ""


def table_requests(path: Path) -> Iterator[Raw]:
    """Yield the requests in a table. Raises UserError if it cannot be read."""
    for number, row in read_table(path, {"student", "part", "text"}, EXPECTED):
        yield f"{path}: row {number}", row


def letter_requests(folder: Path) -> Iterator[Raw]:
    """Yield the requests in a folder of letters or mails: headers, a blank line, and the text."""
    for path in sorted(folder.iterdir()):
        if is_leftover(PurePosixPath(path.name)):
            continue
        if path.suffix.lower() not in LETTERS or path.is_symlink():
            yield str(path), {}
            continue
        try:
            content = read_file(path, EXPECTED, LARGEST)
            letter = message_from_bytes(content, policy=default)
            text = body_of(letter, content)
            sender = letter["student"] or parseaddr(letter["from"] or "")[1]
            part = letter["part"] or letter["subject"] or ""
            fields = {"student": sender, "part": part, "date": letter["date"] or ""}
            yield str(path), {key: str(value) for key, value in fields.items()} | {"text": text}
        except (UserError, ValueError, LookupError, AttributeError) as error:
            yield f"{path} ({printable(reason(error))[:80]})", {}


def body_of(letter: EmailMessage, content: bytes) -> str:
    """Return the plain text of a letter; without a type, it is in any usual encoding."""
    if "content-type" not in letter:
        return re.split(r"\r?\n\r?\n", decoded(content), maxsplit=1)[-1]
    body = letter.get_body(("plain",))
    if body is None:
        raise ValueError("a mail without plain text")
    return str(body.get_content())


def request_from(fields: dict[str, str], book: Book) -> Request | str:
    """Return the request, or what is wrong with it."""
    who, title = fields.get("student", "").strip(), fields.get("part", "").strip()
    text = fields.get("text", "").strip()[:LONGEST]
    if not who or not text:
        return "no student or no text"
    known = book.roster.find(who) if book.roster else None
    student = known.key if known else who
    submissions = book.submissions_of.get(student, [])
    if len(submissions) != 1:
        return f"{who!r} has {len(submissions)} submissions; expected one"
    wanted = plain(REPLY.sub("", title, count=1))
    columns = [p.column for p in book.task.parts if wanted in (plain(p.column), plain(p.title))]
    if len(columns) != 1:
        titles = ", ".join(part.title for part in book.task.parts)
        return f"no part {title[:60]!r}; expected one of {titles}"
    parts = (student, submissions[0], columns[0], text, fields.get("date", "").strip())
    return Request(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16], *parts)


def read_requests(path: Path, book: Book, problems: list[str]) -> list[Request]:
    """Read requests from a table or a folder; what is wrong with others is added to `problems`.

    Raises UserError if there is neither.
    """
    if not path.exists():
        raise UserError(path, "no such file or folder", EXPECTED)
    found = []
    for place, fields in letter_requests(path) if path.is_dir() else table_requests(path):
        request = request_from(fields, book) if fields else "no letter that can be read"
        if isinstance(request, Request):
            found.append(request)
        else:
            problems.append(f"{place}: left out: {request}")
    return found


def stored_requests(folder: Path) -> list[Request]:
    """Return every request of a run, in the order in which they were read.

    Raises UserError if the file is damaged.
    """
    path = folder / STORE
    try:
        return [Request(**row) for row in json.loads(path.read_text())] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise UserError(path, "damaged", "the file as 'grader requests' wrote it") from error


def store_requests(folder: Path, requests: list[Request]) -> None:
    """Write the requests of a run."""
    write_whole(folder / STORE, json.dumps([*map(asdict, requests)], indent=2) + "\n")
