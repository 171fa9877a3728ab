"""The mixture as a classifier: a component for each class of a few labelled images."""

import numpy as np

from gmm import GaussianMixture


def fit_mixture(
    z: np.ndarray, val_z: np.ndarray, val_labels: np.ndarray
) -> tuple[GaussianMixture, np.ndarray]:
    """Fit a mixture to (N, 2) latents; return it and the label of each component, (K,).

    EM starts from the class means of the validation latents. Of all ways to assign classes to
    components, the one that makes the validation labels most likely is used.
    """
    classes, indices = np.unique(val_labels, return_inverse=True)
    means = np.stack([val_z[val_labels == label].mean(axis=0) for label in classes])
    mixture = GaussianMixture(len(classes)).fit(z, means)
    log_posterior = np.log(mixture.predict_proba(val_z) + 1e-12)
    # Log-likelihood of the labels of class j if component k has class j: (classes, components).
    rewards = np.stack([log_posterior[indices == j].sum(axis=0) for j in range(len(classes))])
    return mixture, classes[np.argsort(best_assignment(rewards))]


def best_assignment(rewards: np.ndarray) -> tuple[int, ...]:
    """Return a different column for each row of (K, K) rewards, with the highest total.

    This is dynamic programming over the sets of columns that the first rows can have.
    """
    best: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {frozenset(): (0.0, ())}
    for row in rewards:
        longer: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {}
        for taken, (total, columns) in best.items():
            for column in set(range(len(row))) - taken:
                offer = (total + float(row[column]), (*columns, column))
                key = taken | {column}
                longer[key] = max(longer.get(key, offer), offer)
        best = longer
    return max(best.values())[1]
