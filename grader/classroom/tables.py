"""Tables for staff: read CSV in any usual dialect and encoding, or Excel; write either of them."""

import io
import re
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from ..artifacts import read_file
from ..errors import UserError, printable, reason
from ..files import DATE, write_whole
from ..texts import csv_rows

LARGEST = 4 << 20  # bytes
# How formulas begin in spreadsheets, also after what some of them take for the end of a cell.
FORMULA = re.compile(r"(^|[;|,\t\r\n])(\s*)(?=[=+\-@\t\r])")

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


def harmless(value: Any) -> Any:
    """Escape a cell, so that no spreadsheet reads it as a formula or fails to read it.

    Some of them normalise full-width characters first.
    """
    if not isinstance(value, str):
        return value
    plain = "".join(unicodedata.normalize("NFKC", c)[:1] for c in value)  # as long as `value`
    begins = [match.end() for match in FORMULA.finditer(plain)]
    for place in reversed(begins):
        value = f"{value[:place]}'{value[place:]}"
    return printable(value)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv or .xlsx.

    Raises UserError for another ending, and if the file cannot be written.
    """
    if path.suffix not in (".csv", ".xlsx"):
        raise UserError(path, f"the ending '{path.suffix}'", ".csv or .xlsx")
    table = table.map(harmless).rename(columns=harmless)
    try:
        if path.suffix == ".csv":
            content = table.to_csv(index=False).encode(errors="backslashreplace")
        else:
            content = excel(table)
        write_whole(path, content)
    except OSError as error:
        expected = "a folder with write access and space"
        raise UserError(path, f"cannot be written ({error.strerror})", expected) from error


def excel(table: pd.DataFrame) -> bytes:
    """Return a table as .xlsx with a fixed time, so that equal tables give equal bytes."""
    made, fixed = io.BytesIO(), io.BytesIO()
    table.to_excel(made, index=False)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(fixed, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"1980-01-01T00:00:00Z", content)
            name = zipfile.ZipInfo(entry.filename, DATE)
            target.writestr(name, content, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
