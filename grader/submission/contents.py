"""The rules on the files of a submission: which must be in its folder, and what they must contain.

This module reads names and small text files. It runs nothing and opens no PDF.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ..artifacts import read_file
from ..assignment import SubmissionFormat
from ..errors import UserError, listed, printable
from ..texts import decoded

TEXT_SIZE = 64 << 10
EXAMPLE_HOSTS = (".example.com", ".example.org", ".example.net")  # RFC 2606: nobody owns them
MOST_MEMBERS = 10  # of a group
MOST_LINKS = 5
TYPES = "it contains only files of the types that are asked for"
NAMED = "the files have the names that are asked for"


@dataclass(frozen=True)
class Check:
    """A rule and whether it is kept, or None if it could not be checked. `message`: what to do."""

    rule: str
    passed: bool | None
    message: str = ""


@dataclass
class Contents:
    """The entry numbers, links and report of a submission, and a check for each rule."""

    members: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    report: Path | None = None
    checks: list[Check] = field(default_factory=list)

    def ask(self, rule: str, problem: str | None) -> None:
        self.checks.append(Check(rule, problem is None, printable(problem or "")))


def read_lines(path: Path) -> list[str]:
    """Return the lines of a small text file that are not empty. Raises UserError."""
    try:
        content = decoded(read_file(path, "a short text", TEXT_SIZE))
    except ValueError as error:
        raise UserError(path, "not a text", "one saved as UTF-8") from error
    return [line.strip() for line in content.splitlines() if line.strip()]


def problems_of_links(path: Path, links: list[str]) -> Iterator[str]:
    """Yield what is wrong with a file of links; add the valid ones to `links`."""
    try:
        lines = read_lines(path)
    except UserError as error:
        yield str(error).replace(f"{path.parent}/", "")
        return
    for line in lines or [""]:
        problem = problem_of_address(line, path.name)
        if len(links) == MOST_LINKS:
            yield f"{path.name} has more than {MOST_LINKS} links; the rest are not read"
            return
        if problem:
            yield problem
        elif line not in links:
            links.append(line)


def problem_of_address(link: str, place: str) -> str | None:
    """Return what is wrong with a link that was given at `place`, or None if nothing is."""
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
    except ValueError:
        return f"{place}: {link[:80]!r}; expected a link such as https://drive.google.com/..."
    if parts.scheme not in ("http", "https") or "." not in host or " " in link:
        return f"{place}: {link[:80]!r}; expected a link such as https://drive.google.com/..."
    if f".{host}".endswith(EXAMPLE_HOSTS):
        return f"{place}: still the example link; expected the link to your own model"
    return None


def problems_of_group(path: Path, pattern: str, members: list[str]) -> Iterator[str]:
    """Yield what is wrong with a file of entry numbers; add the valid ones to `members`."""
    try:
        lines = read_lines(path)
    except UserError as error:
        yield str(error).replace(f"{path.parent}/", "")
        return
    for line in lines:
        if len(members) == MOST_MEMBERS:
            yield f"{path.name} has more than {MOST_MEMBERS} lines"
            return
        if not re.fullmatch(pattern, line, re.ASCII):
            yield f"{path.name}: {line[:40]!r} is not an entry number"
        elif line in members:
            yield f"{path.name}: {line} is listed twice"
        else:
            members.append(line)
    if not lines:
        yield f"{path.name} is empty; expected an entry number on each line"


def check_contents(
    program: Path, archive: str | None, files: list[PurePosixPath], required: SubmissionFormat
) -> Contents:
    """Check the folder of a submission's program against the rules on its files.

    `archive` is the name of the zip that it came in, if it came in one.
    """
    home = program.parent
    contents = Contents()
    for name in required.files:
        missing = None if (home / name).is_file() else f"{name} is missing"
        contents.ask(f"{name} is there", missing)
    if required.file_types:
        contents.ask(TYPES, problem_of_types(files, required.file_types))
    if required.program_name:
        contents.ask(NAMED, problem_of_name(program.name, archive, required, contents.members))
    if required.link_file and (home / required.link_file).is_file():
        path = home / required.link_file
        problems = list(problems_of_links(path, contents.links))
        contents.ask(f"{path.name} has a link on each line", listed(problems, "; ") or None)
    if required.group_file and (home / required.group_file).is_file():
        path, pattern = home / required.group_file, required.entry_number or ".+"
        problems = list(problems_of_group(path, pattern, contents.members))
        contents.ask(f"{path.name} has an entry number on each line", "; ".join(problems) or None)
    if required.report:
        stem = "_".join(contents.members)
        check_report_name(home, program.stem if required.program_name else stem, contents, required)
    return contents


def problem_of_types(files: list[PurePosixPath], types: list[str]) -> str | None:
    """Return which files are of a type that the assignment does not ask for, or None."""
    others = [str(path) for path in files if path.suffix.lower() not in types]
    return f"{listed(others)}; expected only {' and '.join(types)}" if others else None


def problem_of_name(
    name: str, archive: str | None, required: SubmissionFormat, members: list[str]
) -> str | None:
    """Return what is wrong with the name of the program, or of its zip, or None.

    The entry numbers in it are added to `members`.
    """
    assert required.program_name is not None
    found = re.fullmatch(required.program_name, name)
    if found is None:
        return f"it is called {name}; expected a name of the form {required.program_name}"
    members += dict.fromkeys(group for group in found.groups() if group)
    wanted = f"{PurePosixPath(name).stem}.zip"
    if archive is None or archive == wanted or required.zip_name:
        return None
    return f"the zip is called {archive}; expected {wanted}"


def check_report_name(
    home: Path, stem: str, contents: Contents, required: SubmissionFormat
) -> None:
    """Check whether there is exactly one PDF, with the right name: `stem`, if that is known."""
    wanted = f"{stem}.pdf" if stem else "a PDF"
    reports = sorted(path for path in home.glob("*.[pP][dD][fF]") if path.is_file())
    named = [path for path in reports if path.name == wanted]
    contents.report = next(iter(named or reports), None)
    if contents.report is None and required.report == "optional":
        return
    problem = None
    if contents.report is None:
        problem = f"the report is missing; expected {wanted}"
    elif stem and not named:
        problem = f"the report is called {contents.report.name}; expected {wanted}"
    elif len(reports) > 1:
        problem = f"{len(reports)} PDFs; expected {wanted} alone"
    named_after = "program" if required.program_name else "entry numbers"
    contents.ask(f"the report is a PDF called after the {named_after}", problem)
