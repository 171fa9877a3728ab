"""Write the grader's own files whole or not at all, and archives without timestamps."""

import io
import os
import zipfile
from pathlib import Path

from .errors import UserError

PRIVATE = 0o077  # the umask with which files are closed to other users

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest in a zip; fixed, so that equal content is equal bytes


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises OSError."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(content: str | bytes, path: Path) -> None:
    """Write `content` to `path`, whole or not at all. Raises UserError if that fails."""
    try:
        if path.exists() and not path.is_file():
            raise FileExistsError(0, "it is not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        expected = "a file in a folder with write access and space"
        raise UserError(path, f"cannot be written ({error.strerror})", expected) from error


def zipped(files: dict[str, bytes], programs: tuple[str, ...] = ()) -> bytes:
    """Return a zip archive of these files; those in `programs` are executable."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = (0o100755 if name in programs else 0o100644) << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return content.getvalue()
