"""How long EM takes compared with scikit-learn's, from the same start to the same tolerance.

python -m benchmarks.mixture: fits three overlapping Gaussians in the plane, alternating, with one
NumPy thread pool for both. It reports the median time of each, their ratio, and the difference
between the mean log-likelihoods that they reach.
"""

import statistics
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Reference

from benchmarks.common import save
from gmm import GaussianMixture

ROUNDS = 5
ITERATIONS = 30  # at most; on the larger set, neither has converged by then


def points(n: int) -> np.ndarray:
    """Return `n` samples from three Gaussians: (n, 2)."""
    generator = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [3.0, 1.0], [-2.0, 3.0]])[generator.integers(0, 3, n)]
    return means + generator.normal(size=(n, 2)) @ np.array([[1.0, 0.3], [0.0, 0.8]])


def measure(n: int) -> dict[str, float]:
    x = points(n)
    means = np.array([[0.5, 0.5], [3.5, 1.5], [-1.5, 3.5]])
    weights, covariances = np.full(3, 1 / 3), np.stack([2 * np.eye(2)] * 3)
    reference = Reference(
        3,
        tol=1e-6,
        max_iter=ITERATIONS,
        init_params="random_from_data",  # the cheapest; the start below replaces its result
        means_init=means,
        weights_init=weights,
        precisions_init=np.linalg.inv(covariances),
        reg_covar=1e-6 * x.var(axis=0).mean(),
    )
    ours = GaussianMixture(3, tol=1e-6, max_iter=ITERATIONS)
    own_seconds, reference_seconds = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ours.fit(x, means, covariances, weights)
        own_seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            reference.fit(x)
        reference_seconds.append(time.perf_counter() - started)
    own, other = statistics.median(own_seconds), statistics.median(reference_seconds)
    difference = abs(ours.score_samples(x).mean() - reference.score(x))
    return {
        "seconds": own,
        "scikit_learn_seconds": other,
        "ratio": other / own,
        "log_likelihood_difference": float(difference),
    }


def main() -> None:
    results = {}
    for n in (14_748, 1_000_000):
        row = results[str(n)] = measure(n)
        print(
            f"{n:>9,} x 2: {row['seconds']:.3f} s, "
            f"scikit-learn {row['scikit_learn_seconds']:.3f} s, "
            f"{row['ratio']:.1f} times; difference {row['log_likelihood_difference']:.1e}"
        )
    save("mixture", results)


if __name__ == "__main__":
    main()
