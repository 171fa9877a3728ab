"""`segment`: an image divided by k-means on its pixels, and by spectral clustering.

Spectral clustering works on the graph of neighbouring pixels. The more alike two pixels are, the
stronger is their edge: Shi and Malik, "Normalized Cuts and Image Segmentation" (PAMI 2000).
"""

import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import eigsh
from skimage.measure import label as label_regions
from sklearn.cluster import KMeans
from sklearn.feature_extraction.image import img_to_graph
from sklearn.metrics import adjusted_rand_score, silhouette_score
from typer import Option

import figures
from grader.errors import UserError
from studies.shared.options import Preset
from studies.shared.pictures import read_image
from studies.shared.runner import Findings, run_study

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "Image segmentation with k-means and spectral clustering"
SEEDS = (0, 1, 2)
LARGEST = 100_000  # pixels in the graph; with more, the eigenvectors take minutes
SILHOUETTE_PIXELS = 3000  # the matrix of their distances grows with the square
EIGENVALUES = 30
SMALL_PART = 1000  # pixels; up to this, all eigenvectors are found at once
ZERO = 1e-9  # below it, an eigenvalue is 0
STARTS = 3  # of k-means on eigenvectors
PATCH = 5  # pixels per side of the part whose graph is shown
SMALLEST = 100  # pixels of a subject, at least


@dataclass(frozen=True)
class Options:
    """How the image is segmented."""

    preset: Annotated[
        Preset,
        Option(help="as for the other studies; both are the same here, because it takes seconds"),
    ] = "full"
    method: Annotated[
        Literal["kmeans", "spectral", "both"], Option(help="which method, or both side by side")
    ] = "both"
    clusters: Annotated[
        list[int],
        Option(
            min=2,
            help="numbers of clusters to show; by default by silhouette, or --spectral-clusters",
        ),
    ] = field(default_factory=list)
    candidates: Annotated[
        list[int], Option(min=2, help="numbers of clusters for k-means; the silhouette chooses one")
    ] = field(default_factory=lambda: [2, 3, 4, 5, 6, 8, 10, 15])
    spectral_clusters: Annotated[
        int, Option(min=2, help="number of clusters of spectral clustering without --clusters")
    ] = 60
    max_iter: Annotated[
        int, Option(min=1, max=10**6, help="maximum number of iterations of k-means")
    ] = 300
    features: Annotated[
        Literal["grey", "colour_position"], Option(help="what k-means uses of a pixel")
    ] = "grey"
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="seed of the first of three runs")] = 0


@dataclass(frozen=True)
class Picture:
    """An image on white: `grey` (H, W) and `colour` (H, W, 3) in [0, 1].

    `mask`, (H, W), separates the subject from the background.
    """

    grey: NDArray[np.float64]
    colour: NDArray[np.float64]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Segmentation:
    """One method's three runs: label images (H, W), -1 for background, and the seconds of each."""

    method: str
    clusters: int
    runs: list[NDArray[np.int64]]
    seconds: list[float]

    def agreement(self) -> float:
        """Return the mean adjusted Rand index of all pairs of runs: 1 if equal up to names."""
        inside = self.runs[0] >= 0
        pairs = [(a[inside], b[inside]) for i, a in enumerate(self.runs) for b in self.runs[:i]]
        return float(np.mean([adjusted_rand_score(a, b) for a, b in pairs]))

    def regions(self) -> float:
        """Return the mean number of connected regions per cluster: 1 if each is in one piece."""
        image = self.runs[0]
        names = np.unique(image[image >= 0])
        counts = [label_regions(image == k, connectivity=1).max() for k in names]
        return float(np.mean(counts))

    def spread(self, picture: Picture) -> float:
        """Return the standard deviation of grey within a cluster, as a share of the subject's."""
        grey, labels = picture.grey[picture.mask], self.runs[0][picture.mask]
        means = np.zeros(self.clusters)
        for k in np.unique(labels):
            means[k] = grey[labels == k].mean()
        return float(np.sqrt(np.square(grey - means[labels]).mean()) / (grey.std() or 1.0))


def read_picture(path: Path) -> Picture:
    """Read the image at `path`, with transparent parts white; shrink it if it is too large.

    Raises UserError if it is not an image, or if it is only background.
    """
    image = read_image(path, path, "white")
    factor = (LARGEST / (image.width * image.height)) ** 0.5
    if factor < 1:
        size = max(1, int(factor * image.width)), max(1, int(factor * image.height))
        before = f"{image.width} x {image.height}"
        print(f"{path}: {before} pixels are too many for a graph; cut at {size[0]} x {size[1]}")
        image = image.resize(size, Image.Resampling.LANCZOS)
    grey, colour = np.asarray(image.convert("L")), np.asarray(image)
    mask = grey < 255
    if mask.sum() < SMALLEST or min(mask.shape) < PATCH:
        raise UserError(path, f"{mask.sum()} pixels that are not white", "an image with a subject")
    return Picture(grey / 255, colour / 255, mask)


