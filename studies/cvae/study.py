"""`cvae`: a VAE whose encoder and decoder also get the class, so that one can request a class.

Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative
Models" (NeurIPS 2015).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR
from typer import Option

import figures
from command_line import choose_device, default_device
from data import ShuffledBatches
from grader.errors import UserError
from losses import kl_divergence
from storage import save_state_dict
from studies.cvae.facts import facts
from studies.shared.checks import (
    checked,
    column,
    latent_problems,
    paired,
    standard_error,
    still_falling,
)
from studies.shared.datasets import ImageSet, as_images, read_split
from studies.shared.idx import idx_files
from studies.shared.measures import (
    active_units,
    class_probabilities,
    edges_and_variances,
    first_axis,
    pca_errors,
    relative_sharpness,
    squared_errors,
    train_classifier,
)
from studies.shared.networks import Vae, axis_label, labels_to_one_hots, named_losses
from studies.shared.options import (
    MANY,
    BatchSize,
    Device,
    Epochs,
    HeldOut,
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
TITLE = "Conditional VAE: asking for a class"
SAMPLES = 100  # per class, for its measures
IMAGES = 60_000  # of the task's data set
SHOWN = 6  # samples per class in their picture; pairs per class between which to interpolate
PAIRS = 3  # per class: an image and its reconstruction
STEPS = 8  # of an interpolation, including both ends
GARMENTS = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's settings; quick: three minutes")
    ] = "full"
    beta: Annotated[
        float,
        weight(
            help="weight of the KL term; if it is small, z encodes the class, and samples may not "
            "be of the requested one"
        ),
    ] = 3
    epochs: Epochs = 100
    steps: Steps = None
    classes: Annotated[
        list[int],
        Option(help="classes whose samples are shown; by default 0 1 3 7 8 9, or all of up to six"),
    ] = field(default_factory=list)
    z_dim: Annotated[int, units(help="latent units")] = 10
    hidden_size: Annotated[int, units(help="units of the hidden layers")] = 256
    batch_size: BatchSize = 128
    learning_rate: Annotated[
        float,
        Option(min=1e-12, max=1, help="initial learning rate of Adam; it falls during training"),
    ] = 1e-3
    loss_type: LossType = "bce"
    test: HeldOut = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=MANY, steps=3750)}
Condition = Callable[[Tensor], Tensor]  # labels (B,) -> the network's condition, (B, cond_dim)
Models = Mapping[str, tuple[Vae, Condition]]  # a model and its kind of condition, by its name


def cvae(before: list[str], after: list[str], usage: str) -> None:
    """Train a conditional VAE, and answer the assignment's questions about it."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Study a model that gets the class as a one-hot vector, and one that gets it as a number."""
    device = choose_device(options.device)
    train, held_out = read_split(path, options.test, options.seed)
    count = len(train.names)
    per_epoch = math.ceil(len(train) / options.batch_size)
    options = replace(
        options,
        classes=options.classes or classes_to_show(count),
        epochs=epochs_within(options.epochs, options.steps, per_epoch),
        steps=None,
    )
    if not {*options.classes} <= set(range(count)):
        found = f"--classes {', '.join(map(str, options.classes))}"
        raise UserError("command line", found, f"some of 0 to {count - 1}, as {path} has them")
    names = class_names(train, path)
    models, histories = train_models(options, train, device, out)
    summary = summarise(options, models, train, held_out, names)
    summary["facts"] = facts(summary)
    summary["checks"] = check(options, summary, histories, per_epoch)
    pictures = draw(options, models, held_out, names)
    losses = {
        axis_label(term, options.loss_type): {
            f"class as a {kind}": np.array([row[term] for row in histories[name]])
            for name, kind in (("one_hot", "one-hot vector"), ("number", "number"))
        }
        for term in ("reconstruction", "kl")
    }
    pictures["losses"] = figures.curves(losses, "Both terms of the loss in training")
    return Findings(summary, pictures, ANSWERS)


