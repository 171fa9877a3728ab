"""The small VAE of the documentation's figures and numbers, on the digits of scikit-learn.

The images have 8 x 8 pixels. Every sixth one is held out.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from data import ShuffledBatches
from losses import kl_divergence
from studies.shared.networks import (
    RECONSTRUCTION_LOSSES,
    Vae,
    labels_to_one_hots,
    named_losses,
    with_condition,
)
from training import History, fit

SIDE, PIXELS, CLASSES = 8, 64, 10
HELD_OUT = 6  # every sixth image
WIDTH, BATCH, RATE = 128, 50, 3e-3


class Digits(NamedTuple):
    """Images as vectors in [0, 1], (N, PIXELS), and their labels, (N,)."""

    x: Tensor
    labels: NDArray[np.int64]

    def one_hot(self) -> Tensor:
        return labels_to_one_hots(torch.from_numpy(self.labels), CLASSES)


@functools.cache
def digits() -> tuple[Digits, Digits]:
    """Return the digits to train on, and the held-out ones."""
    source = load_digits()
    x = torch.from_numpy(source.data).float() / 16
    labels = source.target.astype(np.int64)
    held_out = np.arange(len(x)) % HELD_OUT == 0
    return Digits(x[~held_out], labels[~held_out]), Digits(x[held_out], labels[held_out])


@dataclass(frozen=True)
class Setting:
    """What is trained, and how."""

    beta: float = 1.0
    z_dim: int = 2
    loss: str = "bce"
    epochs: int = 50
    seed: int = 0
    variational: bool = True
    conditional: bool = False


@dataclass
class Trained:
    """A network, the losses of each epoch, and the posteriors of all images to train on."""

    vae: Vae
    setting: Setting
    history: History = field(default_factory=list)

    def condition(self, images: Digits) -> Tensor | None:
        return images.one_hot() if self.setting.conditional else None

    @torch.no_grad()
    def posterior(self, images: Digits) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of the images, (N, z_dim) each, without drawing a sample."""
        encoder = self.vae.encoder
        hidden = encoder.features(with_condition(images.x, self.condition(images)))
        return encoder.fc1(hidden), encoder.fc2(hidden)

    @torch.no_grad()
    def decode(self, z: Tensor | NDArray, condition: Tensor | None = None) -> NDArray[np.float32]:
        """Decode latents (..., z_dim) to images (..., SIDE, SIDE)."""
        points = torch.as_tensor(z, dtype=torch.float32)
        flat = points.reshape(-1, points.shape[-1])
        images = self.vae.decode(flat, condition).numpy()
        return images.reshape(*points.shape[:-1], SIDE, SIDE)

    @torch.no_grad()
    def terms(self, images: Digits, samples: int = 20) -> dict[str, float]:
        """Return the reconstruction error and the KL, means over images and samples."""
        generator = torch.Generator().manual_seed(0)
        mu, logvar = self.posterior(images)
        error = RECONSTRUCTION_LOSSES[self.setting.loss]
        errors = []
        for _ in range(samples):
            noise = torch.randn(mu.shape, generator=generator)
            z = mu + noise * (0.5 * logvar).exp() if self.setting.variational else mu
            errors.append(error(self.vae.decode(z, self.condition(images)), images.x).item())
        return {"reconstruction": float(np.mean(errors)), "kl": kl_divergence(mu, logvar).item()}


@functools.cache
def train(setting: Setting, after_epoch: Callable[[Trained], None] | None = None) -> Trained:
    """Train a VAE, or an autoencoder; `after_epoch` is called with it after each epoch."""
    images = digits()[0]
    torch.manual_seed(setting.seed)
    vae = Vae(PIXELS, setting.z_dim, WIDTH, cond_dim=CLASSES if setting.conditional else None)
    trained = Trained(vae, setting)
    condition = trained.condition(images)

    def step(vae: Vae, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x, cond = images.x[index], None if condition is None else condition[index]
        z, mu, logvar = vae.encode(x, cond)
        recon = vae.decode(z if setting.variational else mu, cond)
        beta = setting.beta if setting.variational else 0.0
        return named_losses(recon, x, mu, logvar, setting.loss, beta)

    def evaluate(history: History) -> None:
        trained.history = history
        if after_epoch:
            after_epoch(trained)

    optimizer = Adam(vae.parameters(), RATE)
    batches = ShuffledBatches(len(images.x), BATCH, torch.default_generator)
    trained.history = fit(
        vae,
        step,
        batches,
        optimizer,
        LambdaLR(optimizer, lambda _: 1.0),
        epochs=setting.epochs,
        after_epoch=evaluate,
    )
    return trained
