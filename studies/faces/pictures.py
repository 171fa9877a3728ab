"""Draw reconstructed faces, planes of latents, and the course of training."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

import figures
from studies.faces.data import Faces, spread
from studies.faces.networks import Network, reconstruct
from studies.faces.options import Options
from studies.faces.training import epochs_shown, snapshot
from studies.shared.image_cache import as_pictures, on_device
from training import History

PEOPLE = 10  # with colours of their own: those with most pictures
RANGES = 3  # the slides show epochs 0 to 400, 400 to 800 and 800 to 1200


@torch.no_grad()
def draw_recovered(
    networks: Mapping[int, Network],
    unseen: Faces,
    expressions: tuple[str, str],
    device: torch.device,
) -> Figure:
    """Draw the unseen faces of each expression, above what each network makes of them."""
    rows: list[NDArray] = []
    names: list[str] = []
    for expression in expressions:
        x = on_device(unseen.part(unseen.expressions == expression).images, device)
        rows += [as_pictures(x)]
        rows += [as_pictures(reconstruct(network, x)) for network in networks.values()]
        names += [expression, *(f"L = {latent}" for latent in networks)]
    return figures.image_grid(rows, "Held-out faces, and their reconstructions", names)


def draw_latents(
    z: Mapping[int, NDArray], faces: Faces, test: NDArray[np.bool_], seed: int
) -> dict[str, Figure]:
    """Draw the latents of faces, (N, latent) by number of latents, with PCA and with t-SNE.

    Each plane is drawn twice, side by side: by expression and by person. `test`, (N,): the faces
    that are marked, because the network was not trained on them.
    """
    people, pictures_of = np.unique(faces.people, return_counts=True)
    most = people[np.argsort(-pictures_of, kind="stable")[:PEOPLE]]
    by_person = np.where(np.isin(faces.people, most), faces.people, "")
    drawn = {}
    for latent, codes in z.items():
        perplexity = min(30, len(codes) // 4)
        tsne = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
        methods = {"PCA": PCA(2, svd_solver="full"), "t-SNE": tsne}
        panels = {}
        for method, planes in methods.items():
            points = planes.fit_transform(codes)
            panels[f"{method}, by expression"] = points, faces.expressions
            if len(people) > 1:
                panels[f"{method}, by person"] = points, by_person
        drawn[f"latents_{latent}"] = figures.planes(
            panels, f"L = {latent}: latents of faces", columns=2, marked=("test face", test)
        )
    return drawn


def draw_course(options: Options, train: Faces, unseen: Faces, out: Path) -> dict[str, Figure]:
    """Draw what each network reconstructed after the epochs of the snapshots.

    A snapshot of an epoch that an earlier call trained without it does not exist.
    """
    originals: dict[str, NDArray] = {
        "seen": spread(spread(train.images, len(unseen))),
        "unseen": spread(unseen.images),
    }
    pictures = {}
    for latent in options.latents:
        course = {epoch: snapshot(out, latent, epoch) for epoch in epochs_shown(options)}
        stored = {epoch: np.load(path) for epoch, path in course.items() if path.exists()}
        rows: list[NDArray] = []
        names: list[str] = []
        for part, images in originals.items():
            rows += [images / 255, *(found[part] for found in stored.values())]
            names += [part, *(f"epoch {epoch}" for epoch in stored)]
        pictures[f"course_{latent}"] = figures.image_grid(
            rows, f"L = {latent}: reconstructions in the course of training", names
        )
    return pictures


def draw_losses(histories: Mapping[int, History]) -> Figure:
    """Draw the errors of training faces and unseen faces, in the ranges of epochs of the slides."""
    return figures.curves_in_ranges(
        {
            f"L = {latent}: squared error": {
                part: np.array([row[f"{key}_mse"] for row in history])
                for part, key in (("training", "train"), ("unseen", "unseen"))
            }
            for latent, history in histories.items()
        },
        "Squared error in training, and of held-out faces",
        RANGES,
    )


def draw_terms(histories: Mapping[int, History], loss: str) -> Figure:
    """Draw both terms of a VAE's loss in training, in the ranges of epochs of the slides."""
    per = {"slides": ("a batch", "a latent"), "elbo": ("an image", "an image")}[loss]
    names = {"reconstruction": f"squared error of {per[0]}", "kl": f"KL of {per[1]}, nats"}
    return figures.curves_in_ranges(
        {
            name: {
                f"L = {latent}": np.array([row[key] for row in history])
                for latent, history in histories.items()
            }
            for key, name in names.items()
        },
        "Both terms of the loss in training",
        RANGES,
    )
