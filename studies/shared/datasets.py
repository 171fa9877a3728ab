"""Readers of users' data sets, which return uint8 images in memory, with labels if there are any.

They read our own .npz; the IDX files of MNIST and Fashion-MNIST, compressed or not, as one file or
a folder of them (including torchvision's); and folders and zips of images, whose subfolders name
the classes.
"""

import contextlib
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from data import load_labelled_images
from grader.errors import UserError
from storage import read_bytes

SIDE = 28  # pixels per side, in studies of labelled grey images
EXPECTED = "an .npz of images, IDX files, or a folder or zip of images"
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif"}
HELD_OUT = 0.1  # share of the images, if a data set has no test part of its own
IDX_BYTES = 0x08  # the type code of unsigned bytes; no other is used for images


@dataclass(frozen=True)
class ImageSet:
    """Images as (N, H, W) bytes, their labels (N,), numbered from 0, and the name of each label."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def vectors(self, device: torch.device) -> Tensor:
        """Return the images as (N, H * W) float32 in [0, 1], on the device."""
        return torch.from_numpy(self.images).to(device).flatten(1).float() / 255

    def part(self, chosen: NDArray[np.int64]) -> "ImageSet":
        """Return the images with these indices."""
        return ImageSet(self.images[chosen], self.labels[chosen], self.names)


def as_images(x: Tensor) -> NDArray[np.float32]:
    """Convert (N, SIDE * SIDE) on any device to (N, SIDE, SIDE)."""
    return x.detach().cpu().numpy().reshape(-1, SIDE, SIDE)


def split(images: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return images to train on, and a held-out tenth of each class, at least one image."""
    generator = np.random.default_rng(seed)
    held_out: list[int] = []
    for label in range(len(images.names)):
        own = generator.permutation(np.flatnonzero(images.labels == label))
        held_out.extend(own[: max(1, round(HELD_OUT * len(own)))])
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    # Shuffled, so that the first of them are of all classes.
    return images.part(rest), images.part(generator.permutation(held_out))


def read_split(path: Path, test: Path | None, seed: int) -> tuple[ImageSet, ImageSet]:
    """Read labelled grey images of SIDE x SIDE to train on, and held-out ones of the same classes.

    The held-out images are those of `test`, or the test part of a folder of IDX files, or a random
    tenth. Raises UserError if `path` or `test` is none of the data sets that this module reads.
    """
    train = read_labelled(path, "train")
    check_usable(train, path)
    if test is None and path.is_dir() and any(is_idx(file, "t10k") for file in idx_files(path)):
        held_out = read_labelled(path, "t10k")
    elif test is not None:
        if test.resolve() == path.resolve():
            raise UserError(test, "the training images themselves", "other, held-out images")
        held_out = read_labelled(test, "t10k")
    else:
        return split(train, seed)
    if held_out.names != train.names:
        found = f"classes {', '.join(held_out.names)}"
        raise UserError(test or path, found, f"those of {path}: {', '.join(train.names)}")
    return train, held_out


def check_usable(images: ImageSet, path: Path) -> None:
    """Raise UserError if no study could learn anything from the images."""
    counts = np.bincount(images.labels)
    if len(counts) < 2 or counts.min() < 2:
        found = f"{counts.min()} images of class {images.names[counts.argmin()]!r}"
        raise UserError(path, found, "at least two classes, each with at least two images")
    if images.images.min() == images.images.max():
        raise UserError(path, "images of one shade", "images that show something")


def read_labelled(path: Path, part: str) -> ImageSet:
    """Read images and labels; in a folder of IDX files, those of `part` (train or t10k)."""
    if path.suffix == ".npz":
        images, labels = read_npz(path)
    elif files := idx_files(path):
        images, labels = read_idx_pair(files, path, part)
    elif path.is_dir() or path.suffix == ".zip":
        return read_pictures(path)
    else:
        raise UserError(path, "no data set" if path.exists() else "nothing there", EXPECTED)
    if images.shape[1:] != (SIDE, SIDE):
        raise UserError(path, f"images of shape {images.shape[1:]}", f"({SIDE}, {SIDE})")
    names, indices = np.unique(labels, return_inverse=True)
    return ImageSet(images, indices.astype(np.int64), tuple(map(str, names)))


def read_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray]:
    """Read `data` and `labels` from an .npz in the course's format."""
    images, labels = load_labelled_images(path)
    return (255 * images).round().astype(np.uint8).reshape(-1, SIDE, SIDE), labels


