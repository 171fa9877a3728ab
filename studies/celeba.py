"""`celeba`: a convolutional VAE of faces, with a few latent units and with many."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.distributions.kl import kl_divergence as kl
from torch.nn import functional

import figures
from command_line import default_device
from grader.errors import UserError
from losses import kl_divergence, ssim
from storage import read_bytes, save_state_dict
from studies import devices
from studies.celeba_answers import answers
from studies.celeba_networks import VAE
from studies.devices import Precision, autocast, check_devices, finish, start
from studies.image_cache import (
    ROWS,
    Batch,
    ImageFeed,
    as_pictures,
    cached,
    in_parts,
    on_device,
    open_source,
)
from studies.measures import (
    SCALES,
    active_units,
    mean_pairwise_distance,
    nearest_distance,
    psnr,
    scale_energies,
    sharpness,
    squared_error,
)
from studies.networks import RECONSTRUCTION_LOSSES, named_losses, unit
from studies.runner import Findings, run_study
from training import History

TITLE = "CelebA: faces from three numbers and from a hundred"
OFFICIAL = ("img_align_celeba", "img_align_celeba.zip")
PARTITION = "list_eval_partition.txt"
HELD_OUT = 0.1  # of the images, at most, where there is no partition
SHOWN = 32  # faces in a grid
COLUMNS = 8  # faces and their reconstructions
PAIRS = 3  # of draws between which is interpolated
COARSE_STEPS, FINE_STEPS = 6, 11  # from 0 to 1, in the pixels and in z
MEASURED = 256  # generated faces, and as many real ones, whose distances are measured
KNOWN = 2000  # training faces among which the nearest is looked for
FITTED = 5000  # training faces whose z a Gaussian is fitted to
SMALL = 32  # pixels to a side at which distances are measured
NOTHING = 1e-9  # mean square of differences that are no differences
STUCK = 0.01  # nearer than this to 0 or 1, a sigmoid hardly moves any more


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Literal["full", "quick"] = "full"
    """full: the assignment's settings; quick: small images, some minutes"""
    latents: tuple[int, ...] = (3, 100)
    """latent units, a model for each"""
    size: tuple[int, int] = (218, 178)
    """height and width that the images are brought to"""
    images: int = 30_000
    """images to train on, at most"""
    held_out: int = 1000
    """images to judge on, at most"""
    epochs: int = 50
    """passes over the training images"""
    batch_size: int = 64
    """images a step, of all devices together"""
    learning_rate: float = 1e-4
    """of Adam"""
    beta: float = 0.3
    """weight of the KL term"""
    loss_type: Literal["bce", "mse", "l1"] = "bce"
    """what the reconstruction is judged by"""
    num_hidden: int = 32
    """channels of the encoder's first convolution; the decoder begins with eight times as many"""
    init_std: float = 0.02
    """standard deviation of the convolutions' first weights"""
    cache: Path | None = None
    """folder for the decoded images; else OUT_DIR"""
    seed: int = 0
    """of weights, batches, draws and of which images are taken"""
    device: str = field(default_factory=default_device)
    """cpu or cuda"""
    devices: int = 1
    """how many of them to train on"""
    precision: Precision = "auto"
    """of products in training; auto: bf16 where the device is fast in it"""


PRESETS = {
    "full": Options(),
    "quick": Options(preset="quick", size=(54, 44), images=2000, held_out=200, epochs=20),
}


def celeba(before: list[str], after: list[str], usage: str) -> None:
    """Train a VAE for each size of the latent space, and answer the assignment's questions."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Train, save, measure and show."""
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
    """What to train on and what is held out, (N, H, W, 3) each, and a name for all of it."""
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
    """To which part each image belongs, where CelebA's own list lies beside them: 0 is training."""
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
    """The model with so many latent units, and its losses, those on held-out images among them."""
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
    """Means over (N, H, W, 3) images, with draws of z that are the same at every call."""
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
    """(N, 3, H, W) as (N, 3 * SMALL * SMALL): distances then are not about the finest detail."""
    return functional.adaptive_avg_pool2d(images, SMALL).flatten(1).cpu().numpy()


