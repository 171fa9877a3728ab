"""`pokemon` and `pokemon_cnn`: new Pokemon of a type, in grey and in colour.

Both train two conditional VAEs: one on images that are flipped, shifted and recoloured at every
step, and one on the images as they are. The difference shows whether this augmentation helps.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR
from typer import Option

import figures
from command_line import choose_device, default_device
from data import ShuffledBatches
from grader.errors import UserError
from losses import kl_divergence
from storage import save_state_dict
from studies.pokemon.dataset import SIDE, TYPES, PokemonDataset
from studies.pokemon.facts import facts
from studies.pokemon.networks import VaeCnn
from studies.shared.checks import (
    Problem,
    checked,
    held_out_problems,
    latent_problems,
    paired,
    unpaired,
)
from studies.shared.measures import (
    active_units,
    edges_and_variances,
    first_axis,
    pca_errors,
    per_image,
    relative_sharpness,
    squared_errors,
)
from studies.shared.networks import RECONSTRUCTION_LOSSES, Vae, axis_label, named_losses, unit
from studies.shared.options import (
    MANY,
    BatchSize,
    Device,
    Epochs,
    LossType,
    Preset,
    Steps,
    epochs_within,
    units,
    weight,
)
from studies.shared.pictures import report
from studies.shared.resume import fit_or_resume
from studies.shared.runner import Findings, fingerprint, run_study
from training import History

ANSWERS = Path(__file__).with_name("answers.md")
TITLES = {
    "pokemon": "Pokemon in grey: a fully connected conditional VAE",
    "pokemon_cnn": "Pokemon in colour: a convolutional conditional VAE",
}
HELD_OUT = 0.1
IMAGES = 728  # of the task's data set, without those held out
FEWEST = 3  # images, one of them held out
FEW = 5  # with fewer images of a type, a warning is shown
SHIFT = 5  # pixels to either side, at most
JITTER = 0.2  # largest deviation of a colour's strength from 1
SAMPLES = 6  # per type, in their picture
PAIRS = 3  # per type: an image and its reconstruction
MEASURED = 256  # samples whose sharpness is measured

Model = Vae | VaeCnn


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: many epochs, because there are few images; quick: three minutes")
    ] = "full"
    beta: Annotated[float, weight(help="weight of the KL term")] = 0.2
    epochs: Epochs = 400
    steps: Steps = None
    types: Annotated[
        list[str], Option(help="types whose samples and reconstructions are shown")
    ] = field(default_factory=lambda: ["Water", "Normal", "Grass", "Bug", "Fire", "Electric"])
    z_dim: Annotated[int, units(help="latent units; more than garments need")] = 32
    hidden_size: Annotated[
        int, units(help="units of the hidden layers of the fully connected network")
    ] = 512
    batch_size: BatchSize = 64
    learning_rate: Annotated[
        float,
        Option(min=1e-12, max=1, help="initial learning rate of Adam; it falls during training"),
    ] = 1e-3
    loss_type: LossType = "bce"
    seed: Annotated[
        int,
        Option(
            min=0,
            max=2**32 - 1,
            help="seed of weights, batches, samples and the choice of held-out images",
        ),
    ] = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=MANY, steps=1500)}
CNN = Options(beta=0.1, epochs=300, batch_size=16, learning_rate=1e-4)
CNN_QUICK = replace(CNN, preset="quick", epochs=MANY, steps=690, learning_rate=5e-4)
CNN_PRESETS = {"full": CNN, "quick": CNN_QUICK}


@dataclass(frozen=True)
class Sprites:
    """Images (N, C, 60, 60) in [0, 1]; types as numbers (N,), and as one-hot vectors (N, 18)."""

    images: Tensor
    labels: Tensor
    condition: Tensor

    def part(self, chosen: Tensor) -> "Sprites":
        """Return the sprites with these indices."""
        return Sprites(self.images[chosen], self.labels[chosen], self.condition[chosen])

    def __len__(self) -> int:
        return len(self.images)


def pokemon(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of sprites in grey."""
    run_study(grey_study, PRESETS, TITLES["pokemon"], (before, after, usage))


