"""The two ways to segment an image, and a baseline that does not look at grey values."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from studies.segment.graph import eigenvectors, pixel_graph
from studies.segment.images import Picture

SEEDS = (0, 1, 2)
STARTS = 3  # of k-means on eigenvectors


@dataclass(frozen=True)
class Segmentation:
    """One method's runs: labels of the subject's pixels, (N,), and the seconds of each run."""

    method: str
    clusters: int
    runs: list[NDArray[np.int64]]
    seconds: list[float]

    @property
    def title(self) -> str:
        return f"{self.method}, {self.clusters} clusters"


def pixel_features(picture: Picture, features: str) -> NDArray[np.float64]:
    """Return each subject pixel's features: grey, (N, 1), or colour and position, (N, 5)."""
    if features == "grey":
        return picture.grey[picture.mask][:, None]
    place = np.argwhere(picture.mask) / max(picture.mask.shape)
    return np.hstack([picture.colour[picture.mask], place])


def fit_kmeans(pixels: NDArray, clusters: int, max_iter: int, seed: int) -> KMeans:
    """Fit k-means to pixels' features, (N, d), from one random start, as the assignment has it."""
    model = KMeans(clusters, max_iter=max_iter, n_init=1, init="random", random_state=seed)
    return fit(model, pixels)


def fit(model: KMeans, points: NDArray) -> KMeans:
    """Fit a model, without a warning if it finds fewer clusters: then some points are equal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points)


def kmeans(pixels: NDArray, clusters: int, max_iter: int, seed: int) -> Segmentation:
    """Run k-means on pixels' features, (N, d), once for each seed."""

    def run(number: int) -> NDArray[np.int64]:
        return fit_kmeans(pixels, clusters, max_iter, seed + number).labels_

    return timed("k-means", clusters, run)


def cells(picture: Picture, clusters: int, seed: int) -> Segmentation:
    """Divide the subject into cells of about equal size, by k-means on places alone."""
    places = np.argwhere(picture.mask).astype(float)

    def run(number: int) -> NDArray[np.int64]:
        return KMeans(clusters, n_init=1, random_state=seed + number).fit_predict(places)

    return timed("cells", clusters, run)


class Spectral:
    """Spectral clustering of one image: a graph and its first eigenvectors for each seed.

    The first k eigenvectors divide it into k clusters, so they are found once for all numbers.
    """

    def __init__(self, picture: Picture, most: int, seed: int) -> None:
        self.seed = seed
        self.values, self.vectors, self.seconds = [], [], []
        for number in SEEDS:
            started = time.perf_counter()
            values, vectors = eigenvectors(pixel_graph(picture, seed + number), most)
            self.seconds.append(time.perf_counter() - started)
            self.values.append(values)
            self.vectors.append(vectors)
            progress = f"graph {number + 1} of {len(SEEDS)}"
            print(f"{picture.name}: eigenvectors of {progress}", flush=True)

    def divide(self, clusters: int) -> Segmentation:
        """Run k-means on the first eigenvectors, once for each seed."""

        def run(number: int) -> NDArray[np.int64]:
            model = KMeans(clusters, n_init=STARTS, random_state=self.seed + number)
            return fit(model, self.vectors[number][:, :clusters]).labels_

        found = timed("spectral", clusters, run)
        seconds = [a + b for a, b in zip(self.seconds, found.seconds, strict=True)]
        return Segmentation(found.method, clusters, found.runs, seconds)


def timed(method: str, clusters: int, run: Callable[[int], NDArray[np.int64]]) -> Segmentation:
    """Return what `run` finds for each seed, and how long it takes."""
    runs, seconds = [], []
    for number in SEEDS:
        started = time.perf_counter()
        runs.append(run(number))
        seconds.append(time.perf_counter() - started)
    return Segmentation(method, clusters, runs, seconds)
