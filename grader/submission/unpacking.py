"""Turn a zip or a folder that a student handed in into a checked tree of plain files.

Nothing in it is run, and no link is followed. An archive is unpacked by this module's own rules,
because the usual tools create whatever links and paths an archive contains.
"""

import gzip
import hashlib
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ..artifacts import LARGEST_DIRECTORY, GuardedFile, open_archive, read_file
from ..assignment import NOTEBOOK, Assignment
from ..errors import UserError, has_control, listed
from ..leftovers import is_leftover
from .contents import Contents, check_contents
from .notebook import EXPECTED, Notebook, read_notebook

MOST_ENTRIES = 2_000
MOST_BYTES = 512 << 20  # unpacked
CHUNK = 1 << 20
DEEPEST = 20  # folders
# No program needs these to run, but they could carry data.
DOCUMENTS = {".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".ipynb", ".md", ".docx"}
CARRIED_BYTES = 8 << 20  # of a submission's files without weights; larger ones may hide weights
ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"}
BUILD = "build"  # in a folder, what this project's own commands make
TAR = "the submission is a tar archive; expected a zip"
LINK, PLAIN = "a link or a device", "plain files and folders"
GZIP = b"\x1f\x8b"
BACKSLASHES = "the zip has backslashes between folders; expected /"


@dataclass
class Submission:
    """A submission that can be run: `folder` has the program; `remarks` are for the student.

    `program` is the program's name there, and `notebook` its cells if it is one.
    """

    name: str
    folder: Path
    program: str
    sha256: str
    contents: Contents
    remarks: list[str]
    notebook: Notebook | None = None


def leftover(path: PurePosixPath) -> str | None:
    """Return the part of a path that ends in a leftover's name, or None if there is none."""
    for place in (*reversed(path.parents), path):
        if is_leftover(PurePosixPath(place.name)):
            return str(place)
    return None


def slashed(name: str) -> str:
    """Return the name of a zip's entry with / between folders; some tools write backslashes."""
    return name.replace("\\", "/")


def safe_path(archive: Path, name: str) -> PurePosixPath:
    """Return the path of a submission's file.

    Raises UserError if it could lead elsewhere, is too long or deep, or has control characters.
    """
    path = PurePosixPath(name)
    expected = "paths within the submission, with / between folders"
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise UserError(archive, f"the entry '{name}', which leads outside", expected)
    if len(path.parts) > DEEPEST or any(len(part) > 150 for part in path.parts):
        raise UserError(archive, f"the entry '{name:.60}', deep or long beyond use", expected)
    if has_control(name):
        raise UserError(archive, f"the entry '{name}' with control characters", expected)
    return path


def check_names(path: Path, names: list[PurePosixPath]) -> None:
    """Raise UserError if two files of an archive would have one place."""
    spelled: dict[str, str] = {}
    every = set(names)
    for name in names:
        key = str(name).casefold()
        if key in spelled:
            raise UserError(path, f"both '{spelled[key]}' and '{name}'", "each name once")
        spelled[key] = str(name)
        if not every.isdisjoint(name.parents):
            raise UserError(path, f"'{name}' below a file", "each name once")


def checked_entries(path: Path, archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the files of a zip to unpack. Raises UserError for a suspicious entry."""
    found: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    if len(archive.infolist()) > MOST_ENTRIES:
        raise UserError(path, f"{len(archive.infolist())} entries", f"at most {MOST_ENTRIES}")
    for entry in archive.infolist():
        name = safe_path(path, slashed(entry.filename))
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(path, f"'{name}', {LINK}", PLAIN)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # The others decompress a chunk as a whole, however large it becomes.
            raise UserError(path, f"'{name}', compressed in an unusual way", "a usual zip")
        if entry.flag_bits & 1:
            raise UserError(path, f"'{name}', which is encrypted", "no password")
        if not (entry.is_dir() or entry.filename.endswith("\\") or leftover(name)):
            found.append((name, entry))
    check_names(path, [name for name, _ in found])
    return dict(found)


def checked_members(path: Path, archive: tarfile.TarFile) -> dict[PurePosixPath, tarfile.TarInfo]:
    """Return the files of a tar archive to unpack. Raises UserError for a suspicious member."""
    found: list[tuple[PurePosixPath, tarfile.TarInfo]] = []
    for number, member in enumerate(archive, 1):
        if number > MOST_ENTRIES:
            raise UserError(path, f"more than {MOST_ENTRIES} entries", f"at most {MOST_ENTRIES}")
        if member.name in ("", "."):
            continue
        name = safe_path(path, member.name)
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise UserError(path, f"'{name}', {LINK}", PLAIN)
        if member.isreg() and not leftover(name):
            found.append((name, member))
    check_names(path, [name for name, _ in found])
    return dict(found)


def copy_limited(path: Path, source: IO[bytes], copy: IO[bytes], left: int) -> int:
    """Copy at most `left` bytes, and return how many more are allowed. Raises UserError."""
    while chunk := source.read(CHUNK):
        left -= len(chunk)
        if left < 0:
            found = f"more than {MOST_BYTES >> 20} MiB when unpacked"
            raise UserError(path, found, "the code, and weights at most")
        copy.write(chunk)
    return left


def is_tar(path: Path) -> bool:
    """Check whether a file is a tar archive by its name, compressed with gzip or not."""
    return path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


def unpack(path: Path, destination: Path) -> list[str]:
    """Write the files of the archive at `path` below `destination`; return remarks on it.

    Raises UserError if it is not an archive, leads outside, or unpacks to too much.
    """
    kind, reader = ("tar", unpack_tar) if is_tar(path) else ("zip", unpack_zip)
    try:
        return reader(path, destination)
    except UserError:
        raise
    except Exception as error:  # damaged archives fail in zlib, struct, codecs, and more
        raise UserError(path, f"not a sound {kind} archive ({error})", "a .zip file") from error


def unpack_zip(path: Path, destination: Path) -> list[str]:
    """Write the files of a zip archive below `destination`; return remarks on it."""
    left = MOST_BYTES
    with path.open("rb") as file, open_archive(path, file, "a .zip file") as archive:
        names = [entry.filename for entry in archive.infolist() if entry.filename]
        for name, entry in checked_entries(path, archive).items():
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("xb") as copy:
                left = copy_limited(path, source, copy, left)
    left_out = [part for name in names if (part := leftover(PurePosixPath(slashed(name))))]
    return [BACKSLASHES] * any("\\" in name for name in names) + remarks_on(left_out)


def unpack_tar(path: Path, destination: Path) -> list[str]:
    """Write the files of a tar archive below `destination`; return remarks on it.

    It is decompressed first, so that its size is known, and so that no header can claim more than
    `GuardedFile` permits.
    """
    left = MOST_BYTES
    with path.open("rb") as file, tempfile.TemporaryFile() as plain:
        compressed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        source = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if compressed else file
        copy_limited(path, source, plain, MOST_BYTES)
        plain.seek(0)
        guarded = cast(IO[bytes], GuardedFile(plain, LARGEST_DIRECTORY))
        with tarfile.open(fileobj=guarded, mode="r:") as archive:
            for name, member in checked_members(path, archive).items():
                target = destination / name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                with content, target.open("xb") as copy:
                    left = copy_limited(path, content, copy, left)
            names = [PurePosixPath(member.name) for member in archive.getmembers()]
    return [TAR, *remarks_on([part for name in names if (part := leftover(name))])]


def remarks_on(left_out: list[str]) -> list[str]:
    """Return a remark on files that were left out, if there are any."""
    names = listed(sorted(set(left_out)))
    return [f"left out, because hidden or no part of the work: {names}"] if left_out else []


def copy_folder(path: Path, destination: Path) -> list[str]:
    """Copy the plain files of a folder, except leftovers and a build; return remarks on these.

    Raises UserError if there is a link among the files, or if they are too much.
    """
    left, left_out = MOST_BYTES, list[str]()
    for entries, source in enumerate(plain_files(path, left_out), 1):
        name = safe_path(path, source.relative_to(path).as_posix())  # a backslash is part of a name
        left -= source.stat().st_size
        if left < 0 or entries > MOST_ENTRIES:
            found = f"more than {MOST_BYTES >> 20} MiB or {MOST_ENTRIES} files"
            raise UserError(path, found, "the code, and weights at most")
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target, follow_symlinks=False)
        except OSError as error:
            raise UserError(path, f"'{name}' cannot be read ({error.strerror})", PLAIN) from error
    return remarks_on(left_out)


def plain_files(folder: Path, left_out: list[str], inside: str = "") -> Iterator[Path]:
    """Yield the files in a folder, in order of their names, but add leftovers to `left_out`.

    `inside`: the path of the folder in the submission, with a / at the end. Raises UserError for a
    link.
    """
    if inside.count("/") > DEEPEST:
        raise UserError(folder, "folders deep beyond use", f"at most {DEEPEST}")
    for path in sorted(folder.iterdir()):
        if is_leftover(PurePosixPath(path.name)) or inside + path.name == BUILD:
            left_out.append(inside + path.name)
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise UserError(path, LINK, PLAIN)
        if path.is_dir():
            yield from plain_files(path, left_out, f"{inside}{path.name}/")
        else:
            yield path


def digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files below `folder`."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def find_program(path: Path, folder: Path, assignment: Assignment, remarks: list[str]) -> Path:
    """Return the path of the program; expected is one folder with everything in it.

    Raises UserError if there is none, or if several could be meant.
    """
    program, name = assignment.program, assignment.submission.program_name
    programs = (path for path in folder.rglob(program) if path.is_file())
    found = sorted(programs, key=lambda p: (len(p.parts), p))
    if not found:
        archives = sorted(p.name for p in folder.rglob("*") if p.suffix.lower() in ARCHIVES)
        instead = f", but the archives {listed(archives)}" if archives else ""
        raise UserError(path, f"no {program}{instead}", f"one folder with {program} in it")
    nearest = [p for p in found if len(p.parts) == len(found[0].parts)]
    named = [p for p in nearest if name and re.fullmatch(name, p.name)]
    chosen = named or nearest
    if len(chosen) > 1:
        raise UserError(path, f"{len(chosen)} files called {program}", "one")
    depth = len(chosen[0].parent.relative_to(folder).parts)
    if is_archive(path) and depth != 1 and not assignment.is_notebook:
        where = "at the top of the zip" if depth == 0 else f"{depth} folders deep"
        remarks.append(f"{program} lies {where}; expected one folder with everything in it")
    return chosen[0]


def is_archive(path: Path) -> bool:
    """Check whether a submission is a file that has to be unpacked."""
    return path.is_file() and path.suffix != NOTEBOOK


def open_submission(path: Path, assignment: Assignment, destination: Path) -> Submission:
    """Copy what was handed in at `path` to the empty folder `destination`, and check it.

    That is a zip, a folder, or a notebook alone if the assignment asks for one. Raises UserError if
    there is nothing that could be run.
    """
    remarks: list[str] = []
    zip_name = assignment.submission.zip_name
    if path.is_dir():
        remarks += copy_folder(path, destination)
    elif assignment.is_notebook and path.is_file() and path.suffix == NOTEBOOK:
        safe_path(path, path.name)
        (destination / path.name).write_bytes(read_file(path, "a notebook"))
    elif path.is_file():
        if zip_name and path.name != zip_name and not is_tar(path):
            remarks.append(f"the zip is called {path.name}; expected {zip_name}")
        remarks += unpack(path, destination)
    else:
        raise UserError(path, "no such file or folder", "a submission's zip or folder")
    program = find_program(path, destination, assignment, remarks)
    home = program.parent
    try:
        notebook = read_notebook(program) if assignment.is_notebook else None
    except UserError as error:
        raise UserError(path, f"{program.name}: {error.found}", EXPECTED) from error
    files = sorted(PurePosixPath(p.relative_to(home)) for p in home.rglob("*") if p.is_file())
    archive = path.name if is_archive(path) else None
    contents = check_contents(program, archive, files, assignment.submission)
    remarks += [check.message for check in contents.checks if check.passed is False]
    return Submission(path.name, home, program.name, digest(home), contents, remarks, notebook)


def weights_in(folder: Path, names: list[str]) -> dict[str, Path]:
    """Return those of the files called `names` that are in a folder."""
    return {name: folder / name for name in names if (folder / name).is_file()}


def carried_files(
    submission: Submission, left_out: Collection[str]
) -> tuple[list[Path], list[Path]]:
    """Return the files of a submission that its runs get, small ones first, and the rest.

    The rest are the files that exceed the limit on their total size, `CARRIED_BYTES`. Files and
    folders named in `left_out`, and documents other than the program, are in neither list.
    """
    folder, program = submission.folder, submission.folder / submission.program
    kept: list[Path] = []
    rest: list[Path] = []
    room = CARRIED_BYTES
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and (path.suffix.lower() not in DOCUMENTS or path == program)
        and not set(left_out) & set(path.relative_to(folder).parts)
    ]
    for path in sorted(files, key=lambda p: (p.stat().st_size, p)):
        room -= path.stat().st_size if path.suffix != NOTEBOOK else 0  # its pictures are large
        (kept if room >= 0 else rest).append(path)
    return kept, rest
