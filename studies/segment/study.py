"""`segment`: an image divided by k-means on its pixels, and by spectral clustering.

Spectral clustering works on the graph of neighbouring pixels. The more alike two pixels are, the
stronger is their edge: Shi and Malik, "Normalized Cuts and Image Segmentation" (PAMI 2000).
"""

import time
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import eigsh
from skimage.measure import label as label_regions
from sklearn.cluster import KMeans, spectral_clustering
from sklearn.feature_extraction.image import img_to_graph
from sklearn.metrics import adjusted_rand_score, silhouette_score
from typer import Option

import figures
from grader.errors import UserError
from studies.shared.answers import listed
from studies.shared.datasets import open_on_white
from studies.shared.options import Preset
from studies.shared.runner import Answer, Findings, run_study

TITLE = "Image segmentation with k-means and spectral clustering"
QUESTIONS = ("Q3.1", "Q3.2", "Q4.1", "Q4.2", "Q4.3")
SEEDS = (0, 1, 2)
LARGEST = 100_000  # pixels in the graph; with more, the eigenvectors take minutes
SILHOUETTE_PIXELS = 3000  # the matrix of their distances grows with the square
EIGENVALUES = 30
AGREEING = 0.95  # two results count as the same from this adjusted Rand index on
PATCH = 5  # pixels per side of the part whose graph is shown
SMALLEST = 100  # pixels of a subject, at least
SHADED = 64  # a subject with fewer grey levels counts as a drawing in a few tones
FOLLOWING = 0.7  # clusters follow the grey if a smaller share of its deviation is within them


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
        list[int],
        Option(min=2, help="numbers of clusters for k-means, of which the silhouette chooses one"),
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
    image = open_on_white(path, path)
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
    for seed in SEEDS:
        started = time.perf_counter()
        graph = pixel_graph(picture, options.seed + seed)
        with warnings.catch_warnings():  # parts that do not touch are no problem here
            warnings.filterwarnings("ignore", message="Graph is not fully connected")
            labels = spectral_clustering(
                graph, n_clusters=clusters, eigen_solver="arpack", random_state=options.seed + seed
            )
        seconds.append(time.perf_counter() - started)
        runs.append(in_place(picture, labels))
    return Segmentation("spectral", clusters, runs, seconds)


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


def smallest_eigenvalues(graph: csr_matrix) -> NDArray[np.float64]:
    """Return the smallest eigenvalues of the graph's normalised Laplacian, ascending.

    As many of them are 0 as the graph has parts.
    """
    matrix = laplacian(graph, normed=True)
    count = min(EIGENVALUES, matrix.shape[0] - 2)
    start = np.random.default_rng(0).random(matrix.shape[0])  # ARPACK's own start is random
    return np.sort(eigsh(matrix, k=count, sigma=-1e-4, v0=start, return_eigenvectors=False))


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
    best = max(candidates, key=lambda clusters: candidates[clusters][1], default=2)
    eigenvalues = smallest_eigenvalues(graph)
    gap = int(np.diff(eigenvalues)[1:].argmax()) + 2
    results: list[Segmentation] = []
    if options.method in ("kmeans", "both"):
        results += [kmeans(picture, k, options) for k in options.clusters or (best,)]
    if options.method in ("spectral", "both"):
        chosen = options.clusters or (options.spectral_clusters,)
        results += [spectral(picture, k, options) for k in chosen]

    summary = {
        "pixels": int(picture.mask.sum()),
        "height": picture.mask.shape[0],
        "width": picture.mask.shape[1],
        "parts": int(connected_components(graph)[0]),
        "grey_levels": len(np.unique(picture.grey[picture.mask])),
        "edges": int(graph.nnz - graph.shape[0]) // 2,
        "weight_smallest": float(graph.data.min()),
        "weight_median": float(np.median(graph.data)),
        "best_silhouette": best,
        "eigengap": gap,
        "silhouettes": {str(k): value[1] for k, value in candidates.items()},
        "results": [
            {
                "method": r.method,
                "clusters": r.clusters,
                "agreement": r.agreement(),
                "regions": r.regions(),
                "spread": r.spread(picture),
                "seconds": float(np.median(r.seconds)),
            }
            for r in results
        ],
    }
    titles = [f"{r.method}, {r.clusters} clusters" for r in results]
    pictures = {
        "segments": figures.label_maps(picture.colour, [r.runs[0] for r in results], titles),
        "choice": figures.cluster_choice(candidates, eigenvalues),
        "graph": figures.pixel_graph(*patch(picture, graph)),
    }
    for result, title in zip(results, titles, strict=True):
        name = f"seeds_{result.method.replace('-', '')}_{result.clusters}"
        seeds = [f"{title}, seed {options.seed + seed}" for seed in SEEDS]
        pictures[name] = figures.label_maps(picture.colour, result.runs, seeds)
    return Findings(summary, pictures, answers(summary))


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


