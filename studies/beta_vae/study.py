"""`beta_vae`: the same VAE under several weights of its KL term.

Higgins et al., "beta-VAE" (ICLR 2017).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from typer import Option

import figures
from checkpoint import write_history
from command_line import choose_device, default_device
from data import ShuffledBatches
from grader.errors import UserError
from losses import kl_divergence
from storage import save_state_dict
from studies.shared.answers import listed
from studies.shared.datasets import as_images, read_split
from studies.shared.measures import (
    active_units,
    class_probabilities,
    effective_classes,
    pca_mse,
    sharpness,
    train_classifier,
)
from studies.shared.networks import RECONSTRUCTION_LOSSES, Vae, named_losses, unit
from studies.shared.options import (
    BatchSize,
    Device,
    Epochs,
    LearningRate,
    LossType,
    Preset,
    Seed,
    units,
    weight,
)
from studies.shared.resume import fit_or_resume
from studies.shared.runner import Answer, Findings, fingerprint, run_study
from training import History

TITLE = "beta-VAE: reconstruction against regularity"
QUESTIONS = ("Q1.1", "Q1.2", "Q1.3", "Q1.4")
TERMS = ("reconstruction", "kl")
SAMPLES = 1000  # per model, for its measures
DRAWS, DRAWN = 3, 5  # samples shown per model: DRAWS sets of DRAWN
RECOGNISED = 0.9  # a sample is recognised if its class has a higher probability
STEADY = 0.02  # a loss that changes by a smaller share hardly moves


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's settings; quick: about a minute")
    ] = "full"
    betas: Annotated[list[float], weight(help="weights of the KL term, one model for each")] = (
        field(default_factory=lambda: [0.05, 0.5, 1, 5])
    )
    epochs: Epochs = 50
    z_dim: Annotated[int, units(help="latent units")] = 10
    hidden_size: Annotated[int, units(help="units of the hidden layers")] = 256
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    loss_type: LossType = "bce"
    test: Annotated[
        Path | None,
        Option(help="held-out images; by default DATA's own test part, or a tenth of DATA"),
    ] = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=5)}


def beta_vae(before: list[str], after: list[str], usage: str) -> None:
    """Train a VAE for each beta, and answer the assignment's questions about them."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train, save and measure a model for each beta, and draw its pictures."""
    usable = {f"{beta:g}" for beta in options.betas if 0 <= beta < math.inf}
    if not usable or len(usable) < len(options.betas):
        raise UserError("command line", f"--betas {options.betas}", "different numbers from 0 on")
    device = choose_device(options.device)
    train, held_out = read_split(path, options.test, options.seed)
    x, x_held_out = train.vectors(device), held_out.vectors(device)

    vaes, history = train_models(options, x, out)
    names = [f"{beta:g}" for beta in options.betas]
    for name, vae in zip(names, vaes, strict=True):
        save_state_dict(vae, out / f"beta_{name}_vae_{options.epochs}_epochs.pth")

    labels = torch.from_numpy(train.labels).to(device)
    classifier = train_classifier(x, labels, len(train.names))
    right = class_probabilities(classifier, x_held_out).argmax(axis=1) == held_out.labels
    real = sharpness(as_images(x_held_out))
    measured, samples = {}, {}
    for name, vae in zip(names, vaes, strict=True):
        samples[name] = vae.sample(SAMPLES).detach()
        measured[name] = measure(vae, x_held_out, samples[name], classifier, real, options)
    summary = {
        "images": len(train),
        "held_out": len(held_out),
        "epochs": options.epochs,
        "z_dim": options.z_dim,
        "classes": len(train.names),
        "unit": unit("reconstruction", options.loss_type),
        "classifier_accuracy": float(right.mean()),
        "pca_mse": pca_mse(x.cpu().numpy(), x_held_out.cpu().numpy(), options.z_dim),
        "first": history[0],
        "last": history[-1],
        "betas": measured,
    }
    return Findings(
        summary,
        draw(history, measured, vaes, x_held_out, samples, options.loss_type),
        answers(summary),
    )


