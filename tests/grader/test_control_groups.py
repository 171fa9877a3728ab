import os
import subprocess
import sys
from pathlib import Path

import pytest

from grader.sandbox.control_groups import control_groups, mounts

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or "memory" not in mounts() or not os.access(mounts()["memory"], os.W_OK),
    reason="needs control groups that can be written to: run as root on Linux",
)


def join(groups: list[Path], program: str) -> subprocess.CompletedProcess:
    """Run a Python program in the control groups."""
    words = [
        "sh",
        "-c",
        'for g in "$@"; do echo 0 > "$g/cgroup.procs"; done; exec "$PY" -c "$TEXT"',
    ]
    environment = {"PATH": os.environ["PATH"], "PY": sys.executable, "TEXT": program}
    return subprocess.run(
        [*words, "sh", *map(str, groups)], env=environment, capture_output=True, check=False
    )


def test_memory_is_bounded_and_its_peak_known() -> None:
    with control_groups(memory=200 << 20, processes=20) as groups:
        assert join(groups.folders, "x = b'x' * (100 << 20)").returncode == 0
        assert groups.peak_memory is not None
        assert 100 << 20 <= groups.peak_memory <= 200 << 20
        assert not groups.memory_exceeded
        assert join(groups.folders, "x = b'x' * (300 << 20)").returncode == -9
        assert groups.memory_exceeded


def test_processes_are_bounded() -> None:
    program = (
        "import os, time\nfor i in range(30):\n    if not os.fork(): time.sleep(0.5); os._exit(0)"
    )
    with control_groups(memory=1 << 30, processes=20) as groups:
        if "pids" not in mounts():
            pytest.skip("needs a control group that counts processes (the pids controller)")
        assert b"BlockingIOError" in join(groups.folders, program).stderr


def test_groups_are_removed_and_those_of_dead_graders_too() -> None:
    abandoned = mounts()["memory"] / "vae-grader-999999999-0"
    abandoned.mkdir()
    with control_groups(memory=1 << 30, processes=20) as groups:
        assert groups.folders
        assert not abandoned.exists()
    assert not any(folder.exists() for folder in groups.folders)
