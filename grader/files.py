"""Files that the grader itself writes: whole or not at all, and archives without a time in them."""

import io
import os
import zipfile
from pathlib import Path

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold: the same content is the same bytes


def write_whole(path: Path, content: str | bytes) -> None:
    """Put `content` in place of `path`, whole; raises OSError."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def zipped(files: dict[str, bytes], programs: tuple[str, ...] = ()) -> bytes:
    """A zip archive of these files, of which `programs` may be run."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = (0o100755 if name in programs else 0o100644) << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return content.getvalue()
