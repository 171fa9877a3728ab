"""Portraits: read them, for training and held out, as CelebA's own list divides them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grader.errors import UserError
from storage import read_bytes
from studies.celeba.options import Options
from studies.shared.image_cache import cached, open_source

OFFICIAL = ("img_align_celeba", "img_align_celeba.zip")
PARTITION = "list_eval_partition.txt"
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

    Raises UserError if there are too few.
    """
    place = next(filter(Path.exists, (path / name for name in OFFICIAL)), path)
    generator = np.random.default_rng(options.seed)
    with open_source(place) as source:
        names = np.array(source.names)
        order = generator.permutation(len(names))
        parts = read_partition(place, path, source.names)
        if parts is None:
            count = min(options.held_out, max(COLUMNS, round(HELD_OUT * len(names))))
            held_out, train = order[:count], order[count:]
        else:
            train, held_out = order[parts[order] == 0], order[parts[order] != 0]
        chosen = names[train[: options.images]], names[held_out[: options.held_out]]
        count = len(chosen[0])
        if count < SHOWN or len(chosen[1]) < COLUMNS:
            found = f"{count} images to train on, {len(chosen[1])} held out"
            raise UserError(path, found, f"at least {SHOWN} and {COLUMNS}")
        file = cached(source, [*chosen[0], *chosen[1]], options.size, folder)
    images = np.load(file, mmap_mode="r")
    return Faces(images[:count], images[count:], file.stem)


def read_partition(place: Path, path: Path, names: list[str]) -> NDArray[np.int64] | None:
    """Return the part to which each image belongs, by CelebA's own list: 0 is training.

    Returns None if there is no such list next to the images, or if it lists other images.
    """
    files = [folder / PARTITION for folder in (path, place.parent)]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        return None
    try:
        lines = read_bytes(file, "CelebA's partition").decode().splitlines()
        parts = {name: int(part) for name, part in map(str.split, lines)}
    except ValueError as error:
        raise UserError(file, str(error), "a name and a number on each line") from error
    missing = [name for name in names if Path(name).name not in parts]
    if len(missing) == len(names):
        return None  # a list of other images
    if missing:
        raise UserError(file, f"no line for {missing[0]}", "a line for each image")
    return np.array([parts[Path(name).name] for name in names])
