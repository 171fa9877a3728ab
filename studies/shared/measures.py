"""Measures of images, of latents, and of a model's outputs, for the studies."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import laplace
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from data import ShuffledBatches
from models import residual_mlp
from studies.shared.checks import standard_error
from training import fit

ACTIVE = 0.01  # variance of an active unit's mean, at least: Burda et al. (arXiv 1509.00519), 5.2
CLASSIFIER_EPOCHS = 5
CLASSIFIER_RATE = 2e-3
CLASSIFIER_BATCH = 128
# Blocks per side whose means make a scale; None means the pixels themselves.
SCALES = {"overall colour": 1, "4 x 4 blocks": 4, "16 x 16 blocks": 16, "detail": None}
TINY = 1e-12  # in place of a 0 by which nothing can be divided
ROWS = 1024  # images per batch when a network is only evaluated


def pca_errors(
    train: NDArray, held_out: NDArray, components: Sequence[int]
) -> dict[int, NDArray[np.float64]]:
    """Return the squared error per pixel that principal components of `train` leave of `held_out`.

    Both are (N, D). The errors of the held-out images, (N,), are by number of components; all are
    used if there are fewer.
    """
    solver = "covariance_eigh" if len(train) > train.shape[1] else "full"
    with np.errstate(invalid="ignore"):  # for shares of variance, if there is no variance
        pca = PCA(min(max(components), *train.shape), svd_solver=solver).fit(train)
    codes = pca.transform(held_out)
    found = {}
    for count in components:
        recon = codes[:, :count] @ pca.components_[:count] + pca.mean_
        found[count] = np.square(recon - held_out).mean(axis=1, dtype=np.float64)
    return found


def pca_mse(train: NDArray, held_out: NDArray, components: int) -> float:
    """Return the mean of `pca_errors`."""
    return float(pca_errors(train, held_out, [components])[components].mean())


def sharpness(images: NDArray) -> float:
    """Return the mean squared Laplacian of (N, H, W) images in [0, 1], over their mean variance.

    Edges make it large, blur makes it small. The division compensates for faint images.
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """
    edges, variances = edges_and_variances(images)
    return float(edges.mean() / variances.mean())


def edges_and_variances(images: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean squared Laplacian and the variance of each of (N, H, W) images: (N,)."""
    edges = np.array([np.square(laplace(image)).mean() for image in images])
    return edges, images.var(axis=(1, 2), dtype=np.float64)


def relative_sharpness(
    images: tuple[NDArray, NDArray], real: tuple[NDArray, NDArray]
) -> dict[str, float]:
    """Compare the sharpness of images with that of real ones.

    Both are what `edges_and_variances` returns. "ratio", and its standard "error" by the delta
    method.
    """
    ratios, deviations = [], []
    for edges, variances in (images, real):
        means = max(edges.mean(), TINY), max(variances.mean(), TINY)
        ratios.append(means[0] / means[1])
        deviations.append(standard_error(edges / means[0] - variances / means[1]))
    ratio = float(ratios[0] / ratios[1])
    return {"ratio": ratio, "error": ratio * math.hypot(*deviations)}


def active_units(mu: NDArray) -> int:
    """Count the units whose means, (N, latent), depend on the image."""
    return int((mu.var(axis=0) > ACTIVE).sum())


def first_axis(codes: NDArray) -> float:
    """Return the share of the variance of codes, (N, latent), along their first principal axis."""
    if len(codes) < 2:
        return 0.0
    variances = np.linalg.eigvalsh(np.cov(codes, rowvar=False).reshape(codes.shape[1], -1))
    return float(variances[-1] / max(variances.sum(), TINY))


def per_image(
    loss: Callable[[Tensor, Tensor], Tensor], recon: Tensor, x: Tensor
) -> NDArray[np.float64]:
    """Return a loss that is a mean over images for each of (N, ...) images: (N,)."""
    pairs = zip(recon.split(1), x.split(1), strict=True)
    return np.array([float(loss(*pair)) for pair in pairs])


def squared_errors(recon: Tensor, x: Tensor) -> NDArray[np.float64]:
    """Return the squared error per pixel of each of (N, ...) images: (N,)."""
    return (recon - x).square().flatten(1).mean(dim=1).double().cpu().numpy()


