"""Limit the memory and processes of a command by the kernel's control groups, versions 1 and 2.

https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NUMBERS = itertools.count()


@dataclass(frozen=True)
class ControlGroups:
    """The groups of one command; its process must join those in `folders`."""

    folders: list[Path]

    def read(self, name: str, key: str = "") -> int | None:
        """Read a number: the one after `key`, or the file's only one; None if there is none."""
        for folder in self.folders:
            try:
                lines = (folder / name).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                *before, value = line.split()
                if " ".join(before) == key and value.isdecimal():
                    return int(value)
        return None

    @property
    def peak_memory(self) -> int | None:
        """Return the peak memory in bytes, or None if the kernel does not record it."""
        peak = self.read("memory.peak")
        return self.read("memory.max_usage_in_bytes") if peak is None else peak

    @property
    def memory_exceeded(self) -> bool:
        """Check whether the kernel killed a process of the group because memory ran out."""
        return any(self.read(name, "oom_kill") for name in ("memory.events", "memory.oom_control"))


def mounts() -> dict[str, Path]:
    """Find the hierarchies that can limit memory and processes: {"memory": ..., "pids": ...}.

    In version 2, both are the same folder.
    """
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options = line.split()[:4]
        if kind == "cgroup":
            names = set(options.split(",")) & {"memory", "pids"}
        elif kind == "cgroup2":
            enabled = Path(folder, "cgroup.subtree_control")
            names = set(enabled.read_text().split()) & {"memory", "pids"}
        else:
            continue
        found |= dict.fromkeys(names, Path(folder))
    return found


def remove_abandoned(root: Path) -> None:
    """Remove the groups of graders that were killed."""
    for folder in root.glob("vae-grader-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def control_groups(memory: int, processes: int) -> Iterator[ControlGroups]:
    """Create groups with limits on the bytes of memory and on the number of processes.

    There are none if this process may not create any.
    """
    name = f"vae-grader-{os.getpid()}-{next(NUMBERS)}"
    settings = {
        "memory": {
            "memory.limit_in_bytes": memory,
            "memory.memsw.limit_in_bytes": memory,
            "memory.max": memory,
            "memory.swap.max": 0,
            "memory.oom.group": 1,
        },
        "pids": {"pids.max": processes},
    }
    folders: list[Path] = []
    try:
        with contextlib.suppress(OSError):
            for controller, root in mounts().items():
                remove_abandoned(root)
                folder = root / name
                if folder not in folders:
                    folder.mkdir()
                    folders.append(folder)
                for file, value in settings[controller].items():
                    if (folder / file).exists():
                        (folder / file).write_text(str(value))
        yield ControlGroups(folders)
    finally:
        for folder in folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
