"""Files that systems and tools leave in folders and zips, and that are no part of the content."""

from pathlib import PurePosixPath

NAMES = {
    *("__macosx", "icon\r"),  # macOS; its other files are hidden
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),  # Windows
    *("__pycache__", "@eadir"),  # Python; Synology
}


def is_leftover(path: PurePosixPath) -> bool:
    """Check whether a file or one of its folders is hidden, or was left by a system or a tool."""
    return any(
        part.startswith((".", "~$")) or part.casefold() in NAMES
        for part in path.parts
        if part not in (".", "..")
    )
