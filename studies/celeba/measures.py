"""Measures of the models, of the faces that they generate, and of what lies between two faces."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from losses import kl_divergence, ssim
from studies.celeba.data import Faces
from studies.celeba.networks import VAE
from studies.celeba.options import Options
from studies.celeba.sampling import Model
from studies.celeba.training import untrained
from studies.shared.checks import paired, standard_error, unpaired
from studies.shared.image_cache import in_parts
from studies.shared.measures import (
    SCALES,
    active_units,
    edges_and_variances,
    first_axis,
    mean_pairwise_distance,
    nearest_distance,
    nearest_distances,
    pairwise_distance_error,
    psnr,
    relative_sharpness,
    scale_energies,
    squared_errors,
)
from studies.shared.networks import RECONSTRUCTION_LOSSES

SMALL = 32  # pixels per side at which distances are measured
NOTHING = 1e-9  # a smaller mean square counts as no difference
PATHS, PATH_STEPS = 100, 10  # pairs of samples, and steps from one to the other
SAMPLES = 10_000  # of z, which estimate a KL
STUCK = 0.01  # closer than this to 0 or 1, a sigmoid hardly changes any more


def small(images: Tensor) -> NDArray[np.float32]:
    """Shrink (N, 3, H, W) to (N, 3 * SMALL * SMALL), so that distances ignore the finest detail."""
    return functional.adaptive_avg_pool2d(images, SMALL).flatten(1).cpu().numpy()


@torch.no_grad()
def measure(
    options: Options, faces: Faces, model: Model, known: NDArray[np.float32], pca: NDArray
) -> dict[str, Any]:
    """Return all measures of one model, by name.

    `known`: training faces that `small` returned. `pca`: what `pca_errors` returned for the
    held-out faces.
    """
    train = in_parts(faces.train[: len(faces.held_out)], model.vae.device)
    found = measure_reconstructions(options, model.vae, faces.held_out)
    trained = np.concatenate([squared_errors(model.vae.reconstruct(x), x) for x in train])
    return (
        found
        | {
            "mse": float(found["mse"].mean()),
            "train_mse": float(trained.mean()),
            "gap": unpaired(found["mse"], trained),
            "small_mse": float(found["small_mse"].mean()),
            "pca_mse": float(pca.mean()),
            "against_pca": paired(found["small_mse"], pca),
            "prior_gap": model.prior_gap,
        }
        | {f"{kind}_among_codes": share for kind, share in model.among_codes.items()}
        | measure_generated(model, known)
        | {"paths": {kind: measure_paths(model, kind, known) for kind in model.samples}}
    )


@torch.no_grad()
def measure_reconstructions(
    options: Options, vae: VAE, held_out: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return measures of held-out faces' codes, and of reconstructions from the means of z.

    "mse", "ssims" and "small_mse" are those of each face, (N,).
    """
    mean = mean_of(held_out, vae.device)
    sums: dict[str, Tensor] = {}
    mus: list[NDArray] = []
    edges: list[list[tuple[NDArray, NDArray]]] = [[], []]
    arrays: dict[str, list[NDArray]] = {"mse": [], "ssims": [], "small_mse": []}
    for x in in_parts(held_out, vae.device):
        mu, logvar = vae.encode(x)
        recon = vae.decode(mu)
        found = {
            "psnr": psnr(recon, x).mean(),
            "reconstruction": RECONSTRUCTION_LOSSES[options.loss_type](recon, x),
            "kl": kl_divergence(mu, logvar),
            "lost": scale_energies(recon - x),
            "there": scale_energies(x - mean),
        }
        sums = {name: sums.get(name, 0) + len(x) * value for name, value in found.items()}
        mus.append(mu.cpu().numpy())
        arrays["mse"].append(squared_errors(recon, x))
        arrays["ssims"].append(ssim(recon, x).mean(dim=1).double().cpu().numpy())
        arrays["small_mse"].append(np.square(small(recon) - small(x)).mean(axis=1))
        for part, images in zip(edges, (recon, x), strict=True):
            part.append(edges_and_variances(images.mean(dim=1).cpu().numpy()))
    means = {name: value.cpu().numpy() / len(held_out) for name, value in sums.items()}
    lost, there = means.pop("lost"), means.pop("there")
    # If faces do not differ at a scale, nothing of it can be kept.
    kept = np.where(there > NOTHING, 1 - lost / np.maximum(there, NOTHING), 0.0)
    ours, real = (tuple(map(np.concatenate, zip(*part, strict=True))) for part in edges)
    sharpness = relative_sharpness((ours[0], ours[1]), (real[0], real[1]))
    codes, measured = np.concatenate(mus), {k: np.concatenate(v) for k, v in arrays.items()}
    return (
        {name: float(value) for name, value in means.items()}
        | measured
        | {
            "ssim": float(measured["ssims"].mean()),
            "kept": dict(zip(SCALES, map(float, kept), strict=True)),
            "active_units": active_units(codes),
            "first_axis": first_axis(codes),
            "sharpness_of_reconstructions": sharpness["ratio"],
            "sharpness_error": sharpness["error"],
        }
    )


