"""Pictures as users have them: in folders and zips, in any format of Pillow, or in fer2013.csv."""

import contextlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from data import read_array
from grader.errors import UserError, listed, reason
from grader.leftovers import is_leftover

EXPECTED = "a folder or zip of images, fer2013.csv, or an .npz whose 'data' is (N, H, W, 3) uint8"
# Formats that Pillow opens only with another program, or that are not pictures.
OTHERS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
ENDINGS = {ending for ending, kind in Image.registered_extensions().items() if kind not in OTHERS}
UNREAD = {".heic": "HEIC: save it as JPEG", ".heif": "HEIF: save it as JPEG"}
MOST_PIXELS = 1 << 28  # of one image; it takes a gibibyte of memory
LIGHT = 230  # mean grey level of what is visible, above which a white background would hide it
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
# FER2013: Goodfellow et al., "Challenges in Representation Learning" (arXiv 1307.0414).
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
FER_SIDE = 48

Image.MAX_IMAGE_PIXELS = None  # `read_image` has its own limit


@dataclass(frozen=True)
class Source:
    """Images by their names; `read` returns one of them, in RGB, or raises UserError.

    A name is a path inside the source. `left_out`: why files are not among them, by name.
    """

    path: Path
    names: list[str]
    read: Callable[[str], Image.Image]
    left_out: dict[str, str] = field(default_factory=dict)


def described(left_out: Mapping[str, str]) -> str:
    """Return the first few names that were left out, and why."""
    return listed(f"{name} ({why})" for name, why in left_out.items())


def report(path: Path, left_out: Mapping[str, str]) -> None:
    """Print on stderr which files of a data set were left out, and why."""
    if left_out:
        print(f"{path}: left out {len(left_out)}: {described(left_out)}", file=sys.stderr)


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open the images in a folder, a zip, fer2013.csv or an .npz.

    Raises UserError if there are none.
    """
    if not path.exists():
        raise UserError(path, "nothing there", EXPECTED)
    with contextlib.ExitStack() as stack:
        if path.suffix == ".npz":
            source = open_npz(path)
        elif path.suffix == ".csv":
            source = open_fer(path)
        elif path.is_dir() or path.suffix == ".zip":
            source = stack.enter_context(open_files(path))
        else:
            raise UserError(path, "no data set", EXPECTED)
        if not source.names:
            others = listed(source.left_out)
            raise UserError(path, f"no images in it{others and f', but {others}'}", EXPECTED)
        yield source


@contextlib.contextmanager
def open_files(path: Path) -> Iterator[Source]:
    """Open the image files in a folder or zip, in the order of their names."""
    if path.is_dir():
        files = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        yield chosen(path, files, lambda name: (path / name).read_bytes())
        return
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged zip can fail in zipfile, struct and more
        raise UserError(path, f"not a zip that can be read ({error})", EXPECTED) from error

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except Exception as error:  # a damaged zip can fail in zlib, struct and more
            raise UserError(name, f"damaged ({error})", EXPECTED) from error

    with archive:
        entries = {name for name in archive.namelist() if name and not name.endswith("/")}
        yield chosen(path, sorted(entries), read)


def chosen(path: Path, files: list[str], read: Callable[[str], bytes]) -> Source:
    """Return the images among these files, by their names, and why the others are left out."""
    left_out = {name: problem for name in files if (problem := problem_of_name(name))}
    names = [name for name in files if name not in left_out]
    return Source(path, names, lambda name: read_image(io.BytesIO(read(name)), name), left_out)


def problem_of_name(name: str) -> str | None:
    """Return why a file is not read as an image, or None if its name is an image's."""
    place = PurePosixPath(name)
    if is_leftover(place):
        return "hidden, or left by a system"
    ending = place.suffix.lower()
    return None if ending in ENDINGS else UNREAD.get(ending, "no image")


def open_npz(path: Path) -> Source:
    """Open the images in an .npz; their names are their numbers."""
    data = read_array(path, "data", EXPECTED)
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] != 3 or not data.size:
        raise UserError(path, f"'data' of {data.dtype} and shape {data.shape}", EXPECTED)
    names = [str(number) for number in range(len(data))]
    return Source(path, names, lambda name: Image.fromarray(data[int(name)]))


