"""The data sets as a submission sees them.

The assignment says which labels are hidden, and which images come in another order.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts import (
    Remarks,
    array_names,
    open_zip,
    read_array,
    read_file,
    read_images,
    read_truth_images,
    read_truth_labels,
)
from ..assignment import Assignment, Data
from ..errors import UserError


@dataclass(frozen=True)
class DataSet:
    """A data set of the grader: images on the scale 0..1, and as stored, (N, H, W); labels (N,).

    `order` is the order of the copies: image i of a copy is image `order[i]` here.
    """

    name: str
    images: NDArray[np.float64]
    stored: np.ndarray
    labels: NDArray[np.int64] | None
    label_type: np.dtype
    order: NDArray[np.int64]
    settings: Data

    @property
    def side(self) -> tuple[int, int]:
        return self.images.shape[1], self.images.shape[2]

    def restore(self, answers: np.ndarray) -> np.ndarray:
        """Return the answers for a copy, (N, ...), in the order of the data set."""
        restored = np.empty_like(answers)
        restored[self.order] = answers
        return restored


def read_labels(path: Path) -> tuple[NDArray[np.int64] | None, np.dtype]:
    """Read the labels of a data set, if it has any, and the type in which they are stored."""
    archive = open_zip(path, read_file(path, "a data set"), "a data set")
    if "labels.npy" not in array_names(archive):
        return None, np.dtype(np.int64)
    return read_truth_labels(path), read_array(path, archive, "labels.npy", "labels").dtype


def data_files(assignment: Assignment, folder: Path) -> dict[str, Path]:
    """Return the paths of an assignment's data sets. Raises UserError if one is missing."""
    paths = {name: part.path(folder) for name, part in assignment.data.items()}
    for name, path in paths.items():
        if not path.is_file():
            raise UserError(path, "no such file", f"the data set '{name}' of the assignment")
    return paths


def read_data_set(name: str, settings: Data, folder: Path, seed: int) -> DataSet:
    """Read a data set of an assignment from the grader's data folder.

    The order depends on the content too, so it is as secret as the labels. Raises UserError if
    the data set is missing, damaged, or has another number of labels than of images.
    """
    path = settings.path(folder)
    if not path.is_file():
        raise UserError(path, "no such file", f"the data set '{name}' of the assignment")
    generator = np.random.default_rng([seed, *hashlib.sha256(path.read_bytes()).digest()])
    images, stored = read_truth_images(path), read_images(path, Remarks(path), side=None)
    labels, label_type = read_labels(path)
    count = len(images)
    if labels is not None and len(labels) != count:
        raise UserError(path, f"{len(labels)} labels for {count} images", "one for each")
    order = generator.permutation(count) if settings.shuffled else np.arange(count)
    return DataSet(name, images, stored, labels, label_type, order, settings)


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
    np.savez(path, **arrays)
    path.chmod(0o644)
