"""Arrays in, scores out: how close reconstructions are, and how right predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

# What the assignment combines, and how much each part counts.
RECONSTRUCTION_WEIGHTS = {"one_minus_mse": 0.5, "ssim": 0.5}
CLASSIFICATION_WEIGHTS = {"macro_f1": 0.5, "micro_f1": 0.5}

SSIM_WINDOW = 7
SSIM_BATCH = 16  # images, that their products fit a processor cache

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


def one_minus_mse(truth: NDArray[np.float64], recon: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 less the mean squared error of each image: (N, H, W) twice -> (N,)."""
    return 1 - np.square(truth - recon).mean(axis=(1, 2))


def ssim(truth: NDArray[np.float64], recon: NDArray[np.float64]) -> NDArray[np.float64]:
    """The structural similarity of each pair of images in [0, 1]: (N, H, W) twice -> (N,).

    Wang, Bovik, Sheikh and Simoncelli (2004), as scikit-image's `structural_similarity` computes it
    by default with `data_range=1`: uniform windows of 7 x 7 that lie within the image, the sample
    covariance. A window's sum is a product with a band of ones on either side, so that many images
    are one matrix product.
    """
    down, right = (band(size) for size in truth.shape[1:])
    parts = range(0, len(truth), SSIM_BATCH)
    values = [
        window_ssim(truth[i : i + SSIM_BATCH], recon[i : i + SSIM_BATCH], down, right)
        for i in parts
    ]
    return np.concatenate(values)


def band(size: int) -> NDArray[np.float64]:
    """The matrix that averages over windows: (size - SSIM_WINDOW + 1, size)."""
    rows = size - SSIM_WINDOW + 1
    return np.sum([np.eye(rows, size, k) for k in range(SSIM_WINDOW)], axis=0) / SSIM_WINDOW


def window_ssim(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    down: NDArray[np.float64],
    right: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The mean similarity over all windows of each of (N, H, W) pairs: (N,)."""
    count, height, width = x.shape
    rows, columns = len(down), len(right)
    products = np.empty((height, 4, count, width))  # rows first, so that both steps are one product
    x, y = x.transpose(1, 0, 2), y.transpose(1, 0, 2)
    products[:, 0], products[:, 1] = x, y
    np.multiply(x, y, out=products[:, 2])
    np.add(x * x, y * y, out=products[:, 3])
    across = (products.reshape(-1, width) @ right.T).reshape(height, -1)
    means = (down @ across).reshape(rows, 4, count, columns)
    mean_x, mean_y, mean_xy, mean_squares = means.transpose(1, 0, 2, 3)
    correction = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)  # of a covariance, for a sample's
    c1, c2 = 0.01**2, 0.03**2
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = correction * (mean_xy - product)
    variances = correction * (mean_squares - squares)
    similarity = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.mean(axis=(0, 2))


IMAGE_METRICS = {"one_minus_mse": one_minus_mse, "ssim": ssim}


def reconstruction_scores(
    truth: NDArray[np.float64],
    recon: NDArray[np.float64],
    weights: Mapping[str, float] = RECONSTRUCTION_WEIGHTS,
) -> dict[str, Score]:
    """1 - MSE, SSIM and their weighted mean `reconstruction`, over images (N, H, W) in [0, 1]."""
    images = {name: metric(truth, recon) for name, metric in IMAGE_METRICS.items()}
    images["reconstruction"] = weighted(images, weights)
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


LABEL_METRICS = ("accuracy", "macro_f1", "micro_f1")


def classification_scores(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    weights: Mapping[str, float] = CLASSIFICATION_WEIGHTS,
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
    values["classification"] = weighted(values, weights)
    resampled["classification"] = weighted(resampled, weights)
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
