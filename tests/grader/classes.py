"""Small classes of submissions for the tests of class runs."""

import sys
from pathlib import Path

import pytest

from grader.cli import main
from tests.grader.test_check import zip_of

HONEST = (Path(__file__).parents[1] / "hostile" / "honest.py").read_text()
LINK = "https://drive.google.com/file/d/1"


def entry_number(i: int) -> str:
    return f"2020CSZ{i:04d}"


def make_class(folder: Path, count: int) -> Path:
    """Write `count` zips, each with its own honest code, but every fifth wrongly imports timm."""
    folder.mkdir()
    for i in range(count):
        extra = "import timm\n" if i % 5 == 4 else ""
        program = f"{extra}{HONEST}\n\nNUMBER = {i}\nmain()\n"
        number = entry_number(i)
        files: dict[str, str | bytes | None] = {
            f"{number}/vae.py": program,
            f"{number}/group.txt": f"{number}\n",
            f"{number}/model_path.txt": f"{LINK}\n",
        }
        zip_of(folder / f"s{i:02d}.zip", files)
    return folder


def grader(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command of the grader in this process."""
    monkeypatch.setattr(sys, "argv", ["grader", *line.split()])
    return main()
