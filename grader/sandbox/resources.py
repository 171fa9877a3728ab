"""What a run holds and gives back: locks, temporary folders, user ids."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .command import SandboxError

USERS = range(52_000, 53_000)  # ids that no system assigns; each command gets its own
LOCKS = Path("/run/vae-grader")

PREFIX = "vae-grader-"  # of temporary folders
ABANDONED_SECONDS = 60.0  # older ones should have been locked by their grader


def lock(path: Path, flags: int) -> int | None:
    """Return an open descriptor of `path`, locked until it is closed; None if already locked."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def reserved_user() -> Iterator[int]:
    """Provide a user id that no other command of any grader here uses at the same time."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    for uid in USERS:
        descriptor = lock(LOCKS / str(uid), os.O_CREAT | os.O_RDWR)
        if descriptor is None:
            continue
        try:
            yield uid
        finally:
            os.close(descriptor)
        return
    raise SandboxError(f"{len(USERS)} commands run at once; no user id is left")


def give(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder that the grader filled, and of everything in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def clear_shared_memory(uid: int) -> None:
    """Remove what a user left in the machine's shared memory."""
    for path in Path("/dev/shm").iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == uid:
                remove(path)


def remove(folder: Path) -> None:
    """Remove a folder that an untrusted program wrote to, whatever its depth and permissions."""
    subprocess.run(["chmod", "-R", "u+rwX", "--", folder], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", "--", folder], check=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders of graders that were killed: old, and no longer locked."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.lstat().st_mtime < ABANDONED_SECONDS:
                continue
            descriptor = lock(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
            if descriptor is not None:
                remove(folder)
                os.close(descriptor)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Provide a folder until it is no longer needed; remove those of graders that were killed."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    descriptor = lock(folder, os.O_DIRECTORY)
    remove_abandoned(folder.parent)
    try:
        yield folder
    finally:
        remove(folder)
        if descriptor is not None:
            os.close(descriptor)
