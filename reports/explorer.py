"""`explore`: one page on which the latent plane responds to the pointer.

The page needs no server and no network. It holds the trained model. The decoder's weights have 16
bits, because it must draw what PyTorch draws. The encoder's have 8, because it only has to find
where an image is.
"""

import base64
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import figures
from checkpoint import load_mixture, load_model
from command_line import CommandLine, check_outputs
from data import has_array, load_images, load_labelled_images
from gmm import GaussianMixture
from inference import decode, posterior, search
from losses import gaussian_kl, ssim
from models import CELL, LEAST_VARIANCE, NEAR, REACH, VAE, WINDOW
from storage import replacing

BITS = {"encoder": 8, "decoder": 16}
MOST = 3000  # images of TEST on the page
DRAWINGS, DRAWS = 8, 5  # sets of draws from a posterior, and draws in each
TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("network", "measures", "pictures", "plane", "explorer")
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True
)


def explore(before: list[str], after: list[str], usage: str) -> None:
    """Write the page that shows the images of TEST and VAL in the plane of a trained model."""
    parser = CommandLine(usage, "test.npz val.npz explore plane.html vae.pth")
    parser.add_argument("out", type=Path, help="what to write")
    parser.add_model(gmm=True)
    options = parser.parse(after)
    test_path, val_path = map(Path, before)
    labels = None
    if has_array(test_path, "labels"):
        test, labels = (part[:MOST] for part in load_labelled_images(test_path))
    else:
        test = load_images(test_path)[:MOST]
    val = load_labelled_images(val_path)
    check_outputs([options.out], inputs=(test_path, val_path, options.model, options.gmm))
    model = load_model(options.model, options.device)
    mixture, component_labels = load_mixture(options.gmm, options.model)
    points = collect(model, mixture, component_labels, test, labels, val)
    packed, error = pack(model)
    page = render(packed, points, mixture, component_labels)
    with replacing(options.out) as file:
        file.write(page.encode())
    print(
        f"wrote {options.out}: {len(points['z'])} images, {len(page) / 2**20:.1f} MiB; "
        f"pixels differ from PyTorch's by at most {error:.5f}"
    )


def collect(
    model: VAE,
    mixture: GaussianMixture,
    component_labels: NDArray,
    test: NDArray,
    labels: NDArray[np.int64] | None,
    val: tuple[NDArray, NDArray],
) -> dict[str, Any]:
    """Collect each image's pixels, posterior, classes, and what both ways to a latent give."""
    images = np.concatenate([test, val[0]]).reshape(-1, 28, 28)
    z, logvar = posterior(model, images)
    kl = gaussian_kl(torch.from_numpy(z), torch.from_numpy(logvar)).numpy()
    known = [None] * len(test) if labels is None else labels.tolist()
    return {
        "pixels": as_text((255 * images).round().astype(np.uint8)),
        "z": decimals(z),
        "logvar": decimals(logvar),
        "kl": decimals(kl),
        "encoder": way(model, images, z),
        "search": way(model, images, search(model, images)),
        "label": [*known, *val[1].tolist()],
        "predicted": component_labels[mixture.predict(z)].tolist(),
        "set": ["test"] * len(test) + ["validation"] * len(val[0]),
    }


def decimals(array: NDArray) -> list[Any]:
    """Return numbers with as many decimals as the page needs."""
    return list(array.astype(float).round(5).tolist())


def way(model: VAE, images: NDArray, z: NDArray) -> list[dict[str, Any]]:
    """Return where a way to a latent puts each image, and the errors of what is decoded there."""
    recon = decode(model, z).reshape(images.shape)
    similarity = ssim(torch.from_numpy(recon), torch.from_numpy(images)).numpy()
    columns = (
        decimals(z),
        decimals(np.square(recon - images).mean(axis=(1, 2))),
        decimals(similarity),
    )
    return [
        {"z": at, "mse": error, "ssim": alike} for at, error, alike in zip(*columns, strict=True)
    ]


def as_text(array: NDArray) -> str:
    """Return the bytes of an array in base64, which JavaScript reads with `atob`."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def quantised(weights: Tensor, bits: int) -> tuple[NDArray[np.signedinteger], NDArray[np.float32]]:
    """Return a matrix as integers of `bits` bits, and the factor of each of its rows."""
    largest = 2 ** (bits - 1) - 1
    scale = weights.abs().amax(dim=1).clamp(min=1e-12) / largest
    whole = (weights / scale[:, None]).round().numpy()
    return whole.astype(np.int8 if bits == 8 else np.int16), scale.numpy().astype(np.float32)


def pack(model: VAE) -> tuple[dict[str, Any], float]:
    """Return the network in the page's format, and the error that this causes in what it draws.

    The error is the largest difference of any pixel over 200 latents, some of them outside the
    plane.
    """
    packed, rounded = {}, {}
    for name, tensor in model.cpu().state_dict().items():
        if tensor.ndim == 2:
            whole, scale = quantised(tensor, BITS[name.split(".")[0]])
            rounded[name] = torch.from_numpy(whole * scale[:, None])
            packed[name] = {
                "shape": list(tensor.shape),
                "bits": 8 * whole.itemsize,
                "whole": as_text(whole),
                "scale": as_text(scale),
            }
        else:
            rounded[name] = tensor
            packed[name] = {"shape": list(tensor.shape), "floats": as_text(tensor.numpy())}
    other = VAE()
    other.load_state_dict(rounded)
    z = np.random.default_rng(0).normal(0, 1.5, (200, 2))
    return packed, float(np.abs(decode(model, z) - decode(other.eval(), z)).max())


def render(
    packed: dict[str, Any],
    points: dict[str, Any],
    mixture: GaussianMixture,
    component_labels: NDArray,
) -> str:
    """Return the page: the network, the images, and the code that responds."""
    classes = sorted({*component_labels.tolist(), *points["label"]} - {None})
    draws = np.random.default_rng(0).normal(size=(DRAWINGS, DRAWS, 2)).round(4)
    data = {
        "sizes": {
            "reach": REACH,
            "cell": CELL,
            "near": NEAR,
            "window": WINDOW,
            "leastVariance": LEAST_VARIANCE,
            "waves": VAE().decoder[0].waves,
        },
        "network": packed,
        "points": points,
        "mixture": {
            "weights": mixture.weights_.tolist(),
            "means": mixture.means_.tolist(),
            "covariances": mixture.covariances_.tolist(),
            "labels": component_labels.tolist(),
        },
        "classes": classes,
        "draws": draws.tolist(),
    }
    return ENVIRONMENT.get_template("explorer.html").render(
        colours=figures.COLOURS,
        style=(TEMPLATES / "explorer.css").read_text(),
        classes=classes,
        has_labels=any(label is not None for label in points["label"]),
        data=json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
        code="\n".join((TEMPLATES / f"{name}.js").read_text() for name in SCRIPTS),
    )
