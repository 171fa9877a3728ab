"""One image, divided by both methods with every number of clusters, one of which is chosen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from studies.segment import measures
from studies.segment.graph import pixel_graph
from studies.segment.images import Picture
from studies.segment.methods import Segmentation, Spectral, cells, kmeans, pixel_features
from studies.segment.options import Options

DEMONSTRATION = 60  # clusters


@dataclass(frozen=True)
class Divided:
    """Everything that was found for one image.

    `kmeans`, `spectral` and `cells` are by number of clusters; `chosen`, the numbers by method.
    """

    picture: Picture
    graph: csr_matrix
    eigenvalues: NDArray[np.float64]
    silhouettes: dict[int, list[float]]
    inertias: list[float]
    kmeans: dict[int, Segmentation]
    spectral: dict[int, Segmentation]
    cells: dict[int, Segmentation]
    chosen: dict[str, int]

    def results(self) -> list[Segmentation]:
        """Return what is compared: both methods as they were tuned, and as many cells."""
        spectral = self.chosen["spectral"]
        return [self.kmeans[self.chosen["k-means"]], self.spectral[spectral], self.cells[spectral]]

    def demonstration(self) -> Segmentation:
        """Return spectral clustering with the number of clusters of the demonstration."""
        return self.spectral[DEMONSTRATION]


def divide(picture: Picture, options: Options) -> Divided:
    """Segment one image by both methods with every number of clusters, and choose one of each."""
    pixels = pixel_features(picture, options.features)
    different = len(np.unique(pixels, axis=0))
    numbers = sorted({*options.candidates, *filter(None, [options.clusters])})
    few = [k for k in numbers if k <= different] or [2]
    many = [k for k in numbers if k <= len(pixels)]
    graph = pixel_graph(picture, options.seed)
    spectral = Spectral(picture, max(*many, DEMONSTRATION), options.seed)
    divisions = {k: spectral.divide(k) for k in sorted({*many, DEMONSTRATION})}
    blind = {k: cells(picture, k, options.seed) for k in many}
    meter = measures.Meter(picture)
    scores = measures.silhouettes(pixels, few, options.max_iter, options.seed)
    chosen = {
        "k-means": options.clusters or measures.fewest_as_good(scores),
        "spectral": options.clusters
        or measures.largest_margin(
            {k: meter.contrasts(divisions[k]) for k in many},
            {k: meter.contrasts(blind[k]) for k in many},
            int(connected_components(graph)[0]),
        ),
    }
    return Divided(
        picture,
        graph,
        spectral.values[0],
        scores,
        measures.inertias(pixels, chosen["k-means"], options.max_iter, options.seed),
        {k: kmeans(pixels, k, options.max_iter, options.seed) for k in few},
        divisions,
        blind,
        chosen,
    )
