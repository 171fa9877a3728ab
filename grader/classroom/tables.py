"""Read the tables that staff fill in: CSV in any usual dialect and encoding, or Excel."""

from pathlib import Path

import pandas as pd

from ..artifacts import read_file
from ..errors import UserError, reason
from ..texts import csv_rows

LARGEST = 4 << 20  # bytes

Row = tuple[int, dict[str, str]]
"""The number of a row, as a spreadsheet shows it, and its cells by column."""


def excel_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of each row of the first sheet that is not blank, and the row's number."""
    table = pd.read_excel(path, dtype=str, keep_default_na=False, header=None)
    rows = [(number, [str(cell) for cell in row]) for number, row in enumerate(table.values, 1)]
    return [(number, row) for number, row in rows if any(map(str.strip, row))]


def read_table(path: Path, columns: set[str], expected: str) -> list[Row]:
    """Return the rows of a table that has at least these columns, without the blank ones.

    `expected` says what it should be. Raises UserError if it cannot be read, lacks a column, or has
    a row with more cells than columns.
    """
    content = read_file(path, expected, LARGEST)
    try:
        cells = excel_rows(path) if path.suffix == ".xlsx" else csv_rows(content)
    except Exception as error:  # both readers fail in many ways
        raise UserError(path, f"cannot be read ({reason(error)})", expected) from error
    filled = [(number, [cell.strip() for cell in row]) for number, row in cells]
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
