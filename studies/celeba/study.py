"""`celeba`: a convolutional VAE of faces, with a few latent units and with many."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.distributions.kl import kl_divergence as kl
from torch.nn import functional
from typer import Option

import figures
from command_line import default_device
from grader.errors import UserError
from losses import kl_divergence, ssim
from storage import read_bytes, save_state_dict
from studies.celeba.answers import answers
from studies.celeba.networks import VAE
from studies.shared import devices
from studies.shared.devices import Precision, autocast, check_devices, finish, start
from studies.shared.image_cache import (
    ROWS,
    Batch,
    ImageFeed,
    as_pictures,
    cached,
    in_parts,
    on_device,
    open_source,
)
from studies.shared.measures import (
    SCALES,
    active_units,
    mean_pairwise_distance,
    nearest_distance,
    psnr,
    scale_energies,
    sharpness,
    squared_error,
)
from studies.shared.networks import RECONSTRUCTION_LOSSES, named_losses, unit
from studies.shared.options import (
    Device,
    Epochs,
    LearningRate,
    LossType,
    Preset,
    count,
    units,
    weight,
)
from studies.shared.runner import Findings, run_study
from training import History

TITLE = "CelebA: faces from three numbers and from a hundred"
OFFICIAL = ("img_align_celeba", "img_align_celeba.zip")
PARTITION = "list_eval_partition.txt"
HELD_OUT = 0.1  # share of the images, at most, if there is no partition
SHOWN = 32  # faces in a grid
COLUMNS = 8  # faces and their reconstructions
PAIRS = 3  # pairs of samples between which z is interpolated
COARSE_STEPS, FINE_STEPS = 6, 11  # of interpolations from 0 to 1, of pixels and of z
MEASURED = 256  # generated faces, and as many real ones, whose distances are measured
KNOWN = 2000  # training faces among which the nearest one is found
FITTED = 5000  # training faces to whose z a Gaussian is fitted
SMALL = 32  # pixels per side at which distances are measured
NOTHING = 1e-9  # a smaller mean square counts as no difference
STUCK = 0.01  # closer than this to 0 or 1, a sigmoid hardly changes any more


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's settings; quick: small images, a few minutes")
    ] = "full"
    latents: Annotated[
        list[int], Option(min=2, max=2**14, help="latent units, one model for each value")
    ] = field(default_factory=lambda: [3, 100])
    size: Annotated[
        tuple[int, int],
        Option(
            min=16, max=2**14, help="height and width to which the images are resized and cropped"
        ),
    ] = (218, 178)
    images: Annotated[int, count(help="training images, at most")] = 30_000
    held_out: Annotated[int, count(help="held-out images, at most")] = 1000
    epochs: Epochs = 50
    batch_size: Annotated[
        int, Option(min=2, max=2**20, help="images per step, over all devices")
    ] = 64
    learning_rate: LearningRate = 1e-4
    beta: Annotated[float, weight(help="weight of the KL term")] = 0.3
    loss_type: LossType = "bce"
    num_hidden: Annotated[
        int,
        units(help="channels of the encoder's first layer; the decoder's has eight times as many"),
    ] = 32
    init_std: Annotated[
        float,
        Option(min=0, max=1e3, help="standard deviation of the convolutions' initial weights"),
    ] = 0.02
    cache: Annotated[
        Path | None, Option(help="folder for the decoded images; by default OUT_DIR")
    ] = None
    seed: Annotated[
        int,
        Option(
            min=0, max=2**32 - 1, help="seed of weights, batches, samples and the choice of images"
        ),
    ] = 0
    device: Device = field(default_factory=default_device)
    devices: Annotated[int, Option(min=1, max=2**12, help="number of devices to train on")] = 1
    precision: Annotated[
        Precision,
        Option(help="precision of products in training; auto: bf16 if the device is fast in it"),
    ] = "auto"


PRESETS = {
    "full": Options(),
    "quick": Options(preset="quick", size=(54, 44), images=2000, held_out=200, epochs=20),
}


def celeba(before: list[str], after: list[str], usage: str) -> None:
    """Train a VAE for each size of the latent space, and answer the assignment's questions."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train a model for each number of latents, then save, measure and draw."""
    check_devices(options.device, options.devices, options.batch_size)
    train, held_out, data = read_faces(options, path, options.cache or out)
    fabric = start(options.device, options.devices)
    vaes, histories = {}, {}
    for latent in options.latents:
        vae, histories[latent] = train_model(options, latent, train, held_out, data, fabric, out)
        vaes[latent] = vae.eval()
    finish()
    for latent, vae in vaes.items():
        save_state_dict(vae, out / f"celeba_latent_{latent}.pth")
    torch.manual_seed(options.seed)
    fits = {latent: fitted_gaussian(vae, train) for latent, vae in vaes.items()}
    faces = {latent: generate(vae, fits[latent]) for latent, vae in vaes.items()}
    real = on_device(held_out[:MEASURED], fabric.device)
    known = small(on_device(train[:KNOWN], fabric.device))
    mean = torch.from_numpy(np.mean(held_out, axis=0, dtype=np.float64)).float().to(fabric.device)
    summary: dict[str, Any] = {
        "images": len(train),
        "held_out": len(held_out),
        "size": options.size,
        "epochs": options.epochs,
        "beta": options.beta,
        "unit": unit("reconstruction", options.loss_type),
        "diversity_of_real_faces": mean_pairwise_distance(small(real)),
        "nearest_of_real_faces": nearest_distance(small(real), known),
        "initial_weights": {
            f"{std:g}": judge_initial_weights(options, std, real) for std in (options.init_std, 1.0)
        },
        "known": len(known),
        "interpolation": judge_interpolation(vaes[max(vaes)], real, known),
        "first": {latent: history[0] for latent, history in histories.items()},
        "last": {latent: history[-1] for latent, history in histories.items()},
        "late": {latent: late_share(history) for latent, history in histories.items()},
        "models": {
            latent: measure(vae, held_out, mean.permute(2, 0, 1) / 255, options)
            | {
                "train_mse": squared_error(
                    vae.reconstruct, in_parts(train[: len(held_out)], fabric.device)
                ),
                "prior_gap": prior_gap(*fits[latent]),
            }
            | {
                f"{name}_{kind}": function(small(images))
                for kind, images in faces[latent].items()
                for name, function in (
                    ("diversity", mean_pairwise_distance),
                    ("nearest", functools.partial(nearest_distance, others=known)),
                )
            }
            for latent, vae in vaes.items()
        },
    }
    pictures = draw(options, train, held_out, vaes, faces) | {
        "losses": draw_losses(histories, summary["unit"])
    }
    return Findings(summary, pictures, answers(summary))


