"""What a run holds and gives back: locks, temporary folders, user ids, CPU cores."""

import contextlib
import fcntl
import grp
import os
import pwd
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import launcher
from .command import SandboxError

USERS = range(52_000, 53_000)  # each command of another user gets one that nobody has
SUBORDINATE = ("/etc/subuid", "/etc/subgid")  # ids that users may give to their containers
IN_USE = b"in use\n"  # in the lock file of a user id, until all its processes are dead

PREFIX = "vae-grader-"  # of temporary folders
PATIENCE_SECONDS = 20.0  # for killed processes to end
ABANDONED_SECONDS = 60.0  # older ones should have been locked by their grader


def private_folder() -> Path:
    """Return the folder for locks of this user, which nobody else can enter.

    Raises SandboxError if somebody else made it, or opened it to others.
    """
    own = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR")
    usable = own and Path(own).is_absolute() and os.access(own, os.W_OK | os.X_OK)
    folder = Path(own if own and usable else tempfile.gettempdir(), f".{PREFIX}{os.geteuid()}")
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise SandboxError(f"{folder}: cannot be made ({error.strerror})") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise SandboxError(f"{folder}: not a folder of this user that is closed to all others")
    return folder


def lock(path: Path, flags: int) -> int | None:
    """Return an open descriptor of `path`, locked until it is closed; None if already locked.

    Raises OSError if the path is a link, because it could lead to any file.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def reserved_cpu() -> Iterator[None]:
    """Pin this thread to a core that no other job of this user has, unless none is free."""
    before = os.sched_getaffinity(0)
    folder = private_folder()
    for cpu in sorted(before):
        held = lock(folder / f"cpu-{cpu}", os.O_CREAT | os.O_RDWR)
        if held is not None:
            try:
                os.sched_setaffinity(0, {cpu})
                yield
            finally:
                os.sched_setaffinity(0, before)
                os.close(held)
            return
    yield


def processes_of(uid: int) -> list[int]:
    """Return the living processes that have a user or group id, real or effective or saved."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may have ended
            lines = (folder / "status").read_text().splitlines()
            facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            if (
                str(uid) in (facts["Uid"] + "\t" + facts["Gid"]).split()
                and facts["State"][0] != "Z"
            ):
                found.append(int(folder.name))
    return found


def belongs_to_somebody(uid: int) -> bool:
    """Check whether an account, a group, a user's containers or a process has this id."""
    with contextlib.suppress(KeyError):
        pwd.getpwuid(uid)
        return True
    with contextlib.suppress(KeyError):
        grp.getgrgid(uid)
        return True
    for path in map(Path, SUBORDINATE):
        for line in path.read_text().splitlines() if path.exists() else ():
            _, _, numbers = line.partition(":")
            first, _, count = numbers.partition(":")
            if first.isdecimal() and count.isdecimal() and 0 <= uid - int(first) < int(count):
                return True
    return bool(processes_of(uid))


def end_processes(uid: int) -> None:
    """Kill all processes of a user, and wait until they are dead.

    Raises SandboxError if they are not after PATIENCE_SECONDS.
    """
    given_up = time.monotonic() + PATIENCE_SECONDS
    while left := processes_of(uid):
        if time.monotonic() > given_up:
            raise SandboxError(f"{len(left)} processes of user {uid} could not be killed")
        launcher.kill_user(uid)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def end_abandoned(folder: Path) -> None:
    """Kill the processes of commands whose grader was killed."""
    for path in folder.glob("user-*"):
        held = lock(path, os.O_RDWR)
        if held is None:
            continue
        try:
            if os.read(held, len(IN_USE)):
                end_processes(int(path.name.removeprefix("user-")))
                os.ftruncate(held, 0)
        except SandboxError:
            pass  # the next grader tries again; the id stays taken
        finally:
            os.close(held)


@contextlib.contextmanager
def reserved_user() -> Iterator[int]:
    """Provide a user id that nobody has, and that no other command uses at the same time.

    So every process that has it was started by the command; all are dead in the end.
    """
    folder = private_folder()
    end_abandoned(folder)
    for uid in USERS:
        held = lock(folder / f"user-{uid}", os.O_CREAT | os.O_RDWR)
        if held is None:
            continue
        if belongs_to_somebody(uid):
            os.close(held)
            continue
        os.pwrite(held, IN_USE, 0)
        try:
            yield uid
        finally:
            try:
                end_processes(uid)
                os.ftruncate(held, 0)
            finally:
                os.close(held)
        return
    raise SandboxError(f"none of the user ids {USERS[0]} to {USERS[-1]} is free")


def give(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder that the grader filled; nobody else can enter it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
    folder.chmod(0o700)


@contextlib.contextmanager
def lent(paths: Sequence[Path], uid: int) -> Iterator[None]:
    """Let a user, and nobody else, read files and folders of the grader for a while."""
    below = [part for path in paths for part in (path, *path.rglob("*"))]
    before = {path: path.stat() for path in below}
    try:
        for path in below:
            os.chown(path, -1, uid)
            path.chmod(0o750 if path.is_dir() else 0o640)
        yield
    finally:
        for path, status in before.items():
            os.chown(path, -1, status.st_gid)
            path.chmod(stat.S_IMODE(status.st_mode))


def readable_by_all(path: Path) -> bool:
    """Check whether every user of this machine may read a file by its path."""
    path = path.resolve()
    return bool(path.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in path.parents
    )


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
    """Remove this user's temporary folders of graders that were killed: old, and not locked."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if not own or time.time() - status.st_mtime < ABANDONED_SECONDS:
                continue
            descriptor = lock(folder, os.O_DIRECTORY)
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
