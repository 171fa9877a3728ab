"""Draw the study's pictures."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import figures
from studies.latent_study.planes import Plane
from studies.latent_study.training import Networks, Run
from studies.shared.datasets import some_of_each
from training import History

WORDS = {"autoencoder": "The autoencoder", "vae": "The VAE"}


def draw(
    run: Run, networks: Networks, planes: dict[str, Plane], confusion: list[list[int]]
) -> dict[str, Figure]:
    """Draw all pictures and return them by name."""
    matrix = figures.confusion_matrix(np.array(confusion), np.array(run.train.names))
    matrix.suptitle("The nearest neighbour in the plane: test images")
    return draw_planes(run, networks, planes) | draw_losses(run, networks) | {"confusion": matrix}


def draw_planes(run: Run, networks: Networks, planes: dict[str, Plane]) -> dict[str, Figure]:
    """Draw reconstructions, scatter plots and grids."""
    train = run.train
    shown = run.test.part(torch.from_numpy(some_of_each(run.test.labels.cpu().numpy())))
    originals = shown.apply(lambda x: x)[:, 0].cpu().numpy()
    classes = np.array(train.names)[train.labels.cpu().numpy()]
    pictures: dict[str, Figure] = {}
    for name, trained in networks.with_latents().items():
        of = f"{WORDS[name]}: "
        model, plane = trained.model, planes[name]
        recon = model.decode(shown.apply(model.encode)).detach()
        points = plane.codes.cpu().numpy(), classes
        images = plane.images.cpu().numpy()
        rows = figures.reconstruction_rows(originals, recon[:, 0].cpu().numpy())
        rows.suptitle(f"{of}test images and their reconstructions")
        pictures |= {
            f"reconstructions_{name}": rows,
            f"latents_{name}": figures.latent_plane(
                *plane.grid, points, title=f"{of}latents of training images"
            ),
            f"grid_{name}": figures.latent_plane(
                *plane.grid, images=images, title=f"{of}decoded images"
            ),
            f"plane_{name}": figures.latent_plane(
                *plane.grid, points, images, f"{of}latents, and what they decode to"
            ),
        }
    quantiles = planes["quantiles"]
    manifold = figures.manifold(quantiles.images.cpu().numpy(), *quantiles.grid)
    manifold.suptitle("The VAE: images decoded at the quantiles of the prior")
    return pictures | {"grid_vae_quantiles": manifold}


def draw_losses(run: Run, networks: Networks) -> dict[str, Figure]:
    """Draw the losses of the trainings, and the accuracy of the classifiers."""
    history, vae = networks.autoencoder.history, networks.vae.history
    classifiers = {
        "unchanged": networks.classifier.history,
        networks.change: networks.improved.history,
    }
    return {
        "loss": figures.curves(
            {
                "squared error per pixel": {
                    "training": column(history, "loss"),
                    "test": column(history, "test_loss"),
                }
            },
            "The autoencoder: error in training and on test images",
            "iterations (thousands)",
            -(-len(run.train) // run.options.batch_size) / 1000,
        ),
        "vae_loss": figures.curves(
            {
                title: {"training": column(vae, key), "test": column(vae, f"test_{key}")}
                for key, title in (
                    ("reconstruction", "squared error per image"),
                    ("kl", "KL divergence (nats)"),
                )
            },
            "The VAE: both terms of the loss, in training and on test images",
        ),
        "classifier": figures.curves(
            {
                title: {
                    f"{kind}, {part}": column(rows, f"{key}_{measure}")
                    for kind, rows in classifiers.items()
                    for key, part in (("train", "training"), ("test", "test"))
                }
                for measure, title in (("loss", "cross-entropy (nats)"), ("accuracy", "accuracy"))
            },
            "The classifiers, in training and on test images",
            linear=["accuracy"],
        ),
    }


def column(history: History, name: str) -> NDArray:
    return np.array([row[name] for row in history])
