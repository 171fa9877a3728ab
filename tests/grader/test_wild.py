"""Submissions in the many styles that students use, each with its expected verdicts."""

import tomllib
from pathlib import Path

import pytest

from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import Assignment
from grader.sandbox.command import Level

WILD = Path(__file__).parents[1] / "wild"
LONG = {"plain", "reads_labels", "workers"}  # they train
LAYOUT = ("model_path.txt is missing", "group.txt is missing", "the report is missing")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(folder.name, marks=[pytest.mark.slow] if folder.name in LONG else [])
        for folder in sorted(WILD.iterdir())
    ],
)
def test_verdicts_and_remarks_are_the_expected_ones(
    name: str, data_folder: Path, a3: Assignment, level: Level
) -> None:
    expected = tomllib.loads((WILD / name / "expected.toml").read_text())
    grade = assess(WILD / name, a3, Settings(data_folder, level))
    for step, verdict in expected["verdicts"].items():
        assert grade.step(step).verdict == verdict, grade.step(step)
    for step, message in expected.get("messages", {}).items():
        assert message in grade.step(step).message
    remarks = [remark for remark in grade.remarks if not remark.startswith(LAYOUT)]
    for text in expected.get("remarks", []):
        assert any(text in remark for remark in remarks), remarks
    if set(expected["verdicts"].values()) == {"OK"}:
        assert grade.flags == []
        assert all(mark.value is not None and mark.value > 0.3 for mark in grade.marks)
