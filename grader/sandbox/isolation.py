"""Run one untrusted command under limits: a command in, a verdict out. Independent of assignments.

There are four levels, best first; `best_level` finds by trying which of them a machine supports:

- full: another user, and new namespaces (bubblewrap) that show nothing of the machine except the
  system, the interpreter and what the command is given; no network.
- unprivileged: the same namespaces, for the user who grades.
- confined: another user. Landlock, from Linux 5.13 on, blocks files that any user may read; seccomp
  blocks the network.
- trusted: limits only, for the user's own code.

At every level the command has a cleared environment, no terminal, no standard input, and bounded
memory, processes, output and time. Everything that it started is dead before `run` returns.
"""

import contextlib
import fcntl
import functools
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..verdicts import Verdict
from . import launcher
from .control_groups import ControlGroups, control_groups

LAUNCHER = Path(launcher.__file__)
USERS = range(52_000, 53_000)  # ids that no system assigns; each command gets its own
LOCKS = Path("/run/vae-grader")

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts")
SYSTEM_FILES = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "passwd")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")
KERNEL = ("/proc", "/sys/devices/system/cpu")

PREFIX = "vae-grader-"  # of temporary folders
ABANDONED_SECONDS = 60.0  # older ones should have been locked by their grader

TAIL = 64 << 10  # bytes of output kept at its beginning, and at its end
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 20.0  # for the launcher to end after SIGTERM
ADDRESS_SPACE = 16 << 30  # bytes above the memory limit: libraries reserve far more than they use


class Level(StrEnum):
    FULL = "full"
    UNPRIVILEGED = "unprivileged"
    CONFINED = "confined"
    TRUSTED = "trusted"

    @property
    def namespaces(self) -> bool:
        return self in (Level.FULL, Level.UNPRIVILEGED)

    @property
    def other_user(self) -> bool:
        return self in (Level.FULL, Level.CONFINED)


class SandboxError(Exception):
    """The command could not be run as requested: a fault of the machine or the grader."""


@dataclass(frozen=True)
class Limits:
    """What a command may use.

    Memory and disk are in bytes. `files` and `disk` do not include what it is given. `processes`
    includes threads.
    """

    seconds: float = 300.0
    memory: int = 4 << 30
    disk: int = 1 << 30
    files: int = 10_000
    processes: int = 256
    cpus: int = 2


BOUNDLESS = Limits(disk=1 << 62, files=1 << 62)


@dataclass(frozen=True)
class Command:
    """`words` run in `folder`, the only place where it may write; all paths are absolute.

    In addition to the system it may read `readable`, and this Python if it `needs_python`. If there
    are namespaces, folders in `hidden` look empty to it.
    """

    words: tuple[str, ...]
    folder: Path
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    needs_python: bool = True

    def readable_folders(self) -> list[Path]:
        return [*(interpreter_folders() if self.needs_python else ()), *self.readable]


@dataclass
class Outcome:
    """How a command ended: wall and CPU time in seconds, peak memory in bytes."""

    verdict: Verdict
    code: int | None
    seconds: float
    cpu_seconds: float
    peak_memory: int
    output: str
    output_bytes: int


