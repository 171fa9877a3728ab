"""The functions that the assignment requires, with its names and arguments."""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torch import Tensor

import figures
from inference import decode, reconstruct
from models import VAE


def show_reconstruction(
    model: VAE, val_loader: Iterable[tuple[Tensor, Tensor]], n: int = 10
) -> Figure:
    """Plot the first `n` images of a loader's first batch, above their reconstructions."""
    data, _ = next(iter(val_loader))
    images = data[:n].reshape(-1, 28, 28).cpu().numpy()
    return figures.reconstruction_rows(images, reconstruct(model, images), columns=n)


def plot_2d_manifold(
    vae: VAE,
    latent_dim: int = 2,
    n: int = 20,
    digit_size: int = 28,
    device: torch.device | str = "cpu",
) -> Figure:
    """Plot `n` x `n` decoded latents, at the normal quantiles 0.05 to 0.95 of both axes."""
    if latent_dim != 2:
        raise ValueError(f"latent_dim {latent_dim}; expected 2, the axes of a picture")
    images = decode(vae.to(device).eval(), manifold_latents(n))
    quantiles = normal_quantiles(n)
    return figures.manifold(images.reshape(n, n, digit_size, digit_size), quantiles, quantiles)


def normal_quantiles(n: int) -> np.ndarray:
    """Return quantiles of the standard normal, from 0.05 to 0.95: (n,)."""
    return np.array([NormalDist().inv_cdf(p) for p in np.linspace(0.05, 0.95, n)])


def manifold_latents(n: int) -> np.ndarray:
    """Return `n` x `n` latents at normal quantiles, in the manifold's row order: (n * n, 2)."""
    x, y = np.meshgrid(normal_quantiles(n), normal_quantiles(n))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def evaluate_gmm_performance(labels_true: ArrayLike, labels_pred: ArrayLike) -> dict[str, float]:
    """Return accuracy and macro precision, recall and F1 of (N,) labels, as in scikit-learn."""
    macro = precision_recall_fscore_support(
        labels_true, labels_pred, average="macro", zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(labels_true, labels_pred)),
        **dict(
            zip(("precision_macro", "recall_macro", "f1_macro"), map(float, macro), strict=False)
        ),
    }
