"""Classify test images by their nearest neighbour in a plane of latents, and rate the result."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from studies.latent_study.images import Images

LEVEL = 0.05  # significance level, for all classes together
PAIRS = 5  # pairs of classes that the answers may name


@dataclass(frozen=True)
class Rate:
    """The number of predictions, how many are right, their share, and its 95 % interval."""

    number: int
    right: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClassRate(Rate):
    """The rate of one class; `random`: by chance; `verdict`: better, worse, or as the rest."""

    random: float
    verdict: str


@dataclass(frozen=True)
class NeighbourRates(Rate):
    """The rate of all classes; `random`: by chance. See `rate_neighbours` and `overlaps`."""

    random: float
    classes: dict[str, ClassRate]
    confusion: list[list[int]]
    overlaps: dict[str, float]


def neighbours(codes: tuple[Tensor, Tensor], train: Images) -> NDArray[np.int64]:
    """Return the class of the nearest training image in the plane, for each test image.

    `codes`: latents of the training images, (N, 2), and of the test images, (M, 2).
    """
    z, z_test = (part.cpu().numpy() for part in codes)
    return KNeighborsClassifier(1).fit(z, train.labels.cpu().numpy()).predict(z_test)


def rate_neighbours(predicted: NDArray[np.int64], train: Images, test: Images) -> NeighbourRates:
    """Rate the predicted classes (N,) of the first N test images, overall and by class.

    Fisher's exact test, with Holm's correction, compares each class with the rest.
    """
    truth, count = test.labels.cpu().numpy()[: len(predicted)], len(train.names)
    right = predicted == truth
    shares = np.bincount(train.labels.cpu().numpy(), minlength=count) / len(train)
    parts = [(right[truth == label], right[truth != label]) for label in range(count)]
    tests = [
        fisher_exact([[own.sum(), (~own).sum()], [rest.sum(), (~rest).sum()]]).pvalue
        for own, rest in parts
    ]
    rates = {}
    for name, share, significant, (own, rest) in zip(
        train.names, shares, holm(tests), parts, strict=True
    ):
        difference = "better" if significant and own.mean() > rest.mean() else "worse"
        verdict = difference if significant else "as the rest"
        rates[name] = ClassRate(**vars(rate(own)), random=float(share), verdict=verdict)
    confusion = confusion_matrix(truth, predicted, labels=range(count))
    return NeighbourRates(
        **vars(rate(right)),
        random=float(shares[truth].mean()),
        classes=rates,
        confusion=confusion.tolist(),
        overlaps=overlaps(confusion, train.names),
    )


def rate(right: NDArray[np.bool_]) -> Rate:
    """Count the right predictions, with a 95 % interval of their share: Wilson (1927)."""
    if not len(right):
        return Rate(number=0, right=0, accuracy=0.0, interval=(0.0, 1.0))
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return Rate(
        number=len(right),
        right=int(right.sum()),
        accuracy=float(right.mean()),
        interval=(float(interval.low), float(interval.high)),
    )


def holm(probabilities: list[float]) -> list[bool]:
    """Find which of several tests are significant together: Holm (1979)."""
    order = np.argsort(probabilities)
    significant = [False] * len(probabilities)
    for rank, i in enumerate(order):
        if probabilities[i] > LEVEL / (len(probabilities) - rank):
            break
        significant[i] = True
    return significant


def overlaps(confusion: NDArray, names: tuple[str, ...]) -> dict[str, float]:
    """Return the pairs of classes that are confused most, and the share of their images that is."""
    counts = confusion.sum(axis=1)
    shares = {
        f"{names[i]} and {names[j]}": float(
            (confusion[i, j] + confusion[j, i]) / max(counts[i] + counts[j], 1)
        )
        for i in range(len(names))
        for j in range(i)
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1])[:PAIRS])
