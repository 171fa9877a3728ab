"""`celeba`: a convolutional VAE of faces, with a few latent units and with many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from storage import save_state_dict
from studies.celeba.data import Faces, read_faces
from studies.celeba.measures import (
    PATHS,
    check_formula,
    judge_initial_weights,
    judge_interpolation,
    late_share,
    measure,
    small,
)
from studies.celeba.options import PRESETS, Options, initial_weights
from studies.celeba.pictures import draw
from studies.celeba.sampling import GENERATED, Model, sample_from
from studies.celeba.training import train_model
from studies.shared.devices import check_devices, finish, start
from studies.shared.image_cache import on_device
from studies.shared.measures import mean_pairwise_distance, nearest_distance
from studies.shared.networks import unit
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
    return Findings(summary, draw(options, faces, models, summary["unit"]), ANSWERS)


def summarise(options: Options, faces: Faces, models: Mapping[int, Model]) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    largest = models[max(models)].vae
    real = on_device(faces.held_out[:GENERATED], largest.device)
    known = small(on_device(faces.train[:KNOWN], largest.device))
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
        "late": {latent: late_share(model.history) for latent, model in models.items()},
        "models": {
            latent: measure(options, faces, model, known) for latent, model in models.items()
        },
    }