def classes_to_show(count: int) -> list[int]:
    """Return the assignment's six classes if there are ten, otherwise the first six."""
    return [0, 1, 3, 7, 8, 9] if count >= 10 else list(range(min(count, 6)))


def class_names(images: ImageSet, path: Path) -> tuple[str, ...]:
    """Return the names of the classes: those of garments if the data at `path` are Fashion-MNIST.

    Fashion-MNIST's files contain only numbers, so a path that contains "fashion" decides.
    """
    folders = [file.parent.parent.name for file in idx_files(path).values()]
    fashion = "fashion" in f"{path.name} {folders}".lower()
    return GARMENTS if fashion and len(images.names) == len(GARMENTS) else images.names


def train_models(
    options: Options, train: ImageSet, device: torch.device, out: Path
) -> tuple[Models, Mapping[str, History]]:
    """Train both models from the same seed, save the first, and return both and their histories."""
    x, labels = train.vectors(device), torch.from_numpy(train.labels).to(device)

    def one_hot(labels: Tensor) -> Tensor:
        return labels_to_one_hots(labels, len(train.names))

    def number(labels: Tensor) -> Tensor:
        return labels[:, None].float()

    torch.manual_seed(options.seed)
    model, history = train_model(options, x, labels, one_hot, "history", out)
    name = f"fmnist_beta_{options.beta:g}_cvae_{options.epochs}_epochs.pth"
    save_state_dict(model, out / name)
    torch.manual_seed(options.seed)
    other, history_number = train_model(options, x, labels, number, "history_number", out)
    return {"one_hot": (model, one_hot), "number": (other, number)}, {
        "one_hot": history,
        "number": history_number,
    }


def train_model(
    options: Options, x: Tensor, labels: Tensor, condition: Condition, name: str, out: Path
) -> tuple[Vae, History]:
    """Train a conditional VAE on (N, pixels) images and their labels; return it and its history."""
    cond = condition(labels)
    model = Vae(x.shape[1], options.z_dim, options.hidden_size, x.device, cond.shape[1])

    def step(model: Vae, index: Tensor, _progress: float) -> dict[str, Tensor]:
        batch = x[index]
        recon, mu, logvar, _ = model(batch, cond[index])
        return named_losses(recon, batch, mu, logvar, options.loss_type, options.beta)

    optimizer = Adam(model.parameters(), options.learning_rate, fused=True)
    batches = ShuffledBatches(len(x), options.batch_size, torch.default_generator)
    settings = asdict(options) | {
        "preset": "",
        "classes": "",
        "test": "",
        "data": fingerprint(x, labels),
    }
    history = fit_or_resume(
        model,
        step,
        batches,
        optimizer,
        CosineAnnealingLR(optimizer, options.epochs * len(batches)),
        epochs=options.epochs,
        name=name,
        settings=settings,
        out=out,
    )
    return model, history


def summarise(
    options: Options, models: Models, train: ImageSet, held_out: ImageSet, names: tuple[str, ...]
) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    device = models["one_hot"][0].device
    x, x_held_out = train.vectors(device), held_out.vectors(device)
    labels, labels_held_out = (
        torch.from_numpy(part.labels).to(device) for part in (train, held_out)
    )
    classifier = train_classifier(x, labels, len(names))
    right = class_probabilities(classifier, x_held_out).argmax(axis=1) == held_out.labels
    real = edges_and_variances(as_images(x_held_out))
    pca = pca_errors(x.cpu().numpy(), x_held_out.cpu().numpy(), [options.z_dim])[options.z_dim]
    summary = {
        "images": len(train),
        "held_out": len(held_out),
        "samples_per_class": SAMPLES,
        "epochs": options.epochs,
        "z_dim": options.z_dim,
        "beta": options.beta,
        "classes": list(names),
        "classifier_accuracy": float(right.mean()),
        "pca_mse": float(pca.mean()),
    }
    errors = {
        name: reconstruction_errors(model, condition(labels_held_out), x_held_out)
        for name, (model, condition) in models.items()
    }
    measured = {
        name: measure(model, condition, x_held_out, labels_held_out, classifier, real, names)
        | {"mse": float(errors[name].mean()), "against_pca": paired(errors[name], pca)}
        for name, (model, condition) in models.items()
    }
    interpolated = interpolation_accuracy(
        *models["one_hot"], x_held_out, labels_held_out, classifier
    )
    compared = paired(errors["one_hot"], errors["number"])
    return summary | measured | {"one_hot_less_number": compared, "interpolation": interpolated}


