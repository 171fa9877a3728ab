"""`latent_study`: what the two latents of an autoencoder and of a VAE encode.

The study trains four networks on the same images: a convolutional autoencoder, its encoder as a
classifier, an improved version of this classifier, and a convolutional VAE.
"""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from command_line import choose_device
from studies.latent_study.facts import facts
from studies.latent_study.images import padded
from studies.latent_study.options import IMAGES, PRESETS, Options
from studies.latent_study.pictures import draw
from studies.latent_study.planes import by_quantiles, by_range, make_plane
from studies.latent_study.summary import LATENTS, summarise
from studies.latent_study.training import Networks, Run, train_all
from studies.shared.checks import (
    checked,
    collapsed,
    column,
    held_out_problems,
    on_a_line,
    worse_than_pca,
)
from studies.shared.datasets import read_split
from studies.shared.options import epochs_within
from studies.shared.runner import Findings, run_study

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "What an autoencoder's two numbers know"


def latent_study(before: list[str], after: list[str], usage: str) -> None:
    """Train the networks and do the assignment's exercises with them."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Do all six exercises."""
    device = choose_device(options.device)
    train, test = (padded(part, device) for part in read_split(path, options.test, options.seed))
    per_epoch = math.ceil(len(train) / options.batch_size)
    epochs = epochs_within(options.epochs, options.steps, per_epoch)
    run = Run(replace(options, epochs=epochs, steps=None), train, test, out)
    networks = train_all(run)
    networks.save(out)

    autoencoder, vae = networks.autoencoder.model, networks.vae.model
    codes = {
        name: (train.apply(model.encode), test.apply(model.encode))
        for name, model in (("autoencoder", autoencoder), ("vae", vae))
    }
    z, z_vae = codes["autoencoder"][0], codes["vae"][0]
    planes = {
        "autoencoder": make_plane(autoencoder, z, by_range(z)),
        "vae": make_plane(vae, z_vae, by_range(z_vae)),
        "quantiles": make_plane(vae, z_vae, (by_quantiles(), by_quantiles())),
    }
    summary = asdict(summarise(run, networks, codes, planes))
    summary["facts"] = facts(summary)
    summary["checks"] = check(run, networks, summary)
    return Findings(summary, draw(run, networks, planes, summary["all"]["confusion"]), ANSWERS)


def check(run: Run, networks: Networks, summary: dict[str, Any]) -> dict[str, Any]:
    """Return what is wrong with the run."""
    models, verdicts = summary["models"], summary["facts"]
    titles = {"autoencoder": "the autoencoder", "vae": "the VAE"}
    losses = {
        "The test loss of the autoencoder": column(networks.autoencoder.history, "test_loss"),
        "The test loss of the VAE": [
            row["test_reconstruction"] + run.options.beta * row["test_kl"]
            for row in networks.vae.history
        ],
        "The test loss of the classifier": column(networks.classifier.history, "test_loss"),
    }
    made = {
        **held_out_problems("test losses", losses),
        "collapsed latents of the VAE": [
            collapsed("the VAE", models["vae"]["active_units"], LATENTS)
        ],
        "codes on a line": [
            on_a_line(title, models[name]["first_axis"]) for name, title in titles.items()
        ],
        "squared errors against principal components": [
            worse_than_pca(title, models[name]["against_pca"], summary["pca_mse"], LATENTS)
            for name, title in titles.items()
        ],
        "the nearest neighbour against chance": [
            None
            if verdicts["against_chance"] > 0
            else "The nearest neighbour in the autoencoder's plane is not right more often than by "
            "chance."
        ],
        "the difference between the classifiers": [
            None
            if verdicts["gain"]
            else "The accuracies of the two classifiers differ only by the noise."
        ],
    }
    full, batch_size = PRESETS["full"], run.options.batch_size
    own_steps = full.epochs * math.ceil(IMAGES / full.batch_size)
    steps = run.options.epochs * math.ceil(len(run.train) / batch_size)
    return checked(run.options.preset, made, steps, own_steps)