def device_of(vae: VAE) -> torch.device:
    return vae.encode.fc_mu.weight.device


@torch.no_grad()
def measure(
    vae: VAE, held_out: NDArray[np.uint8], mean: Tensor, options: Options
) -> dict[str, Any]:
    """Of one model on held-out faces, whose mean is (3, H, W); reconstructions are of z's mean."""
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
    # Where faces do not differ at a scale, nothing of it can be kept.
    kept = np.where(there > NOTHING, 1 - lost / np.maximum(there, NOTHING), 0.0)
    recon_edges, real_edges = np.average(edges, axis=0, weights=rows)
    return {name: float(value) for name, value in means.items()} | {
        "kept": dict(zip(SCALES, map(float, kept), strict=True)),
        "active_units": active_units(np.concatenate(mus)),
        "sharpness_of_reconstructions": float(recon_edges / real_edges),
    }


def late_share(history: History) -> float:
    """How much of the fall of the held-out loss the last fifth of the epochs brought."""
    losses = [row["held_out_loss"] for row in history]
    before = losses[-1 - len(losses) // 5]
    return (before - losses[-1]) / max(losses[0] - min(losses), 1e-9)


@torch.no_grad()
def fitted_gaussian(vae: VAE, train: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean (latent,) and covariance (latent, latent) of z over real faces, each with its own q."""
    codes = [vae.encode(x) for x in in_parts(train[:FITTED], device_of(vae))]
    mu, logvar = (torch.cat(parts) for parts in zip(*codes, strict=True))
    return mu.mean(0), torch.cov(mu.T) + torch.diag(logvar.exp().mean(0))


def prior_gap(mean: Tensor, covariance: Tensor) -> float:
    """KL of the prior to the Gaussian fitted to z over real faces, in nats.

    By so much a draw from the prior is, on average, likelier as one than as a real face's code.
    """
    prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(len(mean), device=mean.device))
    return float(kl(prior, MultivariateNormal(mean, covariance)))


@torch.no_grad()
def generate(vae: VAE, fit: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Decoded draws: of N(0, I), and of the Gaussian fitted to z over real faces."""
    mean, covariance = fit
    noise = torch.randn(MEASURED, vae.latent).to(mean.device)
    fitted = mean + noise @ torch.linalg.cholesky(covariance).T
    return {
        name: torch.cat([vae.decode(part) for part in z.split(ROWS)])
        for name, z in (("prior", noise), ("fitted", fitted))
    }


@torch.no_grad()
def judge_initial_weights(options: Options, std: float, x: Tensor) -> dict[str, float]:
    """What an untrained network makes of images: its loss, and how many of its pixels are stuck."""
    recon = untrained(options, std, x)
    stuck = (recon < STUCK) | (recon > 1 - STUCK)
    reconstruction = RECONSTRUCTION_LOSSES[options.loss_type](recon, x)
    return {"reconstruction": float(reconstruction), "stuck": float(stuck.float().mean())}


@torch.no_grad()
def untrained(options: Options, std: float, x: Tensor) -> Tensor:
    """What the network makes of images before its first step."""
    torch.manual_seed(options.seed)
    width = options.num_hidden
    vae = VAE(3, width, 8 * width, max(options.latents), options.size)
    vae.weight_init(0, std)
    return vae.to(x.device)(x)[0]


@torch.no_grad()
def judge_interpolation(vae: VAE, x: Tensor, known: NDArray[np.float32]) -> dict[str, float]:
    """How far the middles between pairs of faces are from real ones, by pixels and by z.

    Also what share of the values leaves [0, 1] beyond the two.
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
    """The study's pictures, by name."""
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
    """The loss and its terms over the epochs, in training and on held-out faces."""
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
