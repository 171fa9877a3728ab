"""Run one untrusted command under limits: a command in, a verdict out. Independent of assignments.

There are four levels, best first; `best_level` finds by trying which of them a machine supports:

- full: another user, and new namespaces (bubblewrap) that show nothing of the machine except the
  system, the interpreter and what the command is given; no network.
- unprivileged: the same namespaces, for the user who grades.
- confined: another user. Landlock, from Linux 5.13 on, blocks files that any user may read; the
  filter of system calls blocks the network.
- trusted: limits only, for the user's own code.

At every level the command has a cleared environment, an empty keyring, no terminal, no standard
input, a filter of system calls, and bounded memory, processes, output and time. Everything that it
started is dead before `run` returns.
"""

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UserError
from ..verdicts import Verdict
from . import launcher, recorder
from .command import Command, Imports, Level, Limits, Outcome, SandboxError, interpreter
from .control_groups import control_groups
from .resources import (
    clear_shared_memory,
    give,
    lent,
    private_folder,
    readable_by_all,
    reserved_user,
    temporary_folder,
)
from .system_calls import numbers, system_call_filter
from .watch import Output, Watch, follow, is_filled, usage

LAUNCHER, RECORDER = Path(launcher.__file__), Path(recorder.__file__)

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts")
SYSTEM_FILES = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "passwd")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")
KERNEL = ("/proc", "/sys/devices/system/cpu")

ADDRESS_SPACE = 16 << 30  # bytes above the memory limit: libraries reserve far more than they use
MOST_IMPORTS = 1 << 20  # bytes of the record of imports kept at its beginning, and at its end
BOUNDLESS = Limits(disk=1 << 62, files=1 << 62)


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


def bubblewrap(
    command: Command, temporary: Path, limits: Limits, pipe: int, calls: int
) -> list[str]:
    """Return the words that run `command` in its own namespaces."""
    words: list[str] = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent"]
    words += ["--new-session", "--cap-drop", "ALL", "--json-status-fd", str(pipe)]
    words += ["--seccomp", str(calls)]
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
        if path.is_dir():
            words += ["--perms", "0555", "--tmpfs", str(path), "--remount-ro", str(path)]
        else:
            words += ["--ro-bind", "/dev/null", str(path)]
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


def instructions(
    command: Command,
    limits: Limits,
    level: Level,
    uid: int | None,
    temporary: Path,
    pipe: int,
    calls: int,
) -> dict[str, Any]:
    """Return what the launcher needs to know; `calls` is the open filter of system calls."""
    cpus = sorted(os.sched_getaffinity(0))[: limits.cpus]
    files = [f"/etc/{name}" for name in SYSTEM_FILES]
    readable = [*map(Path, (*SYSTEM, *files, *KERNEL)), *command.readable_folders()]
    words = list(command.words)
    if level.namespaces:
        words = bubblewrap(command, temporary, limits, pipe, calls)
    processes = limits.processes
    if not level.other_user:  # the limit counts everything that the user runs
        processes += threads()
    return {
        "parent": os.getpid(),
        "words": words,
        "folder": str(command.folder),
        "environment": environment(command.folder, temporary, len(cpus)) | command.variables,
        "uid": uid,
        "namespaces": level.namespaces,
        "confine": level is Level.CONFINED,
        "filter": calls,
        "keyctl": numbers().get("keyctl"),
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


@contextlib.contextmanager
def open_filter(level: Level) -> Iterator[int]:
    """Yield the descriptor of a file with the filter of system calls for a level.

    The file is empty if the calls of this machine are not known, and the level is trusted.
    """
    trusted = level is Level.TRUSTED
    program = system_call_filter(network=trusted) if numbers() or not trusted else b""
    descriptor = os.memfd_create("system calls")
    try:
        os.pwrite(descriptor, program, 0)
        yield descriptor
    finally:
        os.close(descriptor)


def recording(temporary: Path, uid: int | None, pipe: int, last: str) -> dict[str, str]:
    """Return the environment in which the user's Python writes to a pipe what it imports.

    `last` is the word with which it ends. The copy of the recorder that it needs is made in
    `temporary`.
    """
    folder = temporary / "recorder"
    folder.mkdir()
    shutil.copyfile(RECORDER, folder / "sitecustomize.py")
    if uid is not None:
        give(folder, uid)
    status = os.fstat(pipe)
    identity = f"{pipe}:{status.st_dev}:{status.st_ino}:{last}"
    return {"PYTHONPATH": str(folder), recorder.VARIABLE: identity}


def read_imports(record: Output, last: str) -> Imports:
    """Return what the recorder wrote, up to its `last` word."""
    lines = set(record.text().splitlines())
    words = [line.partition(" ") for line in lines]
    by_program, by_library = (
        frozenset(module for kind, _, module in words if kind == wanted)
        for wanted in (recorder.BY_PROGRAM, recorder.BY_LIBRARY)
    )
    complete = {recorder.BEGIN, f"{recorder.END} {last}"} <= lines and not record.left_out
    return Imports(by_program, by_library, complete)


@contextlib.contextmanager
def open_pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield the ends of a pipe, the one for reading first."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as target:
        yield source, target


def start(details: dict[str, Any], pipes: list[int]) -> subprocess.Popen:
    """Start the launcher; the first pipe is its own, a second one the command's."""
    words = [interpreter(), "-I", "-S", str(LAUNCHER), str(pipes[0]), json.dumps(details)]
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[*pipes, details["filter"]],
        start_new_session=True,
        env={},
    )


