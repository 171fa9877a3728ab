"""The numbers of a run, which summary.json holds and the answers quote."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from studies.latent_study.images import Images
from studies.latent_study.neighbours import NeighbourRates, neighbours, rate_neighbours
from studies.latent_study.planes import (
    GridMeasures,
    ModelMeasures,
    Plane,
    measure_grid,
    measure_model,
)
from studies.latent_study.training import Change, Networks, Run, loss_gap
from studies.shared.checks import Difference, paired
from studies.shared.measures import nearest_distance, pca_errors
from training import History

LATENTS = 2
FIRST = 1000  # test images; the assignment's number

Codes = tuple[Tensor, Tensor]
"""Latents of the training images, (N, 2), and of the test images, (M, 2)."""


@dataclass(frozen=True)
class Losses:
    """The rows of the history after the first and the last epoch."""

    first: dict[str, float]
    last: dict[str, float]


@dataclass(frozen=True)
class LowestLoss:
    """The lowest loss, and the epoch that it is from; the first epoch is 1."""

    epoch: int
    loss: float


@dataclass(frozen=True)
class ClassifierMeasures:
    """The last row of a classifier's history, its lowest test loss, and its size.

    `gap`: the difference of its test loss from its training loss, and the error of this.
    """

    last: dict[str, float]
    gap: Difference
    best: LowestLoss
    parameters: int


@dataclass(frozen=True)
class Improvement:
    """What changed in the second classifier, the last row of its history, and its size.

    `gain`: the difference of its test accuracy from the first one's, and the error of this.
    """

    change: Change
    gain: Difference
    last: dict[str, float]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """All numbers of a run.

    `losses` and `models` are by model (autoencoder, vae), `grids` by grid (also quantiles). `first`
    and `all` rate the nearest neighbours in the autoencoder's plane, for the first test images and
    for all; `vae_all` rates those in the VAE's. `real_distance`: mean distance of a test image to
    the nearest training image. `pca_mse`: squared error of two principal components, per pixel.
    """

    images: int
    held_out: int
    classes: tuple[str, ...]
    epochs: int
    beta: float
    attempts: int
    pca_mse: float
    real_distance: float
    losses: dict[str, Losses]
    models: dict[str, ModelMeasures]
    first: NeighbourRates
    all: NeighbourRates
    vae_all: NeighbourRates
    classifier: ClassifierMeasures
    improvement: Improvement
    grids: dict[str, GridMeasures]


def summarise(
    run: Run, networks: Networks, codes: dict[str, Codes], planes: dict[str, Plane]
) -> Summary:
    """Measure the networks; `codes` are by model, and `planes` by grid."""
    train, test = run.train, run.test
    known, held_out = train.vectors(), test.vectors()
    models, best = networks.with_latents(), networks.best_classifier()
    predicted = {name: neighbours(code, train) for name, code in codes.items()}
    pca = pca_errors(known, held_out, [LATENTS])[LATENTS]
    plain, improved = networks.classifier, networks.improved
    return Summary(
        images=len(train),
        held_out=len(test),
        classes=train.names,
        epochs=run.options.epochs,
        beta=run.options.beta,
        attempts=networks.attempts,
        pca_mse=float(pca.mean()),
        real_distance=nearest_distance(held_out, known),
        losses={
            name: Losses(trained.history[0], trained.history[-1])
            for name, trained in models.items()
        },
        models={
            name: measure_model(trained.model, train, test, codes[name], pca)
            for name, trained in models.items()
        },
        first=rate_neighbours(predicted["autoencoder"][:FIRST], train, test),
        all=rate_neighbours(predicted["autoencoder"], train, test),
        vae_all=rate_neighbours(predicted["vae"], train, test),
        classifier=ClassifierMeasures(
            plain.history[-1],
            loss_gap(plain.history[-1]),
            lowest_loss(plain.history),
            size(plain.model),
        ),
        improvement=Improvement(
            networks.change,
            paired(*(is_right(trained.model, test) for trained in (improved, plain))),
            improved.history[-1],
            size(improved.model),
        ),
        grids={
            name: measure_grid(plane, best, known, train.names) for name, plane in planes.items()
        },
    )


def is_right(classifier: nn.Module, images: Images) -> NDArray[np.float64]:
    """Return 1 for each image that is classified correctly, and 0 for each other: (N,)."""
    return (images.apply(classifier).argmax(dim=1) == images.labels).double().cpu().numpy()


def lowest_loss(history: History) -> LowestLoss:
    """Return the lowest test loss of a training."""
    losses = np.array([row["test_loss"] for row in history])
    return LowestLoss(int(losses.argmin()) + 1, float(losses.min()))


def size(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(p.numel() for p in model.parameters())