def pixel_features(picture: Picture, features: str) -> NDArray[np.float64]:
    """Return each subject pixel's features: grey, (N, 1), or colour and position, (N, 5)."""
    if features == "grey":
        return picture.grey[picture.mask][:, None]
    place = np.argwhere(picture.mask) / max(picture.mask.shape)
    return np.hstack([picture.colour[picture.mask], place])


def pixel_graph(picture: Picture, seed: int) -> csr_matrix:
    """Return affinities of the subject's adjacent pixels, (N, N): exp(-|difference| / deviation).

    A little noise prevents a singular problem if pixels have exactly equal grey.
    """
    generator = np.random.default_rng(seed)
    noise = 1 / 255 + 0.2 / 255 * generator.random(picture.grey.shape)
    graph = img_to_graph(np.where(picture.mask, picture.grey, 0) + noise, mask=picture.mask)
    graph.data = np.exp(-graph.data / (graph.data.std() or 1.0))
    return csr_matrix(graph)


def in_place(picture: Picture, labels: NDArray) -> NDArray[np.int64]:
    """Convert labels of the subject's pixels, (N,), to an image: (H, W), -1 for background."""
    image = np.full(picture.mask.shape, -1, np.int64)
    image[picture.mask] = labels
    return image


def kmeans(picture: Picture, clusters: int, options: Options) -> Segmentation:
    """Run k-means three times, each from one random start."""
    pixels = pixel_features(picture, options.features)
    runs, seconds = [], []
    for seed in SEEDS:
        started = time.perf_counter()
        labels = one_kmeans(clusters, options, options.seed + seed).fit_predict(pixels)
        seconds.append(time.perf_counter() - started)
        runs.append(in_place(picture, labels))
    return Segmentation("k-means", clusters, runs, seconds)


def one_kmeans(clusters: int, options: Options, seed: int) -> KMeans:
    return KMeans(clusters, max_iter=options.max_iter, n_init=1, init="random", random_state=seed)


def spectral(picture: Picture, clusters: int, options: Options) -> Segmentation:
    """Run spectral clustering, which ends in k-means on eigenvectors, three times."""
    runs, seconds = [], []
    for number, seed in enumerate(SEEDS, 1):
        started = time.perf_counter()
        _, vectors = eigenvectors(pixel_graph(picture, options.seed + seed), clusters)
        model = KMeans(clusters, n_init=STARTS, random_state=options.seed + seed)
        labels = model.fit_predict(vectors)
        seconds.append(time.perf_counter() - started)
        runs.append(in_place(picture, labels))
        progress = f"run {number} of {len(SEEDS)}, {seconds[-1]:.1f} s"
        print(f"spectral clustering, {clusters} clusters: {progress}", flush=True)
    return Segmentation("spectral", clusters, runs, seconds)