def train_models(options: Options, x: Tensor, out: Path) -> tuple[list[Vae], History]:
    """Train a model for each beta; return them, and their reconstruction and KL in each epoch."""
    vaes, histories = [], []
    for beta in options.betas:
        vae, history = train_model(options, beta, x, out)
        vaes.append(vae)
        histories.append(history)
    together = [
        {f"{n}_{b:g}": row[n] for b, row in zip(options.betas, rows, strict=True) for n in TERMS}
        for rows in zip(*histories, strict=True)
    ]
    write_history(together, out / "history.csv")
    return vaes, together


def train_model(options: Options, beta: float, x: Tensor, out: Path) -> tuple[Vae, History]:
    """Train the model of one beta; return it and its losses in each epoch.

    All models start with the same weights, batches and noise.
    """
    torch.manual_seed(options.seed)
    vae = Vae(x.shape[1], options.z_dim, options.hidden_size, x.device)

    def step(vae: Vae, index: Tensor, _progress: float) -> dict[str, Tensor]:
        recon, mu, logvar, _ = vae(x[index])
        return named_losses(recon, x[index], mu, logvar, options.loss_type, beta)

    optimizer = Adam(vae.parameters(), options.learning_rate, fused=True)
    batches = ShuffledBatches(len(x), options.batch_size, torch.default_generator)
    apart = dict.fromkeys(("preset", "betas", "epochs", "test"), "")
    settings = asdict(options) | apart | {"beta": beta, "data": fingerprint(x)}
    history = fit_or_resume(
        vae,
        step,
        batches,
        optimizer,
        LambdaLR(optimizer, lambda _: 1.0),
        epochs=options.epochs,
        name=f"beta_{beta:g}",
        settings=settings,
        out=out,
    )
    return vae, history


@torch.no_grad()
def measure(
    vae: Vae, x: Tensor, samples: Tensor, classifier: nn.Module, real: float, options: Options
) -> dict[str, float]:
    """Return measures of one model by name.

    `real`: the sharpness of held-out images, relative to which sharpness is given. Reconstructions
    are those of the posterior's mean, except for the distortion.
    """
    _, mu, logvar = vae.encode(x)
    recon = vae.decode(mu)
    drawn = vae(x)[0]
    probabilities = class_probabilities(classifier, samples)
    return {
        "reconstruction": float(RECONSTRUCTION_LOSSES[options.loss_type](recon, x)),
        "distortion": float(RECONSTRUCTION_LOSSES[options.loss_type](drawn, x)),
        "mse": float((recon - x).square().mean()),
        "kl": float(kl_divergence(mu, logvar)),
        "active_units": active_units(mu.cpu().numpy()),
        "sharpness_of_reconstructions": sharpness(as_images(recon)) / real,
        "sharpness_of_samples": sharpness(as_images(samples)) / real,
        "recognised": float((probabilities.max(axis=1) > RECOGNISED).mean()),
        "effective_classes": effective_classes(
            probabilities.argmax(axis=1), probabilities.shape[1]
        ),
    }


