"""`beta_vae`: one VAE, trained with several weights of its KL term.

Higgins et al., "beta-VAE" (ICLR 2017).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from typer import Option

import figures
from checkpoint import write_history
from command_line import choose_device, default_device
from data import ShuffledBatches
from grader.errors import UserError
from losses import gaussian_kl, kl_divergence
from storage import save_state_dict
from studies.beta_vae.facts import facts
from studies.shared.checks import (
    behind_best,
    checked,
    column,
    course,
    latent_problems,
    paired,
    standard_error,
    still_falling,
    within_noise,
)
from studies.shared.datasets import as_images, read_split, some_of_each
from studies.shared.measures import (
    active_units,
    class_probabilities,
    edges_and_variances,
    effective_classes,
    effective_classes_error,
    first_axis,
    pca_errors,
    per_image,
    relative_sharpness,
    squared_errors,
    train_classifier,
)
from studies.shared.networks import RECONSTRUCTION_LOSSES, Vae, axis_label, named_losses, unit
from studies.shared.options import (
    MANY,
    BatchSize,
    Device,
    Epochs,
    HeldOut,
    LearningRate,
    LossType,
    Preset,
    Seed,
    Steps,
    epochs_within,
    units,
    weight,
)
from studies.shared.resume import fit_or_resume
from studies.shared.runner import Findings, fingerprint, run_study
from training import History

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "beta-VAE: reconstruction against regularity"
TERMS = ("reconstruction", "kl")
SAMPLES = 1000  # per model, for its measures
IMAGES = 60_000  # of the task's data set
DRAWS, DRAWN = 3, 5  # samples shown per model: DRAWS sets of DRAWN
RECOGNISED = 0.9  # a sample is recognised if its class has a higher probability


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's settings; quick: three minutes")
    ] = "full"
    betas: Annotated[list[float], weight(help="weights of the KL term, one model for each")] = (
        field(default_factory=lambda: [0.05, 0.5, 1, 5])
    )
    epochs: Epochs = 50
    steps: Steps = None
    z_dim: Annotated[int, units(help="latent units")] = 10
    hidden_size: Annotated[int, units(help="units of the hidden layers")] = 256
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    loss_type: LossType = "bce"
    test: HeldOut = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=MANY, steps=2300)}


def beta_vae(before: list[str], after: list[str], usage: str) -> None:
    """Train a VAE for each beta, and answer the assignment's questions about them."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train, save and measure a model for each beta, and draw its pictures."""
    usable = {f"{beta:g}" for beta in options.betas if 0 <= beta < math.inf}
    if not usable or len(usable) < len(options.betas):
        raise UserError("command line", f"--betas {options.betas}", "different numbers, 0 or more")
    device = choose_device(options.device)
    train, held_out = read_split(path, options.test, options.seed)
    x, x_held_out = train.vectors(device), held_out.vectors(device)
    per_epoch = math.ceil(len(x) / options.batch_size)
    epochs = epochs_within(options.epochs, options.steps, per_epoch)
    options = replace(options, epochs=epochs, steps=None)

    vaes, history = train_models(options, x, out)
    names = [f"{beta:g}" for beta in options.betas]
    for name, vae in zip(names, vaes, strict=True):
        save_state_dict(vae, out / f"beta_{name}_vae_{options.epochs}_epochs.pth")

    labels = torch.from_numpy(train.labels).to(device)
    classifier = train_classifier(x, labels, len(train.names))
    probabilities = class_probabilities(classifier, x_held_out)
    right = probabilities.argmax(axis=1) == held_out.labels
    real = edges_and_variances(as_images(x_held_out))
    pca = pca_errors(x.cpu().numpy(), x_held_out.cpu().numpy(), [options.z_dim])[options.z_dim]
    measured, samples, errors = {}, {}, {}
    for name, vae in zip(names, vaes, strict=True):
        samples[name] = vae.sample(SAMPLES).detach()
        measured[name] = measure(vae, x_held_out, samples[name], classifier, real, pca, options)
        errors[name] = reconstruction_errors(vae, x_held_out, options.loss_type)
    for name, gap in behind_best(errors, lowest=True).items():
        measured[name]["reconstruction_behind"] = gap
    summary = {
        "images": len(train),
        "held_out": len(held_out),
        "samples": SAMPLES,
        "recognised_above": RECOGNISED,
        "recognised_of_real": float((probabilities.max(axis=1) > RECOGNISED).mean()),
        "epochs": options.epochs,
        "z_dim": options.z_dim,
        "classes": len(train.names),
        "unit": unit("reconstruction", options.loss_type),
        "classifier_accuracy": float(right.mean()),
        "pca_mse": float(pca.mean()),
        "course": {
            name: {term: course(column(history, f"{term}_{name}")) for term in TERMS}
            for name in names
        },
        "betas": measured,
    }
    summary["facts"] = facts(summary)
    summary["checks"] = check(options, summary, history, per_epoch)
    chosen = some_of_each(held_out.labels)
    pictures = draw(history, measured, vaes, x_held_out, samples, chosen, options.loss_type)
    return Findings(summary, pictures, ANSWERS)


