"""Numbers and sentences on how separate the clusters of a mixture are, and how Gaussian.

The sentences depend on the numbers: other numbers give other sentences.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from gmm import GaussianMixture

SILHOUETTE_POINTS = 4000  # its distance matrix grows with the square of their number
DRAWS = 200_000  # samples from the mixture, for its error rate
SIGMAS = (1, 2, 3)

SEPARATED = 0.5  # a silhouette from which structure is considered real: Rousseeuw (1987)
OVERLAPPING = 0.02  # expected share of points assigned to a component they are not from
NORMAL = 0.05  # largest deviation of the share of points within 1, 2 or 3 sigma


@dataclass(frozen=True)
class Separation:
    """Measures of how separate the clusters of a mixture are, and how Gaussian.

    `silhouette`: mean over points. `within`: share of each component's points within 1, 2 and 3
    sigma of its mean, (K, 3). `expected`: the same shares of a two-dimensional Gaussian, (3,).
    `bhattacharyya`: coefficient of each pair of components, 1 for equal ones, (K, K). `errors`:
    share of points drawn from the mixture that it assigns to another component.
    """

    silhouette: float
    within: NDArray[np.float64]
    expected: NDArray[np.float64]
    bhattacharyya: NDArray[np.float64]
    errors: float


def bhattacharyya_coefficients(mixture: GaussianMixture) -> NDArray[np.float64]:
    """Return the coefficient of each pair of components: (K, K). Bhattacharyya (1943)."""
    k = len(mixture.means_)
    coefficients = np.ones((k, k))
    for i in range(k):
        for j in range(k):
            mean = (mixture.covariances_[i] + mixture.covariances_[j]) / 2
            shift = mixture.means_[i] - mixture.means_[j]
            dets = np.linalg.slogdet([mean, mixture.covariances_[i], mixture.covariances_[j]])[1]
            distance = shift @ np.linalg.solve(mean, shift) / 8
            distance += (dets[0] - (dets[1] + dets[2]) / 2) / 2
            coefficients[i, j] = np.exp(-distance)
    return coefficients


def shares_within(mixture: GaussianMixture, z: NDArray, components: NDArray) -> NDArray[np.float64]:
    """Return each component's share of own points within 1, 2 and 3 sigma of its mean: (K, 3)."""
    shares = np.zeros((len(mixture.means_), len(SIGMAS)))
    for k, (mean, covariance) in enumerate(zip(mixture.means_, mixture.covariances_, strict=True)):
        centred = z[components == k] - mean
        if len(centred):
            distance = np.sqrt((centred * np.linalg.solve(covariance, centred.T).T).sum(axis=1))
            shares[k] = [(distance < sigma).mean() for sigma in SIGMAS]
    return shares


def measure(mixture: GaussianMixture, z: NDArray) -> Separation:
    """Measure a mixture over (N, 2) latents, with random samples from a fixed seed."""
    generator = np.random.default_rng(0)
    components = mixture.predict(z)
    chosen = generator.permutation(len(z))[:SILHOUETTE_POINTS]
    several = len(np.unique(components[chosen])) > 1
    silhouette = silhouette_score(z[chosen], components[chosen]) if several else 0.0
    drawn, origin = mixture.sample(DRAWS, generator)
    return Separation(
        silhouette=float(silhouette),
        within=shares_within(mixture, z, components),
        expected=1 - np.exp(-np.square(SIGMAS) / 2),
        bhattacharyya=bhattacharyya_coefficients(mixture),
        errors=float(np.mean(mixture.predict(drawn) != origin)),
    )


def cluster_text(found: Separation, labels: NDArray) -> str:
    """Describe whether the clusters are separate, and whether they are Gaussian."""
    apart = found.silhouette >= SEPARATED
    deviation = np.abs(found.within - found.expected)
    worst, sigma = np.unravel_index(deviation.argmax(), deviation.shape)
    normal = deviation.max() <= NORMAL
    rows = "; ".join(
        f"digit {label}: {', '.join(f'{share:.0%}' for share in shares)}"
        for label, shares in zip(labels, found.within, strict=True)
    )
    return (
        f"The {len(labels)} clusters are {'well' if apart else 'not clearly'} separated: the mean "
        f"silhouette of the training latents is {found.silhouette:.2f} (1 is the best value; at "
        f"{SEPARATED:g} and above, clusters count as real). For a two-dimensional Gaussian, "
        f"{', '.join(f'{share:.0%}' for share in found.expected)} of the points are within 1, 2 "
        f"and 3 sigma; here {rows}. Each cluster {'is' if normal else 'is not quite'} like a "
        f"Gaussian: the largest deviation, {deviation.max():.0%}, is that of digit "
        f"{labels[worst]} at {SIGMAS[sigma]} sigma."
    )


def overlap_text(found: Separation, labels: NDArray) -> str:
    """Describe whether the mixture's components overlap, and what errors that would cause."""
    pairs = [(i, j) for i in range(len(labels)) for j in range(i)]
    nearest = max(pairs, key=lambda pair: found.bhattacharyya[pair])
    overlap = found.errors > OVERLAPPING
    values = ", ".join(
        f"{labels[j]} and {labels[i]}: {found.bhattacharyya[i, j]:.3f}" for i, j in pairs
    )
    return (
        f"The components {'overlap' if overlap else 'hardly overlap'}. Bhattacharyya coefficients "
        f"(0: no overlap, 1: the same): {values}; the digits {labels[nearest[1]]} and "
        f"{labels[nearest[0]]} are closest to each other. Of {DRAWS:,} points sampled from the "
        f"mixture, it would assign {found.errors:.2%} to the wrong component: "
        f"{'expect errors where they meet' if overlap else 'the overlap costs little'}."
    )
