"""`cvae`: a VAE whose encoder and decoder also get the class, so that it can be requested.

Sohn, Lee and Yan, "Learning Structured Output Representation using Deep Conditional Generative
Models" (NeurIPS 2015).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
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
from studies.shared.answers import listed
from studies.shared.datasets import as_images, idx_files, read_split
from studies.shared.measures import class_probabilities, pca_mse, sharpness, train_classifier
from studies.shared.networks import Vae, labels_to_one_hots, named_losses
from studies.shared.options import BatchSize, Device, Epochs, LossType, Preset, Seed, units, weight
from studies.shared.resume import fit_or_resume
from studies.shared.runner import Answer, Findings, fingerprint, run_study
from training import History

TITLE = "Conditional VAE: asking for a class"
QUESTIONS = ("Q2.1", "Q2.2", "Q2.3")
SAMPLES = 100  # per class, for its measures
SHOWN = 6
STEPS = 8  # of an interpolation, including both ends
CLOSE = 0.05  # a smaller difference between shares of a thousand samples may be chance
RELIABLE = 0.7  # a model does what is requested if at least this share of classes is right
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
        Preset, Option(help="full: the assignment's settings; quick: about two minutes")
    ] = "full"
    beta: Annotated[
        float,
        weight(
            help="weight of the KL term; if small, z keeps the class, and samples ignore theirs"
        ),
    ] = 3
    epochs: Epochs = 100
    classes: Annotated[list[int], Option(help="classes whose samples are shown")] = field(
        default_factory=lambda: [0, 1, 3, 7, 8, 9]
    )
    z_dim: Annotated[int, units(help="latent units")] = 10
    hidden_size: Annotated[int, units(help="units of the hidden layers")] = 256
    batch_size: BatchSize = 128
    learning_rate: Annotated[
        float,
        Option(min=1e-12, max=1, help="initial learning rate of Adam; it falls during training"),
    ] = 1e-3
    loss_type: LossType = "bce"
    test: Annotated[
        Path | None,
        Option(help="held-out images; by default DATA's own test part, or a tenth of DATA"),
    ] = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=8)}
Condition = Callable[[Tensor], Tensor]  # labels (B,) -> the network's condition, (B, cond_dim)


def cvae(before: list[str], after: list[str], usage: str) -> None:
    """Train a conditional VAE, and answer the assignment's questions about it."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train, measure and show a model that gets the class as a unit vector, and one as a number."""
    device = choose_device(options.device)
    train, held_out = read_split(path, options.test, options.seed)
    count = len(train.names)
    names = train.names
    folders = [file.parent.parent.name for file in idx_files(path)]
    if "fashion" in f"{path.name} {folders}".lower() and count == len(GARMENTS):
        names = GARMENTS
    if not {*options.classes} <= set(range(count)) or not options.classes:
        found = f"--classes {', '.join(map(str, options.classes))}"
        raise UserError("command line", found, f"some of 0 to {count - 1}, as {path} has them")
    x, x_held_out = train.vectors(device), held_out.vectors(device)
    labels, labels_held_out = (
        torch.from_numpy(part.labels).to(device) for part in (train, held_out)
    )

    def one_hot(labels: Tensor) -> Tensor:
        return labels_to_one_hots(labels, count)

    def number(labels: Tensor) -> Tensor:
        return labels[:, None].float()

    torch.manual_seed(options.seed)
    model, history = train_model(options, x, labels, one_hot, "history", out)
    name = f"fmnist_beta_{options.beta:g}_cvae_{options.epochs}_epochs.pth"
    save_state_dict(model, out / name)
    torch.manual_seed(options.seed)
    other, _ = train_model(options, x, labels, number, "history_number", out)

    classifier = train_classifier(x, labels, count)
    right = class_probabilities(classifier, x_held_out).argmax(axis=1) == held_out.labels
    real = sharpness(as_images(x_held_out))
    summary = {
        "images": len(train),
        "held_out": len(held_out),
        "epochs": options.epochs,
        "z_dim": options.z_dim,
        "beta": options.beta,
        "classes": list(names),
        "classifier_accuracy": float(right.mean()),
        "pca_mse": pca_mse(x.cpu().numpy(), x_held_out.cpu().numpy(), options.z_dim),
        "one_hot": measure(model, one_hot, x_held_out, labels_held_out, classifier, real, names),
        "number": measure(other, number, x_held_out, labels_held_out, classifier, real, names),
        "interpolation": interpolation_accuracy(
            model, one_hot, x_held_out, labels_held_out, classifier
        ),
    }
    pictures = draw(options, (model, other), (one_hot, number), x_held_out, labels_held_out, names)
    losses = {
        name: {"training": np.array([row[name] for row in history])}
        for name in ("reconstruction", "kl")
    }
    return Findings(summary, pictures | {"losses": figures.curves(losses)}, answers(summary))


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


