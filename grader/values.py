"""The rules on the values of a data set, which hold for programs and for the grader alike."""

from pathlib import Path

import numpy as np

from .errors import UserError

ROUNDING = 1e-5  # how far resizing and arithmetic may push a float past its range
RANGES = "whole numbers in 0..255, or floats in 0..1 or 0..255"


def grey_scale(path: Path, images: np.ndarray) -> int:
    """Return the number that stands for white: 255, or 1 for floats that are at most 1.

    Raises UserError for values outside these ranges, and if both scales are possible: the largest
    whole number is 1, or the largest float is between 1 and 2.
    """
    floats = images.dtype.kind == "f"
    low, high = images.min(), images.max()
    inside = low >= -ROUNDING * floats and high <= 255  # NaN satisfies neither
    unclear = 1 + ROUNDING < high < 2 if floats else high == 1
    if not inside or unclear:
        raise UserError(path, f"values from {low:g} to {high:g}", RANGES)
    return 1 if floats and high < 2 else 255


def check_labels(path: Path, labels: np.ndarray, expected: str, count: int | None = None) -> None:
    """Raise UserError unless labels are `count` or any whole numbers, (N,), that fit an int64."""
    if labels.dtype.kind not in "ui" or labels.shape != (count or labels.size or 1,):
        found = f"'labels' of type {labels.dtype} and shape {labels.shape}"
        raise UserError(path, found, expected)
    if labels.max() > np.iinfo(np.int64).max:
        raise UserError(path, f"the label {labels.max()}", f"{expected}, below 2^63")
