import os
import pty
import subprocess
import sys
from pathlib import Path

import vae

ROOT = Path(vae.__file__).parent


def test_a_mistake_is_one_line_on_a_terminal_too() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "vae.py", "a.png", "segment", "out", "--bogus", "1"]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "60"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = os.read(ours, 10_000).decode()
        assert process.wait() == 2
    os.close(ours)
    assert said.strip() == (
        "command line: No such option: --bogus; expected python vae.py IMAGE segment OUT_DIR"
    )
