"""The images of the study on the device, padded to the size that the networks need."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from studies.latent_study.networks import SIDE as PADDED
from studies.shared.datasets import SIDE, ImageSet

ROWS = 1000  # images per batch when a network is only evaluated
MARGIN = (PADDED - SIDE) // 2


@dataclass(frozen=True)
class Images:
    """Images as (N, 1, 32, 32) bytes, their labels (N,), and the name of each label."""

    pixels: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def floats(self, index: Tensor | slice) -> Tensor:
        return self.pixels[index].float() / 255

    def vectors(self) -> NDArray:
        """Return all images without their border, (N, 784) in [0, 1], as NumPy."""
        return cropped(self.floats(slice(None))).flatten(1).cpu().numpy()

    def part(self, index: Tensor | slice) -> "Images":
        """Return the images with these indices."""
        return Images(self.pixels[index], self.labels[index], self.names)

    def apply(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to all images, `ROWS` at a time, without gradients."""
        with torch.no_grad():
            parts = [function(x.float() / 255) for x in self.pixels.split(ROWS)]
        return torch.cat(parts)


def padded(images: ImageSet, device: torch.device) -> Images:
    """Pad 28 x 28 images with a black border, as bytes on the device."""
    pixels = functional.pad(torch.from_numpy(images.images), 4 * [MARGIN])[:, None]
    return Images(pixels.to(device), torch.from_numpy(images.labels).to(device), images.names)


def cropped(images: Tensor) -> Tensor:
    """Remove the border from (..., 32, 32) images: (..., 28, 28)."""
    return images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