def mean_of(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return the mean of (N, H, W, 3) images, (3, H, W) in [0, 1]."""
    mean = torch.from_numpy(np.mean(images, axis=0, dtype=np.float64)).float().to(device)
    return mean.permute(2, 0, 1) / 255


def measure_generated(model: Model, known: NDArray[np.float32]) -> dict[str, float]:
    """Return the diversity of generated faces, and their distance to the nearest known face."""
    found = {}
    for kind, images in model.generated.items():
        found[f"diversity_{kind}"] = mean_pairwise_distance(small(images))
        found[f"diversity_{kind}_error"] = pairwise_distance_error(small(images))
        found[f"nearest_{kind}"] = nearest_distance(small(images), known)
    return found


def between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return one mixture for each share (N,) of `start`: (1, ...) and (1, ...) -> (N, ...)."""
    share = share.reshape(-1, *[1] * (start.ndim - 1))
    return share * start + (1 - share) * end


@torch.no_grad()
def measure_paths(model: Model, kind: str, known: NDArray[np.float32]) -> dict[str, Any]:
    """Measure what is decoded between pairs of samples of one kind.

    ends, middles: mean distances to the nearest known face. closer: the distance of each middle,
    minus the mean of those of its ends. shortest, longest: the mean shares of
    the way between the decoded ends that the shortest and the longest of the steps cover.
    """
    z, shares = model.samples[kind], torch.linspace(0, 1, PATH_STEPS + 1, device=model.vae.device)
    pairs = z[: 2 * PATHS].reshape(-1, 2, z.shape[1])
    decoded = [small(model.vae.decode(between(pair[:1], pair[1:], shares))) for pair in pairs]
    paths = np.stack(decoded)
    steps = np.linalg.norm(np.diff(paths, axis=1), axis=2)
    covered = steps / np.maximum(steps.sum(axis=1, keepdims=True), NOTHING)
    start, middle, end = (
        nearest_distances(paths[:, place], known) for place in (0, PATH_STEPS // 2, -1)
    )
    ends = (start + end) / 2
    return {
        "ends": float(ends.mean()),
        "middles": float(middle.mean()),
        "closer": paired(middle, ends),
        "shortest": float(covered.min(axis=1).mean()),
        "longest": float(covered.max(axis=1).mean()),
    }


@torch.no_grad()
def check_formula(vae: VAE, x: Tensor, seed: int) -> dict[str, float]:
    """Compare the KL of an image's posterior, (1, C, H, W), with its mean over samples."""
    mu, logvar = (part.double() for part in vae.encode(x))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SAMPLES, mu.shape[1], generator=generator, dtype=mu.dtype).to(mu.device)
    z = mu + noise * (0.5 * logvar).exp()
    # log q(z) - log p(z), in which log 2 pi cancels.
    ratio = 0.5 * (z.square() - noise.square() - logvar).sum(dim=1)
    return {
        "latents": mu.shape[1],
        "samples": SAMPLES,
        "formula": float(kl_divergence(mu, logvar)),
        "sampled": float(ratio.mean()),
        "error": float(ratio.std() / SAMPLES**0.5),
    }


@torch.no_grad()
def judge_initial_weights(options: Options, std: float | None, x: Tensor) -> dict[str, float]:
    """Return an untrained network's loss on images, and the share of its pixels that are stuck."""
    recon = before_training(options, std, x)
    stuck = (recon < STUCK) | (recon > 1 - STUCK)
    reconstruction = RECONSTRUCTION_LOSSES[options.loss_type](recon, x)
    return {"reconstruction": float(reconstruction), "stuck": float(stuck.float().mean())}


@torch.no_grad()
def before_training(options: Options, std: float | None, x: Tensor) -> Tensor:
    """Return the largest network's output for images before its first step."""
    return untrained(options, max(options.latents), std).to(x.device)(x)[0]


@torch.no_grad()
def judge_interpolation(vae: VAE, x: Tensor, known: NDArray[np.float32]) -> dict[str, Any]:
    """Measure how far the middles between pairs of faces are from real ones, by pixels and by z.

    The "..._distance" of pixels, z and real faces are means with their errors.

    Also measure which share of the values is outside [0, 1] if pixels are extrapolated beyond a
    pair.
    """
    count = len(x) // 2
    first, second = x[:count], x[count : 2 * count]
    mu = vae.encode(x)[0]
    middle = vae.decode((mu[:count] + mu[count : 2 * count]) / 2)
    outside = 2 * first - second
    distances = {
        name: nearest_distances(small(images), known)
        for name, images in (("pixels", (first + second) / 2), ("latent", middle), ("real", x))
    }
    return {
        f"{name}_distance": {"mean": float(values.mean()), "error": standard_error(values)}
        for name, values in distances.items()
    } | {
        "pixels": float(distances["pixels"].mean()),
        "latent": float(distances["latent"].mean()),
        "outside": float(((outside < 0) | (outside > 1)).float().mean()),
    }
