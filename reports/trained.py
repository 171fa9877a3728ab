"""A trained model with the data it is evaluated on, which plots and the report both show."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from checkpoint import load_mixture, load_model
from data import load_images, load_labelled_images
from gmm import GaussianMixture
from grader.errors import UserError
from inference import encode, reconstruct
from models import VAE


@dataclass(frozen=True)
class Trained:
    """A trained model with the data that it is evaluated on.

    `z` (N, 2): the encoder's latents of the training images; `predicted` (N,): their classes.
    `val_images` and `val_recon` are (M, 28, 28) in [0, 1]. `component_labels` (K,): the class of
    each component. `history`: columns (epochs,), or None if there is none.
    """

    model: VAE
    mixture: GaussianMixture
    component_labels: NDArray
    z: NDArray
    predicted: NDArray
    val_images: NDArray
    val_labels: NDArray
    val_z: NDArray
    val_predicted: NDArray
    val_recon: NDArray
    history: dict[str, NDArray] | None


def read_history(path: Path) -> dict[str, NDArray] | None:
    """Return the losses that training wrote next to its model, or None if there are none."""
    if not path.exists():
        print(f"{path}: no such file, so no loss curves")
        return None
    try:
        history = pd.read_csv(path, dtype=float)
    except (OSError, ValueError) as error:
        raise UserError(path, "not a table of numbers", "what 'train' wrote") from error
    if "epoch" not in history or len(history.columns) < 2:
        raise UserError(path, "no losses by 'epoch'", "what 'train' wrote")
    return {str(name): history[name].to_numpy() for name in history}


def load_trained(before: list[str], options: argparse.Namespace) -> Trained:
    """Load the data that `before` names, TRAIN and VAL, and the model that `options` name.

    The options are those of `CommandLine.add_model`.
    """
    images = load_images(Path(before[0]))
    val_images, val_labels = load_labelled_images(Path(before[1]))
    model = load_model(options.model, options.device)
    mixture, labels = load_mixture(options.gmm, options.model)
    history = read_history(options.model.with_suffix(".history.csv"))
    z, val_z = encode(model, images), encode(model, val_images)
    return Trained(
        model=model,
        mixture=mixture,
        component_labels=labels,
        z=z,
        predicted=labels[mixture.predict(z)],
        val_images=val_images.reshape(-1, 28, 28),
        val_labels=val_labels,
        val_z=val_z,
        val_predicted=labels[mixture.predict(val_z)],
        val_recon=reconstruct(model, val_images).reshape(-1, 28, 28),
        history=history,
    )


def val_classes(trained: Trained) -> NDArray:
    """Return the classes that the validation images have or can be given, in ascending order."""
    return np.unique(np.concatenate([trained.val_labels, trained.component_labels]))
