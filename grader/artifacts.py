"""Read untrusted files as checked arrays or labels; nothing is ever unpickled.

A file that deviates from the format is accepted if its meaning is certain, and every deviation
is noted. If the meaning is not certain, UserError says what was found and what was
expected.
"""

import csv
import errno
import io
import math
import os
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from .errors import UserError, printable
from .safe_text import FormatError, SafeText
from .texts import csv_rows, decoded, delimiter_of, is_utf8
from .values import check_labels, grey_scale

LARGEST_FILE = 1 << 30  # bytes; a gibibyte holds 340,000 float32 images of 28 x 28
SMALL_CSV = 1 << 20  # bytes; allowed however few rows are expected
LARGEST_DIRECTORY = 2 << 20  # bytes; the list of an archive's entries

COLUMN = "Predicted_Label"
ROW_SIZE = 100  # bytes; plenty for a row of a CSV with a label and an index
LABELS = 100  # the most distinct labels in a file of predictions

# What is expected of the grader's own data.
DATA_SET = "'data' with N images"
LABELLED = "'labels' with one whole number for each image"

ARRAYS = "an .npz file with arrays of numbers"

# Messages repeat no more of the names in a file: they could carry what a student must not see.
NAME_SIZE, NAMES = 30, 3


def without_folder(error: UserError, folder: Path) -> str:
    """Return an error's text without the path of the grader's own folder."""
    return str(error).replace(f"{folder}/", "")


@dataclass(frozen=True)
class Deviation:
    """A difference from the required format in a file that could still be read.

    `kind` says what was found to readers who must not see what a program chose to write.
    """

    path: Path
    found: str
    expected: str
    kind: SafeText

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.found}; expected {self.expected}")

    def for_students(self) -> SafeText:
        return SafeText(f"{self.path.name}: {self.kind}; expected {self.expected}")


@dataclass
class Deviations:
    """All deviations of one file."""

    path: Path
    found: list[Deviation] = field(default_factory=list)

    def add(self, found: str, expected: str, kind: SafeText) -> None:
        self.found.append(Deviation(self.path, found, expected, kind))


