"""Read the tables that staff fill in: CSV in any usual dialect and encoding, or Excel."""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from ..artifacts import read_file
from ..errors import UserError, reason

LARGEST = 4 << 20  # bytes
DELIMITERS = ",;\t"  # Excel writes the list separator of the user's country

Row = tuple[int, dict[str, str]]
"""The number of a row, as a spreadsheet shows it, and its cells by column."""


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, in UTF-16 with its mark, or in Windows-1252."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def csv_cells(content: bytes) -> list[tuple[int, list[str]]]:
    """Return the cells of each row, with the row's number. Raises ValueError or csv.Error."""
    text = decoded(content)
    if "\0" in text:
        raise ValueError("not a text")
    first = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    return list(enumerate(reader, 1))


def excel_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of each row of the first sheet, with the row's number."""
    table = pd.read_excel(path, dtype=str, keep_default_na=False, header=None)
    return [(number, [str(cell) for cell in row]) for number, row in enumerate(table.values, 1)]


def read_table(path: Path, columns: set[str], expected: str) -> list[Row]:
    """Return the rows of a table that has at least these columns, without the blank ones.

    `expected` says what it should be. Raises UserError if it cannot be read, lacks a column, or has
    a row with more cells than columns.
    """
    content = read_file(path, expected, LARGEST)
    try:
        cells = excel_cells(path) if path.suffix == ".xlsx" else csv_cells(content)
    except Exception as error:  # both readers fail in many ways
        raise UserError(path, f"cannot be read ({reason(error)})", expected) from error
    filled = [
        (number, [c.strip() for c in row]) for number, row in cells if any(map(str.strip, row))
    ]
    header = filled[0][1] if filled else []
    if missing := columns - set(header):
        raise UserError(path, f"no column '{min(missing)}'", expected)
    if twice := [column for column in sorted(columns) if header.count(column) > 1]:
        raise UserError(path, f"the column '{twice[0]}' twice", expected)
    rows = []
    for number, row in filled[1:]:
        if len(row) > len(header) and any(row[len(header) :]):
            found = f"{len(row)} cells in row {number}, under {len(header)} columns"
            raise UserError(path, found, expected)
        rows.append((number, dict(zip(header, [*row, *[""] * len(header)], strict=False))))
    return rows
