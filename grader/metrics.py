"""Scores from arrays: how close reconstructions are, and how accurate predictions are."""

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

# The parts that the assignment combines, and their weights.
RECONSTRUCTION_WEIGHTS = {"one_minus_mse": 0.5, "ssim": 0.5}
CLASSIFICATION_WEIGHTS = {"macro_f1": 0.5, "micro_f1": 0.5}

SSIM_WINDOW = 7
SSIM_BATCH = 125  # images at a time: few calls, and their memory fits into a CPU cache

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """A score and its bootstrap interval, which shows how far another test set might move it."""

    value: float
    low: float
    high: float


def interval(value: float, resampled: NDArray[np.float64]) -> Score:
    """Return `value` with the percentile interval of its bootstrap resamples (Efron, 1979)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Score(float(value), float(low), float(high))


def weighted(parts: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]) -> NDArray:
    return sum((weight * parts[name] for name, weight in weights.items()), np.zeros(()))


def one_minus_mse(truth: NDArray[np.float64], recon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 minus the mean squared error of each image: (N, H, W) twice -> (N,)."""
    return 1 - np.square(truth - recon).mean(axis=(1, 2))


def ssim(truth: NDArray[np.float64], recon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the structural similarity of pairs of images in [0, 1]: (N, H, W) twice -> (N,).

    Wang, Bovik, Sheikh and Simoncelli (2004), as scikit-image's `structural_similarity` computes it
    by default with `data_range=1`: uniform 7 x 7 windows inside the image, and the sample
    covariance. Many images are processed at once, on all available cores.
    """
    parts = [slice(i, i + SSIM_BATCH) for i in range(0, len(truth), SSIM_BATCH)]
    local = threading.local()

    def part_ssim(part: slice) -> NDArray[np.float64]:
        x, y = truth[part], recon[part]
        if getattr(local, "shape", None) != x.shape:
            local.shape, local.similarity = x.shape, Similarity(*x.shape)
        values: NDArray[np.float64] = local.similarity(x, y)
        return values

    with ThreadPoolExecutor(min(len(parts), len(os.sched_getaffinity(0)))) as pool:
        return np.concatenate(list(pool.map(part_ssim, parts)))


class Similarity:
    """The SSIM of `count` pairs of images, in reused memory: (N, H, W) twice -> (N,).

    The axis of the images comes last, so that every operation works on long rows of memory.
    """

    def __init__(self, count: int, height: int, width: int) -> None:
        rows, columns = height - SSIM_WINDOW + 1, width - SSIM_WINDOW + 1
        self.moments = np.empty((height, 4, width, count))  # x, y, x y, x^2 + y^2
        self.square = np.empty((height, width, count))
        self.down = np.empty((rows, 4, width, count))
        self.sums = np.empty((columns, 4, rows, count))
        self.terms = np.empty((3, columns, rows, count))

    def __call__(self, truth: NDArray[np.float64], recon: NDArray[np.float64]) -> NDArray:
        x, y, xy, squares = self.moments.swapaxes(0, 1)
        x[...], y[...] = truth.transpose(1, 2, 0), recon.transpose(1, 2, 0)
        np.multiply(x, y, out=xy)
        np.multiply(x, x, out=squares)
        squares += np.multiply(y, y, out=self.square)
        window_sums(self.moments, self.down)
        window_sums(self.down.transpose(2, 1, 0, 3), self.sums)

        # Every mean and covariance of a window is scaled by powers of its number of pixels.
        pixels = SSIM_WINDOW**2
        c1, c2 = 0.01**2 * pixels**2, 0.03**2 * pixels * (pixels - 1)
        sum_x, sum_y, covariance, variances = self.sums.swapaxes(0, 1)
        product, sum_squares, term = self.terms
        np.multiply(sum_x, sum_y, out=product)
        np.multiply(sum_x, sum_x, out=sum_squares)
        sum_squares += np.multiply(sum_y, sum_y, out=term)
        covariance *= pixels
        covariance -= product
        variances *= pixels
        variances -= sum_squares
        for value, constant in (
            (product, c1 / 2),
            (covariance, c2 / 2),
            (sum_squares, c1),
            (variances, c2),
        ):
            value += constant
        product *= covariance
        sum_squares *= variances
        product /= sum_squares
        return 4 * product.mean(axis=(0, 1))


def window_sums(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Sum `SSIM_WINDOW` neighbours along the first axis, into `out`: (H, ...) -> (H - 6, ...)."""
    change = np.empty(out.shape[1:])
    np.add.reduce(x[:SSIM_WINDOW], axis=0, out=out[0])
    for row in range(len(out) - 1):
        np.subtract(x[row + SSIM_WINDOW], x[row], out=change)
        np.add(out[row], change, out=out[row + 1])


IMAGE_METRICS = {"one_minus_mse": one_minus_mse, "ssim": ssim}


def reconstruction_scores(
    truth: NDArray[np.float64],
    recon: NDArray[np.float64],
    weights: Mapping[str, float] = RECONSTRUCTION_WEIGHTS,
) -> dict[str, Score]:
    """Return 1 - MSE, SSIM and their weighted mean `reconstruction`.

    The images are (N, H, W) in [0, 1].
    """
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
    """Return accuracy, macro F1 and micro F1 of confusion matrices.

    The matrices are (..., K, K), true class by predicted class. The scores are the same as
    scikit-learn's, for many matrices at once. A class that is absent from both sides of a matrix
    does not count in its macro F1.
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
    """Return accuracy, macro F1, micro F1 and their weighted mean `classification`.

    The labels are (N,).
    """
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


def unknown_labels(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[int]:
    """Return the predicted labels that are no class of the data set: cluster numbers, perhaps."""
    return [int(label) for label in np.setdiff1d(predicted, truth)]


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class.

    `precision` is the share of its predictions that are correct, `recall` the share of its images
    that are found.
    """

    label: int
    precision: float
    recall: float
    f1: float
    images: int


def class_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[ClassScore]:
    """Return precision, recall and F1 of each class that occurs in `truth`, in ascending order."""
    labels = np.unique(truth)
    rows = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    return [
        ClassScore(int(label), float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, *rows, strict=True)
    ]
