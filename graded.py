"""The three graded modes: train, test_reconstruction, test_classifier."""

import argparse
import csv
import io
import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from data import load_images, load_labelled_images
from gmm import GaussianMixture
from inference import encode, reconstruct
from models import VAE
from recipe import EPOCHS, MOST_COMPONENTS, train_vae
from storage import (
    STATE_DICT,
    UserError,
    check_writable,
    load_pickle,
    load_state_dict,
    replacing,
    save_pickle,
    save_state_dict,
    sha256,
    state_dict_size,
)
from training import History

MATCH = 0.9  # least share of the validation images that should be in their class's component
SMALLEST_SHARE = 0.15  # of an equal share of the images; a component below it has collapsed
SMALL_FILE = 1 << 16  # bytes of space required for each output other than the model
BUDGET = 55.0  # minutes, within the hour that the assignment expects
MIXTURE = "the mixture saved by 'vae.py ... train'"


class CommandLine(argparse.ArgumentParser):
    """A parser for what follows the name of a mode. A mistake is a UserError, so it is one line."""

    def __init__(self, usage: str, example: str) -> None:
        usage, example = f"python {usage} [--option value]", f"Example: python vae.py {example}"
        as_is = argparse.RawDescriptionHelpFormatter  # the example is for copying
        super().__init__(usage=usage, epilog=example, allow_abbrev=False, formatter_class=as_is)

    def add_model(self, *, gmm: bool) -> None:
        """Add the optional paths of the model and, if `gmm`, the mixture; add the device."""
        self.add_argument("model", nargs="?", type=Path, default=Path("vae.pth"), metavar="vae.pth")
        if gmm:
            self.add_argument("gmm", nargs="?", type=Path, help="default: beside the model")
        self.add_argument("--device", type=choose_device, default=default_device(), metavar="NAME")

    def parse(self, words: list[str]) -> argparse.Namespace:
        options = self.parse_intermixed_args(words)
        if "gmm" in options and options.gmm is None:
            options.gmm = options.model.parent / "gmm_params.pkl"
        return options

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError("command line", message, self.usage or "")


def default_device() -> str:
    """Return the device in VAE_DEVICE, or else the GPU if there is one, or else the CPU."""
    return os.environ.get("VAE_DEVICE", "cuda" if torch.cuda.is_available() else "cpu")


def choose_device(name: str) -> torch.device:
    """Return the device called `name`. Raises UserError if there is none."""
    with suppress(RuntimeError, AssertionError):
        device = torch.zeros(0, device=name).device
        if device.type in ("cpu", "cuda"):
            return device
    raise UserError("device", repr(name), "cpu, or cuda on a machine that has it")


def check_outputs(
    outputs: Sequence[Path], inputs: Sequence[Path], sizes: Sequence[int] | None = None
) -> None:
    """Raise UserError, before any work, for an output that must not or cannot be written.

    `sizes`: the largest size of each output in bytes; one byte by default.
    """
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in taken:
            raise UserError(path, "a name that another file has here", "a name of its own")
        taken.add(path.resolve())
    check_writable(dict(zip(outputs, sizes or [1] * len(outputs), strict=True)))


def fit_mixture(
    z: np.ndarray, val_z: np.ndarray, val_labels: np.ndarray
) -> tuple[GaussianMixture, np.ndarray]:
    """Fit a mixture to (N, 2) latents; return it and the label of each component, (K,).

    EM starts from the class means of the validation latents. Of all ways to assign classes to
    components, the one that makes the validation labels most likely is used.
    """
    classes, indices = np.unique(val_labels, return_inverse=True)
    means = np.stack([val_z[val_labels == label].mean(axis=0) for label in classes])
    mixture = GaussianMixture(len(classes)).fit(z, means)
    log_posterior = np.log(mixture.predict_proba(val_z) + 1e-12)
    # Log-likelihood of the labels of class j if component k has class j: (classes, components).
    rewards = np.stack([log_posterior[indices == j].sum(axis=0) for j in range(len(classes))])
    return mixture, classes[np.argsort(best_assignment(rewards))]


def best_assignment(rewards: np.ndarray) -> tuple[int, ...]:
    """Return a different column for each row of (K, K) rewards, with the highest total.

    This is dynamic programming over the sets of columns that the first rows can have.
    """
    best: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {frozenset(): (0.0, ())}
    for row in rewards:
        longer: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {}
        for taken, (total, columns) in best.items():
            for column in set(range(len(row))) - taken:
                offer = (total + float(row[column]), (*columns, column))
                key = taken | {column}
                longer[key] = max(longer.get(key, offer), offer)
        best = longer
    return max(best.values())[1]


