"""Images as rows of a CSV, a label and 784 grey values each: MNIST and its relatives on Kaggle."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grader.errors import UserError, listed, reason
from grader.values import grey_scale
from studies.shared.idx import upright

SIDE = 28
EXPECTED = f"a CSV with a label and {SIDE * SIDE} grey values in each row"
LABELS = ("label", "class", "target")  # names of the column of labels; by default it is the first


def tables_in(folder: Path) -> dict[str, Path]:
    """Return the tables of images in a folder, by the part that their names say: train or test.

    Raises UserError if there are several of one part.
    """
    found: dict[str, Path] = {}
    wide = (path for path in sorted(folder.glob("*.csv")) if len(first_row(path)) >= SIDE * SIDE)
    for path in wide:
        part = next((part for part in ("train", "test") if part in path.stem.lower()), None)
        if part is not None and part in found:
            raise UserError(folder, f"both {found[part].name} and {path.name}", "one of each part")
        if part is not None:
            found[part] = path
    return found if "train" in found else {}


def first_row(path: Path) -> list[str]:
    """Return the cells of a table's first row."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return [cell.strip() for cell in next(csv.reader(file), [])]


def read_digits(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the images in a table, (N, 28, 28), and their labels, (N,)."""
    try:
        first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
        names = [str(cell).strip().lower() for cell in first.iloc[0]]
        named = not all(name.replace(".", "", 1).isdecimal() for name in names)
        table = pd.read_csv(path, header=0 if named else None)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(path, f"cannot be read ({reason(error)})", EXPECTED) from error
    if table.shape[1] != SIDE * SIDE + 1 or not len(table):
        raise UserError(path, f"{len(table)} rows of {table.shape[1]} columns", EXPECTED)
    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        rows = listed(wrong + 1 + named)
        raise UserError(path, f"cells without a number in {len(wrong)} rows: {rows}", EXPECTED)
    column = next((names.index(name) for name in LABELS if name in names), 0)
    labels, pixels = numbers[:, column], np.delete(numbers, column, axis=1)
    if (labels % 1).any() or (pixels % 1).any():
        raise UserError(path, "numbers with a fraction", EXPECTED)
    grey_scale(path, pixels.astype(np.int64))
    images = pixels.astype(np.uint8).reshape(-1, SIDE, SIDE)
    return upright(path, images), labels.astype(np.int64)
