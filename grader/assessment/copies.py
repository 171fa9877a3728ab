"""The data sets as a submission sees them.

The assignment says which labels are hidden, and which images come in another order.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts import DATA_SET, Deviations, images_in, labels_in, open_zip, read_file, unit_range
from ..assignment import Assignment, Data
from ..errors import UserError
from ..safe_text import SafeText


@dataclass(frozen=True)
class DataSet:
    """A data set of the grader: images on the scale 0..1, and as stored, (N, H, W); labels (N,).

    `order` is the order of the copies: image i of a copy is image `order[i]` here. `label_type`
    is the type of the labels in the file, `sha256` the file's digest.
    """

    name: str
    images: NDArray[np.float64]
    stored: np.ndarray
    labels: NDArray[np.int64] | None
    label_type: np.dtype
    order: NDArray[np.int64]
    settings: Data
    sha256: str

    @property
    def side(self) -> tuple[int, int]:
        return self.images.shape[1], self.images.shape[2]

    def restore(self, answers: np.ndarray) -> np.ndarray:
        """Return the answers for a copy, (N, ...), in the order of the data set."""
        restored = np.empty_like(answers)
        restored[self.order] = answers
        return restored


def expected(what: str) -> str:
    """Say what a missing file is for, and which option names its folder."""
    return f"{what} of the assignment (--data FOLDER)"


def data_files(assignment: Assignment, folder: Path) -> dict[str, Path]:
    """Return the paths of an assignment's data sets, and of the inputs of its tests.

    Raises UserError if one is missing.
    """
    paths = {f"the data set '{n}'": part.path(folder) for n, part in assignment.data.items()}
    for name, part in assignment.input.items():
        if part.file is not None:
            paths[f"the input '{name}'"] = folder / part.file
    for what, path in paths.items():
        if not path.exists():
            raise UserError(path, "no such file", expected(what))
    return {what.split("'")[1]: path for what, path in paths.items()}


def file_data(assignment: Assignment, folder: Path) -> dict[str, Path]:
    """Return the paths of the data sets that a submission sees as they are.

    Raises UserError if one is missing, or is a link.
    """
    found = {n: part.path(folder) for n, part in assignment.data.items() if part.kind == "file"}
    for name, path in found.items():
        if path.is_symlink() or not path.exists():
            raise UserError(path, "no such file", expected(f"the data set '{name}'"))
    return found


def plain_files(path: Path) -> list[Path]:
    """Return a file, or all files in a folder, in order."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder."""
    total = hashlib.sha256()
    for file in plain_files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        total.update(f"{name}\0".encode() * path.is_dir() + file.read_bytes())
    return total.hexdigest()


def data_digests(assignment: Assignment, folder: Path, read: dict[str, DataSet]) -> dict[str, str]:
    """Return the SHA-256 of all data by name, of which the data sets in `read` know theirs."""
    known = {name: data.sha256 for name, data in read.items()}
    others = {name: digest_of(path) for name, path in file_data(assignment, folder).items()}
    inputs = {n: digest_of(folder / p.file) for n, p in assignment.input.items() if p.file}
    return known | others | inputs


def read_data_set(name: str, settings: Data, folder: Path, seed: int) -> DataSet:
    """Read a data set of an assignment from the grader's data folder, once.

    The order and the perturbation depend on the content too, so they are as secret as the labels.
    Raises UserError if the data set is missing, damaged, or has another number of labels than of
    images.
    """
    path = settings.path(folder)
    if not path.is_file():
        raise UserError(path, "no such file", expected(f"the data set '{name}'"))
    content = read_file(path, DATA_SET)
    digest = hashlib.sha256(content)
    archive = open_zip(path, content, DATA_SET)
    stored = images_in(archive, path, Deviations(path), DATA_SET)
    labels, count = labels_in(archive, path), len(stored)
    if labels is not None and len(labels) != count:
        raise UserError(path, f"{len(labels)} labels for {count} images", "one for each")
    generator = np.random.default_rng([seed, *digest.digest()])
    order = generator.permutation(count) if settings.shuffled else np.arange(count)
    if settings.perturbed:
        stored = perturbed(stored, generator)
    return DataSet(
        name,
        unit_range(path, stored),
        stored,
        None if labels is None else labels.astype(np.int64),
        np.dtype(np.int64) if labels is None else labels.dtype,
        order,
        settings,
        digest.hexdigest(),
    )


def perturbed(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return images whose grey values between black and white are one higher, lower, or the same.

    The same images get the same change, for everybody and in every repetition.
    """
    high = 255 if images.dtype.kind != "f" or images.max() > 1 else 1
    change = generator.integers(-1, 2, images.shape) * (high / 255)
    grey = (images > 0) & (images < high)
    return np.where(grey, images + change, images).clip(0, high).astype(images.dtype)


def read_data_sets(
    assignment: Assignment, folder: Path, stand_ins: bool
) -> tuple[dict[str, DataSet], list[SafeText]]:
    """Read the data sets of an assignment, each by its name, with remarks.

    With `stand_ins`, other data sets replace those that a student does not have: a student has no
    labelled test set, and the validation set shows what to expect of it.
    """
    labelled = {
        artefact.of for artefact in assignment.artefact.values() if artefact.kind == "labels"
    }
    found: dict[str, DataSet] = {}
    remarks: list[SafeText] = []
    for name, part in assignment.data.items():
        if part.kind == "file":
            continue
        if stand_ins:  # students compare with scores of their own files
            part = part.model_copy(update={"perturbed": False})
        if part.stand_in is None or not stand_ins:
            found[name] = read_data_set(name, part, folder, assignment.seed)
            continue
        path, other = part.path(folder), assignment.data[part.stand_in]
        data = read_data_set(name, part, folder, assignment.seed) if path.is_file() else None
        if data is None or (name in labelled and data.labels is None):
            text = (
                f"{path.name} is not there, or has no labels: {other.path(folder).name} replaces "
                "it, which says little about unseen images"
            )
            remarks.append(SafeText(text))
            part = part.model_copy(update={"file": other.file})
            data = read_data_set(name, part, folder, assignment.seed)
        found[name] = data
    return found, remarks


def write_copy(
    data: DataSet, path: Path, generator: np.random.Generator, images: np.ndarray | None = None
) -> None:
    """Write the .npz file that a submission reads: `images`, or the data set's in its `order`.

    Labels that the submission must not see are replaced by random ones from the data set. Their
    type and range are right, for programs that read them, but they say nothing about the images.
    """
    arrays: dict[str, Any] = {"data": data.stored[data.order] if images is None else images}
    if data.labels is not None and data.settings.labels != "none":
        shown = data.labels[data.order]
        if data.settings.labels == "dummy" or images is not None:
            shown = generator.choice(np.unique(data.labels), len(arrays["data"]))
        arrays["labels"] = shown.astype(data.label_type)
    path.touch(mode=0o600)  # closed to other users before there is anything to read
    np.savez(path, **arrays)
