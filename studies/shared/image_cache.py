"""Any number of colour images, decoded once to a memory-mapped file and read from it in batches.

They need not fit into memory: the system's file cache keeps what is used.
"""

import functools
import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

from data import ShuffledBatches
from grader.errors import UserError
from storage import check_writable, replacing
from studies.shared.pictures import Source
from studies.shared.processes import process, processes

AT_A_TIME = 256  # images decoded between two writes to the file
ROWS = 128  # images per batch when a network is only evaluated
AHEAD = 2  # batches prepared while the training works on another


def decode(source: Source, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3), resized and cropped to its centre if it has another size."""
    image = source.read(name)
    if image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image)


def cached(
    source: Source, names: Sequence[str], size: tuple[int, int], folder: Path
) -> tuple[Path, list[str]]:
    """Return an .npy file in `folder` with the named images, (N, H, W, 3), and the names of these.

    Images that are damaged are not in it; they are added to what the source leaves out. The file is
    made if needed. Its name identifies the images, their size, and when they were last changed.
    """
    path = folder / f"images_{size[0]}x{size[1]}_{version(source, names)}.npy"
    note = path.with_suffix(".json")
    check_writable({path: 1})
    lock = path.with_suffix(".lock")
    try:
        with FileLock(lock):  # torchrun starts all its processes at once
            if not path.exists():
                damaged = write_cache(source, names, size, path)
                if damaged:
                    with replacing(note) as file:
                        file.write(json.dumps(damaged, indent=2).encode())
    finally:
        lock.unlink(missing_ok=True)
    damaged = dict(json.loads(note.read_bytes())) if note.exists() else {}
    source.left_out.update(damaged)
    if len(damaged) == len(names):
        path.unlink()
        raise UserError(source.path, f"{len(names)} damaged images", "images that can be read")
    return path, [name for name in names if name not in damaged]


def version(source: Source, names: Sequence[str]) -> str:
    """Return a name for the content of images, from their names, file sizes and times."""
    folder = source.path.is_dir()
    files = [source.path / name for name in names] if folder else [source.path]
    stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((list(names), stamps)).encode()).hexdigest()[:16]


def write_cache(
    source: Source, names: Sequence[str], size: tuple[int, int], path: Path
) -> dict[str, str]:
    """Write the images to an .npy file, decoded on all CPU cores, and show a progress bar.

    Return what is wrong with those that cannot be read, by name.
    """
    console = Console()
    damaged: dict[str, str] = {}

    def content(name: str) -> bytes:
        try:
            return decode(source, name, size).tobytes()
        except UserError as error:
            damaged[name] = error.found
            return b""

    def write_header(file: BinaryIO) -> None:
        shape = (len(names) - len(damaged), *size, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        write_array_header_1_0(file, header)

    parts = [names[i : i + AT_A_TIME] for i in range(0, len(names), AT_A_TIME)]
    live = console.is_terminal and not console.is_dumb_terminal
    title = f"decoding {len(names):,} images"
    bar = track(parts, title, console=console, disable=not live)
    with ThreadPoolExecutor(os.cpu_count()) as pool, replacing(path) as file:
        write_header(file)
        for part in bar:
            file.writelines(pool.map(content, part))
        file.seek(0)
        write_header(file)  # of the same length, because NumPy leaves room for the number of images
    return {name: damaged[name] for name in names if name in damaged}


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch."""

    pixels: Tensor
    """(B, H, W, 3) bytes, on the device"""
    rows: slice
    """which rows of the whole batch they are"""
    whole: int
    """images in the batch, over all processes"""

    @functools.cached_property
    def images(self) -> Tensor:
        """Return the images, (B, 3, H, W) in [0, 1], channels last in memory."""
        return as_floats(self.pixels)

    @property
    def share(self) -> float:
        """Return the weight of a mean over these images when processes are averaged."""
        return len(self.pixels) * processes() / self.whole


class ImageFeed:
    """Batches of cached images on a device; a thread prepares the next ones in advance."""

    def __init__(self, images: NDArray[np.uint8], batch_size: int, device: torch.device) -> None:
        """Set up batches of `images`, (N, H, W, 3), each of `batch_size` over all processes."""
        self.images, self.device = images, device
        self.batches = ShuffledBatches(len(images), batch_size, torch.default_generator)

    def __len__(self) -> int:
        rest = len(self.images) % self.batches.batch_size
        return len(self.batches) - (0 < rest < self.fewest())

    @staticmethod
    def fewest() -> int:
        """Return the fewest images in a batch: one for each process, and two for a variance."""
        return max(2, processes())

    def __iter__(self) -> Iterator[Batch]:
        # All batches are chosen now, before the training draws its noise. A last batch that is too
        # small is left out of this epoch.
        indices = iter([index for index in self.batches if len(index) >= self.fewest()])
        with ThreadPoolExecutor(1) as pool:
            ready = deque(pool.submit(self.load, i) for i in itertools.islice(indices, AHEAD))
            while ready:
                batch = ready.popleft().result()
                ready.extend(pool.submit(self.load, i) for i in itertools.islice(indices, 1))
                yield batch

    def load(self, index: Tensor) -> Batch:
        """Load this process's share of a batch; `index` is that of all processes."""
        rows = slice(process(), None, processes())
        own = index[rows].numpy()
        if self.device.type == "cpu":
            return Batch(torch.from_numpy(self.images[own]), rows, len(index))
        shape = len(own), *self.images.shape[1:]
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        # In its default mode, `take` writes to a buffer first and copies that into `out`.
        np.take(self.images, own, axis=0, out=pixels.numpy(), mode="clip")
        return Batch(pixels.to(self.device, non_blocking=True), rows, len(index))


def as_floats(pixels: Tensor) -> Tensor:
    """Convert (B, H, W, 3) bytes to (B, 3, H, W) in [0, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def on_device(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Convert (N, H, W, 3) bytes to (N, 3, H, W) in [0, 1], on the device."""
    return as_floats(torch.from_numpy(np.array(pixels)).to(device))


def in_parts(pixels: NDArray[np.uint8], device: torch.device) -> Iterator[Tensor]:
    """Yield what `on_device` returns, for `ROWS` images at a time."""
    for start_row in range(0, len(pixels), ROWS):
        yield on_device(pixels[start_row : start_row + ROWS], device)


def as_pictures(images: Tensor) -> NDArray[np.float32]:
    """Convert (N, 3, H, W) images to (N, H, W, 3)."""
    return images.permute(0, 2, 3, 1).cpu().numpy()
