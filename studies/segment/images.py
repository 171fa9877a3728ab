"""The images to segment, and the demonstration's mask of their subject."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from grader.errors import UserError
from studies.shared.pictures import open_image, over, problem_of_name, report

LARGEST = 100_000  # pixels in the graph; with more, the eigenvectors take minutes
SMALLEST = 100  # pixels of a subject, at least
EXPECTED = "an image, or a folder with images"


@dataclass(frozen=True)
class Picture:
    """An image from the file `path`: `grey` (H, W) and `colour` (H, W, 3) in [0, 1].

    `mask`, (H, W), separates the subject from the background.
    """

    path: Path
    grey: NDArray[np.float64]
    colour: NDArray[np.float64]
    mask: NDArray[np.bool_]

    @property
    def name(self) -> str:
        return self.path.stem

    def edges(self) -> NDArray[np.int64]:
        """Return the pairs of adjacent subject pixels, (E, 2), numbered row by row."""
        number = np.full(self.mask.shape, -1)
        number[self.mask] = np.arange(self.mask.sum())
        pairs = [
            np.stack([first.ravel(), second.ravel()], axis=1)
            for first, second in ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:]))
        ]
        every = np.concatenate(pairs)
        return every[(every >= 0).all(axis=1)]

    def in_place(self, labels: NDArray) -> NDArray[np.int64]:
        """Convert labels of the subject's pixels, (N,), to an image: (H, W), -1 for background."""
        image = np.full(self.mask.shape, -1, np.int64)
        image[self.mask] = labels
        return image


def read_pictures(path: Path) -> list[Picture]:
    """Read the image at `path`, or the images directly in a folder, in the order of their names.

    Files of a folder that are no images are counted and named. Raises UserError if none is left, or
    if two differ only in their endings, because pictures of the results are named after them.
    """
    if not path.is_dir():
        return [read_picture(path)]
    left_out: dict[str, str] = {}
    found: dict[str, Picture] = {}
    for file in sorted(item for item in path.iterdir() if item.is_file()):
        problem = problem_of_name(file.name)
        if problem:
            left_out[file.name] = problem
        elif file.stem.casefold() in found:
            raise UserError(file, "an image of the same name", "names that differ before the dot")
        else:
            try:
                found[file.stem.casefold()] = read_picture(file)
            except UserError as error:
                left_out[file.name] = error.found
    if not found:
        raise UserError(path, "no image that can be segmented", EXPECTED)
    report(path, left_out)
    return list(found.values())


def read_picture(path: Path) -> Picture:
    """Read the image at `path`; shrink it if it is too large.

    The subject is what the assignment's demonstration masks: the image becomes grey whatever its
    transparency, white becomes 0, and pixels of 0 are background. So black is background as well.
    What is wholly transparent always is. Raises UserError if it is not an image, or if it is only
    background.
    """
    image = open_image(path, path)
    factor = (LARGEST / (image.width * image.height)) ** 0.5
    if factor < 1:
        size = max(1, int(factor * image.width)), max(1, int(factor * image.height))
        before = f"{image.width} x {image.height}"
        print(f"{path}: {before} pixels are too many for a graph; cut at {size[0]} x {size[1]}")
        image = image.resize(size, Image.Resampling.LANCZOS)
    grey = np.array(image.convert("L"))
    grey[(grey == 255) | (np.asarray(image.getchannel("A")) == 0)] = 0
    mask = grey > 0
    if mask.sum() < SMALLEST:
        found = f"{mask.sum()} pixels that are neither white, black nor transparent"
        raise UserError(path, found, f"a subject of at least {SMALLEST}")
    colour = np.asarray(over(image, "white"))
    return Picture(path, grey / 255, colour / 255, mask)
