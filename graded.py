"""The three graded modes: train, test_reconstruction, test_classifier."""

import functools
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch

from checkpoint import load_mixture, load_model, save_mixture, write_history
from classifier import fit_mixture
from command_line import CommandLine, check_outputs
from data import load_images, load_labelled_images
from grader.errors import UserError
from inference import decode, encode, search
from interruption import SavedTraining, identity
from models import VAE
from recipe import EPOCHS, MOST_COMPONENTS, Run, run_stage, train_vae
from storage import STATE_DICT, replacing, save_state_dict, state_dict_size

MATCH = 0.9  # least share of the validation images that should be in their class's component
SMALLEST_SHARE = 0.15  # of an equal share of the images; a component below it has collapsed
SMALL_FILE = 1 << 16  # bytes of space required for each output other than the model
BUDGET = 55.0  # minutes, within the hour that the assignment expects
LATENTS = "VAE_LATENTS"  # a variable in which the grader names a file, for its page


def train(before: list[str], after: list[str], usage: str) -> None:
    """Train on the images of TRAIN, whose labels are not read; save the model and the mixture."""
    started = time.monotonic()
    parser = CommandLine(usage, "train.npz val.npz train vae.pth gmm_params.pkl --epochs 72")
    parser.add_model(gmm=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes (%(default)s)")
    parser.add_argument("--budget", type=float, default=BUDGET, help="minutes (%(default)g)")
    options = parser.parse(after)
    if options.epochs <= 0:
        parser.error(f"--epochs {options.epochs}: not above 0")
    if not 0 < options.budget < math.inf:
        parser.error(f"--budget {options.budget:g}: not a number of minutes above 0")
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
    run: Run = run_stage
    saved = SavedTraining(
        Path(f"{stem}.state"),
        identity(images, len(classes), options.epochs, torch.initial_seed(), options.device),
    )
    run, started = saved.run, started - saved.seconds
    run = functools.partial(run, deadline=started + 60 * options.budget)
    model, history = train_vae(images, len(classes), options.device, options.epochs, run)
    saved.make_room(options.model, model_size)
    save_state_dict(model, options.model)
    write_history(history, history_path)
    val_z = encode(model, val_images)
    mixture, labels = fit_mixture(encode(model, images), val_z, val_labels)
    save_mixture(mixture, labels, options.gmm, options.model)

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
        file.write(json.dumps(record).encode())
    saved.remove()
    print(f"wrote {', '.join(map(str, outputs))} in {seconds:.0f} s")


def save_latents(z: np.ndarray) -> None:
    """Write the latents of images, (N, 2), in the order of the images, if somebody wants them."""
    if LATENTS in os.environ:
        with replacing(Path(os.environ[LATENTS])) as file:
            np.savez(file, z=z)


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
    z = (encode if options.encoder_only else search)(model, images)
    recon = decode(model, z).reshape(images.shape)
    if not np.isfinite(recon).all():
        raise UserError(options.model, "weights that lead to infinite values", STATE_DICT)
    with replacing(output) as file:
        np.savez(file, data=recon)
    save_latents(z)
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
    z = encode(model, images)
    predicted = labels[mixture.predict(z)]
    with replacing(output) as file:
        file.write("\n".join(["Predicted_Label", *map(str, predicted), ""]).encode())
    save_latents(z)
    print(f"wrote {output}: {len(predicted)} labels in {time.monotonic() - started:.1f} s")
