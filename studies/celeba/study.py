"""`celeba`: a convolutional VAE of faces, with a few latent units and with many."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storage import save_state_dict
from studies.celeba.data import Faces, read_faces
from studies.celeba.facts import facts
from studies.celeba.measures import (
    PATHS,
    SMALL,
    check_formula,
    judge_initial_weights,
    judge_interpolation,
    measure,
    small,
)
from studies.celeba.options import PRESETS, Options, initial_weights
from studies.celeba.pictures import draw
from studies.celeba.sampling import GENERATED, Model, sample_from
from studies.celeba.training import train_model
from studies.shared.checks import (
    checked,
    collapsed,
    column,
    held_out_problems,
    late_change,
    on_a_line,
    paired,
    worse_than_pca,
)
from studies.shared.devices import check_devices, finish, start
from studies.shared.image_cache import on_device
from studies.shared.measures import mean_pairwise_distance, nearest_distance, pca_errors
from studies.shared.networks import unit
from studies.shared.options import epochs_within
from studies.shared.runner import Findings, run_study

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "CelebA: faces from three numbers and from a hundred"
KNOWN = 2000  # training faces among which the nearest one is found


def celeba(before: list[str], after: list[str], usage: str) -> None:
    """Train a VAE for each size of the latent space, and answer the assignment's questions."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train a model for each number of latents, then save, measure and draw."""
    check_devices(options.device, options.devices, options.batch_size)
    faces = read_faces(options, path, options.cache or out)
    per_epoch = math.ceil(len(faces.train) / options.batch_size)
    epochs = epochs_within(options.epochs, options.steps, per_epoch)
    options = replace(options, epochs=epochs, steps=None)
    fabric = start(options.device, options.devices)
    trained = {
        latent: train_model(options, latent, faces, fabric, out) for latent in options.latents
    }
    finish()
    for latent, (vae, _) in trained.items():
        save_state_dict(vae, out / f"celeba_latent_{latent}.pth")
    torch.manual_seed(options.seed)
    models = {
        latent: sample_from(vae, history, faces.train) for latent, (vae, history) in trained.items()
    }
    summary = summarise(options, faces, models)
    summary["facts"] = facts(summary)
    summary["checks"] = check(options, summary, models, epochs * per_epoch)
    return Findings(summary, draw(options, faces, models, summary["unit"]), ANSWERS)


def check(
    options: Options, summary: Mapping[str, Any], models: Mapping[int, Model], steps: int
) -> dict[str, Any]:
    """Return what is wrong with the run."""
    titles = {latent: f"the model with {latent} latents" for latent in models}
    losses = {
        f"The held-out loss of {title}": column(models[latent].history, "held_out_loss")
        for latent, title in titles.items()
    }
    measured = summary["models"]
    made = {
        **held_out_problems("held-out losses", losses),
        "collapsed latents": [
            collapsed(title, measured[latent]["active_units"], latent)
            for latent, title in titles.items()
        ],
        "codes on a line": [
            on_a_line(title, measured[latent]["first_axis"]) for latent, title in titles.items()
        ],
        f"squared errors at {SMALL} x {SMALL} pixels against principal components": [
            worse_than_pca(
                f"{title} at {SMALL} x {SMALL} pixels",
                measured[latent]["against_pca"],
                measured[latent]["pca_mse"],
                latent,
            )
            for latent, title in titles.items()
        ],
        "the difference that more latents make": [
            None
            if len(models) == 1 or summary["facts"]["more_ssim"]
            else "The SSIMs with few and with many latents differ only by the noise."
        ],
    }
    full = PRESETS["full"]
    own_steps = full.epochs * math.ceil(full.images / full.batch_size)
    return checked(options.preset, made, steps, own_steps)


def summarise(options: Options, faces: Faces, models: Mapping[int, Model]) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    largest = models[max(models)].vae
    real = on_device(faces.held_out[:GENERATED], largest.device)
    known = small(on_device(faces.train[:KNOWN], largest.device))
    held_out = small(on_device(faces.held_out, largest.device))
    pca = pca_errors(known, held_out, list(models))
    measured = {
        latent: measure(options, faces, model, known, pca[latent])
        for latent, model in models.items()
    }
    similarities = {latent: np.array(model.pop("ssims")) for latent, model in measured.items()}
    return {
        "images": len(faces.train),
        "held_out": len(faces.held_out),
        "size": options.size,
        "epochs": options.epochs,
        "beta": options.beta,
        "unit": unit("reconstruction", options.loss_type),
        "diversity_of_real_faces": mean_pairwise_distance(small(real)),
        "nearest_of_real_faces": nearest_distance(small(real), known),
        "initial_weights": {
            name: judge_initial_weights(options, std, real)
            for name, std in initial_weights(options).items()
        },
        "check": check_formula(largest, real[:1], options.seed),
        "pairs": PATHS,
        "known": len(known),
        "interpolation": judge_interpolation(largest, real, known),
        "first": {latent: model.history[0] for latent, model in models.items()},
        "last": {latent: model.history[-1] for latent, model in models.items()},
        "late": {
            latent: late_change(column(model.history, "held_out_loss"))
            for latent, model in models.items()
        },
        "ssim_gain": paired(similarities[max(models)], similarities[min(models)]),
        "models": measured,
    }
