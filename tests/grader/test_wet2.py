"""The beta-VAE course: a sound notebook gets all automatic marks, and each fault costs its own."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.assessment.grade import Grade
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import read_assignment
from grader.sandbox.command import Level
from grader.submission.check import check_submission
from tests.grader.notebooks import NAME, Cells, changed, honest, markdown, notebook

WET2 = read_assignment("wet2")
CHECKS = {check.name for check in WET2.check}
AUTOMATIC = {part.name: part.points for part in WET2.judged if not part.bonus}


def graded(path: Path, level: Level) -> Grade:
    return assess(path, WET2, Settings(path.parent, level))


def lost(grade: Grade) -> dict[str, str]:
    """Return what students read about each mark that is not full."""
    return {m.name: m.message for m in grade.marks if not m.bonus and float(m.points) < m.possible}


@pytest.fixture
def hand_in(tmp_path: Path, level: Level) -> Callable[..., Grade]:
    """Return a function that grades a notebook with these cells."""

    def grade(cells: Cells, name: str = NAME, **options: Any) -> Grade:
        path = tmp_path / name
        path.write_text(notebook(cells, **options))
        return graded(path, level)

    return grade


def test_a_sound_notebook_gets_all_automatic_marks(hand_in: Callable[..., Grade]) -> None:
    grade = hand_in(honest())
    assert lost(grade) == {}
    assert float(grade.points) == grade.possible == sum(AUTOMATIC.values()) == 40
    assert grade.members == ["012345678", "876543210"]
    assert grade.remarks == []
    assert grade.flags == []
    sections = {section.title.split(":")[0]: section for section in grade.sections}
    assert "**two** terms" in sections["Question 1"].text
    assert "Conditional" not in sections["Question 1"].text
    assert "KL 24.9" in sections["Task 1"].printed
    assert [image.shape for _, image in sections["Task 1"].pictures] == [(32, 64, 3)]
    assert sections["Bonus"].problem == "the notebook has no heading like 'bonus|pokemon'"


@pytest.mark.slow
def test_a_zip_with_a_pdf_of_the_same_name_is_as_good(tmp_path: Path, level: Level) -> None:
    path = tmp_path / NAME.replace(".ipynb", ".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(NAME, notebook(honest()))
        archive.writestr(NAME.replace(".ipynb", ".pdf"), b"%PDF-1.4")
    assert lost(graded(path, level)) == {}


CELL_NOT_RUN = "cell 11 not run"


def unrun(cells: Cells) -> None:
    cells[10]["execution_count"] = None


def cleared(cells: Cells) -> None:
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}


def failed(cells: Cells) -> None:
    error = {"output_type": "error", "ename": "ValueError", "evalue": "x", "traceback": []}
    cells[6]["outputs"].append(error)


def backwards(cells: Cells) -> None:
    counts = [5, 4, 3, 2, 6, 7, 8]
    for count, cell in zip(counts, (c for c in cells if c["cell_type"] == "code"), strict=False):
        cell["execution_count"] = count


def without_table(cells: Cells) -> None:
    cells[0] = markdown("# Title\n\n| Name | Campus Email | ID |\n|-|-|-|\n| Noa |  | 012345678 |")


KL = "(1 + logvar - mu.pow(2) - logvar.exp())"
FAULTS = {
    "a cell not run": (unrun, {"cells_run": CELL_NOT_RUN}),
    "outputs cleared": (
        cleared,
        {"cells_run": "not run", "cells_in_order": "no cell", "no_errors": "outputs cleared?"},
    ),
    "an error": (failed, {"no_errors": "cell 7 ended with ValueError"}),
    "out of order": (backwards, {"cells_in_order": "cell 4 was run before"}),
    "no e-mail": (without_table, {"students": "0 filled rows; expected 2"}),
    "beta in the returned KL": (
        changed(
            "return recon.data.cpu().numpy(), kl_d", "return recon.data.cpu().numpy(), beta * kl_d"
        ),
        {"beta_loss_kl": "7.5; expected 1.5", "beta_loss_l1": "a hidden test failed"},
    ),
    "a mean over latents": (
        changed(f"-0.5 * torch.sum{KL} / x.size(0)", f"-0.5 * torch.mean{KL}"),
        {
            "beta_loss_kl": "0.5; expected 1.5",
            "beta_loss_total": "expected 8",
            "beta_loss_bce": "a hidden test failed",
            "beta_loss_l1": "a hidden test failed",
        },
    ),
    "a mean over pixels": (
        changed("reduction='sum') / x.size(0)", "reduction='mean')"),
        {
            "beta_loss_reconstruction": "0.25; expected 0.5",
            "beta_loss_total": "expected 8",
            "beta_loss_bce": "a hidden test failed",
            "beta_loss_l1": "a hidden test failed",
        },
    ),
    "tensors, not NumPy": (
        changed("recon.data.cpu().numpy(), kl_d.data.cpu().numpy()", "recon, kl_d"),
        {"beta_loss_numpy": "expected"},
    ),
    "one-hot off by one": (
        changed("int(batch[i])] = 1", "int(batch[i]) - 1] = 1"),
        {"one_hot": "values that differ"},
    ),
    "the condition is ignored": (
        changed(
            "return self.decoder(self.join(z, x_cond))\n",
            "return self.decoder(self.join(z, 0 * x_cond))\n",
        ),
        {"cvae_condition": "a hidden test failed"},
    ),
    "no conditional sample": (
        changed(
            "def sample(self, num_samples=1, x_cond=None):", "def sample(self, num_samples=1):"
        ),
        {"cvae_sample": "raises TypeError", "cvae_condition": "a hidden test failed"},
    ),
    "another name": (
        changed("beta_loss_function", "beta_loss"),
        {name: "" for name in AUTOMATIC if name.startswith("beta_loss")}
        | {"names": "no beta_loss_"},
    ),
    "other checkpoints": (
        changed("./beta_{beta}_vae_{50}_epochs.pth", "./model_{beta}.pth"),
        {"checkpoints": "writes no beta_{}_vae_{}_epochs.pth"},
    ),
}


CALLED = [fault for fault, (_, found) in FAULTS.items() if not found.keys() & CHECKS]


@pytest.mark.parametrize(
    "fault",
    [f if f == "one-hot off by one" else pytest.param(f, marks=pytest.mark.slow) for f in CALLED],
)
def test_each_fault_of_a_function_costs_its_own_marks_and_is_explained(
    hand_in: Callable[..., Grade], fault: str
) -> None:
    change, expected = FAULTS[fault]
    cells = honest()
    change(cells)
    found = lost(hand_in(cells))
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert text in found[name]


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - CALLED))
def test_each_fault_of_a_notebook_breaks_its_own_checks(tmp_path: Path, fault: str) -> None:
    change, expected = FAULTS[fault]
    cells = honest()
    change(cells)
    (tmp_path / NAME).write_text(notebook(cells))
    titles = {check.title: check.name for check in WET2.check}
    found = {
        titles[check.rule]: check.message
        for check in check_submission(tmp_path / NAME, WET2)
        if check.passed is False
    }
    assert found.keys() == expected.keys() & CHECKS
    for name, text in found.items():
        assert expected[name] in text


@pytest.mark.slow
def test_a_wrong_name_and_other_files_are_named(tmp_path: Path, level: Level) -> None:
    path = tmp_path / "homework.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("final version.ipynb", notebook(honest()))
        archive.writestr("helper.py", "x = 1")
    found = lost(graded(path, level))
    assert found.keys() == {"file_name", "file_types"}
    assert "it is called final version.ipynb; expected a name of the form" in found["file_name"]
    assert found["file_types"] == "helper.py; expected only .ipynb and .pdf"


def test_check_says_the_same_without_running_anything(tmp_path: Path) -> None:
    cells = honest()
    unrun(cells)
    path = tmp_path / NAME
    path.write_text(notebook(cells))
    broken = [check for check in check_submission(path, WET2) if check.passed is False]
    assert [(c.rule, c.message) for c in broken] == [("Every code cell was run", CELL_NOT_RUN)]


@pytest.mark.slow
def test_a_cell_that_was_not_run_costs_its_share(hand_in: Callable[..., Grade]) -> None:
    cells = honest()
    unrun(cells)
    assert hand_in(cells).mark("cells_run").value == pytest.approx(6 / 7)


def test_what_is_no_notebook_gets_no_marks_and_stops_nobody(tmp_path: Path, level: Level) -> None:
    path = tmp_path / NAME
    path.write_text(json.dumps({"nbformat": 3, "worksheets": []}))
    grade = graded(path, level)
    assert float(grade.points) == 0
    assert any("in format 3" in str(step.message) for step in grade.steps)