@dataclass
class Output:
    """The beginning and the end of what a command prints, however much it prints."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, text: bytes) -> None:
        self.size += len(text)
        room = TAIL - len(self.head)
        self.head += text[:room]
        self.tail += text[room:]
        del self.tail[:-TAIL]

    def read(self, pipe: int) -> bool:
        """Read what is in a pipe now; return False at its end."""
        text = os.read(pipe, 1 << 16)
        self.add(text)
        return bool(text)

    def text(self) -> str:
        left_out = self.size - len(self.head) - len(self.tail)
        gap = f"\n[{left_out:,} bytes left out]\n".encode() if left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")


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
def user_of_its_own() -> Iterator[int]:
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


def interpreter() -> str:
    """Return the path of this Python, in a folder named without links or `..`.

    A sandbox shows a folder under its own name alone.
    """
    path = Path(sys.executable)
    return str(path.parent.resolve() / path.name)


def environment(folder: Path, temporary: Path, cpus: int) -> dict[str, str]:
    """Return the complete environment of a command."""
    threads = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {
        "PATH": f"{Path(interpreter()).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "USER": "student",
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **{f"{name}_NUM_THREADS": str(cpus) for name in threads},
    }


def interpreter_folders() -> list[Path]:
    """Return the folders of the grader's own Python and its packages."""
    folders = map(Path, (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()))
    paths = {path for folder in folders if folder.exists() for path in (folder, folder.resolve())}
    paths = {path for path in paths if ".." not in path.parts}
    outer = [p for p in paths if not any(p.is_relative_to(o) for o in paths - {p})]
    return sorted(p for p in outer if not p.is_relative_to("/usr"))