def check(
    options: Options, summary: Mapping[str, Any], history: History, per_epoch: int
) -> dict[str, Any]:
    """Return what is wrong with the run."""
    betas, verdicts = summary["betas"], summary["facts"]
    losses = {
        name: [row[f"reconstruction_{name}"] + float(name) * row[f"kl_{name}"] for row in history]
        for name in betas
    }
    made = {
        "training losses that still fall": [
            still_falling(f"The loss at beta {name}", losses[name]) for name in betas
        ],
        **latent_problems(
            {f"beta {name}": row for name, row in betas.items()}, options.z_dim, summary["pca_mse"]
        ),
        "differences between betas": [
            within_noise("reconstructions", [f"beta {name}" for name in verdicts["faithful"]]),
            within_noise("recognised samples", [f"beta {name}" for name in verdicts["clearest"]]),
        ],
    }
    full = PRESETS["full"]
    own_steps = full.epochs * math.ceil(IMAGES / full.batch_size)
    return checked(options.preset, made, options.epochs * per_epoch, own_steps)


@torch.no_grad()
def reconstruction_errors(vae: Vae, x: Tensor, loss_type: str) -> NDArray[np.float64]:
    """Return the reconstruction error of each image, (N,), from the posterior's mean."""
    return per_image(RECONSTRUCTION_LOSSES[loss_type], vae.decode(vae.encode(x)[1]), x)


def train_models(options: Options, x: Tensor, out: Path) -> tuple[list[Vae], History]:
    """Train a model for each beta; return the models, and both terms of their losses by epoch."""
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
    vae: Vae,
    x: Tensor,
    samples: Tensor,
    classifier: nn.Module,
    real: tuple[NDArray, NDArray],
    pca: NDArray,
    options: Options,
) -> dict[str, Any]:
    """Return measures of one model by name.

    `real`: edges and variances of real images, with which those of the model's are compared. `pca`:
    squared errors of principal components.
    Reconstructions use the posterior's mean; only the distortion uses a sample from the posterior.
    """
    _, mu, logvar = vae.encode(x)
    recon = vae.decode(mu)
    drawn = vae(x)[0]
    probabilities = class_probabilities(classifier, samples)
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    sharpness = {
        name: relative_sharpness(edges_and_variances(as_images(images)), real)
        for name, images in (("reconstructions", recon), ("samples", samples))
    }
    codes, squared = mu.cpu().numpy(), squared_errors(recon, x)
    return {
        "reconstruction": float(RECONSTRUCTION_LOSSES[options.loss_type](recon, x)),
        "distortion": float(RECONSTRUCTION_LOSSES[options.loss_type](drawn, x)),
        "mse": float(squared.mean()),
        "against_pca": paired(squared, pca),
        "kl": float(kl_divergence(mu, logvar)),
        "kl_error": standard_error(gaussian_kl(mu, logvar).cpu()),
        "active_units": active_units(codes),
        "first_axis": first_axis(codes),
        "sharpness_of_reconstructions": sharpness["reconstructions"]["ratio"],
        "sharpness_of_samples": sharpness["samples"]["ratio"],
        "sharpness_error": sharpness["samples"]["error"],
        "recognised": float((probabilities.max(axis=1) > RECOGNISED).mean()),
        "effective_classes": effective_classes(predicted, classes),
        "classes_error": effective_classes_error(predicted, classes),
    }


@torch.no_grad()
def draw(
    history: History,
    measured: Mapping[str, Mapping[str, float]],
    vaes: list[Vae],
    x: Tensor,
    samples: Mapping[str, Tensor],
    chosen: NDArray[np.int64],
    loss_type: str,
) -> dict[str, Any]:
    """Draw the study's pictures and return them by name.

    `chosen`: the indices of the images that are shown with their reconstructions.
    """
    losses = {
        axis_label(term, loss_type): {
            f"beta {name}": np.array([row[f"{term}_{name}"] for row in history])
            for name in measured
        }
        for term in TERMS
    }
    shown = x[chosen]
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
        "Each beta's price of information, held-out images",
    )
    distortion = f"distortion for a sample of z ({unit('reconstruction', loss_type)})"
    axes.set(xlabel="rate: KL divergence (nats)", ylabel=distortion)
    return {
        "losses": figures.curves(losses, "Both terms of the loss in training"),
        "samples": figures.image_grid(
            [as_images(images[: DRAWS * DRAWN]) for images in samples.values()],
            "Samples from the prior",
            names,
            draws,
        ),
        "reconstructions": figures.image_grid(
            [as_images(shown), *recon],
            "Held-out images, reconstructed from the mean of the posterior",
            ["original", *names],
        ),
        "rate_distortion": figures.figure_of(axes),
    }
