"""The pictures that the assignment requires, from a trained model."""

from pathlib import Path

from sklearn.metrics import confusion_matrix

import figures
from command_line import CommandLine, check_outputs
from reports.a3 import plot_2d_manifold
from reports.trained import load_trained, val_classes
from storage import replacing

TITLES = {
    "reconstructions": "Images of VAL, and their reconstructions",
    "manifold": "Images decoded from a grid over the plane",
    "latent_scatter": "Latents of TRAIN, and of the labelled images of VAL",
    "mixture": "The mixture's components over the latents of TRAIN",
    "confusion": "Digits of VAL, true and predicted",
    "losses": "Losses in training; a dotted line ends a stage",
}


def plots(before: list[str], after: list[str], usage: str) -> None:
    """Write the reconstructions and the confusion matrix of VAL, the latents of TRAIN, and more."""
    parser = CommandLine(usage, "train.npz val.npz plots pictures vae.pth")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_model(gmm=True)
    options = parser.parse(after)
    outputs = {name: options.out / f"{name}.png" for name in TITLES}
    trained = load_trained(before, options)
    if trained.history is None:
        del outputs["losses"]
    check_outputs(list(outputs.values()), inputs=())

    mixture, classes = trained.mixture, val_classes(trained)
    confusion = confusion_matrix(trained.val_labels, trained.val_predicted, labels=classes)
    pictures = {
        "reconstructions": figures.reconstruction_rows(trained.val_images, trained.val_recon),
        "manifold": plot_2d_manifold(trained.model, device=options.device),
        "latent_scatter": figures.latent_scatter(trained.z, trained.val_z, trained.val_labels),
        "mixture": figures.mixture_ellipses(
            trained.z,
            mixture.means_,
            mixture.covariances_,
            trained.component_labels,
            trained.predicted,
        ),
        "confusion": figures.confusion_matrix(confusion, classes),
    }
    if trained.history is not None:
        pictures["losses"] = figures.loss_curves(trained.history)
    for name, path in outputs.items():
        with replacing(path) as file:
            pictures[name].suptitle(TITLES[name])
            # Without the version of matplotlib, the same picture has the same bytes.
            pictures[name].savefig(file, format="png", dpi=200, metadata={"Software": None})
    print(f"wrote {', '.join(path.name for path in outputs.values())} to {options.out}")