def open_fer(path: Path) -> Source:
    """Open the faces in fer2013.csv; their names are PART/EXPRESSION/ROW."""
    expected = f"{EXPECTED}; fer2013.csv has the columns emotion, pixels and Usage"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(path, f"cannot be read ({reason(error)})", expected) from error
    table.columns = table.columns.str.strip()
    if not {"emotion", "pixels", "Usage"} <= set(table.columns):
        raise UserError(path, f"the columns {listed(table.columns)}", expected)
    pixels, left_out = {}, {}
    for row, (emotion, text, usage) in enumerate(
        zip(table["emotion"], table["pixels"], table["Usage"], strict=True), 2
    ):
        known = emotion.isdecimal() and int(emotion) < len(EXPRESSIONS) and usage in USAGES
        if known:
            pixels[f"{USAGES[usage]}/{EXPRESSIONS[int(emotion)]}/{row}"] = text
        else:
            left_out[f"row {row}"] = f"emotion {emotion!r}, Usage {usage!r}"

    def read(name: str) -> Image.Image:
        try:
            grey = np.array(pixels[name].split(), np.uint8).reshape(FER_SIDE, FER_SIDE)
        except (ValueError, OverflowError) as error:
            row = f"row {name.rpartition('/')[2]}"
            found = f"{len(pixels[name].split())} grey values"
            raise UserError(row, found, f"{FER_SIDE**2} in 0..255") from error
        return Image.fromarray(grey).convert("RGB")

    return Source(path, sorted(pixels), read, left_out)


def read_image(source: Path | BinaryIO, name: Path | str) -> Image.Image:
    """Return an image of any kind as RGB. `name`: for a UserError if it is not an image.

    Transparent parts become white, or black if what is visible is so light that white hides it.
    """
    image = open_image(source, name)
    return over(image, background_of(image))


def open_image(source: Path | BinaryIO, name: Path | str) -> Image.Image:
    """Return an image of any kind as RGBA. `name`: for a UserError if it is not an image."""
    try:
        with Image.open(source) as file:
            if file.width * file.height > MOST_PIXELS:
                found = f"{file.width} x {file.height} pixels"
                raise UserError(name, found, f"at most {MOST_PIXELS:,}")
            # Phones store in the file which way is up.
            return in_8_bits(ImageOps.exif_transpose(file), name).convert("RGBA")
    except UserError:
        raise
    except Exception as error:  # Pillow has no fixed set of errors for a damaged file
        raise UserError(name, f"not an image ({type(error).__name__})", "an image file") from error


def over(image: Image.Image, background: str) -> Image.Image:
    """Return an RGBA image as RGB, with its transparent parts in the colour `background`."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert("RGB")


def background_of(image: Image.Image) -> str:
    """Return the colour on which what is visible of an RGBA image stays visible: white or black."""
    alpha = np.asarray(image.getchannel("A"), np.float64)
    total = (np.asarray(image.convert("L")) * alpha).sum()
    return "black" if total > LIGHT * alpha.sum() else "white"


def in_8_bits(image: Image.Image, name: Path | str) -> Image.Image:
    """Return an image of other grey levels in 8 bits, which `convert` would cut off at 255.

    They have 16 bits, or 32 bits of which 8 or 16 are used, or are floats in 0..1 or 0..255. Raises
    UserError about `name` for others.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.asarray(image, np.float64)
    most = levels.max()
    if image.mode == "F":
        white = 1 if most <= 1 else 255
    else:
        white = 255 if image.mode == "I" and most <= 255 else 65535
    if not (levels.min() >= 0 and most <= white):  # NaN satisfies neither
        found = f"grey levels from {levels.min():g} to {most:g}"
        raise UserError(name, found, "8 or 16 bits, or floats in 0..1 or 0..255")
    return Image.fromarray((255 * levels / white).round().astype(np.uint8))


def resized(image: Image.Image, size: int) -> Image.Image:
    """Resize an image to size x size, by the mean of the pixels if it becomes smaller."""
    smaller = min(image.size) >= size
    return image.resize((size, size), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)


def divided(path: Path, names: list[str], classes: bool) -> dict[str, list[str]]:
    """Return the names of images by the part that a folder train, test or val puts them in.

    Return them all under "" if there is at most one such folder. If there are `classes`, an image's
    own folder is its class, and no part. Raises UserError if only some of the images are in parts,
    or if the parts have no training part or no classes.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(part_of(name, classes) or "", []).append(name)
    if classes and len(found) == 1:
        own = {PurePosixPath(name).parent.name.casefold() for name in names}
        if len(own) > 1 and own <= set(PARTS):
            inside = f"images without a class in {', '.join(sorted(own))}"
            raise UserError(path, inside, "a folder for each class in each of them")
    if len(found) == 1:
        return {"": names}
    parts = ", ".join(part for part in found if part)
    if "" in found:
        inside = f"'{found[''][0]}' next to the folders of the parts {parts}"
        raise UserError(path, inside, "all images in parts, or none")
    if "train" not in found:
        raise UserError(path, f"the parts {parts}", "a part train")
    return found


def part_of(name: str, classes: bool) -> str | None:
    """Return the part that an image is in, by the first folder called like one."""
    folders = PurePosixPath(name).parent.parts
    inside = (PARTS.get(folder.casefold()) for folder in (folders[:-1] if classes else folders))
    return next((part for part in inside if part), None)
