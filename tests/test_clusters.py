import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor
from torch.nn import functional

from clusters import SMALL_SIDE, cluster, k_means, nearest, spectral_embedding, upright
from data import random_affine
from studies.demo_data.writers import enlarge
from tests.conftest import shapes


def generator() -> Generator:
    return Generator().manual_seed(0)


def rings(count: int) -> np.ndarray:
    """Return two rings, one inside the other, that no straight line separates."""
    noise = np.random.default_rng(0).normal(scale=0.05, size=(count, 2))
    angles = np.linspace(0, 4 * np.pi, count, endpoint=False)
    radii = np.where(np.arange(count) < count // 2, 1.0, 3.0)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1) + noise


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centre of mass of each image, (N, 2), and its slant in columns per row, (N,)."""
    pixels = images.double().numpy()
    v, u = np.mgrid[:28, :28] - 13.5
    mass = pixels.sum(axis=(1, 2))
    row, column = ((pixels * place).sum(axis=(1, 2)) / mass for place in (v, u))
    dv, du = v - row[:, None, None], u - column[:, None, None]
    slant = (pixels * dv * du).sum(axis=(1, 2)) / (pixels * dv**2).sum(axis=(1, 2))
    return torch.from_numpy(np.stack([row, column], axis=1)), torch.from_numpy(slant)


def test_upright_images_are_centred_and_have_no_slant() -> None:
    images = torch.from_numpy(shapes(60, 0)[0] / np.float32(255))
    moved = random_affine(images, generator())
    centres, slants = moments(moved)
    straight_centres, straight_slants = moments(upright(moved))
    assert centres.abs().mean() > 0.5
    assert straight_centres.abs().max() < 0.2
    assert straight_slants.abs().median() < slants.abs().median() / 5


def test_a_blank_image_stays_blank() -> None:
    images = torch.stack([torch.zeros(28, 28), torch.eye(28)])
    straight = upright(images)
    assert straight.isfinite().all()
    assert straight[0].abs().max() == 0


def test_the_nearest_are_those_of_scikit_learn() -> None:
    points = torch.rand(700, 5, generator=generator())
    expected = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    assert (nearest(points, 4) == torch.from_numpy(expected[:, :4])).float().mean() > 0.99


def test_the_embedding_spans_what_scipy_s_eigenvectors_do() -> None:
    points = torch.from_numpy(rings(300)).float()
    neighbours = nearest(points, 10)
    rows = np.repeat(np.arange(300), 10)
    graph = csr_matrix((np.ones(3000), (rows, neighbours.flatten())), shape=(300, 300))
    graph = graph + graph.T
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scaled = graph.multiply(1 / np.sqrt(np.outer(degree, degree)))
    _, vectors = eigsh(scaled.tocsr(), k=2, which="LA")
    expected = functional.normalize(torch.from_numpy(vectors / np.sqrt(degree)[:, None]), dim=1)
    found = spectral_embedding(neighbours, 2, generator())
    torch.testing.assert_close(found @ found.T, expected @ expected.T, atol=1e-4, rtol=0)


def test_clusters_need_not_be_parted_by_a_line() -> None:
    points = torch.from_numpy(rings(300)).float()
    found = k_means(spectral_embedding(nearest(points, 10), 2, generator()), 2, generator())
    assert adjusted_rand_score(np.arange(300) < 150, found) == 1


def test_k_means_is_as_good_as_scikit_learn_s() -> None:
    points = torch.rand(400, 3, generator=generator(), dtype=torch.float64)
    found = k_means(points, 5, generator())
    means = torch.stack([points[found == k].mean(dim=0) for k in range(5)])
    spread = (points - means[found]).square().sum().item()
    assert spread < 1.02 * KMeans(5, n_init=10, random_state=0).fit(points.numpy()).inertia_


@pytest.mark.parametrize("digits", [(1, 4, 8), (0, 4, 6), (3, 5, 8), (3, 5), (0, 1, 2, 3, 4)])
def test_clusters_of_written_digits_are_the_digits(digits: tuple[int, ...]) -> None:
    source = load_digits()
    chosen = np.isin(source.target, digits)
    images = torch.from_numpy(enlarge(source.images[chosen]) / np.float32(255))
    assert adjusted_rand_score(source.target[chosen], cluster(images, len(digits))) > 0.9


def test_the_same_images_have_the_same_clusters() -> None:
    images = torch.from_numpy(shapes(90, 0)[0] / np.float32(255))
    assert torch.equal(cluster(images, 3), cluster(images, 3))
    assert adjusted_rand_score(shapes(90, 0)[1], cluster(images, 3)) == 1


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_few_images_and_equal_ones_get_clusters(count: int) -> None:
    images = torch.rand(1, 28, 28, generator=generator()).expand(count, 28, 28)
    found = cluster(images.contiguous(), 2)
    assert found.shape == (count,)
    assert set(found.tolist()) <= {0, 1}
    assert SMALL_SIDE < 28