def answers(summary: dict[str, Any]) -> list[Answer]:
    """Answer the assignment's questions with the figures of this run."""
    results = summary["results"]
    by_method = {r["method"]: r for r in results}
    agreement = listed({f"{r['method']} with {r['clusters']}": r["agreement"] for r in results})
    differ = any(r["agreement"] < AGREEING for r in results)
    shaded = summary["grey_levels"] >= SHADED
    seconds = "; ".join(
        f"{r['method']} with {r['clusters']} clusters took {r['seconds']:.2g} s" for r in results
    )
    return [
        Answer(
            "Q3.1",
            "Why do repeated runs give other results?",
            "Both methods end in k-means, which starts from centres that are drawn at random and "
            "then only ever improves them, so it stops in the nearest local minimum of its "
            "objective; another start, another minimum. Even the same partition may come out with "
            "other names, that is colours, for its clusters. Over three seeds the mean adjusted "
            f"Rand index, which is 1 for equal partitions whatever their names, was {agreement}. "
            f"So here runs differ in {'more' if differ else 'hardly more'} than names.",
        ),
        Answer(
            "Q3.2",
            "How is the graph built, and what are its weights?",
            f"Each of the {summary['pixels']:,} pixels of the subject is a node, joined to those "
            f"above, below, left and right of it: {summary['edges']:,} edges; background pixels "
            "take no part. img_to_graph gives an edge the absolute difference of its two grey "
            "values. These gradients d are turned into affinities exp(-d / s), s being their "
            "standard deviation: 1 for equal pixels, here down to "
            f"{summary['weight_smallest']:.1e} across the hardest edge, and "
            f"{summary['weight_median']:.2f} in the median. The graph has {summary['parts']} parts "
            "that do not touch. `graph.png` shows the weights of a patch.",
        ),
        Answer("Q4.1", "Which method gives the better parts?", comparison(by_method)),
        Answer(
            "Q4.2",
            "How was the number of clusters picked, and what kind of image is it?",
            f"For k-means, by the silhouette: {listed(summary['silhouettes'])}; the best is "
            f"{summary['best_silhouette']}. For spectral clustering, the largest gap between "
            "eigenvalues of the normalised Laplacian, beyond the first, is after "
            f"{summary['eigengap']} of them; as many are 0 as there are parts "
            f"({summary['parts']}), so that fewer clusters than these cut nothing. `choice.png` "
            f"shows both. The subject has {summary['grey_levels']} grey levels: "
            + (
                "many, as in a photograph or a shaded drawing, where parts blend into each other "
                "and grey alone does not tell them."
                if shaded
                else "few, as in a logo, where grey alone tells the parts."
            ),
        ),
        Answer(
            "Q4.3",
            "What speaks for and against each method?",
            "k-means looks at each pixel by itself: fast, one number to tune, no memory to speak "
            "of, and blind to where pixels are, so that its clusters are levels of grey rather "
            "than objects. Spectral clustering looks at borders between neighbours: its parts are "
            "connected and follow edges, but it needs eigenvectors of a matrix as large as the "
            f"image has pixels, and more clusters than there are objects. Here {seconds}.",
        ),
    ]


def comparison(by_method: dict[str, dict[str, Any]]) -> str:
    """Compare the last results of the two methods, in words."""
    if not {"k-means", "spectral"} <= by_method.keys():
        return "One method alone was run; --method both compares them."
    grey, graph = by_method["k-means"], by_method["spectral"]
    if graph["regions"] >= grey["regions"]:
        verdict = (
            "So k-means' clusters are no more scattered than the spectral ones here, and it is the "
            "simpler way to them."
        )
    elif graph["spread"] < FOLLOWING:
        verdict = (
            "So spectral clustering gives connected parts that follow what is seen, as a person "
            "would point them out, and k-means the levels of grey, wherever they are."
        )
    else:
        verdict = (
            "So spectral clustering gives connected pieces of similar size, but they hardly follow "
            "what is seen: most of the grey's variety is within them. k-means follows it closely, "
            "and tears it into scattered levels."
        )
    return (
        f"A cluster of k-means lies in {grey['regions']:.1f} separate regions on average, one of "
        f"spectral clustering in {graph['regions']:.1f}; within a cluster the deviation of grey is "
        f"{grey['spread']:.0%} and {graph['spread']:.0%} of the whole subject's. {verdict}"
    )
