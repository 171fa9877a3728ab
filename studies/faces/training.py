"""Train the networks, and keep what they reconstruct on the way."""

import functools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from losses import kl_divergence, mse
from storage import replacing
from studies.faces.data import Faces, spread
from studies.faces.networks import NETWORKS, Network, VariationalAutoencoder, reconstruct
from studies.faces.options import AeOptions, Options, VaeOptions
from studies.shared import devices
from studies.shared.devices import autocast
from studies.shared.image_cache import Batch, ImageFeed, as_pictures, in_parts, on_device
from studies.shared.measures import squared_error
from training import History

# A training that resumes may have other values of these options.
FREE = ("preset", "latents", "epochs", "snapshots", "describe", "cache", "device", "devices")


def train_network(
    options: Options, latent: int, train: Faces, unseen: Faces, fabric: Fabric, out: Path, mode: str
) -> tuple[Network, History]:
    """Train a network with `latent` latents; return it and its errors in each epoch."""
    torch.manual_seed(options.seed)
    network = make_network(options, latent)
    history = devices.train(
        fabric,
        network,
        make_step(options, latent, fabric.device),
        ImageFeed(train.images, options.batch_size, fabric.device),
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        name=f"{mode}_{latent}",
        settings=fixed_settings(options, latent, train),
        out=out,
        judge=make_judge(options, network, latent, train, unseen, fabric.device, out),
    )
    return network, history


def make_network(options: Options, latent: int) -> Network:
    """Return a new network of the kind that the options ask for."""
    if isinstance(options, AeOptions):
        return NETWORKS[options.variant](latent)
    return VariationalAutoencoder(latent)


def fixed_settings(options: Options, latent: int, train: Faces) -> Mapping[str, Any]:
    """Return the settings, and the faces, that must be the same when a training resumes."""
    pictured = zlib.crc32("\n".join([*train.people, *train.expressions]).encode())
    data = {"latent": latent, "data": train.name, "pictured": pictured}
    return asdict(options) | dict.fromkeys(FREE, "") | data


def make_step(
    options: Options, latent: int, device: torch.device
) -> Callable[[Callable[..., Any], Batch, float], dict[str, Tensor]]:
    """Return a function that computes the losses of a batch, as `devices.train` needs it."""

    def step(model: Callable[..., Any], batch: Batch, _progress: float) -> dict[str, Tensor]:
        x = batch.images
        with autocast(device, options.precision):
            if isinstance(options, VaeOptions):
                noise = torch.randn(batch.whole, latent, device=device)[batch.rows]
                recon, mu, logvar = model(x, noise)
                losses = vae_losses(recon, x, mu, logvar, options.loss, batch.whole)
            else:
                losses = {"loss": nn.functional.mse_loss(model(x), x)}
        return {name: batch.share * value for name, value in losses.items()}

    return step


def vae_losses(
    recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, kind: str, whole: int
) -> dict[str, Tensor]:
    """Return a batch's loss and its terms, as in the slides or as in the bound.

    `whole`: the number of images of all processes; these images are a share of them. "slides" sums
    the squared error over the whole batch, but averages the KL over images and latents. So the KL
    has 1 / (images * latents) of its weight in the bound. "elbo" sums both terms over an image, and
    averages them over images.
    """
    squared, kl = mse(recon, x), kl_divergence(mu, logvar)
    if kind == "slides":
        squared, kl = squared * whole, kl / mu.shape[1]
    return {"loss": squared + kl, "reconstruction": squared, "kl": kl}


def make_judge(
    options: Options,
    network: Network,
    latent: int,
    train: Faces,
    unseen: Faces,
    device: torch.device,
    out: Path,
) -> Callable[[int], dict[str, float]]:
    """Return a function that measures the network after an epoch, and keeps snapshots."""
    seen, apart = spread(train.images, len(unseen)), unseen.images
    snapshots = epochs_shown(options)

    def judge(epoch: int) -> dict[str, float]:
        with autocast(device, options.precision):
            if epoch in snapshots:
                keep_snapshot(network, seen, apart, snapshot(out, latent, epoch), device)
            return {
                f"{part}_mse": squared_error(
                    functools.partial(reconstruct, network), in_parts(images, device)
                )
                for part, images in (("train", seen), ("unseen", apart))
            }

    return judge


def epochs_shown(options: Options) -> list[int]:
    """Return the epochs of the snapshots before the last epoch, and the last epoch."""
    return sorted(
        {epoch for epoch in options.snapshots if 0 < epoch < options.epochs} | {options.epochs}
    )


def snapshot(out: Path, latent: int, epoch: int) -> Path:
    """Return where the reconstructions after an epoch are kept, in case training resumes later."""
    return out / f"snapshot_{latent}_{epoch}.npz"


@torch.no_grad()
def keep_snapshot(
    network: Network,
    seen: NDArray[np.uint8],
    unseen: NDArray[np.uint8],
    path: Path,
    device: torch.device,
) -> None:
    """Write what the network now reconstructs of `COLUMNS` images of each part."""
    seen_recon, unseen_recon = (
        as_pictures(reconstruct(network, on_device(images, device)))
        for images in (spread(seen), spread(unseen))
    )
    with replacing(path) as file:
        np.savez_compressed(file, seen=seen_recon, unseen=unseen_recon)
