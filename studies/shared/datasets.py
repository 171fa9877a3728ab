"""Data sets of labelled grey images, in the forms that users have, to train on and held out.

They are our own .npz or Keras' mnist.npz; IDX files (`idx`); tables of grey values
(`digit_tables`); and pictures (`pictures`), whose folders name the classes.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import has_array, load_labelled_images, read_array
from grader.errors import UserError
from grader.values import check_labels, grey_scale
from studies.shared.digit_tables import first_row, read_digits, tables_in
from studies.shared.idx import idx_files, read_idx_pair
from studies.shared.pictures import described, divided, open_source, report, resized

SIDE = 28  # pixels per side, in studies of labelled grey images
EXPECTED = "an .npz of images, IDX files, a CSV of grey values, or a folder or zip of images"
SHOWN = 10  # images in a row of a picture
HELD_OUT = 0.1  # share of the images, if a data set has no test part of its own
KERAS = "Keras' mnist.npz: x_train and x_test (N, 28, 28), y_train and y_test (N,)"
UNPACK = {".mat": "EMNIST's IDX files, or its CSV files", ".gz": "the files in it, unpacked"}

Labelled = tuple[NDArray[np.uint8], NDArray]
"""Images, (N, H, W), and a label of any type for each."""


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


def some_of_each(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of SHOWN images, of as many classes as possible, in order of classes."""
    ranks = np.empty(len(labels), np.int64)  # of an image among those of its class
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        ranks[own] = np.arange(len(own))
    chosen = np.lexsort((labels, ranks))[:SHOWN]
    return chosen[np.argsort(labels[chosen], kind="stable")]


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

    The held-out images are those of `test`, or the data set's own test part, or a random tenth; one
    line says which. Raises UserError if `path` or `test` is none of the data sets that this module
    reads.
    """
    parts = read_parts(path)
    if not {"", "train"} & {*parts}:
        raise UserError(path, f"only the part {', '.join(parts)}", "a part to train on")
    train = as_set(parts[""] if "" in parts else parts["train"], path)
    check_usable(train, path)
    judge = next((part for part in ("test", "val") if part in parts), None)
    if test is not None:
        if test.resolve() == path.resolve():
            raise UserError(test, "the training images themselves", "other, held-out images")
        others = read_parts(test)
        part = next(part for part in ("", "test", "val", "train") if part in others)
        held_out = as_set(others[part], test)
        origin = f"from {test}" + (f", part {part}" if part else "")
    elif judge is not None:
        held_out, origin = as_set(parts[judge], path), f"the part {judge}"
    else:
        train, held_out = split(train, seed)
        origin = f"a tenth of each class, drawn with seed {seed}"
    if held_out.names != train.names:
        found = f"classes {', '.join(held_out.names)}"
        raise UserError(test or path, found, f"those of {path}: {', '.join(train.names)}")
    unused = {*parts} - {"", "train"} - ({judge} if test is None else set())
    left = "".join(f"; the part {part} is not used" for part in sorted(unused))
    print(f"{path}: {len(train):,} images to train on; {len(held_out):,} held out, {origin}{left}")
    return train, held_out


def check_usable(images: ImageSet, path: Path) -> None:
    """Raise UserError if no study could learn anything from the images."""
    counts = np.bincount(images.labels)
    if len(counts) < 2 or counts.min() < 2:
        found = f"{counts.min()} images of class {images.names[counts.argmin()]!r}"
        raise UserError(path, found, "at least two classes, each with at least two images")
    if images.images.min() == images.images.max():
        raise UserError(path, "images of one shade", "images that show something")


def as_set(labelled: Labelled, path: Path) -> ImageSet:
    """Number the classes of images. Raises UserError if these are not SIDE x SIDE."""
    images, labels = labelled
    if images.shape[1:] != (SIDE, SIDE):
        raise UserError(path, f"images of shape {images.shape[1:]}", f"({SIDE}, {SIDE})")
    names, indices = np.unique(labels, return_inverse=True)
    return ImageSet(images, indices.astype(np.int64), tuple(map(str, names)))


def read_parts(path: Path) -> dict[str, Labelled]:
    """Read the parts of a data set: train, and test or val; or all of it, as "", if it has none."""
    if path.suffix == ".npz":
        return read_npz(path)
    if files := idx_files(path):
        return {part: read_idx_pair(file) for part, file in files.items()}
    if path.is_dir() and (tables := tables_in(path)):
        # Kaggle keeps the labels of its test images back.
        if "test" in tables and len(first_row(tables["test"])) == SIDE * SIDE:
            print(f"{tables.pop('test')}: not used, because it has no labels")
        return {part: read_digits(table) for part, table in tables.items()}
    if path.suffix == ".csv" and path.is_file() and "pixels" not in first_row(path):
        return {"": read_digits(path)}
    if path.is_dir() or path.suffix in (".zip", ".csv"):
        return read_pictures(path)
    expected = UNPACK.get(path.suffix, EXPECTED)
    raise UserError(path, "no data set" if path.exists() else "nothing there", expected)


def read_npz(path: Path) -> dict[str, Labelled]:
    """Read the images and labels in an .npz in the course's format, or in Keras' mnist.npz."""
    if not has_array(path, "x_train"):
        images, labels = load_labelled_images(path)
        return {"": ((255 * images).round().astype(np.uint8).reshape(-1, SIDE, SIDE), labels)}
    parts: dict[str, Labelled] = {}
    for part in ("train", "test"):
        images, labels = (read_array(path, f"{kind}_{part}", KERAS) for kind in "xy")
        check_labels(path, labels, KERAS)
        if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(labels):
            found = f"'x_{part}' of {images.dtype} and shape {images.shape}"
            raise UserError(path, found, f"{KERAS}, of uint8")
        grey_scale(path, images)
        parts[part] = images, labels
    return parts


def read_pictures(path: Path) -> dict[str, Labelled]:
    """Read pictures as grey images of SIDE x SIDE; those that are damaged are left out."""
    parts: dict[str, Labelled] = {}
    with open_source(path) as source:
        for part, names in divided(path, source.names, classes=True).items():
            images, classes = [], []
            for name in names:
                try:
                    images.append(np.asarray(resized(source.read(name).convert("L"), SIDE)))
                    classes.append(PurePosixPath(name).parent.name)
                except UserError as error:
                    source.left_out[name] = error.found
            if images:
                parts[part] = np.stack(images), np.array(classes)
        if not {"", "train"} & {*parts}:
            found = f"no image that can be read: {described(source.left_out)}"
            raise UserError(path, found, EXPECTED)
        report(path, source.left_out)
    return parts
