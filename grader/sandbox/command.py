"""What is run, with what limits, at which level, and how it ended."""

import sys
import sysconfig
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..verdicts import Verdict


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


def interpreter() -> str:
    """Return the path of this Python, in a folder named without links or `..`.

    A sandbox shows a folder under its own name alone.
    """
    path = Path(sys.executable)
    return str(path.parent.resolve() / path.name)


def interpreter_folders() -> list[Path]:
    """Return the folders of the grader's own Python and its packages."""
    folders = map(Path, (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()))
    paths = {path for folder in folders if folder.exists() for path in (folder, folder.resolve())}
    paths = {path for path in paths if ".." not in path.parts}
    outer = [p for p in paths if not any(p.is_relative_to(o) for o in paths - {p})]
    return sorted(p for p in outer if not p.is_relative_to("/usr"))


@dataclass(frozen=True)
class Command:
    """`words` run in `folder`, the only place where it may write; all paths are absolute.

    In addition to the system it may read `readable`, which are the grader's own files, and this
    Python if it `needs_python`. If there are namespaces, folders and files in `hidden` look
    empty to it. The imports of a Python program are recorded if it is `recorded`. `variables` are
    added to its environment.
    """

    words: tuple[str, ...]
    folder: Path
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    needs_python: bool = True
    recorded: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    def readable_folders(self) -> list[Path]:
        return [*(interpreter_folders() if self.needs_python else ()), *self.readable]


@dataclass(frozen=True)
class Imports:
    """The modules that a program imported, and those that its libraries imported.

    They are `complete` if its interpreter reported from its beginning to its end.
    """

    by_program: frozenset[str]
    by_library: frozenset[str]
    complete: bool


@dataclass
class Outcome:
    """How a command ended: wall and CPU time in seconds, peak memory in bytes.

    `imports` is None unless they were recorded.
    """

    verdict: Verdict
    code: int | None
    seconds: float
    cpu_seconds: float
    peak_memory: int
    output: str
    output_bytes: int
    imports: Imports | None = None
