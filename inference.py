"""What a trained model says of images: their latents, and their reconstructions.

Every caller (the graded modes, plots, reports) uses these, so that all show the same picture.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from losses import distortion
from models import REACH, VAE, plane

# Fixed, and padded to: matrix products of other heights may round differently, and an image's
# latent must not depend on how many others it comes with.
ROWS = 128

SEARCH_SIDE = 128  # of the grid that is searched first; the decoder holds no finer detail
CANDIDATES = 4  # of its points, for each image
STEPS = 8  # from the best candidate
MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


@torch.inference_mode()
def in_fixed_batches(
    model: VAE, function: Callable[[Tensor], Tensor], rows: np.ndarray
) -> np.ndarray:
    """`function` of (N, ...) float32 rows, `ROWS` at a time, where the model is: (N, ...)."""
    device = next(model.parameters()).device
    padding = -len(rows) % ROWS
    padded = np.concatenate([rows, np.zeros((padding, *rows.shape[1:]), np.float32)])
    batches = torch.from_numpy(padded).split(ROWS)
    results = torch.cat([function(batch.to(device)).cpu() for batch in batches])
    return results[: len(rows)].numpy()


def squared_distances(x: Tensor, others: Tensor) -> Tensor:
    """Between rows of (N, d) and of (M, d), less the squared length of x: (N, M)."""
    return torch.addmm(others.square().sum(dim=1), x, others.T, alpha=-2)


def encode(model: VAE, images: np.ndarray) -> np.ndarray:
    """Return the posterior means of images in any layout of 784 pixels: (N, 2) float32."""
    return posterior(model, images)[0]


def posterior(model: VAE, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mu and logvar of images in any layout of 784 pixels: (N, 2) float32 each."""
    both = in_fixed_batches(
        model, lambda x: torch.cat(model.encode(x), dim=1), images.reshape(len(images), -1)
    )
    return both[:, :2], both[:, 2:]


def decode(model: VAE, z: np.ndarray) -> np.ndarray:
    """Images of (N, 2) latents: (N, 784) float32 in [0, 1]."""
    return in_fixed_batches(model, model.decode, z.astype(np.float32))


@torch.no_grad()
def decode_points(model: VAE, points: Tensor) -> Tensor:
    """Images of (N, 2) points of the plane, on their device: (N, 784)."""
    return torch.cat([model.decode(chunk) for chunk in points.split(1024)])


def search(model: VAE, images: np.ndarray) -> np.ndarray:
    """The latents of least distortion that a search of the plane finds: (N, 2) float32.

    It starts from the encoder's latent and the nearest few of a decoded grid, and goes on in steps
    to the best of four neighbours, each half as long as the last once none of them is better.
    """
    device = next(model.parameters()).device
    points = plane(SEARCH_SIDE, device)
    decoded = decode_points(model, points)
    moves = torch.tensor(MOVES, dtype=torch.float32, device=device)

    def best(x: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The best of (B, K, 2) latents for each of (B, 784) images, and its index."""
        recon = model.decode(candidates.flatten(0, 1)).unflatten(0, candidates.shape[:2])
        index = distortion(recon, x[:, None]).argmin(dim=1)
        return candidates[torch.arange(len(x), device=device), index], index

    def search_batch(x: Tensor) -> Tensor:
        near = squared_distances(x, decoded).topk(CANDIDATES, largest=False).indices
        z, _ = best(x, torch.cat([model.encode(x)[0][:, None], points[near]], dim=1))
        step = torch.full((len(x), 1, 1), REACH / (SEARCH_SIDE - 1), device=device)
        for _ in range(STEPS):
            z, index = best(x, z[:, None] + step * moves)
            step = torch.where((index == 0)[:, None, None], step / 2, step)
        return z

    return in_fixed_batches(model, search_batch, images.reshape(len(images), -1))


def reconstruct(model: VAE, images: np.ndarray, *, encoder_only: bool = False) -> np.ndarray:
    """The decoded latents of images, in the images' own layout: float32 in [0, 1]."""
    z = encode(model, images) if encoder_only else search(model, images)
    return decode(model, z).reshape(images.shape)
