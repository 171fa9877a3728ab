"""Tables as spreadsheets of many countries and systems write them."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.classroom.tables import read_table
from grader.errors import UserError

ROWS = [{"entry": "A1", "name": "Zoë, the 1st"}, {"entry": "B2", "name": "Ann; Bo"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_dialect_of_csv_is_read(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["entry", "name"], delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerow(ROWS[0])
    text.write(f"{delimiter}{end}{end}  {delimiter}{end}")  # rows that Excel leaves
    writer.writerow(ROWS[1])
    path = tmp_path / "table.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert read_table(path, {"entry"}, "a table") == [(2, ROWS[0]), (6, ROWS[1])]


def test_a_sheet_of_excel_is_read_with_its_row_numbers(tmp_path: Path) -> None:
    blank = {"entry": None, "name": None}
    pd.DataFrame([ROWS[0], blank, ROWS[1]]).to_excel(tmp_path / "t.xlsx", index=False)
    assert read_table(tmp_path / "t.xlsx", {"name"}, "a table") == [(2, ROWS[0]), (4, ROWS[1])]


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"entry;due\n" + content)
    try:
        rows = read_table(path, {"entry", "due"}, "a table")
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert all(set(row) == {"entry", "due"} and number > 1 for number, row in rows)