def check(
    options: Options, summary: Mapping[str, Any], histories: Mapping[str, History], per_epoch: int
) -> dict[str, Any]:
    """Return what is wrong with the run."""
    titles = {"one_hot": "the model with one-hot vectors", "number": "the model with numbers"}
    made = {
        "training losses that still fall": [
            still_falling(f"The loss of {title}", column(histories[name], "loss"))
            for name, title in titles.items()
        ],
        **latent_problems(
            {title: summary[name] for name, title in titles.items()},
            options.z_dim,
            summary["pca_mse"],
        ),
        "the difference between the conditions": [
            None
            if summary["facts"]["conditions"]
            else "How often samples are of the requested class differs between the two conditions "
            "only by the noise."
        ],
    }
    full = PRESETS["full"]
    own_steps = full.epochs * math.ceil(IMAGES / full.batch_size)
    return checked(options.preset, made, options.epochs * per_epoch, own_steps)


@torch.no_grad()
def reconstruction_errors(model: Vae, cond: Tensor, x: Tensor) -> NDArray[np.float64]:
    """Return the squared error per pixel of each image, (N,), from the posterior's mean."""
    return squared_errors(model.decode(model.encode(x, cond)[1], cond), x)


@torch.no_grad()
def measure(
    model: Vae,
    condition: Condition,
    x: Tensor,
    labels: Tensor,
    classifier: nn.Module,
    real: tuple[NDArray, NDArray],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Return measures of one model by name.

    They include held-out losses, and how often a sample is of the requested class.
    """
    _, mu, logvar = model.encode(x, condition(labels))
    recon = model.decode(mu, condition(labels))
    asked = torch.arange(len(names), device=x.device).repeat_interleave(SAMPLES)
    samples = model.sample(len(asked), condition(asked))
    right = class_probabilities(classifier, samples).argmax(axis=1) == asked.cpu().numpy()
    shares = right.reshape(-1, SAMPLES).mean(axis=1)
    sharpness = {
        name: relative_sharpness(edges_and_variances(as_images(images)), real)
        for name, images in (("reconstructions", recon), ("samples", samples))
    }
    codes = mu.cpu().numpy()
    return {
        "active_units": active_units(codes),
        "first_axis": first_axis(codes),
        "kl": float(kl_divergence(mu, logvar)),
        "conditional_accuracy": float(right.mean()),
        "of_each_class": dict(zip(names, map(float, shares), strict=True)),
        "sharpness_of_reconstructions": sharpness["reconstructions"]["ratio"],
        "sharpness_of_samples": sharpness["samples"]["ratio"],
        "sharpness_error": sharpness["samples"]["error"],
    }


@torch.no_grad()
def interpolate(model: Vae, ends: Tensor, cond: Tensor) -> Tensor:
    """Decode points between the latents of two images, (2, pixels), with one condition, (1, C)."""
    _, mu, _ = model.encode(ends, cond.expand(2, -1))
    shares = torch.linspace(0, 1, STEPS, device=ends.device)[:, None]
    z = (1 - shares) * mu[0] + shares * mu[1]
    return model.decode(z, cond.expand(STEPS, -1))


def interpolation_accuracy(
    model: Vae, condition: Condition, x: Tensor, labels: Tensor, classifier: nn.Module
) -> dict[str, dict[str, float] | None]:
    """Return how often the inner points of an interpolation are of the requested class.

    The "error" of each "share" is over pairs of images, whose points are much alike.

    "in_class": between two images of the class; None if no class has two. "across": between images
    of two classes; the decoder gets the first.
    """
    found: dict[str, list[float]] = {"in_class": [], "across": []}
    classes = [torch.nonzero(labels == k)[:, 0] for k in range(int(labels.max()) + 1)]
    for k, own in enumerate(classes):
        other = classes[(k + 1) % len(classes)]
        cond = condition(torch.tensor([k], device=x.device))
        for a, b in different_pairs(own):
            ends = torch.stack([x[a], x[b]])
            found["in_class"].append(inner_accuracy(model, ends, cond, classifier, k))
        for a, b in zip(own[:SHOWN], other[:SHOWN], strict=False):
            ends = torch.stack([x[a], x[b]])
            found["across"].append(inner_accuracy(model, ends, cond, classifier, k))
    return {
        name: {"share": float(np.mean(shares)), "error": standard_error(shares)} if shares else None
        for name, shares in found.items()
    }


def different_pairs(own: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pair the first images of a class with its last; if it has few, each image with the next.

    `own`: the indices (N,) of the class's images. Returns at most SHOWN pairs.
    """
    return list(zip(own[:SHOWN], own[max(1, len(own) - SHOWN) :], strict=False))


def inner_accuracy(model: Vae, ends: Tensor, cond: Tensor, classifier: nn.Module, k: int) -> float:
    """Return the share of the points between two images that are of class k."""
    between = class_probabilities(classifier, interpolate(model, ends, cond)[1:-1])
    return float((between.argmax(axis=1) == k).mean())


@torch.no_grad()
def draw(
    options: Options, models: Models, held_out: ImageSet, names: tuple[str, ...]
) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name."""
    model, one_hot = models["one_hot"]
    device = model.device
    x, labels = held_out.vectors(device), torch.from_numpy(held_out.labels).to(device)

    def row(which: str, k: int, z: Tensor) -> NDArray[np.float32]:
        network, condition = models[which]
        return as_images(network.decode(z, condition(torch.full((len(z),), k, device=device))))

    def fresh(columns: int) -> Tensor:
        return torch.randn(columns, options.z_dim, device=device)

    every = range(len(names))
    same = fresh(STEPS)
    own = [x[labels == k] for k in options.classes]
    conds = [one_hot(torch.tensor([k], device=device)) for k in options.classes]
    interpolated = [
        as_images(interpolate(model, images[[0, -1]], cond))
        for images, cond in zip(own, conds, strict=True)
    ]
    pairs = [
        pairs_with_reconstructions(model, images[:PAIRS], cond)
        for images, cond in zip(own, conds, strict=True)
    ]
    chosen = [names[k] for k in options.classes]
    samples = [row("one_hot", k, fresh(SHOWN)) for k in options.classes]
    return {
        "samples": figures.image_grid(samples, "Samples from the prior, given the class", chosen),
        "all_classes": figures.image_grid(
            [row("one_hot", k, same) for k in every],
            "The same z in each column, given each class as a one-hot vector",
            names,
        ),
        "all_classes_number": figures.image_grid(
            [row("number", k, same) for k in every],
            "The same z in each column, given each class as a number",
            names,
        ),
        "interpolation": figures.image_grid(
            interpolated, "From one held-out image to another of its class, in steps of z", chosen
        ),
        "reconstructions": figures.image_grid(
            pairs,
            "Held-out images, reconstructed from the mean of the posterior",
            chosen,
            ["original", "recon."] * PAIRS,
        ),
    }


def pairs_with_reconstructions(model: Vae, images: Tensor, cond: Tensor) -> NDArray[np.float32]:
    """Return each of (N, pixels) images, with one condition (1, C), and its reconstruction."""
    cond = cond.expand(len(images), -1)
    recon = model.decode(model.encode(images, cond)[1], cond)
    return as_images(torch.stack([images, recon], dim=1).flatten(0, 1))