def pokemon_cnn(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of sprites in colour."""
    run_study(colour_study, CNN_PRESETS, TITLES["pokemon_cnn"], (before, after, usage))


def grey_study(options: Options, path: Path, out: Path) -> Findings:
    """Study sprites in grey with a fully connected network."""
    device = choose_device(options.device)

    def network() -> Vae:
        return Vae(SIDE * SIDE, options.z_dim, options.hidden_size, device, len(TYPES))

    return study(options, PokemonDataset(path), network, "pokemon", out)


def colour_study(options: Options, path: Path, out: Path) -> Findings:
    """Study sprites in colour with a convolutional network."""
    device = choose_device(options.device)

    def network() -> VaeCnn:
        return VaeCnn(options.z_dim, device, len(TYPES))

    return study(options, PokemonDataset(path, rgb=True), network, "pokemon_cnn", out)


def study(
    options: Options, dataset: PokemonDataset, network: Callable[[], Model], name: str, out: Path
) -> Findings:
    """Train with and without augmentation, then save, measure and draw."""
    report(Path("pokemon.csv"), dataset.left_out)
    check_types(options, dataset)
    torch.manual_seed(options.seed)
    model = network()
    train, held_out = split(dataset, model.device, options)
    per_epoch = math.ceil(len(train) / options.batch_size)
    epochs = epochs_within(options.epochs, options.steps, per_epoch)
    options = replace(options, epochs=epochs, steps=None)
    history = train_model(options, model, train, held_out, "history", out, True)
    save_state_dict(model, out / f"{name}_beta_{options.beta:g}_vae_{options.epochs}_epochs.pth")
    torch.manual_seed(options.seed)
    plain = network()
    plain_history = train_model(options, plain, train, held_out, "history_plain", out, False)

    summary = summarise(options, dataset, model, plain, train, held_out)
    summary["facts"] = facts(summary)
    own = (PRESETS if name == "pokemon" else CNN_PRESETS)["full"]
    histories = {"augmented": history, "plain": plain_history}
    own_steps = own.epochs * math.ceil(IMAGES / own.batch_size)
    made = problems(options, summary, histories)
    summary["checks"] = checked(options.preset, made, epochs * per_epoch, own_steps)
    pictures = draw(options, model, train, held_out)
    summary["held_out_shown"] = "reconstructions_held_out" in pictures
    losses = draw_losses(histories, options)
    return Findings(summary, pictures | {"losses": losses}, ANSWERS)


def problems(
    options: Options, summary: Mapping[str, Any], histories: Mapping[str, History]
) -> dict[str, list[Problem]]:
    """Return what is wrong with the run, by the name of the check."""
    titles = {"augmented": "the model with copies", "plain": "the model without copies"}
    losses = {
        f"The held-out loss of {titles[name]}": [
            row["held_out_reconstruction"] + options.beta * row["held_out_kl"] for row in history
        ]
        for name, history in histories.items()
    }
    return {
        **held_out_problems("held-out losses", losses),
        **latent_problems(
            {title: summary[name] for name, title in titles.items()},
            options.z_dim,
            summary["pca_mse"],
        ),
        "the difference that copies make": [
            None
            if summary["facts"]["copies"]
            else "The held-out errors with copies and without differ only by the noise."
        ],
    }


def check_types(options: Options, dataset: PokemonDataset) -> None:
    """Raise UserError if images or types are missing; warn of types with few images."""
    counts = Counter(dataset.types)
    if not options.types or len(dataset) < FEWEST:
        found = f"{len(options.types)} types, {len(dataset)} images"
        raise UserError("command line", found, f"at least one type and {FEWEST} images")
    for kind in sorted({*options.types}):
        if kind not in counts:
            found = f"no image of type {kind!r}"
            raise UserError("command line", found, f"--types from {', '.join(sorted(counts))}")
    for kind, count in counts.items():
        if count < FEW:
            print(f"warning: too few images to learn what the type {kind} looks like: {count}")


def split(
    dataset: PokemonDataset, device: torch.device, options: Options
) -> tuple[Sprites, Sprites]:
    """Split the sprites into a training part and a held-out tenth."""
    conditions = torch.stack([dataset.type_to_one_hot[kind] for kind in dataset.types])
    everything = Sprites(
        *(part.to(device) for part in (dataset.images, dataset.labels, conditions))
    )
    order = torch.from_numpy(np.random.default_rng(options.seed).permutation(len(dataset)))
    order = order.to(device)
    count = max(1, round(HELD_OUT * len(dataset)))
    # Batch normalisation cannot handle a last batch of one image.
    end = len(order) - (1 if (len(order) - count) % options.batch_size == 1 else 0)
    return everything.part(order[count:end]), everything.part(order[:count])


def augment(images: Tensor) -> Tensor:
    """Flip each of (B, C, 60, 60) images or not, shift it sideways, and change its colours.

    White stays white, because it is the sprites' background.
    """
    count, channels, _, width = images.shape
    device = images.device
    flip = torch.rand(count, 1, 1, 1, device=device) < 0.5
    images = torch.where(flip, images.flip(3), images)
    padded = torch.nn.functional.pad(images, (SHIFT, SHIFT), value=1.0)
    shift = torch.randint(2 * SHIFT + 1, (count, 1), device=device)
    columns = shift + torch.arange(width, device=device)
    shifted = padded.gather(3, columns[:, None, None, :].expand(images.shape))
    strength = 1 + JITTER * (2 * torch.rand(count, channels, 1, 1, device=device) - 1)
    return 1 - (strength * (1 - shifted)).clamp(0, 1)


def as_input(model: Model, images: Tensor) -> Tensor:
    """Convert (B, C, 60, 60) images to the shape of the network's input."""
    return images.flatten(1) if isinstance(model, Vae) else images


def as_target(model: Model, images: Tensor) -> Tensor:
    """Convert (B, C, 60, 60) images to the shape of the network's output."""
    return images.flatten(1) if isinstance(model, Vae) else images.permute(0, 2, 3, 1)


def as_pictures(recon: Tensor) -> NDArray[np.float32]:
    """Convert a network's output to (N, 60, 60) or (N, 60, 60, 3)."""
    return recon.cpu().numpy().reshape(len(recon), SIDE, SIDE, *recon.shape[3:])


def train_model(
    options: Options,
    model: Model,
    train: Sprites,
    held_out: Sprites,
    name: str,
    out: Path,
    augmented: bool,
) -> History:
    """Train a model; return its losses in each epoch, including those on held-out images."""

    def step(model: Model, index: Tensor, _progress: float) -> dict[str, Tensor]:
        images = train.images[index]
        x = augment(images) if augmented else images
        recon, mu, logvar, _ = model(as_input(model, x), train.condition[index])
        target = as_target(model, x)
        return named_losses(recon, target, mu, logvar, options.loss_type, options.beta)

    def judge(history: History) -> None:
        found = mean_losses(model.eval(), held_out, options)
        history[-1] |= {f"held_out_{key}": value for key, value in found.items()}

    optimizer = Adam(model.parameters(), options.learning_rate, fused=True)
    batches = ShuffledBatches(len(train), options.batch_size, torch.default_generator)
    settings = asdict(options) | {
        "preset": "",
        "types": "",
        "data": fingerprint(train.images, train.labels),
    }
    return fit_or_resume(
        model,
        step,
        batches,
        optimizer,
        CosineAnnealingLR(optimizer, options.epochs * len(batches)),
        epochs=options.epochs,
        name=name,
        settings=settings,
        out=out,
        after_epoch=judge,
    )


def summarise(
    options: Options,
    dataset: PokemonDataset,
    augmented: Model,
    plain: Model,
    train: Sprites,
    held_out: Sprites,
) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    flat, flat_held_out = (part.images.flatten(1).cpu().numpy() for part in (train, held_out))
    pca = pca_errors(flat, flat_held_out, [options.z_dim])[options.z_dim]
    errors = [losses_of(model, held_out, options) for model in (augmented, plain)]
    return {
        "images": len(train),
        "held_out": len(held_out),
        "types": dict(Counter(dataset.types).most_common()),
        "unit": unit("reconstruction", options.loss_type),
        "epochs": options.epochs,
        "z_dim": options.z_dim,
        "beta": options.beta,
        "network": type(augmented).__name__,
        "parameters": sum(p.numel() for p in augmented.parameters()),
        "pca_mse": float(pca.mean()),
        "components_for_90_percent": components_for(flat, 0.9),
        "augmented_less_plain": paired(*errors),
        "augmented": measure(augmented, train, held_out, pca, options),
        "plain": measure(plain, train, held_out, pca, options),
    }


@torch.no_grad()
def mean_losses(model: Model, part: Sprites, options: Options) -> dict[str, float]:
    """Return the posterior mean's reconstruction error, and the KL in nats, both per image."""
    _, mu, logvar = model.encode(as_input(model, part.images), part.condition)
    recon, target = model.decode(mu, part.condition), as_target(model, part.images)
    reconstruction = RECONSTRUCTION_LOSSES[options.loss_type](recon, target)
    return {"reconstruction": float(reconstruction), "kl": float(kl_divergence(mu, logvar))}


@torch.no_grad()
def losses_of(model: Model, part: Sprites, options: Options) -> NDArray[np.float64]:
    """Return the reconstruction error of each image, (N,), from the posterior's mean."""
    _, mu, _ = model.encode(as_input(model, part.images), part.condition)
    recon, target = model.decode(mu, part.condition), as_target(model, part.images)
    return per_image(RECONSTRUCTION_LOSSES[options.loss_type], recon, target)


@torch.no_grad()
def measure(
    model: Model, train: Sprites, held_out: Sprites, pca: NDArray, options: Options
) -> dict[str, Any]:
    """Return measures of one model by name; reconstructions use the posterior's mean.

    `pca`: the errors that principal components leave of the held-out images.
    """
    _, mu, _ = model.encode(as_input(model, held_out.images), held_out.condition)
    recon = model.decode(mu, held_out.condition)
    chosen = torch.randint(len(train), (MEASURED,), device=model.device)
    samples = model.sample(MEASURED, train.condition[chosen])
    target = as_target(model, held_out.images)
    real, *ours = (
        edges_and_variances(grey(as_pictures(images))) for images in (target, recon, samples)
    )
    sharpness = [relative_sharpness(images, real)["ratio"] for images in ours]
    errors, codes = losses_of(model, held_out, options), mu.cpu().numpy()
    squared = squared_errors(recon, target)
    found = {
        f"{name}_{key}": value
        for name, part in (("training", train), ("held_out", held_out))
        for key, value in mean_losses(model, part, options).items()
    }
    return found | {
        "gap": unpaired(errors, losses_of(model, train, options)),
        "mse": float(squared.mean()),
        "against_pca": paired(squared, pca),
        "active_units": active_units(codes),
        "first_axis": first_axis(codes),
        "sharpness_of_reconstructions": sharpness[0],
        "sharpness_of_samples": sharpness[1],
    }


def grey(images: NDArray) -> NDArray:
    """Convert (N, H, W) or (N, H, W, 3) images to grey ones, (N, H, W)."""
    return images if images.ndim == 3 else images.mean(axis=3)


def components_for(x: NDArray, share: float) -> int:
    """Count the principal components that explain a given share of the variance of (N, D)."""
    centred = x - x.mean(axis=0)
    variances = np.square(np.linalg.svd(centred, compute_uv=False))
    return int(np.searchsorted(np.cumsum(variances), share * variances.sum())) + 1


@torch.no_grad()
def draw(options: Options, model: Model, train: Sprites, held_out: Sprites) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name."""
    numbers = [TYPES.index(kind) for kind in options.types]
    conditions = torch.eye(len(TYPES), device=model.device)[numbers]
    samples = [as_pictures(model.sample(SAMPLES, one[None])) for one in conditions]

    def pairs(part: Sprites, label: int) -> NDArray:
        own = part.part(torch.nonzero(part.labels == label)[:PAIRS, 0])
        _, mu, _ = model.encode(as_input(model, own.images), own.condition)
        both = as_target(model, own.images), model.decode(mu, own.condition)
        return as_pictures(torch.stack(both, dim=1).flatten(0, 1))

    titles = ["original", "recon."] * PAIRS
    found = {
        "samples": figures.image_grid(
            samples, "Samples from the prior, given the type", options.types
        )
    }
    for name, words, part in (("", "Training", train), ("_held_out", "Held-out", held_out)):
        shown = [
            (kind, pairs(part, label))
            for kind, label in zip(options.types, numbers, strict=True)
            if (part.labels == label).any()
        ]
        if shown:
            kinds, rows = zip(*shown, strict=True)
            found[f"reconstructions{name}"] = figures.image_grid(
                rows, f"{words} images, and their reconstructions", kinds, titles
            )
    return found


def draw_losses(histories: Mapping[str, History], options: Options) -> Figure:
    """Draw both terms of the loss by epoch, in training and on held-out images."""
    return figures.curves(
        {
            axis_label(term, options.loss_type): {
                f"{name}, {part}": np.array([row[f"{prefix}{term}"] for row in history])
                for name, history in histories.items()
                for part, prefix in (("training", ""), ("held out", "held_out_"))
            }
            for term in ("reconstruction", "kl")
        },
        "Both terms of the loss, in training and on held-out images",
    )
