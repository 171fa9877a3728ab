"""The networks and the loss of the beta-VAE assignment, under the assignment's names.

The networks are fully connected, and conditional if a `cond_dim` is given: the condition is one
more input of the encoder and of the decoder. Sohn, Lee and Yan, "Learning Structured Output
Representation using Deep Conditional Generative Models" (NeurIPS 2015).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from losses import bce, kl_divergence, l1, mse

RECONSTRUCTION_LOSSES = {"bce": bce, "mse": mse, "l1": l1}
CPU = torch.device("cpu")


def beta_loss_function(
    recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, loss_type: str = "bce", beta: float = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32], Tensor]:
    """Return the reconstruction error and the KL per image, as NumPy, and the loss.

    The loss is the reconstruction error plus `beta` times the KL, which is returned without `beta`.
    `recon_x`, `x`: (B, ...) in [0, 1]; `mu`, `logvar`: (B, latent). Higgins et al., "beta-VAE"
    (ICLR 2017), equation 4. Raises NotImplementedError if `loss_type` is not bce, mse or l1.
    """
    if loss_type not in RECONSTRUCTION_LOSSES:
        raise NotImplementedError(f"loss type {loss_type!r}; expected bce, mse or l1")
    losses = named_losses(recon_x, x, mu, logvar, loss_type, beta)
    recon, kl = (losses[name].detach().cpu().numpy() for name in ("reconstruction", "kl"))
    return recon, kl, losses["loss"]


def loss_function(
    recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, loss_type: str = "bce", beta: float = 1
) -> Tensor:
    """Return only the loss of `beta_loss_function`, as a training loop needs it."""
    return beta_loss_function(recon_x, x, mu, logvar, loss_type, beta)[2]


def named_losses(
    recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, loss_type: str, beta: float
) -> dict[str, Tensor]:
    """Return what `beta_loss_function` does, by name, on the device, for a `training.fit` step."""
    recon, kl = RECONSTRUCTION_LOSSES[loss_type](recon_x, x), kl_divergence(mu, logvar)
    return {"loss": recon + beta * kl, "reconstruction": recon, "kl": kl}


def unit(term: str, loss_type: str) -> str:
    """Return the unit of a term of the loss."""
    if term == "kl" or loss_type == "bce":
        return "nats"
    return {"mse": "squared error", "l1": "absolute error"}[loss_type]


def axis_label(term: str, loss_type: str) -> str:
    """Return the label of an axis for a term of the loss, "reconstruction" or "kl"."""
    name = {"kl": "KL divergence"}.get(term, term)
    return f"{name} ({unit(term, loss_type)} per image)"


def labels_to_one_hots(batch: Tensor, num_classes: int = 10) -> Tensor:
    """Convert whole numbers (B,) or (B, 1) to one-hot vectors: (B, num_classes) float32."""
    return functional.one_hot(batch.flatten().long(), num_classes).float()


def reparameterize(
    mu: Tensor, logvar: Tensor, device: torch.device | None = None, noise: Tensor | None = None
) -> Tensor:
    """Sample from N(mu, exp(logvar)) so that gradients reach mu and logvar.

    `device`: where to calculate; by default, where mu is. Uses `noise` from N(0, I) if it is given,
    so that several calls can share it, or new noise.
    """
    mu, logvar = mu.to(device=device), logvar.to(device=device)
    noise = torch.randn_like(mu) if noise is None else noise
    return mu + noise * (0.5 * logvar).exp()


class Bottleneck(nn.Module):
    """Base class of encoders whose `fc1` and `fc2` compute mu and logvar from features."""

    fc1: nn.Linear
    fc2: nn.Linear

    def bottleneck(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a sample z, mu and logvar, (B, z_dim) each, from features (B, width)."""
        mu, logvar = self.fc1(h), self.fc2(h)
        return reparameterize(mu, logvar, h.device), mu, logvar


class VaeEncoder(Bottleneck):
    """The encoder: (B, x_dim) -> z, mu, logvar, each (B, z_dim)."""

    def __init__(
        self, x_dim: int = 784, hidden_size: int = 256, z_dim: int = 10, device: torch.device = CPU
    ) -> None:
        super().__init__()
        self.x_dim, self.hidden_size, self.z_dim = x_dim, hidden_size, z_dim
        self.features = nn.Sequential(nn.Linear(x_dim, hidden_size), nn.ReLU())
        self.fc1 = nn.Linear(hidden_size, z_dim)
        self.fc2 = nn.Linear(hidden_size, z_dim)
        self.to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.bottleneck(self.features(x))


class VaeDecoder(nn.Module):
    """The decoder: (B, z_dim) -> (B, x_dim) in [0, 1]."""

    def __init__(self, x_dim: int = 784, hidden_size: int = 256, z_dim: int = 10) -> None:
        super().__init__()
        self.x_dim, self.hidden_size, self.z_dim = x_dim, hidden_size, z_dim
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, hidden_size), nn.ReLU(), nn.Linear(hidden_size, x_dim), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class ConditionalVae(nn.Module):
    """Base class of VAEs, with or without a condition (B, cond_dim)."""

    z_dim: int
    device: torch.device
    decoder: nn.Module

    def encode(self, x: Tensor, x_cond: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return a sample z, mu and logvar of a batch: (B, z_dim) each."""
        raise NotImplementedError

    def decode(self, z: Tensor, x_cond: Tensor | None = None) -> Tensor:
        """Decode (B, z_dim) latents to images."""
        return self.decoder(with_condition(z, x_cond))

    def sample(self, num_samples: int = 1, x_cond: Tensor | None = None) -> Tensor:
        """Decode samples from N(0, I), under one condition (1, cond_dim) or one for each."""
        z = torch.randn(num_samples, self.z_dim, device=self.device)
        return self.decode(z, None if x_cond is None else x_cond.expand(num_samples, -1))

    def forward(
        self, x: Tensor, x_cond: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return x_recon, and mu, logvar and the sample z, (B, z_dim) each."""
        z, mu, logvar = self.encode(x, x_cond)
        return self.decode(z, x_cond), mu, logvar, z


class Vae(ConditionalVae):
    """A VAE of vectors (B, x_dim) in [0, 1]; conditional if `cond_dim` is given."""

    def __init__(
        self,
        x_dim: int = 784,
        z_dim: int = 10,
        hidden_size: int = 256,
        device: torch.device = CPU,
        cond_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.device = z_dim, device
        self.encoder = VaeEncoder(x_dim + (cond_dim or 0), hidden_size, z_dim, device)
        self.decoder = VaeDecoder(x_dim, hidden_size, z_dim + (cond_dim or 0)).to(device)

    def encode(self, x: Tensor, x_cond: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return a sample z, mu and logvar of (B, x_dim) vectors: (B, z_dim) each."""
        return self.encoder(with_condition(x, x_cond))


def with_condition(x: Tensor, x_cond: Tensor | None) -> Tensor:
    return x if x_cond is None else torch.cat([x, x_cond], dim=1)
