"""The completion of command lines, checked in bash."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vae

ROOT = Path(vae.__file__).parent
SCRIPT = """
source docs/completion.bash
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_vae_complete
echo "${{COMPREPLY[*]}}"
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["vae.py", "data", "beta"], ["beta_vae"]),
        (["vae.py", "a", "b", "tra"], ["train"]),
        (["vae.py", "a", "b", "train", "--b"], ["--budget"]),
        (
            ["vae.py", "data", "celeba", "out", "--l"],
            ["--latents", "--learning-rate", "--loss-type"],
        ),
        (["-m", "grader", "b"], ["batch", "bundle"]),
        (["-m", "grader", "batch", "sub", "--j"], ["--jobs"]),
        (["vae.py", "da"], []),
        (["other.py", "data", "beta"], []),
    ],
)
def test_what_is_typed_is_completed(words: list[str], completed: list[str]) -> None:
    script = SCRIPT.format(words=shlex.join([sys.executable, *words]))
    found = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    )
    assert found.stdout.split() == completed
