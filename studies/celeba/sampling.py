"""Faces that a trained model generates: from the prior, and from a Gaussian fitted to codes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.distributions.kl import kl_divergence

from studies.celeba.networks import VAE
from studies.shared.image_cache import ROWS, in_parts
from training import History

FITTED = 5000  # training faces to whose z a Gaussian is fitted
GENERATED = 256  # faces of each kind
INSIDE = 0.99


@dataclass(frozen=True)
class Model:
    """A trained network, its losses, and what it generates."""

    vae: VAE
    history: History
    prior_gap: float
    """what `prior_gap` returns"""
    samples: dict[str, Tensor]
    """samples of z (GENERATED, latent), from the prior and from the fitted Gaussian, by name"""
    generated: dict[str, Tensor]
    """the faces (GENERATED, 3, H, W) that they decode to, by name"""
    among_codes: dict[str, float]
    """what `among_codes` returns of these samples, by name"""


def sample_from(vae: VAE, history: History, train: NDArray[np.uint8]) -> Model:
    """Generate faces with a network that was trained on `train`, (N, H, W, 3)."""
    mean, covariance = fitted_gaussian(vae, train)
    samples = sample(vae, mean, covariance)
    return Model(
        vae,
        history,
        prior_gap(mean, covariance),
        samples,
        {name: decode(vae, z) for name, z in samples.items()},
        {name: among_codes(z, mean, covariance) for name, z in samples.items()},
    )


@torch.no_grad()
def fitted_gaussian(vae: VAE, train: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return the mean (latent,) and covariance (latent, latent) of z over real faces.

    Each face contributes its own q.
    """
    codes = [vae.encode(x) for x in in_parts(train[:FITTED], vae.device)]
    mu, logvar = (torch.cat(parts) for parts in zip(*codes, strict=True))
    return mu.mean(0), torch.cov(mu.T) + torch.diag(logvar.exp().mean(0))


def prior_gap(mean: Tensor, covariance: Tensor) -> float:
    """Return the KL divergence of the prior from the Gaussian fitted to z over real faces, in nats.

    It is the mean log ratio of the prior's density to that Gaussian's, over samples from the prior.
    """
    prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(len(mean), device=mean.device))
    return float(kl_divergence(prior, MultivariateNormal(mean, covariance)))


def among_codes(z: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Return the share of (N, latent) samples in the ellipsoid that has `INSIDE` of a Gaussian."""
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), (z - mean).T, upper=False
    )
    squared = whitened.square().sum(dim=0)
    return float((squared <= chi2.ppf(INSIDE, z.shape[1])).float().mean())


@torch.no_grad()
def sample(vae: VAE, mean: Tensor, covariance: Tensor) -> dict[str, Tensor]:
    """Return samples from N(0, I), and from the Gaussian fitted to z over real faces."""
    noise = torch.randn(GENERATED, vae.latent).to(mean.device)
    return {"prior": noise, "fitted": mean + noise @ torch.linalg.cholesky(covariance).T}


@torch.no_grad()
def decode(vae: VAE, z: Tensor) -> Tensor:
    """Decode many samples, (N, latent), a part at a time."""
    return torch.cat([vae.decode(part) for part in z.split(ROWS)])