def eigenvectors(graph: csr_matrix, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the `count` smallest eigenvalues of a graph's normalised Laplacian, and their vectors.

    The eigenvalues are (count,), ascending, and 0 for each connected part; of these, the largest
    parts come first. The vectors, (N, count), are divided by the square root of the degree. Each
    part is solved by itself: together they have the eigenvalue 0 many times, and ARPACK does not
    converge.
    """
    _, parts = connected_components(graph)
    order = np.argsort(-np.bincount(parts), kind="stable")
    values, columns = [], []
    for part in order:
        nodes = np.flatnonzero(parts == part)
        matrix, roots = laplacian(graph[nodes][:, nodes], normed=True, return_diag=True)
        if len(nodes) <= SMALL_PART:
            found, vectors = np.linalg.eigh(matrix.toarray())
        else:
            start = np.random.default_rng(0).random(len(nodes))  # ARPACK's own start is random
            found, vectors = eigsh(matrix, k=count, sigma=-1e-4, v0=start)
        values.append(found[:count])
        columns += [(nodes, vector / roots) for vector in vectors.T[:count]]
    every = np.concatenate(values)
    smallest = np.argsort(np.where(every < ZERO, 0, every), kind="stable")[:count]
    placed = np.zeros((graph.shape[0], len(smallest)))
    for column, index in enumerate(smallest):
        nodes, vector = columns[index]
        placed[nodes, column] = vector
    return every[smallest], placed


def measure_candidates(
    picture: Picture, options: Options, different: int
) -> dict[int, tuple[float, float]]:
    """Return the inertia and the silhouette of k-means for each number of clusters.

    Leaves out numbers that are larger than that of `different` pixels.
    """
    pixels = pixel_features(picture, options.features)
    chosen = np.random.default_rng(options.seed).permutation(len(pixels))[:SILHOUETTE_PIXELS]
    found = {}
    for clusters in options.candidates:
        if clusters > different:
            continue
        model = one_kmeans(clusters, options, options.seed)
        labels = model.fit_predict(pixels)
        several = len(np.unique(labels[chosen])) > 1
        silhouette = silhouette_score(pixels[chosen], labels[chosen]) if several else 0.0
        found[clusters] = float(model.inertia_), float(silhouette)
    return found


def segment(before: list[str], after: list[str], usage: str) -> None:
    """Segment an image, and answer the assignment's questions about it."""
    run_study(
        study, {"full": Options(), "quick": Options(preset="quick")}, TITLE, (before, after, usage)
    )


def study(options: Options, path: Path, _out: Path) -> Findings:
    """Do everything that the assignment requires with one image."""
    picture = read_picture(path)
    different = len(np.unique(pixel_features(picture, options.features), axis=0))
    if options.method != "spectral" and max(options.clusters, default=0) > different:
        found = f"{max(options.clusters)} clusters of {different} different pixels"
        raise UserError(path, found, "as many different pixels as clusters")
    graph = pixel_graph(picture, options.seed)
    candidates = measure_candidates(picture, options, different)
    eigenvalues, _ = eigenvectors(graph, EIGENVALUES)
    results: list[Segmentation] = []
    if options.method in ("kmeans", "both"):
        results += [kmeans(picture, k, options) for k in options.clusters or [best_of(candidates)]]
    if options.method in ("spectral", "both"):
        chosen = options.clusters or [options.spectral_clusters]
        results += [spectral(picture, k, options) for k in chosen]

    summary = summarise(picture, graph, candidates, eigenvalues, results)
    return Findings(
        summary, draw(picture, graph, candidates, eigenvalues, results, options.seed), ANSWERS
    )


def summarise(
    picture: Picture,
    graph: csr_matrix,
    candidates: dict[int, tuple[float, float]],
    eigenvalues: NDArray[np.float64],
    results: list[Segmentation],
) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    return {
        "pixels": int(picture.mask.sum()),
        "height": picture.mask.shape[0],
        "width": picture.mask.shape[1],
        "parts": int(connected_components(graph)[0]),
        "grey_levels": len(np.unique(picture.grey[picture.mask])),
        "edges": int(graph.nnz - graph.shape[0]) // 2,
        "weight_smallest": float(graph.data.min()),
        "weight_median": float(np.median(graph.data)),
        "best_silhouette": best_of(candidates),
        "eigengap": int(np.diff(eigenvalues)[1:].argmax()) + 2,
        "silhouettes": {str(k): value[1] for k, value in candidates.items()},
        "results": [
            {
                "method": result.method,
                "clusters": result.clusters,
                "agreement": result.agreement(),
                "regions": result.regions(),
                "spread": result.spread(picture),
                "seconds": float(np.median(result.seconds)),
            }
            for result in results
        ],
    }


def best_of(candidates: dict[int, tuple[float, float]]) -> int:
    """Return the number of clusters with the best silhouette."""
    return max(candidates, key=lambda clusters: candidates[clusters][1], default=2)


def draw(
    picture: Picture,
    graph: csr_matrix,
    candidates: dict[int, tuple[float, float]],
    eigenvalues: NDArray[np.float64],
    results: list[Segmentation],
    seed: int,
) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name."""
    titles = [f"{result.method}, {result.clusters} clusters" for result in results]
    pictures = {
        "segments": figures.label_maps(picture.colour, [r.runs[0] for r in results], titles),
        "choice": figures.cluster_choice(candidates, eigenvalues),
        "graph": figures.pixel_graph(*patch(picture, graph)),
    }
    for result, title in zip(results, titles, strict=True):
        name = f"seeds_{result.method.replace('-', '')}_{result.clusters}"
        seeds = [f"{title}, seed {seed + number}" for number in SEEDS]
        pictures[name] = figures.label_maps(picture.colour, result.runs, seeds)
    return pictures


def patch(picture: Picture, graph: csr_matrix) -> tuple[NDArray, NDArray, NDArray]:
    """Return the busiest square of `PATCH` pixels per side, and the weights of its edges.

    Greys (PATCH, PATCH); weights to the right (PATCH, PATCH - 1) and down (PATCH - 1, PATCH).
    """
    inside = sliding_window_view(picture.mask, (PATCH, PATCH)).all(axis=(2, 3))
    change = sliding_window_view(picture.grey, (PATCH, PATCH)).std(axis=(2, 3))
    row, column = np.unravel_index(np.where(inside, change, -1).argmax(), inside.shape)
    index = np.full(picture.mask.shape, -1)
    index[picture.mask] = np.arange(picture.mask.sum())
    here = index[row : row + PATCH, column : column + PATCH]
    right = np.array([[graph[a, b] for a, b in pairwise(line)] for line in here])
    down = np.array([[graph[a, b] for a, b in pairwise(line)] for line in here.T]).T
    return picture.grey[row : row + PATCH, column : column + PATCH], right, down
