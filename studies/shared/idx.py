"""IDX files: MNIST, Fashion-MNIST and EMNIST, compressed or not, as one file or in a folder."""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grader.errors import UserError
from storage import read_bytes

BYTES = 0x08  # the type code of unsigned bytes; no other is used for images
IMAGES = re.compile(r"(?P<set>.*?)-?(?P<part>train|t10k|test)?-?images.*idx3-ubyte(\.gz)?")
FOLDERS = ("MNIST", "FashionMNIST", "EMNIST")  # of torchvision


def idx_files(path: Path) -> dict[str, Path]:
    """Return the files of images at a path, by their part (train or test), or as "".

    The path is that of one file, or of a folder with files in it or in a `raw` inside it. Raises
    UserError if there are several data sets.
    """
    if path.is_file():
        return {"": path} if IMAGES.fullmatch(path.name) else {}
    named = [path / name / "raw" for name in FOLDERS]
    both = [folder.parent.name for folder in named if folder.is_dir()]
    if len(both) > 1:
        raise UserError(path, f"both {' and '.join(both)}", "one of the folders in it")
    for folder in (path, path / "raw", *named):
        # Sorted in reverse, so that a file without compression replaces the same with it.
        found = [
            (match["set"], match["part"], file)
            for file in sorted(folder.glob("*ubyte*"), reverse=True)
            if file.is_file() and (match := IMAGES.fullmatch(file.name)) and match["part"]
        ]
        sets = sorted({name for name, _, _ in found})
        if len(sets) > 1:
            raise UserError(path, f"the data sets {', '.join(sets)}", "one, or the path of a file")
        if found:
            return {"train" if part == "train" else "test": file for _, part, file in found}
    return {}


def read_idx_pair(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the images in a file, (N, H, W), and the labels in the file that belongs to it, (N,)."""
    images = read_idx(path, 3)
    stem = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    likely = [path.with_name(stem), path.with_name(stem + ".gz")]
    labels = read_idx(next((file for file in likely if file.exists()), likely[0]), 1)
    if len(labels) != len(images):
        raise UserError(path, f"{len(images)} images for {len(labels)} labels", "one for each")
    return upright(path, images), labels


def upright(path: Path, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (N, H, W) the right way up: EMNIST's files store them by columns."""
    return images.transpose(0, 2, 1).copy() if "emnist" in path.name.lower() else images


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an array of bytes in the IDX format: LeCun, Cortes and Burges, "The MNIST database"."""
    expected = f"an IDX file of bytes with {dimensions} dimensions"
    content = read_bytes(path, expected)
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        start = 4 + 4 * dimensions
        if content[:4] != bytes([0, 0, BYTES, dimensions]):
            raise ValueError(f"it starts with {content[:4].hex(' ')}")
        shape = np.frombuffer(content[4:start], ">u4").astype(int)
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(path, f"a damaged file ({error})", expected) from error
