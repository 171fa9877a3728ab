"""Divide images into clusters without labels, by spectral clustering of a neighbour graph.

Shi and Malik, "Normalized Cuts and Image Segmentation" (2000); Ng, Jordan and Weiss, "On Spectral
Clustering" (2001). Images are made upright first, so that the neighbours of a slanted 1 are 1s.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from inference import squared_distances

SMALL_SIDE = 14  # pixels per side of the images that are compared
SIZE_SHARE = 0.5  # share of the differences in width and height that is removed
MOST_SLANT = 0.8  # columns per row
NEIGHBOURS = 10  # of an image, not counting itself
GRAPH_ROWS = 512  # rows of a distance matrix at a time
SPARE = 1  # eigenvectors beyond one per cluster: the weakest cut is not always between clusters
EXTRA = 20  # vectors in the iteration beyond the eigenvectors, which make it converge faster
ITERATIONS = 300
STARTS = 10  # of k-means; the best one counts
LLOYD_STEPS = 100  # of k-means, at most


def upright(images: Tensor) -> Tensor:
    """Centre (N, S, S) images, and remove their slant and half of the differences in their sizes.

    This uses the moments of their ink. LeCun et al., "Gradient-Based Learning Applied to Document
    Recognition" (1998), deslant digits in the same way.
    """
    count, side, _ = images.shape
    place = torch.arange(side, device=images.device) - (side - 1) / 2
    ink = images / images.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    by_row, by_column = ink.sum(dim=2), ink.sum(dim=1)
    row, column = by_row @ place, by_column @ place
    rows = by_row @ place.square() - row.square()
    columns = by_column @ place.square() - column.square()
    both = torch.einsum("nij,i,j->n", ink, place, place) - row * column
    slant = (both / rows.clamp(min=1e-3)).clamp(-MOST_SLANT, MOST_SLANT)
    width = (columns - slant * both).clamp(min=1e-3).sqrt()
    height = rows.clamp(min=1e-3).sqrt()
    wide, high = ((size / size.mean()).clamp(0.4, 2.0) ** SIZE_SHARE for size in (width, height))
    matrix = images.new_zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1] = wide, slant * high, high
    matrix[:, 0, 2], matrix[:, 1, 2] = 2 * column / side, 2 * row / side
    grid = functional.affine_grid(matrix, [count, 1, side, side], align_corners=False)
    return functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def nearest(points: Tensor, count: int) -> Tensor:
    """Return the indices of the other points nearest to each of (N, d) points: (N, count)."""
    found = []
    for rows in torch.arange(len(points), device=points.device).split(GRAPH_ROWS):
        distances = squared_distances(points[rows], points)
        distances[torch.arange(len(rows), device=points.device), rows] = math.inf
        found.append(distances.topk(count, largest=False).indices)
    return torch.cat(found)


def spectral_embedding(neighbours: Tensor, dimensions: int, generator: Generator) -> Tensor:
    """Return unit vectors, (N, dimensions), that are alike for well connected images.

    They are made from the first eigenvectors of the graph's normalised adjacency matrix, found by
    subspace iteration in float64. `neighbours`: (N, k) indices.
    """
    count, k = neighbours.shape
    device = neighbours.device
    rows = torch.arange(count, device=device).repeat_interleave(k)
    edges = torch.stack([rows, neighbours.flatten()])
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    degree = torch.bincount(edges[0], minlength=count).double()
    weights = (degree[edges[0]] * degree[edges[1]]).rsqrt()
    graph = torch.sparse_coo_tensor(
        edges, weights, (count, count), check_invariants=True
    ).coalesce()
    width = min(count, dimensions + EXTRA)
    start = torch.rand(count, width, generator=generator, device=device, dtype=torch.float64)
    basis = torch.linalg.qr(start).Q
    for _ in range(ITERATIONS):
        # Adding the identity makes the largest eigenvalues the largest in magnitude, too.
        basis = torch.linalg.qr(graph @ basis + basis).Q
    vectors = torch.linalg.eigh(basis.T @ (graph @ basis)).eigenvectors.flip(1)
    embedded = (basis @ vectors[:, :dimensions]) / degree.sqrt()[:, None]
    return functional.normalize(embedded, dim=1)


def k_means(points: Tensor, k: int, generator: Generator) -> Tensor:
    """Divide (N, d) points into k clusters, (N,), by the best of several k-means++ starts.

    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (2007).
    """
    tries = [lloyd(points, seeds(points, k, generator)) for _ in range(STARTS)]
    return min(tries, key=lambda found: found[1])[0]


def seeds(points: Tensor, k: int, generator: Generator) -> Tensor:
    """Draw k of (N, d) points, preferring points far from those already drawn: (k, d)."""
    means = points[torch.randint(len(points), (1,), generator=generator)]
    while len(means) < k:
        distances = torch.cdist(points, means).square().amin(dim=1) + 1e-12
        means = torch.cat([means, points[distances.multinomial(1, generator=generator)]])
    return means


def lloyd(points: Tensor, means: Tensor) -> tuple[Tensor, float]:
    """Return the clusters, (N,), that k-means reaches from `means`, and their squared spread."""
    clusters = torch.full((len(points),), -1)
    for _ in range(LLOYD_STEPS):
        distances, nearest_mean = torch.cdist(points, means).square().min(dim=1)
        if torch.equal(nearest_mean, clusters):
            break
        clusters = nearest_mean
        members = functional.one_hot(clusters, len(means)).to(points.dtype)
        sizes = members.sum(dim=0)[:, None]
        means = torch.where(sizes > 0, members.T @ points / sizes.clamp(min=1), means)
    return clusters, distances.sum().item()


def cluster(images: Tensor, k: int) -> Tensor:
    """Divide (N, 28, 28) images into k clusters of neighbours: (N,) in 0 to k - 1, on the CPU."""
    generator, images = Generator().manual_seed(0), images.cpu()
    small = functional.adaptive_avg_pool2d(upright(images)[:, None], SMALL_SIDE).flatten(1)
    neighbours = nearest(small, min(NEIGHBOURS, len(small) - 1))
    embedded = spectral_embedding(neighbours, min(k + SPARE, len(small)), generator)
    return k_means(embedded, k, generator)
