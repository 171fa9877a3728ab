"""Faces that a trained model generates: from the prior, and from a Gaussian fitted to codes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.distributions.kl import kl_divergence

from studies.celeba.networks import VAE
from studies.shared.image_cache import ROWS, in_parts
from training import History

FITTED = 5000  # training faces to whose z a Gaussian is fitted
GENERATED = 256  # faces of each kind


@dataclass(frozen=True)
class Model:
    """A trained network, its losses, and what it generates."""

    vae: VAE
    history: History
    prior_gap: float
    """what `prior_gap` returns"""
    generated: dict[str, Tensor]
    """faces (GENERATED, 3, H, W), from the prior and from the fitted Gaussian, by name"""


def sample_from(vae: VAE, history: History, train: NDArray[np.uint8]) -> Model:
    """Generate faces with a network that was trained on `train`, (N, H, W, 3)."""
    mean, covariance = fitted_gaussian(vae, train)
    return Model(vae, history, prior_gap(mean, covariance), generate(vae, mean, covariance))


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


@torch.no_grad()
def generate(vae: VAE, mean: Tensor, covariance: Tensor) -> dict[str, Tensor]:
    """Decode samples from N(0, I), and from the Gaussian fitted to z over real faces."""
    noise = torch.randn(GENERATED, vae.latent).to(mean.device)
    fitted = mean + noise @ torch.linalg.cholesky(covariance).T
    return {
        name: torch.cat([vae.decode(part) for part in z.split(ROWS)])
        for name, z in (("prior", noise), ("fitted", fitted))
    }