def train(before: list[str], after: list[str], usage: str) -> None:
    """Train on the images of TRAIN, whose labels are not read; save the model and the mixture."""
    started = time.monotonic()
    parser = CommandLine(usage, "train.npz val.npz train vae.pth gmm_params.pkl --epochs 72")
    parser.add_model(gmm=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes (%(default)s)")
    parser.add_argument("--budget", type=float, default=BUDGET, help="minutes (%(default)g)")
    options = parser.parse(after)
    if not (options.epochs > 0 and 0 < options.budget < math.inf):
        parser.error(f"--epochs {options.epochs} --budget {options.budget}: not above 0")
    train_path, val_path = map(Path, before)
    stem = options.model.parent / options.model.stem
    history_path, record_path = Path(f"{stem}.history.csv"), Path(f"{stem}.training.json")
    outputs = (options.model, options.gmm, history_path, record_path)

    images = load_images(train_path)
    val_images, val_labels = load_labelled_images(val_path)
    classes = np.unique(val_labels)
    if not 2 <= len(classes) <= MOST_COMPONENTS:
        found = f"{len(classes)} classes ({', '.join(map(str, classes[:9]))})"
        raise UserError(val_path, found, f"images of 2 to {MOST_COMPONENTS} classes")
    if len(images) < len(val_images):
        raise UserError(train_path, f"fewer images than in {val_path}", "TRAIN before VAL")
    with torch.device("meta"):  # only sizes are needed, and no random numbers
        model_size = state_dict_size(VAE())
    check_outputs(outputs, (train_path, val_path), (model_size, *3 * [SMALL_FILE]))

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it
    torch.use_deterministic_algorithms(True)
    deadline = started + 60 * options.budget
    model, history = train_vae(images, len(classes), options.device, options.epochs, deadline)
    save_state_dict(model, options.model)
    write_history(history, history_path)
    val_z = encode(model, val_images)
    mixture, labels = fit_mixture(encode(model, images), val_z, val_labels)
    parts = {"labels": labels.tolist(), "model_sha256": sha256(options.model)}
    save_pickle({**mixture.to_dict(), **parts}, options.gmm)

    right = np.count_nonzero(labels[mixture.predict(val_z)] == val_labels)
    found = f"{right} of {len(val_labels)} validation images are in the component of their class"
    matches = right >= MATCH * len(val_labels)
    print(found if matches else f"warning: clusters and classes do not match: only {found}")
    for label, weight in zip(labels, mixture.weights_, strict=True):
        if weight < SMALLEST_SHARE / len(labels):
            print(f"warning: the component of class {label} holds {weight:.1%} of the images")
    seconds = time.monotonic() - started
    epochs = sum("ssim" in row or "cross_entropy" in row for row in history)  # without the layout's
    record = {"epochs": epochs, "seconds": seconds, "device": str(options.device)}
    with replacing(record_path) as file:
        file.write(json.dumps(record | {"threads": torch.get_num_threads()}).encode())
    print(f"wrote {', '.join(map(str, outputs))} in {seconds:.0f} s")


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


def test_reconstruction(before: list[str], after: list[str], usage: str) -> None:
    """Write the reconstructions of TEST, in its layout, to vae_reconstructed.npz."""
    started = time.monotonic()
    parser = CommandLine(usage, "test_recon.npz test_reconstruction vae.pth")
    parser.add_model(gmm=False)
    parser.add_argument("--encoder-only", action="store_true", help="do not search the plane")
    options = parser.parse(after)
    test_path, output = Path(before[0]), Path("vae_reconstructed.npz")
    images = load_images(test_path)
    check_outputs([output], inputs=(test_path, options.model))
    model = load_model(options.model, options.device)
    recon = reconstruct(model, images, encoder_only=options.encoder_only)
    if not np.isfinite(recon).all():
        raise UserError(options.model, "weights that lead to infinite values", STATE_DICT)
    with replacing(output) as file:
        np.savez(file, data=recon)
    print(f"wrote {output}: {len(recon)} images in {time.monotonic() - started:.1f} s")


def test_classifier(before: list[str], after: list[str], usage: str) -> None:
    """Write the most probable class of each image of TEST to vae.csv."""
    started = time.monotonic()
    parser = CommandLine(usage, "test.npz test_classifier vae.pth gmm_params.pkl")
    parser.add_model(gmm=True)
    options = parser.parse(after)
    test_path, output = Path(before[0]), Path("vae.csv")
    images = load_images(test_path)
    check_outputs([output], inputs=(test_path, options.model, options.gmm))
    model = load_model(options.model, options.device)
    mixture, labels = load_mixture(options.gmm, options.model)
    predicted = labels[mixture.predict(encode(model, images))]
    with replacing(output) as file:
        file.write("\n".join(["Predicted_Label", *map(str, predicted), ""]).encode())
    print(f"wrote {output}: {len(predicted)} labels in {time.monotonic() - started:.1f} s")