def read_file(path: Path, expected: str, largest: int = LARGEST_FILE) -> bytes:
    """Read a regular file that has no other hard link, without following a symbolic link.

    Raises UserError for anything else, for an empty file, and for more than `largest` bytes.
    """
    try:
        # Non-blocking, so that a named pipe cannot hold up the grader.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        found = f"cannot be opened ({error.strerror})"
        if error.errno == errno.ELOOP:
            found = "a symbolic link"
        raise FormatError(path, found, expected, SafeText(found)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            folder = stat.S_ISDIR(status.st_mode)
            kind = SafeText("a folder" if folder else "not a regular file")
            raise FormatError(path, kind, expected, kind)
        if status.st_nlink > 1:
            kind = SafeText("a file with several hard links")
            raise FormatError(path, f"a file with {status.st_nlink} hard links", expected, kind)
        if status.st_size > largest:
            found = f"a file of {status.st_size / 2**20:.0f} MiB"
            most = f"{expected}, at most {largest / 2**20:.0f} MiB"
            raise FormatError(path, found, most, SafeText("too large a file"))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(largest)
    finally:
        os.close(descriptor)
    if not content:
        raise FormatError(path, "an empty file", expected, SafeText("an empty file"))
    return content


class GuardedFile:
    """A file for ZipFile, which reads the whole directory of an archive in one call of `read`.

    A directory of a few MiB takes a hundred times as much memory. `largest` is the most bytes that
    one call may read, or None.
    """

    def __init__(self, file: IO[bytes], largest: int | None) -> None:
        self.file, self.largest = file, largest
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if self.largest is not None and size > self.largest:
            found = f"a directory of {size / 2**20:.1f} MiB, more than {self.largest >> 20} MiB"
            raise zipfile.BadZipFile(found)
        return self.file.read(size)

    def seekable(self) -> bool:
        return True


def open_archive(path: Path, file: IO[bytes], expected: str) -> zipfile.ZipFile:
    """Open a zip archive. Raises UserError if it is damaged, or has far too many entries."""
    guarded = GuardedFile(file, LARGEST_DIRECTORY)
    try:
        archive = zipfile.ZipFile(cast(IO[bytes], guarded))
    except Exception as error:  # a damaged directory can fail in struct, codecs and more
        kind = SafeText("not a zip archive")
        raise FormatError(path, f"{kind} ({error})", expected, kind) from error
    guarded.largest = None
    return archive


def open_zip(path: Path, content: bytes, expected: str) -> zipfile.ZipFile:
    """Open the zip archive in `content`.

    Raises UserError for a damaged archive, for unusual compression, and if the sizes that it
    declares add up to more than `LARGEST_FILE`.
    """
    archive = open_archive(path, io.BytesIO(content), expected)
    for entry in archive.infolist():
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Other methods inflate a whole chunk at once, however large it becomes.
            kind = SafeText("an unusual method of compression")
            raise FormatError(path, kind, expected, kind)
    size = sum(entry.file_size for entry in archive.infolist())
    if size > LARGEST_FILE:
        found = f"an archive that unpacks to {size / 2**20:.0f} MiB"
        most = f"{expected}, at most {LARGEST_FILE / 2**20:.0f} MiB"
        raise FormatError(path, found, most, SafeText("an archive that unpacks to too much"))
    return archive


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an .npy file: the array's shape, whether in Fortran order, and type."""
    if np.lib.format.read_magic(file) == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def read_array(path: Path, archive: zipfile.ZipFile, name: str, expected: str) -> np.ndarray:
    """Read one array of numbers from an .npz file.

    Raises UserError for other types, and if its header does not fit the bytes that are there.
    """
    try:
        with archive.open(name) as file:
            shape, fortran_order, dtype = read_header(file)
            if dtype.kind not in "buif":
                kind = SafeText("an array of another type")
                raise FormatError(path, f"'{name}' of type {dtype}", expected, kind)
            values = np.frombuffer(file.read(), dtype)
            return values.reshape(shape, order="F" if fortran_order else "C")
    except UserError:
        raise
    except Exception as error:  # damaged zips and headers fail in zlib, struct, ast, tokenize, ...
        kind = SafeText("a damaged array")
        raise FormatError(path, f"'{name}' that is damaged, or no array", expected, kind) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of numbers of an .npz file by name. Raises UserError."""
    archive = open_zip(path, read_file(path, ARRAYS), ARRAYS)
    return {name[:-4]: read_array(path, archive, name, ARRAYS) for name in array_names(archive)}


def array_names(archive: zipfile.ZipFile) -> list[str]:
    return [entry.filename for entry in archive.infolist() if entry.filename.endswith(".npy")]


def choose_images(path: Path, names: list[str], deviations: Deviations) -> str:
    """Choose the array with the images: 'data', else the only one, else the only '...recon...'."""
    if "data.npy" in names:
        return "data.npy"
    likely = [name for name in names if "recon" in name.lower()]
    for candidates in (names, likely):
        if len(candidates) == 1:
            found = f"the images are called '{candidates[0][:-4][:NAME_SIZE]}'"
            deviations.add(found, "'data'", SafeText("images with another name"))
            return candidates[0]
    found = ", ".join(f"'{name[:-4][:NAME_SIZE]}'" for name in names[:NAMES]) or "nothing"
    kind = SafeText("no 'data' among its arrays")
    raise FormatError(path, f"{kind} ({found})", "images called 'data'", kind)


def images_in(
    archive: zipfile.ZipFile,
    path: Path,
    deviations: Deviations,
    expected: str,
    count: int | None = None,
    side: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read the images of an open .npz file, (N, *side), as they are stored.

    `count` is the expected number of images. Without a `side`, they may be of any size, but flat
    ones must have 784 values.

    Other array names and shapes are deviations if only one reading of them makes sense.
    Raises UserError otherwise, and for values that are not finite.
    """
    name = choose_images(path, array_names(archive), deviations)
    data = read_array(path, archive, name, expected)
    number = len(data) if data.ndim else 0
    inner = tuple(size for size in data.shape[1:] if size != 1)
    height, width = side or (inner if len(inner) == 2 else (28, 28))
    if (
        number == 0
        or inner not in {(height, width), (height * width,)}
        or number != (count or number)
    ):
        same = inner in {(height, width), (height * width,)}
        kind = SafeText(f"{number} images" if same else "images of another shape")
        raise FormatError(path, f"images of shape {data.shape}", expected, kind)
    if not np.isfinite(data).all():
        kind = SafeText("values that are NaN or infinite")
        raise FormatError(path, kind, expected, kind)
    if data.shape[1:] != (height, width):
        wanted = f"({number}, {height}, {width})"
        deviations.add(f"images of shape {data.shape}", wanted, SafeText("images in another shape"))
    return data.reshape(number, height, width)


def unit_range(path: Path, images: np.ndarray) -> NDArray[np.float64]:
    """Return the images of a data set on the scale 0..1. Raises UserError for other values."""
    return np.clip(images / grey_scale(path, images), 0, 1)


def read_truth_images(path: Path) -> NDArray[np.float64]:
    """Read the images of a data set, on the scale 0..1: (N, H, W). Raises UserError."""
    archive = open_zip(path, read_file(path, DATA_SET), DATA_SET)
    return unit_range(path, images_in(archive, path, Deviations(path), DATA_SET))


def read_reconstructions(
    path: Path, deviations: Deviations, count: int, side: tuple[int, int] = (28, 28)
) -> NDArray[np.float64]:
    """Read a submission's `count` reconstructed images, on the scale 0..1: (count, *side).

    Values that can only be on the scale 0..255 are divided by 255. Values slightly outside 0..1
    are kept.
    """
    expected = f"'data' with {count} images of {side[0]} x {side[1]}"
    archive = open_zip(path, read_file(path, expected), expected)
    images = images_in(archive, path, deviations, expected, count, side).astype(np.float64)
    low, high = images.min(), images.max()
    if low >= 0 and 2 < high <= 255:
        found, divided = f"values from {low:g} to {high:g}", "0..1; they were divided by 255"
        deviations.add(found, divided, SafeText("values in 0..255"))
        return images / 255
    if low < -1 or high > 2:
        found = f"values from {low:g} to {high:g}"
        raise FormatError(path, found, "values in 0..1", SafeText("other values"))
    if low < 0 or high > 1:
        found, kept = f"values from {low:g} to {high:g}", "0..1; they were scored as they are"
        deviations.add(found, kept, SafeText("values slightly outside"))
    return images


def whole_numbers(path: Path, values: list[str]) -> NDArray[np.int64]:
    """Convert `values` to whole numbers, (N,). Raises UserError for anything else."""
    numbers = np.empty(len(values), np.int64)
    for row, text in enumerate(values):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (number.is_integer() and abs(number) < 2**31):
            found, kind = f"{text[:40]!r} in row {row + 1}", SafeText("a row without one")
            raise FormatError(path, found, "a whole number in each row", kind)
        numbers[row] = int(number)
    return numbers


def labels_in(archive: zipfile.ZipFile, path: Path) -> np.ndarray | None:
    """Read the labels of an open .npz file, (N,), as they are stored; None if it has none.

    Raises UserError if they are not whole numbers.
    """
    if "labels.npy" not in array_names(archive):
        return None
    labels = read_array(path, archive, "labels.npy", LABELLED)
    check_labels(path, labels, LABELLED)
    return labels


def read_truth_labels(path: Path) -> NDArray[np.int64]:
    """Read the labels of a data set, (N,). Raises UserError if there are none."""
    labels = labels_in(open_zip(path, read_file(path, LABELLED), LABELLED), path)
    if labels is None:
        raise UserError(path, "no 'labels' among its arrays", LABELLED)
    return labels.astype(np.int64)


def take_header(
    path: Path, rows: list[list[str]], header: str, count: int, deviations: Deviations
) -> int:
    """Remove the header of `count` labels from the rows, if there is one; return their column.

    Raises UserError if it is not certain which column that is.
    """
    first = rows[0]
    spelled = [re.sub("[^a-z]", "", name.lower()) for name in first]
    wanted = re.sub("[^a-z]", "", header.lower())
    # pandas calls a column that has no name 0, and leaves the name of its index empty.
    pandas = first in (["0"], ["", "0"]) and len(rows) == count + 1
    if spelled.count(wanted) == 1:
        column = spelled.index(wanted)
    elif pandas or len(first) == 1:
        column = len(first) - 1
    else:
        kind = SafeText("two columns with other headers")
        raise FormatError(path, f"the header {','.join(first)[:80]!r}", f"'{header}'", kind)
    if not spelled[column] and not pandas:
        deviations.add("no header", f"'{header}'", SafeText("no header"))
        return column
    if pandas:
        found = "the header 0, which pandas writes for a column without a name"
        deviations.add(found, f"'{header}'", SafeText("the header 0"))
    elif first[column] != header:
        found, kind = f"the header {first[column][:40]!r}", SafeText("another header")
        deviations.add(found, f"'{header}'", kind)
    del rows[0]
    return column


def read_predictions(
    path: Path, deviations: Deviations, count: int, header: str = COLUMN
) -> NDArray[np.int64]:
    """Read a submission's `count` predicted labels, (count,).

    The required format is one column under the header `header`, in UTF-8. A header with another
    spelling or of pandas' making, no header, an index column next to the labels, another separator
    or encoding, and whole numbers written as 4.0 leave a remark.
    Raises UserError if it is not certain which numbers are the labels.
    """
    expected = f"a CSV with the header '{header}' and {count} labels"
    content = read_file(path, expected, max(SMALL_CSV, ROW_SIZE * count))
    try:
        rows = [row for _, row in csv_rows(content)]
    except (ValueError, csv.Error) as error:
        kind = SafeText("not a CSV")
        raise FormatError(path, f"{kind} ({error})", expected, kind) from error
    width = len(rows[0]) if rows else 0
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            found = f"{len(row)} columns in row {number}, {width} in the first"
            raise FormatError(path, found, expected, SafeText("rows of different lengths"))
    if width == 0 or width > 2:
        kind = SafeText("nothing" if width == 0 else "more than two columns")
        raise FormatError(path, f"{width} columns", expected, kind)

    column = take_header(path, rows, header, count, deviations)
    if width > 1:
        kind = SafeText("a second column, which was not read")
        deviations.add(kind, "one column", kind)
        if (delimiter := delimiter_of(decoded(content))) != ",":
            kind = SafeText("another separator")
            deviations.add(f"{delimiter!r} between columns", "a comma", kind)
    if not is_utf8(content):
        kind = SafeText("another encoding")
        deviations.add(kind, "UTF-8", kind)
    labels = whole_numbers(path, [row[column] for row in rows])
    if len(labels) != count:
        kind = SafeText(f"{len(labels)} labels")
        raise FormatError(path, kind, expected, kind)
    if (different := len(np.unique(labels))) > LABELS:
        kind = SafeText("too many different labels")
        raise FormatError(path, f"{different} different labels", "those of the data set", kind)
    if any(not row[column].strip().lstrip("-").isdigit() for row in rows):
        deviations.add("labels such as 4.0", "whole numbers", SafeText("labels such as 4.0"))
    return labels
