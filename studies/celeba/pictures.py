"""The study's pictures: faces, reconstructions, interpolations, and losses over the epochs."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import figures
from studies.celeba.data import COLUMNS, SHOWN, Faces
from studies.celeba.measures import before_training, between
from studies.celeba.networks import VAE
from studies.celeba.options import Options, initial_weights
from studies.celeba.sampling import Model
from studies.shared.image_cache import as_pictures, on_device
from training import History

SOURCES = {"prior": "the prior", "fitted": "a Gaussian fitted to codes"}
PAIRS = 3  # pairs of samples between which z is interpolated
COARSE_STEPS, FINE_STEPS = 6, 11  # of interpolations from 0 to 1, of pixels and of z


def draw(
    options: Options, faces: Faces, models: Mapping[int, Model], unit: str
) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name. `unit`: that of the reconstruction."""
    pictures = draw_held_out(options, faces, models)
    for latent, model in models.items():
        pictures |= draw_generated(latent, model)
    histories = {latent: model.history for latent, model in models.items()}
    return pictures | {"losses": draw_losses(histories, unit)}


def steps(count: int, device: torch.device) -> tuple[Tensor, list[str]]:
    """Return `count` numbers from 0 to 1, and their labels."""
    shares = torch.linspace(0, 1, count, device=device)
    return shares, [f"{float(share):.1f}" for share in shares]


@torch.no_grad()
def draw_held_out(options: Options, faces: Faces, models: Mapping[int, Model]) -> dict[str, Figure]:
    """Draw real faces, what each model makes of them, and what lies between two of them."""
    vaes = [model.vae for model in models.values()]
    names = [f"L = {latent}" for latent in models]
    x = on_device(faces.held_out[:COLUMNS], vaes[0].device)
    first, second = x[:1], x[1:2]
    (coarse, coarse_labels), (fine, labels) = (
        steps(count, x.device) for count in (COARSE_STEPS, FINE_STEPS)
    )

    pairs = [x[2 * i : 2 * i + 2] for i in range(min(PAIRS, len(x) // 2))]

    def encoded(vae: VAE, pair: Tensor) -> NDArray[np.float32]:
        mu = vae.encode(pair)[0]
        return as_pictures(vae.decode(between(mu[:1], mu[1:], fine)))

    between_faces = [
        row
        for pair in pairs
        for row in (
            as_pictures(between(pair[:1], pair[1:], fine)),
            *(encoded(vae, pair) for vae in vaes),
        )
    ]
    weights = initial_weights(options)
    recon = [as_pictures(vae.reconstruct(x)) for vae in vaes]
    return {
        "data": figures.image_grid(
            [faces.train[i : i + 4] / 255 for i in range(0, SHOWN, 4)], "Faces of the data"
        ),
        "image_interpolation": figures.image_grid(
            [as_pictures(between(first, second, coarse))],
            "Two images, mixed pixel by pixel",
            ["alpha"],
            coarse_labels,
        ),
        "reconstructions": figures.image_grid(
            [as_pictures(x), *recon], "Held-out faces, reconstructed", ["original", *names]
        ),
        "interpolation_of_faces": figures.image_grid(
            between_faces,
            "Between two held-out faces: pixels mixed, and latents mixed and decoded",
            ["pixels", *names] * len(pairs),
            labels,
        ),
        "initial_weights": figures.image_grid(
            [
                as_pictures(x),
                *(as_pictures(before_training(options, w, x)) for w in weights.values()),
            ],
            "Reconstructions before training, by initial weights",
            ["original", *(f"std {name}" if weights[name] else name for name in weights)],
        ),
    }


@torch.no_grad()
def draw_generated(latent: int, model: Model) -> dict[str, Figure]:
    """Draw the faces that a model generates, and what it decodes between samples of z."""
    pictures = {}
    fine, labels = steps(FINE_STEPS, model.vae.device)
    for kind, images in model.generated.items():
        shown = as_pictures(images[:SHOWN])
        rows = list(shown.reshape(4, SHOWN // 4, *shown.shape[1:]))
        pictures[f"faces_{latent}_{kind}"] = figures.image_grid(
            rows, f"L = {latent}: faces from {SOURCES[kind]}"
        )
        pairs = model.samples[kind][: 2 * PAIRS].reshape(PAIRS, 2, latent)
        pictures[f"interpolation_{latent}_{kind}"] = figures.image_grid(
            [as_pictures(model.vae.decode(between(z[:1], z[1:], fine))) for z in pairs],
            f"L = {latent}: between two latents from {SOURCES[kind]}",
            [f"pair {i + 1}" for i in range(PAIRS)],
            labels,
        )
    return pictures


def draw_losses(histories: Mapping[int, History], unit: str) -> Figure:
    """Plot the loss and its terms over the epochs, in training and on held-out faces."""
    names = {"loss": "loss", "reconstruction": f"reconstruction ({unit})", "kl": "KL (nats)"}
    panels = {
        title: {
            f"L = {latent}, {part}": np.array([row[prefix + name] for row in history])
            for latent, history in histories.items()
            for part, prefix in (("training", ""), ("held out", "held_out_"))
        }
        for name, title in names.items()
    }
    return figures.curves(panels, "Losses in training and on held-out faces")
