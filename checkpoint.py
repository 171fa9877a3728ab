"""The files of a trained model: the network, the mixture that belongs to it, and the losses."""

import csv
import io
from pathlib import Path

import numpy as np
import torch

from gmm import GaussianMixture
from grader.errors import UserError
from models import VAE
from storage import load_pickle, load_state_dict, replacing, save_pickle, sha256
from training import History

MIXTURE = "the mixture saved by 'vae.py ... train'"


def save_mixture(
    mixture: GaussianMixture, labels: np.ndarray, path: Path, model_path: Path
) -> None:
    """Write the mixture, the label of each component, and the hash of the model it belongs to."""
    parts = {"labels": labels.tolist(), "model_sha256": sha256(model_path)}
    save_pickle({**mixture.to_dict(), **parts}, path)


def load_model(path: Path, device: torch.device) -> VAE:
    """Load the trained network in `path`. Raises UserError if there is none."""
    model = VAE()
    load_state_dict(model, path)
    return model.to(device).eval()


def load_mixture(path: Path, model_path: Path) -> tuple[GaussianMixture, np.ndarray]:
    """Load the mixture in `path` and the label of each component.

    Raises UserError if it is damaged, or belongs to a model other than the one in `model_path`.
    """
    parameters = load_pickle(path, MIXTURE)
    try:
        mixture = GaussianMixture.from_dict(parameters)
        labels = np.array(parameters.get("labels"))
        if labels.shape != mixture.weights_.shape or labels.dtype.kind != "i":
            raise ValueError(f"labels of type {labels.dtype} and shape {labels.shape}")
        if mixture.means_.shape[1] != 2:
            raise ValueError(f"means of shape {mixture.means_.shape}")
    except ValueError as error:
        raise UserError(path, str(error), MIXTURE) from error
    if str(parameters.get("model_sha256")) != sha256(model_path):
        raise UserError(path, "the mixture of another model", f"the one trained with {model_path}")
    return mixture, labels


def write_history(history: History, path: Path) -> None:
    """Write one row per epoch, for the loss curves.

    An entry is empty if its stage of training has no such loss.
    """
    text = io.StringIO()
    names = dict.fromkeys(name for row in history for name in row)
    writer = csv.DictWriter(text, ["epoch", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": epoch, **row} for epoch, row in enumerate(history, 1))
    with replacing(path) as file:
        file.write(text.getvalue().encode())
