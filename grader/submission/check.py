"""Check before an upload whether a zip keeps every rule, without running any of its code."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from ..artifacts import without_folder
from ..assignment import Assignment, Layout
from ..errors import UserError
from ..sandbox.isolation import Level, temporary_folder
from . import rules
from .contents import Check, Contents, problem_of_link
from .pdf import read_pdf
from .rules import Kind
from .size import measure_size
from .unpacking import Submission, carried_files, ignored, open_submission

ARCHIVES = {".zip", ".gz", ".tar", ".7z", ".rar", ".bz2", ".xz"}
DATA = {".npz", ".npy", ".csv", ".mat", ".h5", ".idx"}
SHOWN = 5  # names in a message


def check_submission(path: Path, assignment: Assignment) -> list[Check]:
    """Check every rule of the assignment for the zip or the folder at `path`.

    If `path` is the file with the link to the weights, check only the link. Raises UserError if
    nothing is there.
    """
    layout = assignment.submission
    if not path.exists():
        raise UserError(path, "no such file or folder", "a submission's zip")
    if path.name == layout.link_file:
        problem = problem_of_link(path)
        return [Check(f"{path.name} begins with a link", problem is None, problem or "")]
    if path.is_dir():
        reason = "this is a folder, not a zip"
        checks = [Check(rule, None, reason) for rule in ZIP_RULES]
    else:
        checks = list(check_zip(path, layout, set(assignment.artefact)))
    with temporary_folder() as folder:
        try:
            submission = open_submission(path.absolute(), assignment, folder)
        except UserError as error:
            return [
                *checks,
                Check("it unpacks", False, without_folder(error, path.absolute().parent)),
            ]
        checks.append(Check("it unpacks", True))
        checks += submission.contents.checks
        checks += check_report(submission.contents, layout, Level.TRUSTED)
        checks += check_weights(submission, assignment)
        checks += check_code(submission, assignment)
    return checks


ZIP_RULES = (
    "the zip has the right name",
    "the zip is not too large",
    "the zip contains one folder and nothing else",
    "it contains no files left by a system or a tool",
    "it contains no unexpected files",
)


def check_zip(path: Path, layout: Layout, artefacts: set[str]) -> Iterator[Check]:
    """Check the rules about the zip itself."""

    def verdict(problem: str | None) -> Check:
        return Check(next(names), problem is None, problem or "")

    names = iter(ZIP_RULES)
    other = layout.zip_name is not None and path.name != layout.zip_name
    yield verdict(f"it is called {path.name}; rename it to {layout.zip_name}" if other else None)
    size = path.stat().st_size / 2**20
    large = f"{size:.0f} MiB, and {layout.zip_mib:g} are allowed: leave out weights and data"
    yield verdict(large if size > layout.zip_mib else None)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except Exception as error:  # a damaged directory can fail in many ways
        yield verdict(f"no sound zip archive ({error}); make the zip again")
        return
    # Some Windows tools write backslashes; the rule `it unpacks` reports them.
    paths = [PurePosixPath(entry.filename.replace("\\", "/")) for entry in entries]
    left = [path for path in paths if ignored(path)]
    paths = [path for path in paths if not ignored(path)]
    folders = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
    loose = sorted(str(path) for path in paths if len(path.parts) == 1)
    yield verdict(problem_of_folders(folders, loose))
    yield verdict(f"remove {listed(left)}" if left else None)
    extra = [path for path in paths if not asked_for(path, layout, artefacts)]
    yield verdict("; ".join(describe(path) for path in extra[:SHOWN]) or None)


def problem_of_folders(folders: list[str], loose: list[str]) -> str | None:
    if not folders:
        return "no folder in it: put all files into one, and zip that"
    if len(folders) > 1:
        return f"{len(folders)} folders ({listed(folders)}): put all files into one"
    return f"outside the folder: {listed(loose)}; move it inside" if loose else None


def listed(names: Iterable[object], between: str = ", ") -> str:
    """Join the first few names, and say how many more there are."""
    kept = [*map(str, names)]
    more = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    return between.join(kept[:SHOWN]) + more


def asked_for(path: PurePosixPath, layout: Layout, artefacts: set[str]) -> bool:
    """Check whether a file may be part of a submission."""
    named = path.name in layout.files or path.name in artefacts
    return named or path.suffix.lower() in (".py", ".pdf")


def describe(path: PurePosixPath) -> str:
    """Describe a file that does not belong in a submission."""
    if path.suffix.lower() in ARCHIVES:
        return f"{path.name} is an archive within the archive: remove it"
    if path.suffix.lower() in DATA or "ubyte" in path.name:
        return f"{path.name} is a data set: remove it"
    return f"{path.name} is not part of the submission: remove it"


def check_report(contents: Contents, layout: Layout, level: Level) -> list[Check]:
    """Check whether the report can be read, is short enough, and begins as it should."""
    if contents.report is None:
        return []
    try:
        pages, line = read_pdf(contents.report, level)
    except UserError as error:
        message = without_folder(error, contents.report.parent)
        return [Check("the report can be read", False, message)]
    checks = [Check("the report can be read", True)]
    most = layout.report_pages
    if most is not None:
        problem = f"{contents.report.name} has {pages} pages; {most} are allowed"
        long = pages > most
        checks.append(Check(f"the report has at most {most} pages", not long, long * problem))
    if contents.members:
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
    broken = size.too_large or bool(size.unreadable)
    yield Check(rule, not broken, "; ".join(found) if broken else "")


def check_code(submission: Submission, assignment: Assignment) -> Iterator[Check]:
    """Check the code against the rules on imports and calls."""
    files, _ = carried_files(submission.folder, set(assignment.artefact))
    found = rules.check(submission.folder, files, assignment.program, assignment.rules)
    broken = [f for f in found if f.kind in (Kind.FORBIDDEN, Kind.BROKEN)]
    yield Check("the code imports only what is allowed", not broken, listed(broken, "; "))
    odd = [f for f in found if f.kind is Kind.SUSPICIOUS]
    rest = [f for f in found if f.kind in (Kind.SUSPICIOUS, Kind.REMARK)]
    yield Check("the code raises no questions", not odd, listed(rest, "; "))
