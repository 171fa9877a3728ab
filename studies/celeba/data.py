"""Portraits: read them, for training and held out, as CelebA's own list divides them."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from grader.errors import UserError, listed
from grader.texts import decoded
from storage import read_bytes
from studies.celeba.options import Options
from studies.shared.image_cache import cached
from studies.shared.pictures import divided, open_source, report

FOLDERS = ("", "Img")  # of the pictures, in a copy of CelebA
PLACES = ("img_align_celeba", "img_align_celeba.zip")
PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")  # CelebA's own; Kaggle's
HELD_OUT = 0.1  # share of the images, at most, if there is no partition
SHOWN = 32  # faces in a grid, and the fewest to train on
COLUMNS = 8  # faces that are shown with their reconstructions, and the fewest held out


@dataclass(frozen=True)
class Faces:
    """Images for training and held-out ones, (N, H, W, 3) bytes each, and a name for all."""

    train: NDArray[np.uint8]
    held_out: NDArray[np.uint8]
    name: str


def read_faces(options: Options, path: Path, folder: Path) -> Faces:
    """Choose images of the data set at `path`, and decode them to a file in `folder`.

    One line says how they were divided. Raises UserError if there are too few.
    """
    places = (path / inner / name for inner in FOLDERS for name in PLACES)
    place = next(filter(Path.exists, places), path)
    with open_source(place) as source:
        train, held_out, origin = divide(options, path, place, source.names)
        train, held_out = train[: options.images], held_out[: options.held_out]
        check_number(path, len(train), len(held_out))
        file, kept = cached(source, [*train, *held_out], options.size, folder)
        count = len(set(train) & set(kept))
        check_number(path, count, len(kept) - count)
    report(place, source.left_out)
    print(f"{place}: {count:,} images to train on; {len(kept) - count:,} held out, {origin}")
    images = np.load(file, mmap_mode="r")
    return Faces(images[:count], images[count:], file.stem)


def check_number(path: Path, train: int, held_out: int) -> None:
    """Raise UserError if there are too few images to train on, or too few held out."""
    if train < SHOWN or held_out < COLUMNS:
        found = f"{train} images to train on, {held_out} held out"
        raise UserError(path, found, f"at least {SHOWN} and {COLUMNS}")


def divide(
    options: Options, path: Path, place: Path, names: list[str]
) -> tuple[list[str], list[str], str]:
    """Return the images to train on and those held out, in random order, and who says so."""
    order = np.random.default_rng(options.seed).permutation(len(names))
    shuffled = [names[index] for index in order]
    if (file := find_partition(path, place)) and (parts := read_partition(file, names)):
        train = [name for name in shuffled if parts[name] == 0]
        return train, [name for name in shuffled if parts[name] != 0], f"by {file}"
    folders = divided(path, shuffled, classes=False)
    if "" not in folders:
        judge = "test" if "test" in folders else "val"
        return folders["train"], folders[judge], f"the part {judge}"
    count = min(options.held_out, max(COLUMNS, round(HELD_OUT * len(names))))
    return shuffled[count:], shuffled[:count], f"drawn with seed {options.seed}"


def find_partition(path: Path, place: Path) -> Path | None:
    """Return the file with CelebA's own division of the images at `place`, if there is one.

    It is in the data set at `path`, next to the images, or in a folder Eval next to these or above.
    """
    folders = [path, place, place.parent, place.parent.parent]
    homes = [folder / inner for folder in folders for inner in ("", "Eval")]
    files = (home / name for home in homes for name in PARTITIONS)
    return next(filter(Path.is_file, files), None)


def read_partition(file: Path, names: list[str]) -> dict[str, int]:
    """Return the part to which each image belongs, 0 for training, 1 and 2 for others.

    Each line of the file has a name and a number; Kaggle's has a header. Return {} if it lists
    other images. Raises UserError if it cannot be read, or lacks some of the images.
    """
    expected = "a name and 0, 1 or 2 on each line"
    parts: dict[str, int] = {}
    for number, line in enumerate(decoded(read_bytes(file, expected)).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words or (number == 1 and words[-1] == "partition"):
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise UserError(file, f"line {number}: {line[:40]!r}", expected)
        parts[words[0]] = int(words[1])
    missing = [name for name in names if PurePosixPath(name).name not in parts]
    if len(missing) == len(names):
        return {}
    if missing:
        found = f"no line for {len(missing)} images: {listed(missing)}"
        raise UserError(file, found, "a line for each image")
    return {name: parts[PurePosixPath(name).name] for name in names}