def effective_classes(predicted: NDArray[np.int64], classes: int) -> float:
    """Return the exponential of the entropy of classes (N,): from 1, if all equal, to `classes`."""
    shares = np.bincount(predicted, minlength=classes) / len(predicted)
    return float(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))


def effective_classes_error(predicted: NDArray[np.int64], classes: int) -> float:
    """Return the standard error of `effective_classes`, by the delta method."""
    shares = np.bincount(predicted, minlength=classes) / len(predicted)
    surprise = -np.log(shares[predicted])
    return effective_classes(predicted, classes) * standard_error(surprise)


def train_classifier(x: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Train a small network to predict the classes, (N,), of images, (N, pixels)."""
    model = residual_mlp(x.shape[1], classes, width=256, blocks=1).to(x.device)
    batches = ShuffledBatches(len(x), CLASSIFIER_BATCH, torch.default_generator)
    optimizer = AdamW(model.parameters(), CLASSIFIER_RATE, fused=True)
    steps = CLASSIFIER_EPOCHS * len(batches)
    scheduler = OneCycleLR(optimizer, CLASSIFIER_RATE, total_steps=steps)

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(model(x[index]), labels[index])}

    print(f"classifier: {CLASSIFIER_EPOCHS} epochs of {len(batches)} steps", flush=True)
    fit(model, step, batches, optimizer, scheduler, epochs=CLASSIFIER_EPOCHS)
    return model


@torch.no_grad()
def class_probabilities(classifier: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """Return the probability of each class for each of (N, pixels) images: (N, classes)."""
    return torch.cat([classifier(rows).softmax(dim=1) for rows in x.split(ROWS)]).cpu().numpy()


def psnr(recon: Tensor, x: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each of (B, ...) images in [0, 1], in dB: (B,)."""
    return -10 * (recon - x).square().flatten(1).mean(dim=1).clamp(min=1e-10).log10()


@torch.no_grad()
def squared_error(reconstruct: Callable[[Tensor], Tensor], parts: Iterable[Tensor]) -> float:
    """Return the reconstructions' squared error per pixel; images come in parts, (B, ...) each."""
    errors = [(reconstruct(x) - x).square().flatten(1).mean(dim=1) for x in parts]
    return float(torch.cat(errors).mean())


def scale_energies(images: Tensor) -> Tensor:
    """Return the mean square of (B, C, H, W) images at each of `SCALES`, over the batch.

    Each scale is what the means over its blocks add to those of the coarser scale before it.
    """
    energies, coarser = [], torch.zeros_like(images)
    for blocks in SCALES.values():
        finer = images
        if blocks:
            means = functional.adaptive_avg_pool2d(images, blocks)
            finer = functional.interpolate(means, images.shape[2:])
        energies.append((finer - coarser).square().mean())
        coarser = finer
    return torch.stack(energies)


def mean_pairwise_distance(x: NDArray) -> float:
    """Return the root mean square difference per pixel over all pairs of (N, ...) images."""
    return float(np.sqrt(2 * x.reshape(len(x), -1).var(axis=0, ddof=1).mean()))


def pairwise_distance_error(x: NDArray) -> float:
    """Return the standard error of `mean_pairwise_distance`, by the delta method."""
    flat = x.reshape(len(x), -1)
    squared = np.square(flat - flat.mean(axis=0)).mean(axis=1, dtype=np.float64)
    return standard_error(squared) / math.sqrt(max(2 * squared.mean(), TINY))


def nearest_distances(x: NDArray, others: NDArray) -> NDArray[np.float64]:
    """Return the distance of each of (N, ...) images to the nearest of (M, ...) others: (N,).

    The distance of two images is their root mean square difference per pixel.
    """
    flat, rest = (part.reshape(len(part), -1) for part in (x, others))
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(rest)
    return nearest.kneighbors(flat)[0][:, 0] / np.sqrt(flat.shape[1])


def nearest_distance(x: NDArray, others: NDArray) -> float:
    """Return the mean of `nearest_distances`."""
    return float(nearest_distances(x, others).mean())
