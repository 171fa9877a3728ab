"""A program that starts one command under limits and ends only when all its processes are dead.

    python -I -S launcher.py PIPE_FD INSTRUCTIONS

INSTRUCTIONS is the JSON of what `isolation.instructions` returns. This file is a separate program
between the grader and the command, so that no process outlives either: the kernel signals it when
the grader dies, and gives it every process whose parent has died. It stays outside the sandbox, as
the grader's own user.

At the level `confined`, which has no namespaces, it confines the command itself after switching to
another user, with Landlock (https://docs.kernel.org/userspace-api/landlock.html) for files.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_VERSION = 1
LANDLOCK_PATH_BENEATH = 1
FILE_READ = 1 << 0 | 1 << 2  # execute, read
FILE_WRITE = 1 << 1 | 1 << 14  # write, truncate
FOLDER_READ = 1 << 3
FILE_RIGHTS = FILE_READ | FILE_WRITE | 1 << 15  # ioctl on a device
LANDLOCK_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
LANDLOCK_TCP = 0b11  # bind, connect
LANDLOCK_SCOPES = 0b11  # abstract sockets, signals

SECCOMP_MODE_FILTER = 2
KEYCTL_JOIN_SESSION_KEYRING = 1


def call(number: int, *arguments: Any) -> int:
    """Make a system call by number. Raises OSError."""
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def prctl(option: int, value: int, pointer: Any = 0) -> None:
    if LIBC.prctl(option, value, pointer, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def landlock_version() -> int:
    """Return the kernel's version of Landlock, or 0 if it has none."""
    try:
        return call(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION)
    except OSError:
        return 0


def restrict_files(readable: list[str], writable: list[str]) -> None:
    """Restrict this process and its children to these paths and what is below them."""
    version = landlock_version()
    handled = LANDLOCK_RIGHTS[max(known for known in LANDLOCK_RIGHTS if known <= version)]
    tcp = LANDLOCK_TCP if version >= 4 else 0
    scopes = LANDLOCK_SCOPES if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, tcp, scopes)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = call(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path, rights in [(p, FILE_READ | FOLDER_READ) for p in readable] + [
        (p, handled) for p in writable
    ]:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= FILE_RIGHTS
        rule = struct.pack("=Qi", rights & handled, descriptor)
        call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, rule, 0)
        os.close(descriptor)
    call(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def restrict_calls(program: bytes) -> None:
    """Apply a BPF program to the system calls of this process and its children."""
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program)


def leave_session_keyring(keyctl: int) -> None:
    """Join a new, empty session keyring, because a login's keyring is inherited.

    `keyctl` is the number of that system call.
    """
    with contextlib.suppress(OSError):  # inside a container that allows no keyrings
        call(keyctl, KEYCTL_JOIN_SESSION_KEYRING, None)


def say(pipe: int, **facts: Any) -> None:
    """Write one line of JSON to the grader."""
    os.write(pipe, json.dumps(facts).encode() + b"\n")


def become(instructions: dict[str, Any], pipe: int) -> NoReturn:
    """Turn this process into the command."""
    try:
        for group in instructions["control_groups"]:
            Path(group, "cgroup.procs").write_text("0")
        os.sched_setaffinity(0, instructions["cpus"])
        for name, value in instructions["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        if instructions["uid"] is not None:
            os.setgroups([])
            os.setresgid(instructions["uid"], instructions["uid"], instructions["uid"])
            os.setresuid(instructions["uid"], instructions["uid"], instructions["uid"])
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        os.umask(0o022)
        os.chdir(instructions["folder"])
        if instructions["keyctl"] is not None:
            leave_session_keyring(instructions["keyctl"])
        if instructions["confine"] and instructions["landlock"]:
            restrict_files(instructions["readable"], instructions["writable"])
        if not instructions["namespaces"]:  # otherwise bubblewrap does it, after its own calls
            program = os.pread(instructions["filter"], 1 << 16, 0)
            if program:
                restrict_calls(program)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(instructions["words"][0], instructions["words"], instructions["environment"])
    except OSError as error:
        say(pipe, failure=str(error))
    finally:
        os._exit(1)


def descendants(root: int) -> list[int]:
    """Return the processes that descend from `root`."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        children = []
        with contextlib.suppress(OSError):  # it may have ended
            for file in Path("/proc", str(pid), "task").glob("*/children"):
                children += [int(word) for word in file.read_text().split()]
        found += children
        waiting += children
    return found


def kill_user(uid: int) -> None:
    """Kill all processes of a user at once; the kernel does this only for that user."""
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def kill_all(uid: int | None) -> None:
    """Kill all processes that the command started, and wait until none is left."""
    while True:
        if uid is not None:
            kill_user(uid)
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def main() -> None:
    pipe, instructions = int(sys.argv[1]), json.loads(sys.argv[2])
    signals = {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for descriptor in (pipe, instructions["filter"]):
        os.set_inheritable(descriptor, instructions["namespaces"])  # bubblewrap uses both
    if os.getppid() != instructions["parent"]:
        return
    child = os.fork()
    if child == 0:
        os.setsid()
        become(instructions, pipe)
    code = None
    while code is None and signal.sigwait(signals) == signal.SIGCHLD:
        while code is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
            elif pid == 0:
                break
    kill_all(instructions["uid"])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    say(pipe, code=code, cpu_seconds=usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    main()