def run(command: Command, limits: Limits, level: Level) -> Outcome:
    """Run `command` until it ends or exceeds a limit.

    Raises SandboxError if the machine does not support the level.
    """
    with contextlib.ExitStack() as stack:
        uid = stack.enter_context(reserved_user()) if level.other_user else None
        temporary = stack.enter_context(temporary_folder())
        groups = stack.enter_context(control_groups(limits.memory, limits.processes))
        if uid is not None:
            give(command.folder, uid)
            give(temporary, uid)
            stack.enter_context(lent(command.readable, uid))
            stack.callback(clear_shared_memory, uid)
        facts_file, facts_end = stack.enter_context(open_pipe())
        imports_file, imports_end = stack.enter_context(open_pipe())
        calls = stack.enter_context(open_filter(level))
        details = instructions(command, limits, level, uid, temporary, facts_end.fileno(), calls)
        details["control_groups"] = [str(folder) for folder in groups.folders]
        pipes, last = [facts_end.fileno()], secrets.token_hex(8)
        if command.recorded:
            pipes.append(imports_end.fileno())
            details["environment"] |= recording(temporary, uid, imports_end.fileno(), last)
        size, entries = usage(command.folder, BOUNDLESS)
        bounds = replace(limits, disk=limits.disk + size, files=limits.files + entries)
        with start(details, pipes) as process:
            facts_end.close()
            imports_end.close()
            assert process.stdout is not None
            output, record = Output(), Output(MOST_IMPORTS)
            outputs = {process.stdout.fileno(): output, imports_file.fileno(): record}
            watch = Watch(process.pid, (command.folder, temporary), bounds, groups)
            try:
                exceeded = follow(process, watch, outputs)
            finally:
                process.terminate()
        seconds = watch.seconds
        facts = {key: value for line in facts_file for key, value in json.loads(line).items()}
        text = output.text()
        code = (
            None if "failure" in facts else facts.get("exit-code" if level.namespaces else "code")
        )
        cpu_seconds = facts.get("cpu_seconds", 0.0)
        if exceeded is None and groups.memory_exceeded:
            exceeded = Verdict.MEMORY_LIMIT
        if exceeded is None and code is None:
            found = facts.get("failure") or text.strip() or "the launcher ended early"
            raise SandboxError(f"level {level}: {found}")
        # What a command says of its end, in its exit status or its last words, is no evidence.
        if exceeded is None and code and cpu_seconds >= details["limits"]["CPU"]:
            exceeded = Verdict.TIME_LIMIT
        folders = (command.folder, temporary)
        if exceeded is None and code and any(is_filled(f, limits.disk) for f in folders):
            exceeded = Verdict.OUTPUT_LIMIT
        return Outcome(
            verdict=exceeded or (Verdict.RUNTIME_ERROR if code else Verdict.OK),
            code=None if exceeded else code,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            peak_memory=groups.peak_memory or watch.peak_memory,
            output=text,
            output_bytes=output.size,
            imports=read_imports(record, last) if command.recorded else None,
        )


def require_closed(paths: Iterable[Path], level: Level) -> None:
    """Raise UserError if a command at this level could read one of these files by its path."""
    if level is Level.CONFINED and not launcher.landlock_version():
        for path in filter(readable_by_all, paths):
            found = "a file that every user may read, and this kernel has no Landlock"
            raise UserError(path, found, "a folder that is closed to other users (chmod 700)")


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
            private_folder()
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


@functools.cache
def shortfall() -> str | None:
    """Return a sentence if this Python gets a lower level than this machine supports, or None."""
    best, supported = best_level(), supported_level()
    if best is supported:
        return None
    return f"this Python gets the sandbox level {best}, although this machine supports {supported}"
