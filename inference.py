"""The latents and the reconstructions that a trained model gives for images.

Every caller (the graded modes, plots, reports) uses these functions, so that all show the same
picture.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from losses import distortion
from models import PIXELS, REACH, VAE, GaussianVAE

# Fixed, and every batch is padded to it: matrix products of other heights may round differently,
# and the latent of an image must not depend on how many other images come with it.
ROWS = 64

CELLS = 32  # of the encoder's grid, for each image; the search tries their points
NEAREST = 32  # of those points; it computes their distortion
CANDIDATES = 4  # of those; each takes a Gauss-Newton step
STEPS = 4  # from the best of these
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
FREQUENCIES = 12  # per axis: enough to distinguish images at a fifth of the cost of the pixels
DIFFERENCE = 2e-3  # between two latents, for the slope of the decoded image


@torch.inference_mode()
def in_fixed_batches(
    model: VAE, function: Callable[[Tensor], Tensor], rows: np.ndarray
) -> np.ndarray:
    """Apply `function` to (N, ...) float32 rows, `ROWS` at a time, on the model's device.

    Returns (N, ...).
    """
    device = next(model.parameters()).device
    padding = -len(rows) % ROWS
    padded = np.concatenate([rows, np.zeros((padding, *rows.shape[1:]), np.float32)])
    batches = torch.from_numpy(padded).split(ROWS)
    results = torch.cat([function(batch.to(device)).cpu() for batch in batches])
    return results[: len(rows)].numpy()


def squared_distances(x: Tensor, others: Tensor) -> Tensor:
    """Return squared distances between (N, d) and (M, d) rows, minus x's squared length: (N, M)."""
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
    """Decode (N, 2) latents to images, (N, 784) float32 in [0, 1]."""
    return in_fixed_batches(model, model.decode, z.astype(np.float32))


@torch.no_grad()
def decode_points(model: VAE, points: Tensor) -> Tensor:
    """Decode (N, 2) points of the plane to images, (N, 784), on their device."""
    return torch.cat([model.decode(chunk) for chunk in points.split(1024)])


@functools.cache
def cosines(size: int, device: torch.device) -> Tensor:
    """Return the slowest `FREQUENCIES` cosines of the orthonormal DCT-II: (FREQUENCIES, size)."""
    with torch.inference_mode(False):  # training may use the cached result after inference has
        place = torch.arange(size, dtype=torch.float64, device=device) + 0.5
        number = torch.arange(FREQUENCIES, dtype=torch.float64, device=device)[:, None]
        waves = (math.pi / size * number * place).cos() * math.sqrt(2 / size)
        waves[0] /= math.sqrt(2)
        return waves.float()


def low_frequencies(images: Tensor) -> Tensor:
    """Return the lowest coefficients of the cosine transform: (N, 784) -> (N, FREQUENCIES^2).

    Distances between them are almost the same as between the images.
    """
    waves = cosines(28, images.device)
    return (waves @ images.unflatten(1, (28, 28)) @ waves.T).flatten(1)


def gauss_newton(model: GaussianVAE, x: Tensor, z: Tensor, longest: float) -> tuple[Tensor, Tensor]:
    """Take one Gauss-Newton step on the squared error to x, from latents (N, 2).

    The step is at most `longest`. Returns the new latents, (N, 2), and the images decoded from the
    old ones, (N, 784).
    """
    ahead = z[:, None] + DIFFERENCE * torch.eye(2, device=z.device)
    recon = model.decode(torch.cat([z[:, None], ahead], dim=1).flatten(0, 1)).unflatten(0, (-1, 3))
    slopes = (recon[:, 1:] - recon[:, :1]) / DIFFERENCE
    normal = slopes @ slopes.mT + 1e-3 * torch.eye(2, device=z.device)
    step = torch.linalg.solve(normal, slopes @ (x - recon[:, 0])[:, :, None])[:, :, 0]
    length = step.norm(dim=1, keepdim=True)
    return z + step * (longest / length.clamp(min=longest)), recon[:, 0]


class DecodedPoints:
    """The decoded points of the encoder's cells. Each cell is decoded once, on its first use."""

    def __init__(self, model: VAE) -> None:
        self.model, self.points, self.cells = model, model.points(), model.points_of_cells()
        self.images = self.points.new_empty(len(self.points), PIXELS)
        self.low = self.points.new_zeros(len(self.points), FREQUENCIES**2)
        self.known = torch.zeros(len(self.cells), dtype=torch.bool, device=self.points.device)

    def of(self, cells: Tensor) -> Tensor:
        """Decode (B, K) cells if needed, and return the indices of their points: (B, K CELL^2)."""
        wanted = cells.unique()
        for new in wanted[~self.known[wanted]].split(ROWS):
            index = self.cells[new].flatten()
            padding = ROWS * self.cells.shape[1] - len(index)
            points = functional.pad(self.points[index], (0, 0, 0, padding))
            self.images[index] = self.model.decode(points)[: len(index)]
            self.low[index] = low_frequencies(self.images[index])
            self.known[new] = True
        return self.cells[cells].flatten(1)


def search(model: VAE, images: np.ndarray) -> np.ndarray:
    """Search the plane for the latents of least distortion: (N, 2) float32.

    The search tries the points of the cells that the encoder scores highest, and lets the best few
    take a Gauss-Newton step. It starts from the best of these and the encoder's own latent, and
    steps to the best of four neighbours. If none of them is better, it halves the step.
    """
    device = next(model.parameters()).device
    decoded = DecodedPoints(model)
    moves = torch.tensor(MOVES, dtype=torch.float32, device=device)
    spacing = 2 * REACH / (model.side - 1)

    def best(x: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best of (B, K, 2) latents for each of (B, 784) images, and its distortion."""
        recon = model.decode(candidates.flatten(0, 1)).unflatten(0, candidates.shape[:2])
        loss, index = distortion(recon, x[:, None]).min(dim=1)
        return candidates[torch.arange(len(x), device=device), index], loss

    def search_batch(x: Tensor) -> Tensor:
        cell_scores, near, point_scores = model.scores(x)
        points = decoded.of(cell_scores.topk(CELLS).indices)
        distances = squared_distances(low_frequencies(x), decoded.low).gather(1, points)
        points = points.gather(1, distances.topk(NEAREST, largest=False).indices)
        losses = distortion(decoded.images[points], x[:, None])
        points = points.gather(1, losses.topk(CANDIDATES, largest=False).indices)
        each = x.repeat_interleave(CANDIDATES, dim=0)
        moved, _ = gauss_newton(model, each, decoded.points[points].flatten(0, 1), spacing)
        own, _ = model.posterior(near, point_scores)
        z, loss = best(x, torch.cat([own[:, None], moved.unflatten(0, points.shape)], dim=1))
        step = torch.full((len(x), 1), spacing / 2, device=device)
        for _ in range(STEPS):
            offer, offered = best(x, z[:, None] + step[:, None] * moves)
            better = (offered < loss)[:, None]
            z, loss = torch.where(better, offer, z), torch.minimum(offered, loss)
            step = torch.where(better, step, step / 2)
        return z

    return in_fixed_batches(model, search_batch, images.reshape(len(images), -1))


def reconstruct(model: VAE, images: np.ndarray, *, encoder_only: bool = False) -> np.ndarray:
    """Reconstruct images from their latents, in the images' own layout: float32 in [0, 1]."""
    z = encode(model, images) if encoder_only else search(model, images)
    return decode(model, z).reshape(images.shape)
