"""Score the answers of a submission, and give marks for them."""

import numpy as np

from ..assignment import Artefact, Metric
from ..metrics import Score, classification_scores, reconstruction_scores, unknown_labels
from ..safe_text import SafeText
from .copies import DataSet
from .grade import Mark
from .stages import Bench

PICTURES = 10  # images shown in a report


def score_answers(
    metric: Metric, artefact: Artefact, data: DataSet, values: np.ndarray
) -> dict[str, Score]:
    """Return the parts of a metric, and their weighted sum as 'total'."""
    if artefact.kind == "images":
        scores = reconstruction_scores(data.images, values, metric.parts)
        total = scores["reconstruction"]
    else:
        assert data.labels is not None
        scores = classification_scores(data.labels, values, metric.parts)
        total = scores["classification"]
    return {"total": total} | {name: scores[name] for name in metric.parts}


def give_mark(bench: Bench, metric: Metric) -> Mark:
    """Return the marks for the answers of one metric; keep what its pictures need."""
    mark = Mark(metric.name, metric.title, metric.points)
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
