"""Arrays in, scores out: how close reconstructions are, and how right predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

# What the assignment combines, and how much each part counts.
RECONSTRUCTION_WEIGHTS = {"one_minus_mse": 0.5, "ssim": 0.5}
CLASSIFICATION_WEIGHTS = {"macro_f1": 0.5, "micro_f1": 0.5}

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """A score and the bootstrap interval that says how far another test set might move it."""

    value: float
    low: float
    high: float


def interval(value: float, resampled: NDArray[np.float64]) -> Score:
    """`value` with the percentile interval of its bootstrap resamples (Efron, 1979)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Score(float(value), float(low), float(high))


def weighted(parts: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]) -> NDArray:
    return sum((weight * parts[name] for name, weight in weights.items()), np.zeros(()))


def reconstruction_scores(
    truth: NDArray[np.float64], recon: NDArray[np.float64]
) -> dict[str, Score]:
    """1 - MSE, SSIM and their weighted mean `reconstruction`, over images (N, 28, 28) in [0, 1].

    SSIM is scikit-image's, with its default window and `data_range=1`, averaged over the images.
    """
    images = {
        "one_minus_mse": 1 - np.square(truth - recon).mean(axis=(1, 2)),
        "ssim": np.array(
            [structural_similarity(t, r, data_range=1) for t, r in zip(truth, recon, strict=True)]
        ),
    }
    images["reconstruction"] = weighted(images, RECONSTRUCTION_WEIGHTS)
    table = np.column_stack(list(images.values()))
    generator = np.random.default_rng(0)
    resampled = np.array(
        [
            table[generator.integers(len(table), size=len(table))].mean(axis=0)
            for _ in range(RESAMPLES)
        ]
    )
    return {
        name: interval(values.mean(), column)
        for (name, values), column in zip(images.items(), resampled.T, strict=True)
    }


def confusion_scores(confusion: NDArray) -> dict[str, NDArray[np.float64]]:
    """Accuracy, macro F1 and micro F1 of confusion matrices (..., K, K), true class by predicted.

    The same as scikit-learn's, of many matrices at once; a class that is absent from both sides of
    a matrix does not count in its macro F1.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    involved = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    f1 = 2 * hits / np.maximum(involved, 1)
    accuracy = hits.sum(axis=-1) / confusion.sum(axis=(-2, -1))
    macro = f1.sum(axis=-1) / (involved > 0).sum(axis=-1)
    return {"accuracy": accuracy, "macro_f1": macro, "micro_f1": accuracy}


def classification_scores(
    truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> dict[str, Score]:
    """Accuracy, macro F1, micro F1 and their weighted mean `classification`, of labels (N,)."""
    values = {
        "accuracy": accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro", zero_division=0),
        "micro_f1": f1_score(truth, predicted, average="micro", zero_division=0),
    }
    classes, indices = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    k, n = len(classes), len(truth)
    shares = np.bincount(indices[:n] * k + indices[n:], minlength=k * k) / n
    generator = np.random.default_rng(0)
    confusion = generator.multinomial(n, shares, size=RESAMPLES).reshape(RESAMPLES, k, k)
    resampled = confusion_scores(confusion)
    values["classification"] = weighted(values, CLASSIFICATION_WEIGHTS)
    resampled["classification"] = weighted(resampled, CLASSIFICATION_WEIGHTS)
    return {name: interval(value, resampled[name]) for name, value in values.items()}


@dataclass(frozen=True)
class ClassScore:
    """How one class fared: what of its predictions was right, and what of its images was found."""

    label: int
    precision: float
    recall: float
    f1: float
    images: int


def class_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[ClassScore]:
    """Precision, recall and F1 of each class that occurs in `truth`, in ascending order."""
    labels = np.unique(truth)
    rows = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    return [
        ClassScore(int(label), float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, *rows, strict=True)
    ]
