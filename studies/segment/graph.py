"""The graph of an image's adjacent pixels, and the eigenvectors that divide it.

Shi and Malik, "Normalized Cuts and Image Segmentation" (PAMI 2000).
"""

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import eigsh
from sklearn.feature_extraction.image import img_to_graph

from studies.segment.images import Picture

SMALL_PART = 1000  # pixels; up to this, all eigenvectors are found at once
ZERO = 1e-9  # below it, an eigenvalue is 0
PATCH = 5  # pixels per side, at most, of the part whose graph is shown


def pixel_graph(picture: Picture, seed: int) -> csr_matrix:
    """Return affinities of the subject's adjacent pixels, (N, N): exp(-|difference| / deviation).

    A little noise prevents a singular problem if pixels have exactly equal grey.
    """
    generator = np.random.default_rng(seed)
    noise = 1 / 255 + 0.2 / 255 * generator.random(picture.grey.shape)
    graph = img_to_graph(picture.grey + noise, mask=picture.mask)
    graph.data = np.exp(-graph.data / (graph.data.std() or 1.0))
    return csr_matrix(graph)


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


def patch(picture: Picture, graph: csr_matrix) -> tuple[NDArray, NDArray, NDArray]:
    """Return the busiest square with most of the subject, and the weights of its edges.

    Greys (PATCH, PATCH); weights to the right (PATCH, PATCH - 1) and down (PATCH - 1, PATCH), NaN
    where there is no edge. Smaller if the image is.
    """
    height, width = (min(PATCH, side) for side in picture.mask.shape)
    windows = sliding_window_view(picture.mask, (height, width)).sum(axis=(2, 3))
    change = sliding_window_view(picture.grey, (height, width)).std(axis=(2, 3))
    row, column = np.unravel_index((windows + change).argmax(), windows.shape)
    place = slice(row, row + height), slice(column, column + width)
    number = picture.in_place(np.arange(picture.mask.sum()))[place]

    def weight(a: int, b: int) -> float:
        return graph[a, b] if min(a, b) >= 0 else np.nan

    right = np.array([[weight(a, b) for a, b in pairwise(line)] for line in number])
    down = np.array([[weight(a, b) for a, b in pairwise(line)] for line in number.T]).T
    return picture.grey[place], right, down
