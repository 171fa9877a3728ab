"""The processes of this machine that are alive."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 300.0  # seconds: more than a busy machine needs, but finite


def wait_until(holds: Callable[[], object]) -> None:
    """Wait until `holds()` is true; fail the test after PATIENCE seconds."""
    given_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < given_up
        time.sleep(0.01)


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield the process id and the words of each process that can be seen."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(entry.parent.name), entry.read_bytes().decode(errors="replace").split("\0")


def alive(mark: str) -> list[int]:
    """Return the ids of the processes that have `mark` among their words."""
    return [pid for pid, words in command_lines() if mark in words]
