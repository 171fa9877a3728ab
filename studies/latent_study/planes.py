"""Planes of two latents: the codes of images in them, and what a decoder draws over a grid."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor, nn

from studies.latent_study.images import Images, cropped
from studies.latent_study.training import Model
from studies.shared.checks import Difference, paired, standard_error
from studies.shared.measures import active_units, first_axis, nearest_distances

GRID = 15  # points along each latent
RECOGNISED = 0.9  # a decoded image is recognised if its class has a higher probability

Grid = tuple[NDArray, NDArray]
"""The values of each latent, (GRID,) each."""


@dataclass(frozen=True)
class Plane:
    """A grid in a plane, the decoded images (GRID, GRID, 32, 32), and codes in the plane (N, 2)."""

    grid: Grid
    images: Tensor
    codes: Tensor


@dataclass(frozen=True)
class ModelMeasures:
    """A model's squared errors per pixel, and where the training images lie in its plane.

    Pairs have a value for each latent. `clipped`: shares of images whose latent is 0. `occupied`:
    share of the cells of a grid that contain an image. `densest`: share of the images in the
    fullest tenth of the cells. `against_pca`: squared error of the test images, minus that of as
    many principal components.
    """

    train_mse: float
    test_mse: float
    range: list[tuple[float, float]]
    mean: list[float]
    deviation: list[float]
    clipped: list[float]
    clipped_both: float
    clipped_by_class: dict[str, float]
    occupied: float
    densest: float
    against_pca: Difference
    active_units: int
    first_axis: float


@dataclass(frozen=True)
class GridMeasures:
    """What a classifier sees in the decoded images of a grid, and how real they are.

    `recognised`: share of the cells with a class of high probability, also among the cells that
    contain codes and among the empty ones. `distance`: mean distance to the nearest training image.
    `classes`: cells in which each class is recognised. `left_to_right` and `bottom_to_top`: the
    likeliest classes along the middle of the grid; `ink_...`: mean brightness at both ends.
    """

    recognised: float
    recognised_occupied: float
    recognised_empty: float | None
    occupied: float
    distance: float
    distance_error: float
    classes: dict[str, int]
    left_to_right: list[str]
    bottom_to_top: list[str]
    ink_left_to_right: tuple[float, float]
    ink_bottom_to_top: tuple[float, float]


def by_range(z: Tensor) -> Grid:
    """Return equidistant values of each latent, from its minimum to its maximum."""
    low, high = z.min(dim=0).values.cpu().numpy(), z.max(dim=0).values.cpu().numpy()
    x, y = np.linspace(low, high, GRID).T
    return x, y


def by_quantiles() -> NDArray:
    """Divide N(0, 1) into `GRID` parts of equal probability, and return the middle of each."""
    return norm.ppf((np.arange(GRID) + 0.5) / GRID)


def make_plane(model: Model, codes: Tensor, grid: Grid) -> Plane:
    """Decode a grid in the plane of these codes."""
    return Plane(grid, decode_grid(model, grid, codes.device), codes)


@torch.no_grad()
def decode_grid(model: Model, grid: Grid, device: torch.device) -> Tensor:
    """Decode a grid of latents to (GRID, GRID, 32, 32) images, z2 along the first axis."""
    points = np.stack(np.meshgrid(*grid), axis=-1).reshape(-1, 2).astype(np.float32)
    images = model.decode(torch.from_numpy(points).to(device))[:, 0]
    return images.unflatten(0, (GRID, GRID))


def count_codes(grid: Grid, z: Tensor) -> NDArray:
    """Count the latents (N, 2) nearest to each point of a grid: (GRID, GRID), z2 first."""
    edges = [np.concatenate([[-np.inf], (v[1:] + v[:-1]) / 2, [np.inf]]) for v in grid]
    x, y = z.cpu().numpy().T
    return np.histogram2d(x, y, bins=edges)[0].T


def measure_model(
    model: Model, train: Images, test: Images, codes: tuple[Tensor, Tensor], pca: NDArray
) -> ModelMeasures:
    """Measure a model's latents and reconstructions; errors are per pixel of the 28 x 28.

    `pca`: the errors that principal components leave of the test images.
    """
    z = codes[0].cpu().numpy()
    clipped = (z == 0).any(axis=1)
    labels = train.labels.cpu().numpy()
    cells = count_codes(by_range(codes[0]), codes[0])

    def error(x: Tensor) -> Tensor:
        return cropped(model.decode(model.encode(x)) - x).square().mean(dim=(1, 2, 3))

    errors = test.apply(error).double().cpu().numpy()
    return ModelMeasures(
        train_mse=float(train.apply(error).mean()),
        test_mse=float(errors.mean()),
        range=[(float(z[:, i].min()), float(z[:, i].max())) for i in (0, 1)],
        mean=z.mean(axis=0).tolist(),
        deviation=z.std(axis=0).tolist(),
        clipped=[float((z[:, i] == 0).mean()) for i in (0, 1)],
        clipped_both=float((z == 0).all(axis=1).mean()),
        clipped_by_class={
            name: float(clipped[labels == label].mean()) for label, name in enumerate(train.names)
        },
        occupied=float((cells > 0).mean()),
        densest=float(np.sort(cells.ravel())[::-1][: cells.size // 10].sum() / len(z)),
        against_pca=paired(errors, pca),
        active_units=active_units(z),
        first_axis=first_axis(z),
    )


@torch.no_grad()
def measure_grid(
    plane: Plane, classifier: nn.Module, known: NDArray, names: tuple[str, ...]
) -> GridMeasures:
    """Measure the decoded images of a plane.

    `known`: training images, (N, 784); `names`: those of the classes.
    """
    logits = classifier(plane.images.flatten(0, 1)[:, None])
    probabilities = logits.softmax(dim=1).cpu().numpy()
    sure = (probabilities.max(axis=1) > RECOGNISED).reshape(GRID, GRID)
    seen = probabilities.argmax(axis=1).reshape(GRID, GRID)
    pictures = cropped(plane.images).cpu().numpy().reshape(GRID * GRID, -1)
    occupied = count_codes(plane.grid, plane.codes) > 0
    distances = nearest_distances(pictures, known)
    ink = pictures.reshape(GRID, GRID, -1).mean(axis=2)
    return GridMeasures(
        recognised=float(sure.mean()),
        recognised_occupied=float(sure[occupied].mean()),
        recognised_empty=float(sure[~occupied].mean()) if (~occupied).any() else None,
        occupied=float(occupied.mean()),
        distance=float(distances.mean()),
        distance_error=standard_error(distances),
        classes={name: int((sure & (seen == label)).sum()) for label, name in enumerate(names)},
        left_to_right=[names[seen[GRID // 2, i]] for i in range(GRID)],
        bottom_to_top=[names[seen[i, GRID // 2]] for i in range(GRID)],
        ink_left_to_right=(float(ink[:, 0].mean()), float(ink[:, -1].mean())),
        ink_bottom_to_top=(float(ink[0].mean()), float(ink[-1].mean())),
    )
