"""Named numbers in an untrusted file: JSON, or CSV with a name and a number in each row."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from .artifacts import read_file
from .errors import UserError
from .texts import csv_rows, decoded

LARGEST = 1 << 20  # bytes
DEEPEST = 5
EXPECTED = 'JSON such as {"accuracy": 0.9}, or CSV with a name and a number in each row'


def flat(value: Any, name: str = "", depth: int = 0) -> dict[str, float]:
    """Return the numbers in nested JSON objects, by their keys joined with dots."""
    if isinstance(value, bool) or depth > DEEPEST:
        return {}
    if isinstance(value, int | float):
        return {name: float(value)} if abs(value) <= 1e300 else {}
    if not isinstance(value, dict):
        return {}
    found: dict[str, float] = {}
    for key, part in value.items():
        found |= flat(part, f"{name}.{key}" if name else key, depth + 1)
    return found


def number(text: str) -> float | None:
    """Convert a text to a finite number; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def from_rows(rows: list[list[str]]) -> dict[str, float]:
    """Return the numbers of a table: a row for each, or one row below their names."""
    wide = len(rows) == 2 and len(rows[0]) == len(rows[1])
    if wide and all(number(text) is None for text in rows[0]):
        rows = [[*pair] for pair in zip(*rows, strict=True)]
    pairs = [row for row in rows if len(row) == 2]
    return {name.strip(): value for name, text in pairs if (value := number(text)) is not None}


def read_numbers(path: Path) -> dict[str, float]:
    """Read the numbers of a file by name. Raises UserError if there are none."""
    content = read_file(path, EXPECTED, LARGEST)
    try:
        if path.suffix.lower() == ".json":
            found = flat(json.loads(decoded(content)))
        else:
            found = from_rows([row for _, row in csv_rows(content)])
    except (ValueError, csv.Error, RecursionError) as error:
        raise UserError(path, f"it cannot be read ({str(error)[:80]})", EXPECTED) from error
    if not found:
        raise UserError(path, "no named numbers", EXPECTED)
    return found
