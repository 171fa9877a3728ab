"""Colour images of any number: decoded once into a memory-mapped file, and read from it in batches.

What does not fit into memory is left to the system's file cache, which keeps what is used.
"""

import contextlib
import functools
import hashlib
import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

from data import ShuffledBatches, read_array
from grader.errors import UserError
from storage import check_writable, replacing
from studies.datasets import open_on_white, open_pictures
from studies.processes import process, processes

EXPECTED = "a folder or zip of images, or an .npz whose 'data' is (N, H, W, 3) uint8"
AT_A_TIME = 256  # images that are decoded before they are written
ROWS = 128  # images at a time through a network that is only asked
AHEAD = 2  # batches that are made ready while the training works on another


@dataclass(frozen=True)
class Source:
    """Images by their names; `read` gives one, in RGB."""

    path: Path
    names: list[str]
    read: Callable[[str], Image.Image]


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The images in a folder, a zip or an .npz. Raises UserError where there are none."""
    if not path.exists():
        raise UserError(path, "nothing there", EXPECTED)
    if path.suffix == ".npz":
        data = read_array(path, "data", EXPECTED)
        if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] != 3 or not data.size:
            raise UserError(path, f"'data' of {data.dtype} and shape {data.shape}", EXPECTED)
        names = [str(number) for number in range(len(data))]
        yield Source(path, names, lambda name: Image.fromarray(data[int(name)]))
        return
    if not path.is_dir() and path.suffix != ".zip":
        raise UserError(path, "none of these", EXPECTED)
    with open_pictures(path) as (names, read):
        if not names:
            raise UserError(path, "no images in it", EXPECTED)
        yield Source(path, names, lambda n: open_on_white(io.BytesIO(read(n)), f"{path}/{n}"))


def decode(source: Source, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image as (H, W, 3), its middle cut out where its shape is another."""
    image = source.read(name)
    if image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image)


def cached(source: Source, names: Sequence[str], size: tuple[int, int], folder: Path) -> Path:
    """An .npy file in `folder` of the images of these names, (N, H, W, 3), made if need be.

    Its name tells which images of which size it holds, as they were last changed.
    """
    path = folder / f"images_{size[0]}x{size[1]}_{version(source, names)}.npy"
    check_writable({path: 1})
    lock = path.with_suffix(".lock")
    try:
        with FileLock(lock):  # torchrun starts all its processes at once
            if not path.exists():
                write_cache(source, names, size, path)
    finally:
        lock.unlink(missing_ok=True)
    return path


def version(source: Source, names: Sequence[str]) -> str:
    """A name for the content of images, from their names, sizes and times."""
    folder = source.path.is_dir()
    files = [source.path / name for name in names] if folder else [source.path]
    stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((list(names), stamps)).encode()).hexdigest()[:16]


def write_cache(source: Source, names: Sequence[str], size: tuple[int, int], path: Path) -> None:
    """The images as an .npy file, decoded by all processors, with a bar that shows how far."""
    console = Console()
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *size, 3)}
    parts = [names[i : i + AT_A_TIME] for i in range(0, len(names), AT_A_TIME)]
    bar = track(
        parts, f"decoding {len(names):,} images", console=console, disable=not console.is_terminal
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool, replacing(path) as file:
        write_array_header_1_0(file, header)
        for part in bar:
            file.writelines(pool.map(lambda name: decode(source, name, size).tobytes(), part))


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch."""

    pixels: Tensor
    """(B, H, W, 3) bytes, on the device"""
    rows: slice
    """which of the whole batch they are"""
    whole: int
    """images in the batch, of all processes"""

    @functools.cached_property
    def images(self) -> Tensor:
        """(B, 3, H, W) in [0, 1], channels last in memory."""
        return as_floats(self.pixels)

    @property
    def share(self) -> float:
        """By which a mean over these images counts, where processes are averaged."""
        return len(self.pixels) * processes() / self.whole


class ImageFeed:
    """Batches of cached images on a device, the next ones made ready meanwhile by a thread."""

    def __init__(self, images: NDArray[np.uint8], batch_size: int, device: torch.device) -> None:
        """`images`: (N, H, W, 3); `batch_size`: of all processes together."""
        self.images, self.device = images, device
        self.batches = ShuffledBatches(len(images), batch_size, torch.default_generator)

    def __len__(self) -> int:
        rest = len(self.images) % self.batches.batch_size
        return len(self.batches) - (0 < rest < self.fewest())

    @staticmethod
    def fewest() -> int:
        """Images in a batch: one for each process, and two for a variance."""
        return max(2, processes())

    def __iter__(self) -> Iterator[Batch]:
        # All are drawn now, before the training draws its noise. What is left over waits for
        # another epoch where it is too little.
        indices = iter([index for index in self.batches if len(index) >= self.fewest()])
        with ThreadPoolExecutor(1) as pool:
            ready = deque(pool.submit(self.load, i) for i in itertools.islice(indices, AHEAD))
            while ready:
                batch = ready.popleft().result()
                ready.extend(pool.submit(self.load, i) for i in itertools.islice(indices, 1))
                yield batch

    def load(self, index: Tensor) -> Batch:
        """Of a batch of all processes, what is this one's."""
        rows = slice(process(), None, processes())
        own = index[rows].numpy()
        if self.device.type == "cpu":
            return Batch(torch.from_numpy(self.images[own]), rows, len(index))
        shape = len(own), *self.images.shape[1:]
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        # Any mode but the default's writes into `out` without a copy between.
        np.take(self.images, own, axis=0, out=pixels.numpy(), mode="clip")
        return Batch(pixels.to(self.device, non_blocking=True), rows, len(index))


def as_floats(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) bytes as (B, 3, H, W) in [0, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def on_device(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(N, H, W, 3) bytes as (N, 3, H, W) in [0, 1]."""
    return as_floats(torch.from_numpy(np.array(pixels)).to(device))


def in_parts(pixels: NDArray[np.uint8], device: torch.device) -> Iterator[Tensor]:
    """The same, `ROWS` at a time."""
    for start_row in range(0, len(pixels), ROWS):
        yield on_device(pixels[start_row : start_row + ROWS], device)


def as_pictures(images: Tensor) -> NDArray[np.float32]:
    """(N, 3, H, W) as (N, H, W, 3)."""
    return images.permute(0, 2, 3, 1).cpu().numpy()