def read_faces(
    options: Options, path: Path, folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Return training and held-out images, (N, H, W, 3) each, and a name for all of them."""
    place = next(filter(Path.exists, (path / name for name in OFFICIAL)), path)
    generator = np.random.default_rng(options.seed)
    with open_source(place) as source:
        names = np.array(source.names)
        order = generator.permutation(len(names))
        parts = read_partition(place, path, source.names)
        if parts is None:
            count = min(options.held_out, max(COLUMNS, round(HELD_OUT * len(names))))
            held_out, train = order[:count], order[count:]
        else:
            train, held_out = order[parts[order] == 0], order[parts[order] != 0]
        chosen = names[train[: options.images]], names[held_out[: options.held_out]]
        count = len(chosen[0])
        if count < SHOWN or len(chosen[1]) < COLUMNS:
            found = f"{count} images to train on, {len(chosen[1])} held out"
            raise UserError(path, found, f"{SHOWN} and {COLUMNS} at least")
        file = cached(source, [*chosen[0], *chosen[1]], options.size, folder)
    images = np.load(file, mmap_mode="r")
    return images[:count], images[count:], file.stem


def read_partition(place: Path, path: Path, names: list[str]) -> NDArray[np.int64] | None:
    """Return the part to which each image belongs, by CelebA's own list: 0 is training.

    Returns None if there is no such list next to the images, or if it lists other images.
    """
    files = [folder / PARTITION for folder in (path, place.parent)]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        return None
    try:
        lines = read_bytes(file, "CelebA's partition").decode().splitlines()
        parts = {name: int(part) for name, part in map(str.split, lines)}
    except ValueError as error:
        raise UserError(file, str(error), "a name and a number on each line") from error
    missing = [name for name in names if Path(name).name not in parts]
    if len(missing) == len(names):
        return None  # a list of other images
    if missing:
        raise UserError(file, f"nothing of {missing[0]}", "a line for each image")
    return np.array([parts[Path(name).name] for name in names])


def train_model(
    options: Options,
    latent: int,
    train: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    data: str,
    fabric: Fabric,
    out: Path,
) -> tuple[VAE, History]:
    """Train a model with `latent` latents; return it and its losses, also on held-out images."""
    torch.manual_seed(options.seed)
    vae = VAE(3, options.num_hidden, 8 * options.num_hidden, latent, options.size)
    vae.weight_init(0, options.init_std)

    def step(model: Callable[..., Any], batch: Batch, _progress: float) -> dict[str, Tensor]:
        noise = torch.randn(batch.whole, latent, device=fabric.device)[batch.rows]
        with autocast(fabric.device, options.precision):
            recon, mu, logvar = model(batch.images, noise)
        losses = named_losses(recon, batch.images, mu, logvar, options.loss_type, options.beta)
        return {name: batch.share * value for name, value in losses.items()}

    def judge(_epoch: int) -> dict[str, float]:
        found = held_out_losses(vae, held_out, options)
        return {f"held_out_{name}": value for name, value in found.items()}

    apart = dict.fromkeys(
        ("preset", "latents", "epochs", "cache", "device", "devices", "images", "held_out"), ""
    )
    history = devices.train(
        fabric,
        vae,
        step,
        ImageFeed(train, options.batch_size, fabric.device),
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        name=f"latent_{latent}",
        settings=asdict(options) | apart | {"latent": latent, "data": data},
        out=out,
        judge=judge,
    )
    return vae, history


@torch.no_grad()
def held_out_losses(vae: VAE, images: NDArray[np.uint8], options: Options) -> dict[str, float]:
    """Return mean losses over (N, H, W, 3) images, with the same noise in z at every call."""
    generator = torch.Generator().manual_seed(options.seed)
    sums: dict[str, float] = {}
    for x in in_parts(images, device_of(vae)):
        noise = torch.randn(len(x), vae.latent, generator=generator).to(x.device)
        with autocast(x.device, options.precision):
            recon, mu, logvar = vae(x, noise)
        losses = named_losses(recon, x, mu, logvar, options.loss_type, options.beta)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + len(x) * float(value)
    return {name: value / len(images) for name, value in sums.items()}


def small(images: Tensor) -> NDArray[np.float32]:
    """Shrink (N, 3, H, W) to (N, 3 * SMALL * SMALL), so that distances ignore the finest detail."""
    return functional.adaptive_avg_pool2d(images, SMALL).flatten(1).cpu().numpy()


def device_of(vae: VAE) -> torch.device:
    return vae.encode.fc_mu.weight.device


@torch.no_grad()
def measure(
    vae: VAE, held_out: NDArray[np.uint8], mean: Tensor, options: Options
) -> dict[str, Any]:
    """Return measures of one model on held-out faces, by name.

    `mean`: that of the faces, (3, H, W). Reconstructions are those of z's mean.
    """
    sums: dict[str, Tensor] = {}
    mus, edges, rows = [], [], []
    for x in in_parts(held_out, device_of(vae)):
        mu, logvar = vae.encode(x)
        recon = vae.decode(mu)
        found = {
            "mse": (recon - x).square().mean(),
            "ssim": ssim(recon, x).mean(),
            "psnr": psnr(recon, x).mean(),
            "reconstruction": RECONSTRUCTION_LOSSES[options.loss_type](recon, x),
            "kl": kl_divergence(mu, logvar),
            "lost": scale_energies(recon - x),
            "there": scale_energies(x - mean),
        }
        sums = {name: sums.get(name, 0) + len(x) * value for name, value in found.items()}
        mus.append(mu.cpu().numpy())
        rows.append(len(x))
        edges.append([sharpness(image.mean(dim=1).cpu().numpy()) for image in (recon, x)])
    means = {name: value.cpu().numpy() / len(held_out) for name, value in sums.items()}
    lost, there = means.pop("lost"), means.pop("there")
    # If faces do not differ at a scale, nothing of it can be kept.
    kept = np.where(there > NOTHING, 1 - lost / np.maximum(there, NOTHING), 0.0)
    recon_edges, real_edges = np.average(edges, axis=0, weights=rows)
    return {name: float(value) for name, value in means.items()} | {
        "kept": dict(zip(SCALES, map(float, kept), strict=True)),
        "active_units": active_units(np.concatenate(mus)),
        "sharpness_of_reconstructions": float(recon_edges / real_edges),
    }


def late_share(history: History) -> float:
    """Return the share of the held-out loss's fall that the last fifth of the epochs brought."""
    losses = [row["held_out_loss"] for row in history]
    before = losses[-1 - len(losses) // 5]
    return (before - losses[-1]) / max(losses[0] - min(losses), 1e-9)


@torch.no_grad()
def fitted_gaussian(vae: VAE, train: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return the mean (latent,) and covariance (latent, latent) of z over real faces.

    Each face contributes its own q.
    """
    codes = [vae.encode(x) for x in in_parts(train[:FITTED], device_of(vae))]
    mu, logvar = (torch.cat(parts) for parts in zip(*codes, strict=True))
    return mu.mean(0), torch.cov(mu.T) + torch.diag(logvar.exp().mean(0))


def prior_gap(mean: Tensor, covariance: Tensor) -> float:
    """Return the KL of the prior to the Gaussian fitted to z over real faces, in nats.

    It is the mean log ratio of the prior's density to that Gaussian's, over samples from the prior.
    """
    prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(len(mean), device=mean.device))
    return float(kl(prior, MultivariateNormal(mean, covariance)))


@torch.no_grad()
def generate(vae: VAE, fit: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Decode samples from N(0, I), and from the Gaussian fitted to z over real faces."""
    mean, covariance = fit
    noise = torch.randn(MEASURED, vae.latent).to(mean.device)
    fitted = mean + noise @ torch.linalg.cholesky(covariance).T
    return {
        name: torch.cat([vae.decode(part) for part in z.split(ROWS)])
        for name, z in (("prior", noise), ("fitted", fitted))
    }


@torch.no_grad()
def judge_initial_weights(options: Options, std: float, x: Tensor) -> dict[str, float]:
    """Return an untrained network's loss on images, and the share of its pixels that are stuck."""
    recon = untrained(options, std, x)
    stuck = (recon < STUCK) | (recon > 1 - STUCK)
    reconstruction = RECONSTRUCTION_LOSSES[options.loss_type](recon, x)
    return {"reconstruction": float(reconstruction), "stuck": float(stuck.float().mean())}


@torch.no_grad()
def untrained(options: Options, std: float, x: Tensor) -> Tensor:
    """Return the network's output for images before its first step."""
    torch.manual_seed(options.seed)
    width = options.num_hidden
    vae = VAE(3, width, 8 * width, max(options.latents), options.size)
    vae.weight_init(0, std)
    return vae.to(x.device)(x)[0]


@torch.no_grad()
def judge_interpolation(vae: VAE, x: Tensor, known: NDArray[np.float32]) -> dict[str, float]:
    """Measure how far the middles between pairs of faces are from real ones, by pixels and by z.

    Also measure which share of the values is outside [0, 1] if pixels are extrapolated beyond a
    pair.
    """
    count = len(x) // 2
    first, second = x[:count], x[count : 2 * count]
    mu = vae.encode(x)[0]
    middle = vae.decode((mu[:count] + mu[count : 2 * count]) / 2)
    outside = 2 * first - second
    return {
        "pixels": nearest_distance(small((first + second) / 2), known),
        "latent": nearest_distance(small(middle), known),
        "outside": float(((outside < 0) | (outside > 1)).float().mean()),
    }


@torch.no_grad()
def draw(
    options: Options,
    train: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    vaes: Mapping[int, VAE],
    faces: Mapping[int, Mapping[str, Tensor]],
) -> dict[str, Figure]:
    """Draw the study's pictures and return them by name."""
    device = device_of(next(iter(vaes.values())))
    x = on_device(held_out[:COLUMNS], device)
    first, second = x[:1], x[1:2]
    names = [f"L = {latent}" for latent in vaes]
    recon = [as_pictures(vae.decode(vae.encode(x)[0])) for vae in vaes.values()]
    fine, coarse = (
        torch.linspace(0, 1, steps, device=device)[:, None] for steps in (FINE_STEPS, COARSE_STEPS)
    )

    def between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        share = share.reshape(-1, *[1] * (start.ndim - 1))
        return share * start + (1 - share) * end

    def encoded(vae: VAE) -> NDArray:
        mu = vae.encode(torch.cat([first, second]))[0]
        return as_pictures(vae.decode(between(mu[:1], mu[1:], fine)))

    labels, coarse_labels = ([f"{float(s):.1f}" for s in part] for part in (fine, coarse))
    pictures = {
        "data": figures.image_grid([train[i : i + 4] / 255 for i in range(0, SHOWN, 4)]),
        "image_interpolation": figures.image_grid(
            [as_pictures(between(first, second, coarse))], ["alpha"], coarse_labels
        ),
        "reconstructions": figures.image_grid([as_pictures(x), *recon], ["original", *names]),
        "interpolation_of_faces": figures.image_grid(
            [as_pictures(between(first, second, fine)), *map(encoded, vaes.values())],
            ["pixels", *names],
            labels,
        ),
        "initial_weights": figures.image_grid(
            [as_pictures(x)]
            + [as_pictures(untrained(options, std, x)) for std in (options.init_std, 1.0)],
            ["original", f"std {options.init_std:g}", "std 1"],
        ),
    }
    for latent, vae in vaes.items():
        for kind, images in faces[latent].items():
            shown = as_pictures(images[:SHOWN])
            rows = list(shown.reshape(4, SHOWN // 4, *shown.shape[1:]))
            pictures[f"faces_{latent}_{kind}"] = figures.image_grid(rows)
        ends = torch.randn(PAIRS, 2, latent).to(device)
        rows = [as_pictures(vae.decode(between(z[:1], z[1:], fine))) for z in ends]
        pictures[f"interpolation_{latent}"] = figures.image_grid(
            rows, [f"pair {i + 1}" for i in range(PAIRS)], labels
        )
    return pictures


def draw_losses(histories: Mapping[int, History], unit_name: str) -> Figure:
    """Plot the loss and its terms over the epochs, in training and on held-out faces."""
    names = {"loss": "loss", "reconstruction": f"reconstruction ({unit_name})", "kl": "KL (nats)"}
    panels = {
        title: {
            f"L = {latent}, {part}": np.array([row[prefix + name] for row in history])
            for latent, history in histories.items()
            for part, prefix in (("training", ""), ("held out", "held_out_"))
        }
        for name, title in names.items()
    }
    return figures.curves(panels)
