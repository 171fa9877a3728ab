"""`plots`: every picture of the report, as PNG."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

import figures
from data import load_images, load_labelled_images
from graded import CommandLine, check_outputs, load_mixture, load_model
from inference import encode, reconstruct
from reports.a3 import plot_2d_manifold
from storage import UserError, replacing

PICTURES = ("reconstructions", "manifold", "latent_scatter", "mixture", "confusion", "losses")


def read_history(path: Path) -> pd.DataFrame | None:
    """The losses that training wrote beside its model; None where there are none."""
    if not path.exists():
        print(f"{path}: no such file, so no loss curves")
        return None
    try:
        history = pd.read_csv(path, dtype=float)
    except (OSError, ValueError) as error:
        raise UserError(path, "not a table of numbers", "what 'train' wrote") from error
    if "epoch" not in history or len(history.columns) < 2:
        raise UserError(path, "no losses by 'epoch'", "what 'train' wrote")
    return history


def plots(before: list[str], after: list[str], usage: str) -> None:
    """Write the reconstructions and the confusion matrix of VAL, the latents of TRAIN, and more."""
    parser = CommandLine(usage)
    parser.add_argument("out", type=Path)
    parser.add_model(gmm=True)
    options = parser.parse(after)
    images = load_images(Path(before[0]))
    val_images, val_labels = load_labelled_images(Path(before[1]))
    model = load_model(options.model, options.device)
    mixture, labels = load_mixture(options.gmm, options.model)
    history = read_history(options.model.with_suffix(".history.csv"))

    outputs = {name: options.out / f"{name}.png" for name in PICTURES}
    if history is None:
        del outputs["losses"]
    check_outputs(list(outputs.values()), inputs=())

    z, val_z = encode(model, images), encode(model, val_images)
    predicted, val_predicted = (labels[mixture.predict(latents)] for latents in (z, val_z))
    classes = np.unique(np.concatenate([val_labels, labels]))
    confusion = confusion_matrix(val_labels, val_predicted, labels=classes)
    recon = reconstruct(model, val_images).reshape(-1, 28, 28)
    pictures = {
        "reconstructions": figures.reconstruction_rows(val_images.reshape(-1, 28, 28), recon),
        "manifold": plot_2d_manifold(model, device=options.device),
        "latent_scatter": figures.latent_scatter(z, val_z, val_labels),
        "mixture": figures.mixture_ellipses(
            z, mixture.means_, mixture.covariances_, labels, predicted
        ),
        "confusion": figures.confusion_matrix(confusion, classes),
    }
    if history is not None:
        columns = {str(name): history[name].to_numpy() for name in history}
        pictures["losses"] = figures.loss_curves(columns)
    for name, path in outputs.items():
        with replacing(path) as file:
            # Without the version of matplotlib, the same picture is the same bytes.
            pictures[name].savefig(file, format="png", dpi=200, metadata={"Software": None})
    print(f"wrote {', '.join(path.name for path in outputs.values())} to {options.out}")
