"""Data sets in the course's format: an .npz file with `data` and, if there are any, `labels`."""

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from grader.errors import UserError
from grader.values import check_labels, grey_scale
from storage import read_bytes

IMAGES = "an .npz file whose 'data' holds images, (N, 28, 28), 0..255"
LABELS = "an .npz file whose 'labels' holds one whole number for each image"
SHARP_ROWS = 512  # images at a time; their sampling grids fit in the cache


def read_array(path: Path, name: str, expected: str) -> np.ndarray:
    """Return the array called `name` from an .npz file, and read no other array of the file.

    Raises UserError if there is none, or if it is damaged or holds Python objects.
    """
    content = io.BytesIO(read_bytes(path, expected))
    if not zipfile.is_zipfile(content):
        raise UserError(path, "not an .npz file, or a damaged one", expected)
    found = f"a '{name}' that is damaged, or no array of numbers"
    try:
        with np.load(content, allow_pickle=False) as arrays:
            names = arrays.files
            array = arrays[name] if name in names else None
    except Exception as error:  # a damaged zip or header can fail in zlib, struct, ast and more
        raise UserError(path, found, expected) from error
    if array is None:
        raise UserError(path, f"no '{name}' among its arrays {names}", expected)
    if not isinstance(array, np.ndarray):
        raise UserError(path, found, expected)
    return array


def load_images(path: Path) -> np.ndarray:
    """Load images as float32 in [0, 1], in the layout of the file.

    The file's `data` is (N, 28, 28), (N, 1, 28, 28) or (N, 784): integers in 0..255, or floats in
    0..1 or 0..255. Raises UserError for anything else. Labels are not read.
    """
    data = read_array(path, "data", IMAGES)
    if data.dtype.kind not in "uif":
        raise UserError(path, f"'data' of type {data.dtype}", IMAGES)
    if data.size == 0 or data.shape[1:] not in {(28, 28), (1, 28, 28), (784,)}:
        raise UserError(path, f"'data' of shape {data.shape}", IMAGES)
    return np.clip(data.astype(np.float32) / np.float32(grey_scale(path, data)), 0, 1)


def has_array(path: Path, name: str) -> bool:
    """Check whether `path` is an .npz file with an array of this name.

    A file that cannot be read counts as one without it; other functions report the problem.
    """
    try:
        with zipfile.ZipFile(path) as arrays:
            return f"{name}.npy" in arrays.namelist()
    except Exception:  # a damaged zip can fail in zipfile, struct and more
        return False


def load_labelled_images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load images as `load_images` does, and their labels as int64, (N,)."""
    images = load_images(path)
    labels = read_array(path, "labels", LABELS)
    check_labels(path, labels, f"{LABELS}: {len(images)}", len(images))
    return images, labels.astype(np.int64)


class DigitDataset(Dataset[Tensor]):
    """Images in one tensor, (N, 784), selected by an index, a slice or a tensor of indices."""

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self.images = torch.from_numpy(images.reshape(len(images), 784)).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        return self.images[index]


def random_matrices(
    count: int, strength: float, generator: Generator, device: torch.device
) -> Tensor:
    """Return small random rotations, shears, scalings and shifts: (count, 2, 3).

    At full strength they are at most 0.2 rad, 0.15, 10 % and 5 % of the side.
    """
    most = strength * torch.tensor([0.2, 0.15, 0.1, 0.1, 0.1], device=device)
    uniform = torch.rand(count, 5, generator=generator, device=device)
    angle, shear, scale, right, down = ((2 * uniform - 1) * most).T
    cos, sin = (1 + scale) * angle.cos(), (1 + scale) * angle.sin()
    return torch.stack([cos, shear - sin, right, sin, cos, down], dim=1).unflatten(1, (2, 3))


def random_affine(images: Tensor, generator: Generator) -> Tensor:
    """Distort each of (B, S, S) images a little, at random; black fills the border."""
    matrices = random_matrices(len(images), 1.0, generator, images.device)
    size = [len(images), 1, *images.shape[1:]]
    grid = functional.affine_grid(matrices, size, align_corners=False)
    return functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def distorted(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Distort (N, 784) images as `random_affine` does, and keep their strokes sharp: (N, 784).

    Interpolation is bicubic, at twice the resolution, because bilinear copies are blurred and SSIM
    is sensitive to blur.
    """
    matrices = random_matrices(len(images), strength, generator, images.device)
    copies = []
    for some, matrix in zip(images.split(SHARP_ROWS), matrices.split(SHARP_ROWS), strict=True):
        grid = functional.affine_grid(matrix, [len(some), 1, 56, 56], align_corners=False)
        large = functional.grid_sample(
            some.view(-1, 1, 28, 28), grid, mode="bicubic", align_corners=False
        )
        copies.append(functional.avg_pool2d(large, 2).clamp(0, 1).flatten(1))
    return torch.cat(copies)


class ShuffledBatches:
    """The indices 0 to `count` - 1 in batches, in a new order on every pass."""

    def __init__(self, count: int, batch_size: int, generator: Generator) -> None:
        self.count, self.batch_size, self.generator = count, batch_size, generator

    def __len__(self) -> int:
        return math.ceil(self.count / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.count, generator=self.generator, device=self.generator.device)
        return iter(order.split(self.batch_size))