@torch.no_grad()
def measure(
    model: Vae,
    condition: Condition,
    x: Tensor,
    labels: Tensor,
    classifier: nn.Module,
    real: float,
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
    return {
        "mse": float((recon - x).square().mean()),
        "kl": float(kl_divergence(mu, logvar)),
        "conditional_accuracy": float(right.mean()),
        "of_each_class": dict(zip(names, map(float, shares), strict=True)),
        "sharpness_of_reconstructions": sharpness(as_images(recon)) / real,
        "sharpness_of_samples": sharpness(as_images(samples)) / real,
    }


@torch.no_grad()
def interpolate(model: Vae, ends: Tensor, cond: Tensor) -> Tensor:
    """Decode points between the latents of two images, (2, pixels), of one condition, (1, C)."""
    _, mu, _ = model.encode(ends, cond.expand(2, -1))
    shares = torch.linspace(0, 1, STEPS, device=ends.device)[:, None]
    z = (1 - shares) * mu[0] + shares * mu[1]
    return model.decode(z, cond.expand(STEPS, -1))


def interpolation_accuracy(
    model: Vae, condition: Condition, x: Tensor, labels: Tensor, classifier: nn.Module
) -> dict[str, float]:
    """Return how often the inner points of an interpolation are of the requested class.

    "in_class": between two images of the class. "across": between images of two classes; the
    decoder gets the first.
    """
    found: dict[str, list[float]] = {"in_class": [], "across": []}
    classes = [torch.nonzero(labels == k)[:, 0] for k in range(int(labels.max()) + 1)]
    for k, own in enumerate(classes):
        other = classes[(k + 1) % len(classes)]
        cond = condition(torch.tensor([k], device=x.device))
        for a, b in zip(own[:SHOWN], own[-SHOWN:], strict=False):
            found["in_class"] += inner_accuracy(
                model, torch.stack([x[a], x[b]]), cond, classifier, k
            )
        for a, b in zip(own[:SHOWN], other[:SHOWN], strict=False):
            found["across"] += inner_accuracy(model, torch.stack([x[a], x[b]]), cond, classifier, k)
    return {name: float(np.mean(values)) for name, values in found.items()}


def inner_accuracy(
    model: Vae, ends: Tensor, cond: Tensor, classifier: nn.Module, k: int
) -> list[float]:
    between = class_probabilities(classifier, interpolate(model, ends, cond)[1:-1])
    return [*(between.argmax(axis=1) == k).astype(float)]


@torch.no_grad()
def draw(
    options: Options,
    models: tuple[Vae, Vae],
    conditions: tuple[Condition, Condition],
    x: Tensor,
    labels: Tensor,
    names: tuple[str, ...],
) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name."""

    def row(which: int, k: int, z: Tensor) -> NDArray[np.float32]:
        asked = torch.full((len(z),), k, device=x.device)
        return as_images(models[which].decode(z, conditions[which](asked)))

    def fresh(columns: int) -> Tensor:
        return torch.randn(columns, options.z_dim, device=x.device)

    every = range(len(names))
    same = fresh(STEPS)
    interpolated = []
    for k in options.classes:
        ends = x[labels == k][[0, -1]]
        cond = conditions[0](torch.tensor([k], device=x.device))
        interpolated.append(as_images(interpolate(models[0], ends, cond)))
    shown = [x[labels == k][:3] for k in options.classes]
    pairs = []
    for k, images in zip(options.classes, shown, strict=True):
        cond = conditions[0](torch.full((len(images),), k, device=x.device))
        recon = models[0].decode(models[0].encode(images, cond)[1], cond)
        pairs.append(as_images(torch.stack([images, recon], dim=1).flatten(0, 1)))
    chosen = [names[k] for k in options.classes]
    return {
        "samples": figures.image_grid([row(0, k, fresh(SHOWN)) for k in options.classes], chosen),
        "all_classes": figures.image_grid([row(0, k, same) for k in every], names),
        "all_classes_number": figures.image_grid([row(1, k, same) for k in every], names),
        "interpolation": figures.image_grid(interpolated, chosen),
        "reconstructions": figures.image_grid(pairs, chosen, ["original", "recon."] * 3),
    }


def answers(summary: Mapping[str, Any]) -> list[Answer]:
    """Answer the assignment's questions with the numbers of this run."""
    return [
        Answer(
            "Q2.1",
            "Can one interpolate, and what does it mean within a class?",
            explain_interpolation(summary),
        ),
        Answer("Q2.2", "Why is the class a unit vector and no number?", explain_condition(summary)),
        Answer(
            "Q2.3",
            "How good are the samples, and what would improve them?",
            explain_quality(summary),
        ),
    ]


def explain_interpolation(summary: Mapping[str, Any]) -> str:
    within, across = (summary["interpolation"][name] for name in ("in_class", "across"))
    text = (
        "Yes: z is as continuous as a plain VAE's, so the points of the line between two latents "
        "decode to images that lead from one to the other. What differs is that the class is not "
        "in z but beside it. Keeping the class and moving z is to change the style alone, of a "
        "garment its cut, width, brightness and sleeves, with every step an image of that class: a "
        f"pair of trousers does not turn into a bag on the way. A classifier gave {within:.0%} of "
        "the images between two of one class that class. "
        f"Between latents of two classes, decoded as the first, it was {across:.0%}. "
    )
    if within < RELIABLE:
        return text + "Not so here: the model does not keep to the class that it is told."
    if across > within - 0.15:
        return text + "So z says little about the class: the condition decides it, as intended."
    return text + (
        "So z still holds part of the class: where it points to another one, the condition alone "
        "does not decide."
    )


def explain_condition(summary: Mapping[str, Any]) -> str:
    one_hot, number = summary["one_hot"], summary["number"]
    shares = one_hot["conditional_accuracy"], number["conditional_accuracy"]
    worst = min(number["of_each_class"], key=lambda name: number["of_each_class"][name])
    text = (
        "Inputs of the network are pixels and latents of about -3 to 3. A class number of 0 to 9 "
        "would be larger than all of them, and would say that class 9 is nine times class 1 and "
        "that class 4 lies between 3 and 5, although the order of the classes means nothing. One "
        "weight for each hidden unit would have to serve all classes. A unit vector gives every "
        "class weights of its own, on the scale of the other inputs, all equally far apart. Two "
        f"models were trained alike for {summary['epochs']} epochs: samples are of the class asked "
        f"for in {shares[0]:.1%} of cases with unit vectors and in {shares[1]:.1%} with numbers "
        f"(worst there: {worst}, {number['of_each_class'][worst]:.0%}); held-out squared error "
        f"{one_hot['mse']:.4f} and {number['mse']:.4f}. "
    )
    if shares[0] - shares[1] > CLOSE:
        return text + "So the risk is real: told a number, the model mixes classes up."
    if shares[1] - shares[0] > CLOSE:
        return text + "In this run the number did better: the risk did not show."
    if max(shares) < RELIABLE:
        return text + "Neither model does what it is asked, so this run cannot tell them apart."
    return text + "In this run both do equally well: so many epochs made up for it."


def explain_quality(summary: Mapping[str, Any]) -> str:
    model = summary["one_hot"]
    shares = model["of_each_class"]
    worst, best = min(shares, key=shares.get), max(shares, key=shares.get)
    sharp = model["sharpness_of_samples"]
    look = "softer than" if sharp < 0.95 else "as sharp as" if sharp < 1.1 else "noisier than"
    text = (
        f"A classifier that is right about {summary['classifier_accuracy']:.1%} of the held-out "
        f"images sees the class asked for in {model['conditional_accuracy']:.1%} of {SAMPLES} "
        f"samples of each class ({listed(shares, '.0%')}): best {best}, worst {worst}. The "
        "strength of their edges is "
        f"{model['sharpness_of_samples']:.2f} of real images' (reconstructions "
        f"{model['sharpness_of_reconstructions']:.2f}), so they are {look} these. On held-out "
        f"images the squared error a pixel is {model['mse']:.4f}, where {summary['z_dim']} "
        f"principal components leave {summary['pca_mse']:.4f}. "
    )
    if look != "softer than":
        return text + "Longer training and a larger network are the first things to try."
    return text + (
        "They are blurred since z says only so much about an image: details, such as prints, seams "
        "and folds, that it does not hold are answered with their average, which the pixel-wise "
        "loss rewards. "
        "Sharper ones would come from more latent units or a smaller beta (at the price of gaps in "
        "the prior), convolutional layers, a loss that looks at structure, such as SSIM or the "
        "features of a network, or an adversarial one, and from a richer prior."
    )
