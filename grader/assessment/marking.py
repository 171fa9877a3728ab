"""Score the answers of a submission, and give marks for them."""

import numpy as np

from ..judging import Artefact, Metric, Number
from ..metrics import Score, classification_scores, reconstruction_scores, unknown_labels
from ..safe_text import SafeText
from ..submission.notebook_checks import KINDS, handed_in
from ..verdicts import Verdict
from .copies import DataSet
from .grade import Mark, Step
from .stages import Bench

ROUNDING = 1e-9  # by which a sum of decimal numbers may be wrong
PICTURES = 10  # images shown in a report


def score_answers(
    metric: Metric, artefact: Artefact, data: DataSet, values: np.ndarray
) -> dict[str, Score]:
    """Return the parts of a metric, and their weighted sum as 'total'."""
    settings = (metric.parts, metric.arguments, metric.scale)
    if artefact.kind == "images":
        scores = reconstruction_scores(data.images, values, *settings)
        total = scores["reconstruction"]
    else:
        assert data.labels is not None
        scores = classification_scores(data.labels, values, *settings)
        total = scores["classification"]
    return {"total": total} | {name: scores[name] for name in metric.parts}


def give_mark(bench: Bench, metric: Metric) -> Mark:
    """Return the marks for the answers of one metric; keep what its pictures need."""
    mark = Mark(metric.name, metric.title, metric.points, metric.bonus)
    artefact = bench.assignment.artefact[metric.artefact]
    assert artefact.of is not None
    data = bench.data[artefact.of]
    if artefact.kind == "labels" and data.labels is None:
        mark.message = SafeText(f"the data set '{data.name}' has no labels to compare with")
        return mark
    answers = bench.answers[metric.artefact]
    labels = data.labels if artefact.kind == "labels" else None
    if labels is not None and unknown_labels(labels, answers.values):
        text = f"{metric.artefact} has labels that are no class of the data set"
        bench.grade.remarks.append(SafeText(text))
    mark.parts = score_answers(metric, artefact, data, answers.values)
    mark.value = mark.parts.pop("total").value
    mark.penalty = bench.assignment.format_penalty if answers.deviations else 0.0
    add_pictures(bench, artefact, data, answers.values)
    return mark


def mark_number(bench: Bench, wanted: Number) -> Mark:
    """Return the mark for a number, if its artefact was read."""
    mark = Mark(wanted.name, wanted.title, wanted.points, wanted.bonus)
    numbers = bench.numbers[wanted.artefact]
    key = wanted.key or wanted.name
    if key not in numbers:
        mark.message = SafeText(f"{wanted.artefact} has no number called {key}")
        return mark
    found = numbers[key]
    expected = out_of_bounds(found, wanted)
    mark.value = 0.0 if expected else 1.0
    mark.details = f"{found:g}" + (f"; expected {expected}" if expected else "")
    mark.message = SafeText(f"{key} is not {expected}" if expected else "")
    return mark


def out_of_bounds(found: float, wanted: Number) -> str | None:
    """Return what is expected in place of a number; None if it is right."""
    if wanted.equals is not None:
        slack = wanted.tolerance + ROUNDING * max(1.0, abs(wanted.equals))
        around = f" (or {wanted.tolerance:g} more or less)" if wanted.tolerance else ""
        return None if abs(found - wanted.equals) <= slack else f"{wanted.equals:g}{around}"
    if wanted.at_least is not None and found < wanted.at_least:
        return f"at least {wanted.at_least:g}"
    if wanted.at_most is not None and found > wanted.at_most:
        return f"at most {wanted.at_most:g}"
    return None


def mark_checks(bench: Bench) -> Step | None:
    """Give marks for the assignment's checks on the notebook; None if there are none."""
    checks, handed = bench.assignment.check, handed_in(bench.submission)
    if not checks or handed is None:
        return None
    kept = 0
    for check in checks:
        result = KINDS[check.kind](handed, check)
        kept += result.share == 1
        mark = Mark(check.name, check.title, check.points, check.bonus, value=result.share)
        mark.message = SafeText(result.problem)
        bench.grade.replace(mark)
    return Step("checks", Verdict.OK, SafeText(f"{kept} of {len(checks)} checks passed"))


def add_pictures(bench: Bench, artefact: Artefact, data: DataSet, values: np.ndarray) -> None:
    """Keep the first images with their reconstructions, or the confusion matrix."""
    pictures = bench.grade.pictures
    if artefact.kind == "images":
        pictures.originals, pictures.reconstructions = data.images[:PICTURES], values[:PICTURES]
    else:
        assert data.labels is not None
        pictures.classes, pictures.confusion = confusion(data.labels, values)


def confusion(truth: np.ndarray, predicted: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Return all classes, and how often each true class (row) was predicted as each (column)."""
    classes = np.union1d(truth, predicted)
    rows, columns = np.searchsorted(classes, truth), np.searchsorted(classes, predicted)
    table = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(table, (rows, columns), 1)
    return [int(label) for label in classes], table
