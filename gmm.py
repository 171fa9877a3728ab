"""A Gaussian mixture with full covariances, fitted by expectation-maximisation. NumPy only.

Dempster, Laird and Rubin (1977); Bishop, "Pattern Recognition and Machine Learning", section 9.2.
Everything is computed in float64, from differences from the means, in log space.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Past this squared distance a density is 0 in any arithmetic; the cap keeps its logarithm finite.
FARTHEST = 1e300
PARTS = ("weights", "means", "covariances")
CHUNK_POINTS = 8192  # at a time: an iteration's other arrays then stay in the cache
TINY = 10 * np.finfo(np.float64).eps  # a component with no more points than this keeps its shape


def as_points(x: ArrayLike) -> Array:
    """Return `x` as finite float64, (N, d) with N, d >= 1. Raises ValueError for anything else."""
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or points.size == 0:
        raise ValueError(f"points of shape {points.shape}; expected (N, d), neither of them 0")
    if not np.isfinite(points).all():
        raise ValueError("points that are NaN or infinite; expected finite numbers")
    return points


def normalise(log_joint: Array) -> tuple[Array, Array]:
    """Return log-likelihoods, (N,), and responsibilities, (K, N), from joint logs, (K, N)."""
    highest = log_joint.max(axis=0)
    joint = np.exp(log_joint - highest)
    total = joint.sum(axis=0)
    return highest + np.log(total), joint / total


def spread_about_nearest(x: Array, means: Array) -> Array:
    """Return the covariance of (N, d) points about the nearest of the (K, d) means: (d, d)."""
    distance = np.stack([np.square(x - mean).sum(axis=1) for mean in means])
    centred = x - means[distance.argmin(axis=0)]
    return centred.T @ centred / len(x)


class Moments:
    """What the M-step needs to know of the points, each counted by its responsibilities.

    `counts` (K,), `means` (K, d), and `scatters` (K, d, d) about these means. Chunks of points are
    combined as in Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance" (1983):
    in one pass, but still from differences.
    """

    def __init__(self, components: int, d: int) -> None:
        self.counts = np.zeros(components)
        self.means = np.zeros((components, d))
        self.scatters = np.zeros((components, d, d))

    def add(self, columns: Array, responsibilities: Array) -> None:
        """Add (d, N) points with their responsibilities, (K, N)."""
        counts = responsibilities.sum(axis=1)
        for k in np.flatnonzero(counts > TINY):
            mean = columns @ (responsibilities[k] / counts[k])
            centred = columns - mean[:, None]
            shift = mean - self.means[k]
            before, self.counts[k] = self.counts[k], self.counts[k] + counts[k]
            self.means[k] += shift * (counts[k] / self.counts[k])
            self.scatters[k] += (centred * responsibilities[k]) @ centred.T
            self.scatters[k] += np.outer(shift, shift) * (before * counts[k] / self.counts[k])


class GaussianMixture:
    """K Gaussians with full covariances.

    `reg_covar` times the data's mean variance is added to the diagonal of every covariance, so that
    the covariance of a component on identical points stays positive definite. EM stops once the
    mean log-likelihood of a point changes by less than `tol`, or after `max_iter` iterations.

    Fitted attributes: `weights_` (K,), `means_` (K, d), `covariances_` (K, d, d), `converged_`, and
    `log_likelihood_`, the mean over the points at each iteration in nats.
    """

    means_: Array
    covariances_: Array
    log_likelihood_: list[float]

    def __init__(
        self, n_components: int, *, reg_covar: float = 1e-6, tol: float = 1e-6, max_iter: int = 500
    ) -> None:
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self,
        x: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Self:
        """Run EM on (N, d) points from the given start.

        `means`: (K, d). `covariances`: (K, d, d), by default the covariance of the points about
        their nearest mean, the same for every component. `weights`: (K,), by default equal.

        A component that loses all its points keeps its mean and covariance, with a weight near 0.
        Raises ValueError if shapes do not match or values are impossible for a mixture.
        """
        points = as_points(x)
        variance = points.var(axis=0).mean()
        if not np.isfinite(variance):
            raise ValueError("points whose variance overflows; expected smaller values")
        floor = self.reg_covar * (variance or 1.0) * np.eye(points.shape[1])
        means = as_points(means)
        if means.shape != (self.n_components, points.shape[1]):
            expected = (self.n_components, points.shape[1])
            raise ValueError(f"means of shape {means.shape}; expected {expected}")
        if covariances is None:
            covariances = np.stack([spread_about_nearest(points, means) + floor] * len(means))
        if weights is None:
            weights = np.full(len(means), 1 / len(means))
        self._set(weights, means, covariances)

        self.converged_, self.log_likelihood_ = False, []
        columns = np.ascontiguousarray(points.T)
        previous = -np.inf
        while not self.converged_ and len(self.log_likelihood_) < self.max_iter:
            mean = self._iterate(columns, floor)
            self.log_likelihood_.append(mean)
            self.converged_ = abs(mean - previous) < self.tol
            previous = mean
        return self

    def _iterate(self, columns: Array, floor: Array) -> float:
        """Run one iteration of EM on (d, N) points; return their mean log-likelihood before it."""
        moments = Moments(self.n_components, len(columns))
        total = 0.0
        for start in range(0, columns.shape[1], CHUNK_POINTS):
            chunk = columns[:, start : start + CHUNK_POINTS]
            log_likelihood, responsibilities = self._e_step(chunk)
            moments.add(chunk, responsibilities)
            total += log_likelihood.sum()
        self._m_step(moments, floor)
        return float(total / columns.shape[1])

    def _e_step(self, columns: Array) -> tuple[Array, Array]:
        """Return log-likelihoods, (N,), and responsibilities, (K, N), of (d, N) points."""
        return normalise(self._log_joint(columns))

    def _m_step(self, moments: Moments, floor: Array) -> None:
        """Set weights, means and covariances to those of the points, weighted by responsibility."""
        full = moments.counts > TINY
        self.means_[full] = moments.means[full]
        self.covariances_[full] = moments.scatters[full] / moments.counts[full, None, None] + floor
        self.weights_ = (moments.counts + TINY) / (moments.counts + TINY).sum()

    def _log_joint(self, columns: Array) -> Array:
        """Return the log of weight times density of (d, N) points in each component: (K, N)."""
        d = len(columns)
        log_joint = np.empty((self.n_components, columns.shape[1]))
        factors = np.linalg.cholesky(self.covariances_)
        for k, factor in enumerate(factors):
            with np.errstate(over="ignore", invalid="ignore"):
                whitened = np.linalg.inv(factor) @ (columns - self.means_[k, :, None])
                distance = np.fmin(np.square(whitened, out=whitened).sum(axis=0), FARTHEST)
            log_determinant = 2 * np.log(np.diagonal(factor)).sum()
            constant = np.log(self.weights_[k]) - 0.5 * (d * np.log(2 * np.pi) + log_determinant)
            np.multiply(distance, -0.5, out=log_joint[k])
            log_joint[k] += constant
        return log_joint

    def _set(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> None:
        self.weights_ = np.array(weights, dtype=np.float64)
        self.means_ = np.array(means, dtype=np.float64)
        self.covariances_ = np.array(covariances, dtype=np.float64)
        k, d = self.n_components, self.means_.shape[-1] if self.means_.ndim else 0
        for name, shape in zip(PARTS, ((k,), (k, d), (k, d, d)), strict=True):
            array = getattr(self, f"{name}_")
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape}; expected finite {shape}")
        if self.weights_.min() <= 0 or abs(self.weights_.sum() - 1) > 1e-6:
            raise ValueError(f"weights {self.weights_}; expected positive ones that add up to 1")
        if np.linalg.eigvalsh(self.covariances_).min() <= 0:
            raise ValueError("a covariance that is not positive definite")

    def _columns(self, x: ArrayLike) -> Array:
        """Return (N, d) points of the mixture's own dimension as (d, N). Raises ValueError."""
        points = as_points(x)
        if points.shape[1] != self.means_.shape[1]:
            expected = f"(N, {self.means_.shape[1]})"
            raise ValueError(f"points of shape {points.shape}; expected {expected}")
        return points.T

    def score_samples(self, x: ArrayLike) -> Array:
        """Return the log density of each of (N, d) points, in nats: (N,)."""
        return self._e_step(self._columns(x))[0]

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return the responsibilities, the posterior probability of each component: (N, K)."""
        return self._e_step(self._columns(x))[1].T

    def predict(self, x: ArrayLike) -> NDArray[np.intp]:
        """Return the component with the highest posterior probability, weights included: (N,)."""
        return self._log_joint(self._columns(x)).argmax(axis=0)

    def sample(self, n: int, generator: np.random.Generator) -> tuple[Array, NDArray[np.intp]]:
        """Draw `n` points from the mixture; return them, (n, d), and their components, (n,)."""
        components = generator.choice(self.n_components, size=n, p=self.weights_)
        standard = generator.standard_normal((n, self.means_.shape[1], 1))
        factors = np.linalg.cholesky(self.covariances_)[components]
        return self.means_[components] + (factors @ standard)[:, :, 0], components

    def bic(self, x: ArrayLike) -> float:
        """Return the Bayesian information criterion on (N, d) points (Schwarz, 1978).

        Lower is better.
        """
        scores = self.score_samples(x)
        return float(self._n_parameters() * np.log(len(scores)) - 2 * scores.sum())

    def aic(self, x: ArrayLike) -> float:
        """Return Akaike's information criterion on (N, d) points (Akaike, 1974).

        Lower is better.
        """
        return float(2 * self._n_parameters() - 2 * self.score_samples(x).sum())

    def _n_parameters(self) -> int:
        k, d = self.means_.shape
        return (k - 1) + k * d + k * d * (d + 1) // 2

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` needs to make this mixture again: nested lists of numbers."""
        return {name: getattr(self, f"{name}_").tolist() for name in PARTS}

    @classmethod
    def from_dict(cls, parameters: Mapping[str, Any]) -> Self:
        """Make the mixture that `to_dict` described; other keys are ignored.

        Raises ValueError if an entry is missing or its values are not those of a mixture.
        """
        parts: list[Any] = [parameters.get(name) for name in PARTS]
        for name, part in zip(PARTS, parts, strict=True):
            numbers, depth = part, 0
            while isinstance(numbers, list) and numbers:
                numbers, depth = numbers[0], depth + 1
            # Lists that contain each other could expand to more numbers than fit in memory.
            if not isinstance(numbers, float) or not 1 <= depth <= 3:
                raise ValueError(f"no lists of numbers called {name}")
        mixture = cls(len(parts[0]))
        mixture._set(*parts)
        return mixture
