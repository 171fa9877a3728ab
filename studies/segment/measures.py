"""Measures of segmentations, and the rules that choose the number of clusters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from studies.segment.images import Picture
from studies.segment.methods import SEEDS, Segmentation, fit_kmeans

SILHOUETTE_PIXELS = 3000  # the matrix of their distances grows with the square
COMMON = 5  # grey values


@dataclass(frozen=True)
class Measured:
    """What is measured of one division of an image.

    contrast: the mean difference in grey between adjacent pixels of different segments, relative to
    all adjacent pixels; 1 for boundaries that ignore the image, and 0 if there are none.
    boundary: the share of adjacent pixels that are in different segments. explained: the share of
    the variance of grey that is between segments. pieces: connected regions.
    """

    contrast: float
    boundary: float
    explained: float
    pieces: int


class Meter:
    """Measures divisions of one image; `edges`: its adjacent pixels, (E, 2)."""

    def __init__(self, picture: Picture) -> None:
        self.grey = picture.grey[picture.mask]
        self.edges = picture.edges()
        self.steps = np.abs(self.grey[self.edges[:, 0]] - self.grey[self.edges[:, 1]])

    def measure(self, labels: NDArray) -> Measured:
        cut = labels[self.edges[:, 0]] != labels[self.edges[:, 1]]
        contrast = self.steps[cut].mean() / (self.steps.mean() or 1.0) if cut.any() else 0.0
        means = np.bincount(labels, self.grey) / np.maximum(np.bincount(labels), 1)
        within = np.square(self.grey - means[labels]).mean()
        inside = self.edges[~cut].T
        joined = csr_matrix((np.ones(inside.shape[1]), inside), (len(labels),) * 2)
        return Measured(
            contrast=float(contrast),
            boundary=float(cut.mean()),
            explained=float(1 - within / (self.grey.var() or 1.0)),
            pieces=int(connected_components(joined, directed=False)[0]),
        )

    def contrasts(self, found: Segmentation) -> list[float]:
        return [self.measure(labels).contrast for labels in found.runs]

    def flat(self) -> float:
        """Return the share of adjacent pixels whose grey values are equal."""
        return float((self.steps == 0).mean())

    def common(self) -> float:
        """Return the share of the pixels that have one of the commonest grey values."""
        _, counts = np.unique(self.grey, return_counts=True)
        return float(np.sort(counts)[-COMMON:].sum() / len(self.grey))


def changed(runs: list[NDArray]) -> float:
    """Return the mean share of pixels in another cluster, over all pairs of runs.

    Clusters are matched first, because their numbers mean nothing.
    """
    shares = []
    for i, first in enumerate(runs):
        for second in runs[:i]:
            counts = contingency_matrix(first, second)
            rows, columns = linear_sum_assignment(-counts)
            shares.append(1 - counts[rows, columns].sum() / len(first))
    return float(np.mean(shares))


def silhouettes(
    pixels: NDArray, candidates: list[int], max_iter: int, seed: int
) -> dict[int, list[float]]:
    """Return the silhouettes of k-means by number of clusters, for each seed.

    Each seed draws other pixels to measure, and starts k-means elsewhere.
    """
    found: dict[int, list[float]] = {}
    for clusters in candidates:
        found[clusters] = []
        for number in SEEDS:
            drawn = np.random.default_rng(seed + number).permutation(len(pixels))
            chosen = drawn[:SILHOUETTE_PIXELS]
            labels = fit_kmeans(pixels, clusters, max_iter, seed + number).labels_[chosen]
            several = len(np.unique(labels)) > 1
            found[clusters].append(
                float(silhouette_score(pixels[chosen], labels)) if several else 0
            )
    return found


def fewest_as_good(scores: Mapping[int, list[float]]) -> int:
    """Return the smallest number whose mean score is within the best number's range over seeds."""
    best = max(scores, key=lambda clusters: float(np.mean(scores[clusters])))
    return min(k for k, values in scores.items() if np.mean(values) >= min(scores[best]))


def largest_margin(
    spectral: Mapping[int, list[float]], cells: Mapping[int, list[float]], parts: int
) -> int:
    """Return the number of clusters whose contrast exceeds that of as many cells the most.

    Numbers below twice that of the graph's parts do not count, unless there are no others: most of
    their clusters are parts that nothing connects, so few boundaries are judged.
    """
    enough = [k for k in spectral if k >= 2 * parts] or [max(spectral)]
    return max(enough, key=lambda k: float(np.mean(spectral[k]) / (np.mean(cells[k]) or 1)))


def inertias(pixels: NDArray, clusters: int, max_iter: int, seed: int) -> list[float]:
    """Return the inertia of k-means after 1, 2, 3, ... iterations, until nothing changes."""
    last = int(fit_kmeans(pixels, clusters, max_iter, seed).n_iter_)
    return [float(fit_kmeans(pixels, clusters, stop, seed).inertia_) for stop in range(1, last + 1)]


def enough(inertias: list[float]) -> int:
    """Return after how many iterations the inertia is within 1 % of its last value."""
    return 1 + next(i for i, value in enumerate(inertias) if value <= 1.01 * inertias[-1])