def idx_files(path: Path) -> list[Path]:
    """Return the IDX files at a path: itself, or those in the folder or in a `raw` inside it."""
    if path.is_file():
        return [path] if is_idx(path) else []
    named = [path / name / "raw" for name in ("MNIST", "FashionMNIST")]
    if all(folder.is_dir() for folder in named):
        raise UserError(path, "both MNIST and FashionMNIST", "one of the two folders in it")
    folders = [path, path / "raw", *named]
    found = [
        sorted(file for file in folder.glob("*ubyte*") if is_idx(file, "")) for folder in folders
    ]
    return next(filter(None, found), [])


def is_idx(file: Path, part: str = "") -> bool:
    """Check whether a file is, by name, IDX images of `part` (train, t10k), or of any part."""
    fits = file.name.startswith(part) and "images" in file.name and "idx3-ubyte" in file.name
    return fits and file.is_file()


def read_idx_pair(files: list[Path], path: Path, part: str) -> tuple[NDArray[np.uint8], NDArray]:
    """Read the images of `part` and the labels next to them."""
    chosen = files[0] if path.is_file() else next((f for f in files if is_idx(f, part)), None)
    if chosen is None:
        raise UserError(path, f"no {part}-images-idx3-ubyte", "MNIST's files, .gz or not")
    images = read_idx(chosen, 3)
    stem = chosen.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    likely = [chosen.with_name(stem), chosen.with_name(stem + ".gz")]
    labels = read_idx(next((file for file in likely if file.exists()), likely[0]), 1)
    if len(labels) != len(images):
        raise UserError(chosen, f"{len(images)} images for {len(labels)} labels", "one for each")
    return images, labels


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an array of bytes in the IDX format: LeCun, Cortes and Burges, "The MNIST database"."""
    expected = f"an IDX file of bytes with {dimensions} dimensions"
    content = read_bytes(path, expected)
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        start = 4 + 4 * dimensions
        if content[:4] != bytes([0, 0, IDX_BYTES, dimensions]):
            raise ValueError(f"it starts with {content[:4].hex(' ')}")
        shape = np.frombuffer(content[4:start], ">u4").astype(int)
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(path, f"a damaged file ({error})", expected) from error


def read_pictures(path: Path) -> ImageSet:
    """Read grey images of SIDE x SIDE from a folder or zip with a subfolder for each class."""
    images, classes = [], []
    with open_pictures(path) as (files, read):
        for name in files:
            classes.append(PurePosixPath(name).parent.name)
            image = open_on_white(io.BytesIO(read(name)), f"{path}/{name}")
            images.append(np.asarray(resized(image.convert("L"), SIDE)))
    if not images:
        raise UserError(path, "no images in it", EXPECTED)
    names, indices = np.unique(classes, return_inverse=True)
    return ImageSet(np.stack(images), indices.astype(np.int64), tuple(map(str, names)))


def is_picture(name: str) -> bool:
    """Check whether a file's name is an image's.

    The files that macOS puts next to images are not images.
    """
    place = PurePosixPath(name)
    return place.suffix.lower() in PICTURES and not place.name.startswith("._")


@contextlib.contextmanager
def open_pictures(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yield the sorted names of the images in a folder or zip, and a function to read one."""
    if path.is_dir():
        files = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        yield sorted(filter(is_picture, files)), lambda name: (path / name).read_bytes()
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged zip can fail in zipfile, struct and more
        raise UserError(path, f"not a zip that can be read ({error})", EXPECTED) from error

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except Exception as error:  # a damaged zip can fail in zlib, struct and more
            raise UserError(path, f"'{name}' is damaged ({error})", EXPECTED) from error

    with archive:
        yield sorted(filter(is_picture, archive.namelist())), read


def in_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of grey levels of 16 bits in 8 bits, which `convert` would cut off at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))


def open_on_white(source: Path | BinaryIO, name: Path | str) -> Image.Image:
    """Return an image of any kind as RGB, with transparent parts white. `name`: for a UserError."""
    try:
        with Image.open(source) as file:
            # Phones store in the file which way is up.
            image = in_8_bits(ImageOps.exif_transpose(file)).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        found = f"not an image ({type(error).__name__})"
        raise UserError(name, found, "an image file") from error
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def resized(image: Image.Image, size: int) -> Image.Image:
    """Resize an image to size x size, by the mean of the pixels if it becomes smaller."""
    smaller = min(image.size) >= size
    return image.resize((size, size), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
