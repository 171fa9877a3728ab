"""Scores from arrays: how close reconstructions are, and how accurate predictions are."""

import inspect
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import skimage.metrics
import sklearn.metrics
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
LABEL_METRICS = ("accuracy", "macro_f1", "micro_f1")

# Measures of libraries that take the truth first and return one number.
LIBRARY_METRICS = {
    "images": (
        "skimage.mean_squared_error",
        "skimage.normalized_mutual_information",
        "skimage.normalized_root_mse",
        "skimage.peak_signal_noise_ratio",
        "skimage.structural_similarity",
    ),
    "labels": (
        "sklearn.accuracy_score",
        "sklearn.adjusted_mutual_info_score",
        "sklearn.adjusted_rand_score",
        "sklearn.balanced_accuracy_score",
        "sklearn.cohen_kappa_score",
        "sklearn.completeness_score",
        "sklearn.f1_score",
        "sklearn.fowlkes_mallows_score",
        "sklearn.homogeneity_score",
        "sklearn.jaccard_score",
        "sklearn.matthews_corrcoef",
        "sklearn.normalized_mutual_info_score",
        "sklearn.precision_score",
        "sklearn.recall_score",
        "sklearn.v_measure_score",
    ),
}
# These need a scale: their values are not from 0, the worst, to 1.
OTHER_RANGE = {
    "skimage.mean_squared_error",
    "skimage.normalized_mutual_information",
    "skimage.normalized_root_mse",
    "skimage.peak_signal_noise_ratio",
}
NO_NOISE = 100.0  # decibels, in place of the infinite ratio of two equal images
LIBRARIES = {"skimage": skimage.metrics, "sklearn": sklearn.metrics}
LIBRARY_RESAMPLES = 200  # of labels; a library's measure takes a millisecond


def library_metric(name: str, arguments: Mapping[str, Any]) -> partial[float]:
    """Return a measure of a library, such as "sklearn.f1_score", with arguments."""
    library, _, function = name.partition(".")
    if name in ("skimage.structural_similarity", "skimage.peak_signal_noise_ratio"):
        arguments = {"data_range": 1.0, **arguments}
    return partial(getattr(LIBRARIES[library], function), **arguments)


def problem_with_metric(kind: str, name: str, arguments: Mapping[str, Any]) -> str | None:
    """Return what is expected in place of a measure for a kind of artefact; None if it works.

    A measure of a library is tried on a small example, so that a wrong argument is found.
    """
    own = {"images": tuple(IMAGE_METRICS), "labels": LABEL_METRICS}.get(kind, ())
    known = (*own, *LIBRARY_METRICS.get(kind, ()))
    if name not in known:
        listed = ", ".join(f"'{one}'" for one in known) or "none"
        return f"a known metric of {kind} in place of '{name}': {listed}"
    if name in own:
        return f"no arguments for '{name}'" if arguments else None
    metric = library_metric(name, arguments)
    unknown = arguments.keys() - inspect.signature(metric.func).parameters.keys()
    if unknown:
        return f"an argument of '{name}' in place of '{min(unknown)}'"
    image = np.linspace(0, 1, 28 * 28).reshape(28, 28)
    example: NDArray = image if kind == "images" else np.arange(3).repeat(2)
    try:
        if isinstance(metric(example, np.roll(example, 1)), int | float | np.number):
            return None
        return f"arguments with which '{name}' returns one number"
    except Exception as error:  # whatever a library raises
        return f"arguments that '{name}' takes ({' '.join(str(error).split())[:120]})"


def scaled(values: NDArray, scale: tuple[float, float] | None) -> NDArray:
    """Map the values of a measure so that the scale's ends become 0 and 1, and cut the rest."""
    if scale is None:
        return values
    worst, best = scale
    return np.clip((values - worst) / (best - worst), 0, 1)


def image_values(
    truth: NDArray[np.float64], recon: NDArray[np.float64], name: str, arguments: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Return a measure of each image: (N, H, W) twice, in [0, 1] -> (N,)."""
    if name in IMAGE_METRICS:
        return IMAGE_METRICS[name](truth, recon)
    metric = library_metric(name, arguments)
    with np.errstate(divide="ignore"):
        values = np.array([metric(x, y) for x, y in zip(truth, recon, strict=True)])
    return np.minimum(values, NO_NOISE)


def reconstruction_scores(
    truth: NDArray[np.float64],
    recon: NDArray[np.float64],
    weights: Mapping[str, float] = RECONSTRUCTION_WEIGHTS,
    arguments: Mapping[str, Mapping[str, Any]] = {},
    scale: Mapping[str, tuple[float, float]] = {},
) -> dict[str, Score]:
    """Return the measures in `weights`, and their weighted mean `reconstruction`.

    The images are (N, H, W) in [0, 1]. In the mean, measures are mapped by their `scale`.
    """
    images = {name: image_values(truth, recon, name, arguments.get(name, {})) for name in weights}
    mapped = {name: scaled(values, scale.get(name)) for name, values in images.items()}
    images["reconstruction"] = weighted(mapped, weights)
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


def resampled_labels(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], metric: Callable[..., float]
) -> NDArray[np.float64]:
    """Return a library's measure of bootstrap resamples of the labels: (RESAMPLES,)."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(LIBRARY_RESAMPLES):
        chosen = generator.integers(len(truth), size=len(truth))
        values.append(float(metric(truth[chosen], predicted[chosen])))
    return np.resize(np.array(values), RESAMPLES)


def classification_scores(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    weights: Mapping[str, float] = CLASSIFICATION_WEIGHTS,
    arguments: Mapping[str, Mapping[str, Any]] = {},
    scale: Mapping[str, tuple[float, float]] = {},
) -> dict[str, Score]:
    """Return accuracy, both F1, the measures in `weights`, and their mean `classification`.

    The labels are (N,). In the mean, measures are mapped by their `scale`.
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
    for name in (name for name in weights if name not in values):
        metric = library_metric(name, arguments.get(name, {}))
        values[name] = float(metric(truth, predicted))
        resampled[name] = resampled_labels(truth, predicted, metric)
    for table in (values, resampled):
        mapped = {name: scaled(np.asarray(table[name]), scale.get(name)) for name in weights}
        table["classification"] = weighted(mapped, weights)
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
