"""The cost of the grader: SSIM compared with scikit-image's, overhead per submission and notebook.

python -m benchmarks.grading: times SSIM over 10,000 images, alternating with scikit-image's
function in a loop, and reports the median time of each, their ratio and the largest difference.
Then it reports the time of a whole assessment of a small submission, minus the time that its own
program ran. Last, it assesses a small notebook that is run, alternating with nbclient alone. The
data are made up.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbclient
import nbformat
import numpy as np
from skimage.metrics import structural_similarity

from benchmarks.common import ROOT, save
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import read_assignment
from grader.display.result_page import render
from grader.display.results import to_gradescope
from grader.metrics import ssim
from grader.sandbox.isolation import best_level

ROUNDS = 5
IMAGES = 10_000
COURSE = """
name = "course"
title = "A course that runs notebooks"
program = "*.ipynb"

[[stage]]
name = "notebook"
kind = "notebook"

[[manual]]
title = "Question"
section = "question"
points = 1
"""
SIZES = {"train": 14_748, "val": 15, "test_recon": 10, "test": 1_512}  # as in the course


def measure_ssim() -> dict[str, float]:
    generator = np.random.default_rng(0)
    truth, recon = generator.random((2, IMAGES, 28, 28))
    own_seconds, reference_seconds = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        own = ssim(truth, recon)
        own_seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        reference = np.array(
            [structural_similarity(t, r, data_range=1) for t, r in zip(truth, recon, strict=True)]
        )
        reference_seconds.append(time.perf_counter() - started)
    own_median, reference_median = map(statistics.median, (own_seconds, reference_seconds))
    return {
        "seconds": own_median,
        "scikit_image_seconds": reference_median,
        "ratio": reference_median / own_median,
        "largest_difference": float(np.abs(own - reference).max()),
    }


def measure_overhead(folder: Path) -> dict[str, float | str]:
    """Measure the overhead on the hostile submissions' honest part, which imports only NumPy."""
    generator = np.random.default_rng(0)
    for name, count in SIZES.items():
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.array([1, 4, 8])[np.arange(count) % 3]
        np.savez(folder / f"mnist_1_4_8_{name}.npz", data=images, labels=labels)
    program = (ROOT / "tests" / "hostile" / "honest.py").read_text()
    (folder / "submission").mkdir()
    (folder / "submission" / "vae.py").write_text(f"{program}\n\nmain()\n")
    assignment, settings = read_assignment("a3"), Settings(folder, best_level())
    totals, own = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        grade = assess(folder / "submission", assignment, settings)
        render(grade)
        to_gradescope(grade)
        totals.append(time.perf_counter() - started)
        own.append(totals[-1] - sum(step.seconds for step in grade.steps))
    return {
        "level": str(settings.level),
        "assessment_seconds": statistics.median(totals),
        "overhead_seconds": statistics.median(own),
    }


def measure_notebook(folder: Path) -> dict[str, float | str]:
    """Measure a notebook that imports PyTorch and prints, in the grader and in nbclient alone."""
    (folder / "course.toml").write_text(COURSE)
    sheet = nbformat.v4.new_notebook()
    sheet.cells = [
        nbformat.v4.new_markdown_cell("# Question"),
        nbformat.v4.new_code_cell("import torch\nprint(torch.ones(3).sum())"),
    ]
    path = folder / "work.ipynb"
    nbformat.write(sheet, path)
    assignment = read_assignment(str(folder / "course.toml"))
    settings = Settings(folder, best_level())
    whole, alone = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        grade = assess(path, assignment, settings)
        render(grade)
        to_gradescope(grade)
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        nbclient.NotebookClient(nbformat.read(path, as_version=4)).execute()
        alone.append(time.perf_counter() - started)
    own, reference = map(statistics.median, (whole, alone))
    return {
        "level": str(settings.level),
        "assessment_seconds": own,
        "nbclient_seconds": reference,
        "ratio": own / reference,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Mapping[str, float | str]]
        results = {"ssim": measure_ssim(), "overhead": measure_overhead(Path(folder))}
        results["notebook"] = measure_notebook(Path(folder))
    for name, figures in results.items():
        texts = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
        print(f"{name:9}", "  ".join(texts))
    save("grading", results)


if __name__ == "__main__":
    main()