@torch.no_grad()
def draw(
    history: History,
    measured: Mapping[str, Mapping[str, float]],
    vaes: list[Vae],
    x: Tensor,
    samples: Mapping[str, Tensor],
    loss_type: str,
) -> dict[str, Any]:
    """Draw the study's pictures and return them by name."""
    losses = {
        f"{term} ({unit(key, loss_type)} an image)": {
            f"beta {name}": np.array([row[f"{key}_{name}"] for row in history]) for name in measured
        }
        for key, term in zip(TERMS, ("reconstruction", "KL divergence"), strict=True)
    }
    shown = x[: 2 * DRAWN]
    recon = [as_images(vae.decode(vae.encode(shown)[1])) for vae in vaes]
    names = [f"beta {name}" for name in measured]
    draws = [
        f"draw {n // DRAWN + 1}" if n % DRAWN == DRAWN // 2 else "" for n in range(DRAWS * DRAWN)
    ]
    ordered = sorted(measured, key=float)
    axes = figures.labelled_points(
        [measured[name]["kl"] for name in ordered],
        [measured[name]["distortion"] for name in ordered],
        [f"beta {name}" for name in ordered],
    )
    distortion = f"distortion of a drawn z ({unit('reconstruction', loss_type)})"
    axes.set(xlabel="rate: KL divergence (nats)", ylabel=distortion)
    return {
        "losses": figures.curves(losses),
        "samples": figures.image_grid(
            [as_images(images[: DRAWS * DRAWN]) for images in samples.values()], names, draws
        ),
        "reconstructions": figures.image_grid([as_images(shown), *recon], ["original", *names]),
        "rate_distortion": figures.figure_of(axes),
    }


def trend(first: float, last: float) -> str:
    """Say in words how a loss changed."""
    change = (last - first) / max(abs(first), 1e-9)
    if abs(change) < STEADY:
        return "hardly moves"
    return "rises" if change > 0 else "falls"


def answers(summary: Mapping[str, Any]) -> list[Answer]:
    """Answer the assignment's questions with the numbers of this run."""
    measured: dict[str, dict[str, float]] = summary["betas"]
    low, high = min(measured, key=float), max(measured, key=float)

    def column(name: str) -> dict[str, float]:
        return {f"beta {beta}": values[name] for beta, values in measured.items()}

    def best(name: str, largest: bool = True) -> str:
        pick = max if largest else min
        return pick(measured, key=lambda beta: measured[beta][name])

    return [
        Answer(
            "Q1.1",
            "What does the loss of a beta-VAE trade against what?",
            explain_loss(measured, low, high),
        ),
        Answer("Q1.2", "How do the two terms go over the epochs?", explain_trends(summary)),
        Answer(
            "Q1.3",
            "Which beta reconstructs better, and which gives better samples?",
            f"On {summary['held_out']:,} held-out images the reconstruction error, in "
            f"{summary['unit']} an image, is {listed(column('reconstruction'), '.1f')}: "
            f"lowest at beta {best('reconstruction', largest=False)}. A low error matters "
            "because it says that z "
            "holds what makes one image differ from the next; without that, z is of no use as a "
            "description. As squared error a pixel it is "
            f"{listed(column('mse'), '.4f')}, where {summary['z_dim']} principal components leave "
            f"{summary['pca_mse']:.4f}. Blur was measured as the strength of edges (mean square "
            "of the Laplacian over the variance) relative to real images, where less than 1 is "
            f"softer: reconstructions {listed(column('sharpness_of_reconstructions'))}; samples "
            f"{listed(column('sharpness_of_samples'))}. A classifier that is right about "
            f"{summary['classifier_accuracy']:.1%} of the held-out images is sure of its class "
            f"(probability above {RECOGNISED}) for these shares of {SAMPLES:,} samples: "
            f"{listed(column('recognised'), '.0%')}. {explain_quality(best)}",
        ),
        Answer("Q1.4", "Which beta gives more diverse samples?", explain_diversity(summary, best)),
    ]


def explain_loss(measured: Mapping[str, Mapping[str, float]], low: str, high: str) -> str:
    loose, tight = measured[low], measured[high]
    traded = loose["reconstruction"] < tight["reconstruction"] and loose["kl"] > tight["kl"]
    return (
        "The loss adds two costs. The reconstruction term asks how well the decoder restores the "
        "image from a draw of z, which pushes the encoder to tell every image apart. The KL "
        "divergence charges for every nat by which the posterior of an image departs from the "
        "prior, which pushes all posteriors onto one another. Beta is the price of such a nat, as "
        "lambda is the price of a weight's square in ridge regression: a small one lets the model "
        "fit the data closely, a large one makes it simpler, and past some point it is too simple. "
        f"In this run, from beta {low} to {high}, the KL on held-out images goes from "
        f"{loose['kl']:.1f} to {tight['kl']:.1f} nats, the reconstruction error from "
        f"{loose['reconstruction']:.1f} to {tight['reconstruction']:.1f}, and the units of z that "
        f"depend on the image from {loose['active_units']} to {tight['active_units']}. "
        + (
            "That is the trade: information was paid for with accuracy."
            if traded
            else "That is not the trade that the loss is about: these betas, or so few epochs, do "
            "not show it."
        )
    )


