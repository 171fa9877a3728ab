"""The tutorial in docs/assignment.md, followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.assignment import read_assignment
from grader.sandbox.command import Level

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_tutorial_leads_to_a_graded_class(tmp_path: Path, level: Level) -> None:
    text = (ROOT / "docs" / "assignment.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    toml, solution = (next(b for kind, b in blocks if kind == k) for k in ("toml", "python"))
    commands = [block for kind, block in blocks if not kind]

    def run(script: str) -> str:
        head = f'set -e\nvae-grader() {{ "{sys.executable}" -m grader "$@"; }}\n'
        answer = subprocess.run(
            ["bash", "-c", head + script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    run(commands[0])
    path = tmp_path / "math.toml"
    begun = path.read_text().split("[input.x]")[0].replace("# solution =", "solution =")
    path.write_text(begun + toml)
    (tmp_path / "solution.py").write_text(solution)
    assert read_assignment(str(path)).possible == 100
    assert "80.00 of 80 points" in run(commands[1])
    assert "<em>nothing</em>" in (tmp_path / "ada" / "report.html").read_text()
    run(commands[2])
    page = (tmp_path / "graded" / "submissions" / "ben" / "report.html").read_text()
    assert "0.625; expected 1.25" in page
    assert "no answers.md" in page
    rows = (tmp_path / "book.csv").read_text().splitlines()
    assert [row.split(",")[1:7] for row in rows[1:]] == [
        ["ada", "graded", "20.0", "10.0", "30.0", "20.0"],
        ["ben", "graded", "20.0", "10.0", "0.0", "0.0"],
    ]
