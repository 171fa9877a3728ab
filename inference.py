"""What a trained model says of images: their latents, and their reconstructions.

Every caller (the graded modes, plots, reports) uses these, so that all show the same picture.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models import VAE

# Fixed, and padded to: matrix products of other heights may round differently, and an image's
# latent must not depend on how many others it comes with.
ROWS = 64


@torch.inference_mode()
def in_fixed_batches(
    function: Callable[[Tensor], Tensor], rows: np.ndarray, device: torch.device
) -> np.ndarray:
    """`function` of (N, ...) float32 rows, `ROWS` at a time: (N, ...)."""
    padding = -len(rows) % ROWS
    padded = np.concatenate([rows, np.zeros((padding, *rows.shape[1:]), np.float32)])
    batches = torch.from_numpy(padded).split(ROWS)
    results = torch.cat([function(batch.to(device)).cpu() for batch in batches])
    return results[: len(rows)].numpy()


def encode(model: VAE, images: np.ndarray) -> np.ndarray:
    """Posterior means of images in any layout of 784 pixels: (N, latent) float32."""
    device = next(model.parameters()).device
    return in_fixed_batches(lambda x: model.encode(x)[0], images.reshape(len(images), -1), device)


def decode(model: VAE, z: np.ndarray) -> np.ndarray:
    """Images of (N, latent) latents: (N, 784) float32 in [0, 1]."""
    device = next(model.parameters()).device
    return in_fixed_batches(model.decode, z.astype(np.float32), device)


def reconstruct(model: VAE, images: np.ndarray) -> np.ndarray:
    """The decoded posterior means of images, in the images' own layout: float32 in [0, 1]."""
    return decode(model, encode(model, images)).reshape(images.shape)