def explain_trends(summary: Mapping[str, Any]) -> str:
    first, last, measured = summary["first"], summary["last"], summary["betas"]
    lines = []
    for beta in measured:
        parts = [
            f"its {name} {trend(first[key], last[key])} ({first[key]:.1f} to {last[key]:.1f})"
            for name, key in (("reconstruction", f"reconstruction_{beta}"), ("KL", f"kl_{beta}"))
        ]
        lines.append(f"at beta {beta} {' and '.join(parts)}")
    trends = {
        term: {trend(first[f"{term}_{beta}"], last[f"{term}_{beta}"]) for beta in measured}
        for term in ("reconstruction", "kl")
    }
    if trends["reconstruction"] == {"falls"}:
        general = "The reconstruction error falls for every beta"
    else:
        general = "The reconstruction error does not fall for every beta"
    kl = {
        frozenset({"hardly moves"}): "the KL hardly moves",
        frozenset({"rises"}): "the KL rises, since a decoder that has learned to use z makes it "
        "worth its price to tell more about the image",
        frozenset({"falls"}): "the KL falls, since the encoder learns to say the same with less",
    }.get(
        frozenset(trends["kl"]),
        "the KL does not go one way for all: where it rises, telling more about the image became "
        "worth its price; where it falls, it was not",
    )
    order = sorted(measured, key=lambda beta: -last[f"kl_{beta}"])
    return (
        f"From the first epoch to the last ({summary['epochs']}), {'; '.join(lines)}. {general}; "
        f"{kl}. By the last epoch's KL, the largest first, the betas are {', '.join(order)}."
    )


def explain_quality(best: Any) -> str:
    sharpest, recognised = best("sharpness_of_samples"), best("recognised")
    faithful = best("reconstruction", False)
    text = f"So samples are sharpest at beta {sharpest} and most often recognised at {recognised}. "
    if recognised == faithful:
        return text + "The model that reconstructs best also has the best samples here."
    if float(faithful) > float(recognised):
        return text + "That the dearer KL reconstructs better is not what the loss leads to expect."
    return text + (
        f"The model that reconstructs best, beta {faithful}, is not the one to sample from: with a "
        "cheap KL the posteriors leave the prior, and a draw from it falls between them, where the "
        "decoder was never trained and mixes strokes. A dear KL closes these gaps, but z then "
        "tells less and the decoder answers with an average of all images that fit: that is blur."
    )


def explain_diversity(summary: Mapping[str, Any], best: Any) -> str:
    measured = summary["betas"]
    classes = listed(
        {f"beta {beta}": values["effective_classes"] for beta, values in measured.items()}, ".1f"
    )
    widest, clearest = best("effective_classes"), best("recognised")
    text = (
        f"Each of {SAMPLES:,} samples was given its class by the classifier. The exponential of "
        f"the entropy of these classes, which is {summary['classes']} where all are equally "
        f"frequent and 1 where all samples are of one class, is {classes}: most diverse at beta "
        f"{widest}. "
    )
    if measured[clearest]["recognised"] < 0.1:
        return text + "But hardly any sample is recognised, so these classes mean little."
    if widest == clearest:
        return text + "There samples are also recognised most often."
    return text + (
        f"Part of that may be noise: samples of beta {widest} are recognised in "
        f"{measured[widest]['recognised']:.0%} of cases, those of beta {clearest} in "
        f"{measured[clearest]['recognised']:.0%}, with "
        f"{measured[clearest]['effective_classes']:.1f} classes."
    )
