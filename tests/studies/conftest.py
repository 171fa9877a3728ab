from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.answers import read_questions
from studies.shared import runner
from studies.shared.runner import Findings


@pytest.fixture(scope="session", autouse=True)
def every_picture_belongs_to_a_question() -> Iterator[None]:
    """Check of every study that a test runs: its answers show all of its pictures, and no other."""
    write = runner.write_findings

    def write_and_check(found: Findings, out: Path, title: str) -> None:
        write(found, out, title)
        questions = read_questions(out / "answers.md")
        shown = {picture.path.name for question in questions for picture in question.pictures}
        assert shown == {f"{name}.png" for name in found.pictures}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "write_findings", write_and_check)
        yield