def bubblewrap(command: Command, temporary: Path, limits: Limits, report: int) -> list[str]:
    """Return the words that run `command` in its own namespaces."""
    words: list[str] = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent"]
    words += ["--new-session", "--cap-drop", "ALL", "--json-status-fd", str(report)]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp"):
        words += ["--size", str(limits.memory // 2), "--tmpfs", folder]
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    for name in SYSTEM_FILES:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in command.readable_folders():
        words += ["--ro-bind", str(path), str(path)]
    for path in command.hidden:
        words += ["--perms", "0555", "--tmpfs", str(path), "--remount-ro", str(path)]
    for path in (command.folder, temporary):
        words += ["--bind", str(path), str(path)]
    return [*words, "--chdir", str(command.folder), "--", *command.words]


def threads() -> int:
    """Count the visible threads on this machine."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may have ended
            total += len(list((process / "task").iterdir()))
    return total


def plan(
    command: Command, limits: Limits, level: Level, uid: int | None, temporary: Path, report: int
) -> dict[str, Any]:
    """Return what the launcher needs to know."""
    cpus = sorted(os.sched_getaffinity(0))[: limits.cpus]
    files = [f"/etc/{name}" for name in SYSTEM_FILES]
    readable = [*map(Path, (*SYSTEM, *files, *KERNEL)), *command.readable_folders()]
    words = list(command.words)
    if level.namespaces:
        words = bubblewrap(command, temporary, limits, report)
    processes = limits.processes
    if not level.other_user:  # the limit counts everything that the user runs
        processes += threads()
    return {
        "parent": os.getpid(),
        "words": words,
        "folder": str(command.folder),
        "environment": environment(command.folder, temporary, len(cpus)),
        "uid": uid,
        "namespaces": level.namespaces,
        "confine": level is Level.CONFINED,
        "landlock": launcher.landlock_version() > 0,
        "readable": [str(path) for path in readable if path.exists()],
        "writable": [str(path) for path in (command.folder, temporary, *DEVICES)],
        "cpus": cpus,
        "limits": {
            "AS": limits.memory + ADDRESS_SPACE,
            "CPU": int(limits.seconds * len(cpus)) + 10,
            "CORE": 0,
            "FSIZE": limits.disk,
            "NOFILE": 1024,
            "NPROC": processes,
        },
    }


def give(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder that the grader filled, and of everything in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def usage(folder: Path, limits: Limits) -> tuple[int, int]:
    """Count bytes and entries below a folder; stop once a limit is exceeded."""
    size = entries = 0
    folders = [str(folder)]
    while folders and size <= limits.disk and entries <= limits.files:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    entries += 1
                    status = entry.stat(follow_symlinks=False)
                    size += 512 * status.st_blocks
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    if entries > limits.files:
                        break
        except FileNotFoundError:  # it changes while it is being read
            continue
        except OSError:  # closed to the grader, or too deep: treated as hostile
            entries = limits.files + 1
    return size, entries


def memory_of(root: int) -> int:
    """Return the bytes of memory of a process's descendants; count shared pages for each."""
    page, total = os.sysconf("SC_PAGESIZE"), 0
    for pid in launcher.descendants(root):
        with contextlib.suppress(OSError):
            total += page * int(Path("/proc", str(pid), "statm").read_text().split()[1])
    return total


def proportional_memory_of(root: int) -> int:
    """Return the same as `memory_of`, with shared pages divided among processes: exact but slow."""
    total = 0
    for pid in launcher.descendants(root):
        with contextlib.suppress(OSError):
            lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def unlinked_size(root: int) -> int:
    """Return the bytes of files without a name that a process's descendants hold open."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in launcher.descendants(root):
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        sizes[status.st_dev, status.st_ino] = 512 * status.st_blocks
    return sum(sizes.values())


class Watch:
    """Checks whether a running command is still within its limits."""

    def __init__(
        self, pid: int, folders: tuple[Path, ...], limits: Limits, groups: ControlGroups
    ) -> None:
        self.pid, self.folders, self.limits, self.groups = pid, folders, limits, groups
        self.started = time.monotonic()
        self.peak_memory = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def disk_exceeded(self) -> bool:
        found = [usage(folder, self.limits) for folder in self.folders]
        size, entries = (sum(column) for column in zip(*found, strict=True))
        size += unlinked_size(self.pid)
        return size > self.limits.disk or entries > self.limits.files

    def exceeded(self) -> Verdict | None:
        """Return the verdict for the limit that is exceeded, if one is."""
        if self.seconds > self.limits.seconds:
            return Verdict.TIME_LIMIT
        if self.disk_exceeded():
            return Verdict.OUTPUT_LIMIT
        if self.groups.peak_memory is not None:
            return None
        memory = memory_of(self.pid)
        if memory > self.limits.memory:
            memory = proportional_memory_of(self.pid)
        self.peak_memory = max(self.peak_memory, memory)
        return Verdict.MEMORY_LIMIT if memory > self.limits.memory else None


def judge(code: int, output: str) -> Verdict:
    """Judge a command that ended by itself, from its exit status and its last line of output."""
    if code == 0:
        return Verdict.OK
    last = output.rstrip().rpartition("\n")[2]
    if "File too large" in last or "No space left on device" in last or code in (-25, 153):
        return Verdict.OUTPUT_LIMIT
    if "MemoryError" in last or "allocate memory" in last:
        return Verdict.MEMORY_LIMIT
    if code in (-24, 152):  # SIGXCPU
        return Verdict.TIME_LIMIT
    return Verdict.RUNTIME_ERROR


def follow(process: subprocess.Popen, watch: Watch) -> tuple[Verdict | None, Output]:
    """Read what the command prints until its launcher ends; end it if it exceeds a limit."""
    assert process.stdout is not None
    pipe, output, exceeded = process.stdout.fileno(), Output(), None
    os.set_blocking(pipe, False)
    next_look = deadline = 0.0
    while process.poll() is None:
        if select.select([pipe], [], [], POLL_SECONDS)[0] and not output.read(pipe):
            time.sleep(POLL_SECONDS)  # closed by a command that still runs
        now = time.monotonic()
        if exceeded is not None and now > deadline:
            process.kill()
            raise SandboxError("what the command started could not be killed")
        if exceeded is None and now >= next_look:
            next_look = now + POLL_SECONDS
            exceeded = watch.exceeded()
            if exceeded is not None:
                process.terminate()
                deadline = now + PATIENCE_SECONDS
    with contextlib.suppress(BlockingIOError):
        while output.read(pipe):
            pass
    return exceeded, output


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


def clear_shared_memory(uid: int) -> None:
    """Remove what a user left in the machine's shared memory."""
    for path in Path("/dev/shm").iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == uid:
                remove(path)


def start(details: dict[str, Any], report: int) -> subprocess.Popen:
    """Start the launcher on its plan."""
    words = [interpreter(), "-I", "-S", str(LAUNCHER), str(report), json.dumps(details)]
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[report],
        start_new_session=True,
        env={},
    )


def run(command: Command, limits: Limits, level: Level) -> Outcome:
    """Run `command` until it ends or exceeds a limit.

    Raises SandboxError if the machine does not support the level.
    """
    with contextlib.ExitStack() as stack:
        uid = stack.enter_context(user_of_its_own()) if level.other_user else None
        temporary = stack.enter_context(temporary_folder())
        groups = stack.enter_context(control_groups(limits.memory, limits.processes))
        if uid is not None:
            give(command.folder, uid)
            give(temporary, uid)
            stack.callback(clear_shared_memory, uid)
        report_end, command_end = os.pipe()
        report = stack.enter_context(os.fdopen(report_end, "rb"))
        details = plan(command, limits, level, uid, temporary, command_end)
        details["control_groups"] = [str(folder) for folder in groups.folders]
        size, entries = usage(command.folder, BOUNDLESS)
        bounds = replace(limits, disk=limits.disk + size, files=limits.files + entries)
        with start(details, command_end) as process:
            os.close(command_end)
            watch = Watch(process.pid, (command.folder, temporary), bounds, groups)
            try:
                exceeded, output = follow(process, watch)
            finally:
                process.terminate()
        seconds = watch.seconds
        facts = {key: value for line in report for key, value in json.loads(line).items()}
        text = output.text()
        code = (
            None if "failure" in facts else facts.get("exit-code" if level.namespaces else "code")
        )
        if exceeded is None and groups.memory_exceeded:
            exceeded = Verdict.MEMORY_LIMIT
        if exceeded is None and code is None:
            found = facts.get("failure") or text.strip() or "the launcher ended early"
            raise SandboxError(f"level {level}: {found}")
        return Outcome(
            verdict=exceeded or judge(int(code or 0), text),
            code=None if exceeded else code,
            seconds=seconds,
            cpu_seconds=facts.get("cpu_seconds", 0.0),
            peak_memory=groups.peak_memory or watch.peak_memory,
            output=text,
            output_bytes=output.size,
        )


NEEDED = """
from importlib.util import find_spec
missing = [name for name in ("numpy", "pypdf", "torch") if find_spec(name) is None]
if missing:
    raise SystemExit(f"in it, this Python has no {', '.join(missing)}")
"""


def obstacle(level: Level, *, with_python: bool = True) -> str | None:
    """Return why this machine does not support `level`, or None if it does.

    Tries it by running a command: by default this Python, with what submissions import.
    """
    if level.other_user and os.geteuid() != 0:
        return "needs root"
    if level is Level.UNPRIVILEGED and os.geteuid() == 0:
        return "is for users other than root"
    if level.namespaces and not shutil.which("bwrap"):
        return "needs bubblewrap (Debian: apt-get install bubblewrap)"
    with temporary_folder() as folder:
        try:
            words = (interpreter(), "-c", NEEDED) if with_python else ("/bin/true",)
            outcome = run(Command(words, folder, needs_python=with_python), Limits(), level)
        except (OSError, SandboxError) as error:
            hint = "; it takes a Python that every user may read, such as one in /usr or /opt"
            return f"{error}{hint if 'Permission denied' in str(error) else ''}"
    return None if outcome.verdict is Verdict.OK else outcome.output.strip()


@functools.cache
def best_level() -> Level:
    """Return the best level that this machine supports with this Python."""
    return next((level for level in Level if obstacle(level) is None), Level.TRUSTED)


@functools.cache
def supported_level() -> Level:
    """Return the best level that this machine supports for a Python that every user can read."""
    working = (level for level in Level if obstacle(level, with_python=False) is None)
    return next(working, Level.TRUSTED)
