"""`faces_ae` and `faces_vae`: faces as a few latents, and whether expressions cluster there.

The networks are autoencoders, or VAEs, with several numbers of latents. Held-out pictures of two
expressions judge them. If several people are known, the held-out pictures show people who are not
among the training images.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import figures
from storage import save_state_dict
from studies.faces.data import Faces, read_faces
from studies.faces.facts import facts
from studies.faces.feature_maps import all_feature_maps, describe, described, unpooling_example
from studies.faces.measures import encode, judge_clusters, measure, summarised
from studies.faces.options import AE_PRESETS, IMAGES, VAE_PRESETS, AeOptions, Options, VaeOptions
from studies.faces.pictures import (
    draw_course,
    draw_latents,
    draw_losses,
    draw_recovered,
    draw_terms,
)
from studies.faces.training import epochs_shown, train_network
from studies.shared.checks import (
    checked,
    collapsed,
    column,
    held_out_problems,
    late_change,
    on_a_line,
    within_noise,
    worse_than_pca,
)
from studies.shared.devices import check_devices, finish, start
from studies.shared.options import epochs_within
from studies.shared.runner import Findings, run_study
from training import History

ANSWERS = {
    "faces_ae": Path(__file__).with_name("ae_answers.md"),
    "faces_vae": Path(__file__).with_name("vae_answers.md"),
}
TITLES = {
    "faces_ae": "Facial expressions: an autoencoder",
    "faces_vae": "Facial expressions: a variational autoencoder",
}


def faces_ae(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of autoencoders and their feature maps."""
    run_study(ae_study, AE_PRESETS, TITLES["faces_ae"], (before, after, usage))


def faces_vae(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of variational autoencoders."""
    run_study(vae_study, VAE_PRESETS, TITLES["faces_vae"], (before, after, usage))


def ae_study(options: AeOptions, path: Path, out: Path) -> Findings:
    """Study autoencoders, or only write their feature maps and exit."""
    if options.describe:
        describe(options.latents[0], out)
        sys.exit()
    found = study(options, path, out, "faces_ae")
    maps = all_feature_maps(options.latents[0])
    summary = found.summary | {"feature_maps": described(maps), "unpooling": unpooling_example()}
    pictures = found.pictures | {
        "feature_maps": figures.feature_maps(maps),
        "unpooling": figures.number_grids(
            unpooling_example(), "Max pooling, and what unpooling restores"
        ),
    }
    return Findings(summary, pictures, found.answers)


def vae_study(options: VaeOptions, path: Path, out: Path) -> Findings:
    """Study variational autoencoders."""
    return study(options, path, out, "faces_vae")


def lowest_kl(history: History) -> dict[str, float]:
    """Return the lowest KL of a VAE's training, and how it changed in the last part."""
    kl = column(history, "kl")
    return late_change(kl) | {"kl": min(kl)}


def study(options: Options, path: Path, out: Path, mode: str) -> Findings:
    """Train a network for each number of latents, then save, measure and draw."""
    check_devices(options.device, options.devices, options.batch_size)
    faces, kept, held_out = read_faces(options, path, options.cache or out)
    train, unseen = faces.part(kept), faces.part(held_out)
    per_epoch = math.ceil(len(train) / options.batch_size)
    epochs = epochs_within(options.epochs, options.steps, per_epoch)
    options = replace(options, epochs=epochs, steps=None)
    fabric = start(options.device, options.devices)
    trained = {
        latent: train_network(options, latent, train, unseen, fabric, out, mode)
        for latent in options.latents
    }
    finish()
    for latent, (network, _) in trained.items():
        save_state_dict(network, out / f"{mode}_latent_{latent}.pth")
    networks = {latent: network.eval() for latent, (network, _) in trained.items()}
    histories = {latent: history for latent, (_, history) in trained.items()}
    two = np.isin(faces.expressions, options.expressions)
    test = np.isin(np.flatnonzero(two), held_out)
    z = {latent: encode(network, faces, fabric.device)[two] for latent, network in networks.items()}
    measured = {
        latent: measure(network, train, unseen, fabric.device)
        for latent, network in networks.items()
    }
    models = {
        latent: row | {"clusters": judge_clusters(z[latent], faces.part(two), test)}
        for latent, row in summarised(measured, train, unseen).items()
    }
    pictures = {
        "recovered": draw_recovered(networks, unseen, options.expressions, fabric.device),
        "losses": draw_losses(histories),
    }
    pictures |= draw_latents(z, faces.part(two), test, options.seed)
    if isinstance(options, VaeOptions):
        pictures["terms"] = draw_terms(histories, options.loss)
    summary = summarise(options, (faces, train, unseen), histories, models)
    summary["facts"] = facts(summary)
    summary["checks"] = check(options, summary, histories, epochs * per_epoch)
    return Findings(summary, pictures | draw_course(options, train, unseen, out), ANSWERS[mode])


def check(
    options: Options, summary: Mapping[str, Any], histories: Mapping[int, History], steps: int
) -> dict[str, Any]:
    """Return what is wrong with the run."""
    titles = {latent: f"the network with {latent} latents" for latent in histories}
    models = summary["models"]
    errors = {
        f"The squared error of unseen faces of {title}": column(histories[latent], "unseen_mse")
        for latent, title in titles.items()
    }
    made = {
        **held_out_problems("errors of unseen faces", errors),
        "collapsed latents": [
            collapsed(title, models[latent]["clusters"]["active_units"], latent)
            for latent, title in titles.items()
            if isinstance(options, VaeOptions)  # an autoencoder's units have no scale
        ],
        "codes on a line": [
            on_a_line(title, models[latent]["clusters"]["first_axis"])
            for latent, title in titles.items()
        ],
        "squared errors of unseen faces against principal components": [
            worse_than_pca(title, models[latent]["against_pca"], models[latent]["pca_mse"], latent)
            for latent, title in titles.items()
        ],
        "differences between numbers of latents": [
            within_noise(
                "SSIM of unseen faces", [f"{name} latents" for name in summary["facts"]["best"]]
            )
        ],
    }
    full = AE_PRESETS["full"]
    return checked(options.preset, made, steps, full.epochs * math.ceil(IMAGES / full.batch_size))


def summarise(
    options: Options,
    pictures: tuple[Faces, Faces, Faces],
    histories: Mapping[int, History],
    models: Mapping[int, dict[str, Any]],
) -> dict[str, Any]:
    """Return the numbers that the answers quote.

    `pictures`: all of them, those trained on, and those held out. `models`: what was measured of
    each network.
    """
    faces, train, unseen = pictures
    return {
        "variant": options.loss if isinstance(options, VaeOptions) else "",
        "images": len(train),
        "unseen": len(unseen),
        "people": len(np.unique(train.people)),
        "unseen_people": len(np.unique(unseen.people)),
        "unseen_people_by_expression": {
            name: len(np.unique(unseen.people[unseen.expressions == name]))
            for name in options.expressions
        },
        "several": len(np.unique(faces.people)) > 1,
        "expressions": options.expressions,
        "epochs": options.epochs,
        "first": {latent: history[0] for latent, history in histories.items()},
        "last": {latent: history[-1] for latent, history in histories.items()},
        "late": {
            latent: late_change(column(history, "unseen_mse"))
            for latent, history in histories.items()
        },
        "course": {
            latent: {epoch: history[epoch - 1] for epoch in epochs_shown(options)}
            for latent, history in histories.items()
        },
        "models": dict(models),
    } | (
        {"lowest_kl": {latent: lowest_kl(history) for latent, history in histories.items()}}
        if isinstance(options, VaeOptions)
        else {}
    )
