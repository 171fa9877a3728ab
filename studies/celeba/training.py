"""Train a model, and compute its losses on held-out images after each epoch."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from studies.celeba.data import Faces
from studies.celeba.networks import VAE
from studies.celeba.options import Options
from studies.shared import devices
from studies.shared.devices import autocast
from studies.shared.image_cache import Batch, ImageFeed, in_parts
from studies.shared.networks import named_losses
from training import History

# A training can be resumed although these options have changed. `images` and `held_out` change the
# data, which have a setting of their own.
APART = ("preset", "latents", "epochs", "cache", "device", "devices", "images", "held_out")


def untrained(options: Options, latent: int, std: float | None) -> VAE:
    """Return a new network, and seed the generator from which its weights and later samples come.

    `std`: the standard deviation of the convolutions' weights; None for PyTorch's own weights.
    """
    torch.manual_seed(options.seed)
    wide = 8 * options.num_hidden
    vae = VAE(3, options.num_hidden, wide, wide, latent, options.size)
    if std is not None:
        vae.weight_init(0, std)
    return vae


def train_model(
    options: Options, latent: int, faces: Faces, fabric: Fabric, out: Path
) -> tuple[VAE, History]:
    """Train a model with `latent` latents; return it and its losses, also on held-out images."""
    vae = untrained(options, latent, options.init_std)

    def step(model: Callable[..., Any], batch: Batch, _progress: float) -> dict[str, Tensor]:
        noise = torch.randn(batch.whole, latent, device=fabric.device)[batch.rows]
        with autocast(fabric.device, options.precision):
            recon, mu, logvar = model(batch.images, noise)
        losses = named_losses(recon, batch.images, mu, logvar, options.loss_type, options.beta)
        return {name: batch.share * value for name, value in losses.items()}

    def judge(_epoch: int) -> dict[str, float]:
        found = held_out_losses(vae, faces.held_out, options)
        return {f"held_out_{name}": value for name, value in found.items()}

    history = devices.train(
        fabric,
        vae,
        step,
        ImageFeed(faces.train, options.batch_size, fabric.device),
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        name=f"latent_{latent}",
        settings=asdict(options)
        | dict.fromkeys(APART, "")
        | {"latent": latent, "data": faces.name},
        out=out,
        judge=judge,
    )
    return vae.eval(), history


@torch.no_grad()
def held_out_losses(vae: VAE, images: NDArray[np.uint8], options: Options) -> dict[str, float]:
    """Return mean losses over (N, H, W, 3) images, with the same noise in z at every call."""
    generator = torch.Generator().manual_seed(options.seed)
    sums: dict[str, float] = {}
    for x in in_parts(images, vae.device):
        noise = torch.randn(len(x), vae.latent, generator=generator).to(x.device)
        with autocast(x.device, options.precision):
            recon, mu, logvar = vae(x, noise)
        losses = named_losses(recon, x, mu, logvar, options.loss_type, options.beta)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + len(x) * float(value)
    return {name: value / len(images) for name, value in sums.items()}
