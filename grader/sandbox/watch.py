"""Follow a running command: what it prints, and whether it is still within its limits."""

import contextlib
import os
import re
import select
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..verdicts import Verdict
from . import launcher
from .command import Limits, SandboxError
from .control_groups import ControlGroups

TAIL = 64 << 10  # bytes of output kept at its beginning, and at its end
POLL_SECONDS = 0.05
BLOCK = 1 << 16  # bytes; a file system may round the size of a file
IN_FLIGHT_LOOKS = 20  # in a row: a file that is only handed on is not seen as often
PATIENCE_SECONDS = 20.0  # for the launcher to end after SIGTERM


@dataclass
class Output:
    """The beginning and the end of what a command writes, however much: `most` bytes of each."""

    most: int = TAIL
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, text: bytes) -> None:
        self.size += len(text)
        room = self.most - len(self.head)
        self.head += text[:room]
        self.tail += text[room:]
        del self.tail[: -self.most]

    def read(self, pipe: int) -> bool:
        """Read what is in a pipe now; return False at its end."""
        text = os.read(pipe, 1 << 16)
        self.add(text)
        return bool(text)

    @property
    def left_out(self) -> int:
        return self.size - len(self.head) - len(self.tail)

    def text(self) -> str:
        gap = f"\n[{self.left_out:,} bytes left out]\n".encode() if self.left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")


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


def is_filled(folder: Path, limit: int) -> bool:
    """Check whether a file below a folder has grown to a limit, where writing to it fails."""
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    elif 512 * status.st_blocks >= limit - BLOCK:
                        return True
        except OSError:  # closed to the grader, or too deep: treated as hostile
            return True
    return False


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


def in_flight(socket: str, pid: int) -> int:
    """Count the open files that are in an open socket of a process."""
    text = Path("/proc", str(pid), "fdinfo", socket).read_text()
    found = re.search(r"^scm_fds:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def held_open(root: int) -> tuple[int, int]:
    """Return what a process's descendants hold open that no folder shows.

    These are the bytes of files without a name, and the number of files in sockets: such a file
    takes space, although no process has it open.
    """
    sizes: dict[tuple[int, int], int] = {}
    handed_on = 0
    for pid in launcher.descendants(root):
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        sizes[status.st_dev, status.st_ino] = 512 * status.st_blocks
                    elif stat.S_ISSOCK(status.st_mode):
                        handed_on += in_flight(entry.name, pid)
    return sum(sizes.values()), handed_on


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on the file system of a folder."""
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


class Watch:
    """Checks whether a running command is still within its limits."""

    def __init__(
        self, pid: int, folders: tuple[Path, ...], limits: Limits, groups: ControlGroups
    ) -> None:
        self.pid, self.folders, self.limits, self.groups = pid, folders, limits, groups
        self.started = time.monotonic()
        self.peak_memory = 0
        self.looks, self.free = 0, free_bytes(folders[0])

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def disk_exceeded(self) -> bool:
        found = [usage(folder, self.limits) for folder in self.folders]
        size, entries = (sum(column) for column in zip(*found, strict=True))
        unlinked, handed_on = held_open(self.pid)
        size += unlinked
        if not handed_on:
            self.looks, self.free = 0, free_bytes(self.folders[0])
        self.looks += 1
        if self.looks > IN_FLIGHT_LOOKS:
            # The size of these files cannot be read, so they are blamed for all growth since.
            size = max(size, self.free - free_bytes(self.folders[0]))
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


def follow(process: subprocess.Popen, watch: Watch, outputs: dict[int, Output]) -> Verdict | None:
    """Read what the command writes to pipes until its launcher ends.

    If it exceeds a limit, end it and return the verdict.
    """
    exceeded = None
    for pipe in outputs:
        os.set_blocking(pipe, False)
    open_pipes = set(outputs)  # a command that still runs may close some
    next_look = deadline = 0.0
    while process.poll() is None:
        for pipe in select.select(open_pipes, [], [], POLL_SECONDS)[0]:
            if not outputs[pipe].read(pipe):
                open_pipes.remove(pipe)
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
    for pipe in open_pipes:
        with contextlib.suppress(BlockingIOError):
            while outputs[pipe].read(pipe):
                pass
    return exceeded
