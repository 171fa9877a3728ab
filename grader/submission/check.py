"""Check before an upload whether a zip keeps every rule, without running any of its code."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..artifacts import open_archive, without_folder
from ..assignment import NOTEBOOK, Assignment, SubmissionFormat
from ..errors import UserError, listed
from ..leftovers import is_leftover
from ..sandbox.command import Level
from ..sandbox.resources import temporary_folder
from . import rules
from .contents import Check, Contents, problems_of_links
from .notebook_checks import KINDS, handed_in
from .pdf import read_pdf
from .rules import Kind
from .size import measure_size
from .unpacking import ARCHIVES, BACKSLASHES, Submission, carried_files, open_submission, slashed

DATA = {".npz", ".npy", ".csv", ".mat", ".h5", ".idx"}


def check_submission(path: Path, assignment: Assignment) -> list[Check]:
    """Check every rule of the assignment for the zip or the folder at `path`.

    If `path` is the file with the link to the weights, check only the link. Raises UserError if
    nothing is there.
    """
    required = assignment.submission
    if not path.exists():
        raise UserError(path, "no such file or folder", "a submission's zip")
    if path.name == required.link_file:
        problems = list(problems_of_links(path, []))
        return [Check(f"{path.name} has a link on each line", not problems, "; ".join(problems))]
    checks = check_package(path, assignment)
    with temporary_folder() as folder:
        try:
            submission = open_submission(path.absolute(), assignment, folder)
        except UserError as error:
            return [
                *checks,
                Check("it unpacks", False, without_folder(error, path.absolute().parent)),
            ]
        files, _ = carried_files(submission, assignment.artefact)
        found = rules.check(submission.folder, files, submission.program, assignment.rules)
        return checks + check_opened(submission, assignment, found)


def check_package(path: Path, assignment: Assignment) -> list[Check]:
    """Check the rules on the zip that a submission comes in; a folder leaves them open."""
    rules_of_zip = [r for r in ZIP_RULES if not (assignment.is_notebook and r in FOR_PROGRAMS)]
    if path.suffix == NOTEBOOK and assignment.is_notebook:
        return []
    if path.is_dir():
        return [Check(rule, None, "this is a folder, not a zip") for rule in rules_of_zip]
    found = check_zip(path, assignment.submission, set(assignment.artefact))
    return [check for check in found if check.rule in (*rules_of_zip, OPENED)]


def check_opened(
    submission: Submission, assignment: Assignment, findings: list[rules.Finding]
) -> list[Check]:
    """Check the rules on a submission that could be unpacked, whose code left these findings."""
    return [
        Check("it unpacks", True),
        *submission.contents.checks,
        *check_report(submission.contents, assignment.submission, Level.TRUSTED),
        *check_weights(submission, assignment),
        *check_notebook(submission, assignment),
        *check_code(findings),
    ]


@dataclass(frozen=True)
class Zip:
    """A submission's zip: the names of its files, and what the assignment says about it.

    `names` are as written in the zip. `left` are files that a system or a tool left; they are not
    among `files`.
    """

    path: Path
    required: SubmissionFormat
    artefacts: set[str]
    names: list[str]
    files: list[PurePosixPath]
    left: list[PurePosixPath]


def wrong_name(archive: Zip) -> str | None:
    wanted = archive.required.zip_name
    if wanted is None or archive.path.name == wanted:
        return None
    return f"it is called {archive.path.name}; rename it to {wanted}"


def too_large(archive: Zip) -> str | None:
    size, most = archive.path.stat().st_size / 2**20, archive.required.zip_mib
    if size <= most:
        return None
    return f"{size:.0f} MiB, and {most:g} are allowed: leave out weights and data"


def several_folders(archive: Zip) -> str | None:
    folders = sorted({path.parts[0] for path in archive.files if len(path.parts) > 1})
    loose = sorted(str(path) for path in archive.files if len(path.parts) == 1)
    if not folders:
        return "no folder in it: put all files into one, and zip that"
    if len(folders) > 1:
        return f"{len(folders)} folders ({listed(folders)}): put all files into one"
    return f"outside the folder: {listed(loose)}; move it inside" if loose else None


def backslashes(archive: Zip) -> str | None:
    return BACKSLASHES if any("\\" in name for name in archive.names) else None


def left_files(archive: Zip) -> str | None:
    return f"remove {listed(archive.left)}" if archive.left else None


def unexpected_files(archive: Zip) -> str | None:
    extra = [path for path in archive.files if not asked_for(path, archive)]
    return listed(map(describe, extra), "; ") or None


OPENED = "the zip can be opened"
ONE_FOLDER = "the zip contains one folder and nothing else"
EXPECTED_FILES = "it contains no unexpected files"
# Each function returns what is wrong, or None.
ZIP_RULES: dict[str, Callable[[Zip], str | None]] = {
    "the zip has the right name": wrong_name,
    "the zip is not too large": too_large,
    ONE_FOLDER: several_folders,
    "its folders are separated by /": backslashes,
    "it contains no files left by a system or a tool": left_files,
    EXPECTED_FILES: unexpected_files,
}
FOR_PROGRAMS = {ONE_FOLDER, EXPECTED_FILES}  # a notebook's files are checked by their types


def check_zip(path: Path, required: SubmissionFormat, artefacts: set[str]) -> list[Check]:
    """Check the rules about the zip itself."""
    try:
        with path.open("rb") as file, open_archive(path, file, "a .zip file") as archive:
            entries = archive.namelist()
            names = [name for name in entries if name and not name.endswith(("/", "\\"))]
    except (UserError, OSError) as error:
        return [Check(OPENED, False, f"{error}; make the zip again")]
    paths = [PurePosixPath(slashed(name)) for name in names]
    files = [path for path in paths if not is_leftover(path)]
    left = [path for path in paths if is_leftover(path)]
    content = Zip(path, required, artefacts, names, files, left)
    problems = {rule: problem(content) for rule, problem in ZIP_RULES.items()}
    return [Check(rule, problem is None, problem or "") for rule, problem in problems.items()]


def asked_for(path: PurePosixPath, archive: Zip) -> bool:
    """Check whether a file may be part of a submission."""
    named = path.name in archive.required.files or path.name in archive.artefacts
    return named or path.suffix.lower() in (".py", ".pdf")


def describe(path: PurePosixPath) -> str:
    """Describe a file that does not belong in a submission."""
    if path.suffix.lower() in ARCHIVES:
        return f"{path.name} is an archive within the archive: remove it"
    if path.suffix.lower() in DATA or "ubyte" in path.name:
        return f"{path.name} is a data set: remove it"
    return f"{path.name} is not part of the submission: remove it"


def check_report(contents: Contents, required: SubmissionFormat, level: Level) -> list[Check]:
    """Check whether the report can be read, is short enough, and begins as it should."""
    if contents.report is None:
        return []
    try:
        pages, line = read_pdf(contents.report, level)
    except UserError as error:
        message = without_folder(error, contents.report.parent)
        return [Check("the report can be read", False, message)]
    checks = [Check("the report can be read", True)]
    most = required.report_pages
    if most is not None:
        problem = f"{contents.report.name} has {pages} pages; {most} are allowed"
        long = pages > most
        checks.append(Check(f"the report has at most {most} pages", not long, long * problem))
    if contents.members and required.group_file:
        absent = [member for member in contents.members if member not in line.upper()]
        rest = line.upper()
        for member in contents.members:
            rest = rest.replace(member, "")
        bare = not any(character.isalpha() for character in rest)
        problem = f"the report's first line is {line[:60]!r}; expected names and entry numbers"
        rule = "the report's first line has names and entry numbers"
        checks.append(Check(rule, not (absent or bare), problem if absent or bare else ""))
    return checks


def check_weights(submission: Submission, assignment: Assignment) -> Iterator[Check]:
    """Check whether the included artefacts are together within the allowed size."""
    paths = {name: submission.folder / name for name in assignment.trained_artefacts()}
    files = {name: path for name, path in paths.items() if path.is_file()}
    size = measure_size(files, assignment)
    if size.allowed is None or not files:
        return
    found = size.unreadable or [f"{n:,} in {name}" for name, n in size.numbers.items()]
    rule = f"{' and '.join(files)} have at most {size.allowed:,} numbers"
    found += size.hints
    broken = size.too_large or bool(size.unreadable)
    yield Check(rule, not broken, "; ".join(found) if broken else "")


def check_notebook(submission: Submission, assignment: Assignment) -> Iterator[Check]:
    """Apply the assignment's checks to a notebook."""
    handed = handed_in(submission)
    for check in assignment.check if handed else []:
        assert handed is not None
        result = KINDS[check.kind](handed, check)
        yield Check(check.title, result.share == 1, result.problem)


def check_code(found: list[rules.Finding]) -> Iterator[Check]:
    """Check what the rules on imports and calls found in the code."""
    broken = [f for f in found if f.kind in (Kind.FORBIDDEN, Kind.BROKEN)]
    yield Check("the code imports only what is allowed", not broken, listed(broken, "; "))
    odd = [f for f in found if f.kind is Kind.SUSPICIOUS]
    rest = [f for f in found if f.kind in (Kind.SUSPICIOUS, Kind.REMARK)]
    yield Check("the code raises no questions", not odd, listed(rest, "; "))
