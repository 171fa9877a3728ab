"""The message for a Python that cannot run the project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import preflight

ROOT = Path(preflight.__file__).parent


def test_this_python_will_do() -> None:
    assert preflight.problem() is None


def test_an_old_python_is_told_which_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    assert preflight.problem() == "Python 3.9; expected Python 3.11 or later"


@pytest.mark.parametrize("words", [["vae.py"], ["-m", "grader"]])
def test_a_bare_python_gets_one_line(words: list[str]) -> None:
    """Starting without `site` isolates Python from the packages of the environment."""
    program = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; sys.argv[:] = ['vae.py']; "
    if words == ["vae.py"]:
        program += "import vae"
    else:
        program += "import runpy; runpy.run_module('grader', run_name='__main__')"
    process = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert "sh install.sh" in process.stderr


def test_waiting_threads_leave_the_cores_to_other_programs() -> None:
    program = "import os, preflight; print(os.environ['GOMP_SPINCOUNT'])"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    for chosen in ({}, {"GOMP_SPINCOUNT": "7"}):
        printed = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment | chosen,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed.strip() == chosen.get("GOMP_SPINCOUNT", preflight.SPINS)
