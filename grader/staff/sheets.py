"""A CSV in which some cells change and every other byte stays as it was."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..texts import HINT, decoded, delimiter_of, encoding_of

THOUSANDS = re.compile(r"-?[1-9]\d{0,2},\d{3}")  # or a decimal comma: nobody can tell
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
WITH_COMMA, WITH_POINT = re.compile(r"-?\d+,\d+"), re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and where it stands in the file, with its quotes."""

    text: str
    start: int
    end: int
    quoted: bool


class Sheet:
    """The cells of a CSV, each with its place. Rows count from 1, blank ones too.

    A csv.writer would lose what it does not know of a file's way to quote: Moodle quotes what has a
    space, Blackboard everything, and a spreadsheet only what it must.
    """

    def __init__(self, content: bytes) -> None:
        """Divide a file into cells. Raises ValueError if it is no CSV."""
        self.mark, self.codec = encoding_of(content)
        self.text = decoded(content)
        self.delimiter = delimiter_of(self.text)
        self.rows = self.divided()
        filled = [n for n, row in enumerate(self.rows, 1) if any(c.text.strip() for c in row)]
        filled = filled[1:] if HINT.match(self.text) else filled
        self.header = [c.text.strip() for c in self.rows[filled[0] - 1]] if filled else []
        self.numbers = filled[1:]

    def divided(self) -> list[list[Cell]]:
        """Return the cells of each row."""
        mark = re.escape(self.delimiter)
        pattern = re.compile(rf'("[^"]*(?:""[^"]*)*"|(?!")[^{mark}\r\n]*)({mark}|\r\n|\r|\n|\Z)')
        rows: list[list[Cell]] = []
        row: list[Cell] = []
        place = 0
        while place < len(self.text) or row:
            match = pattern.match(self.text, place)
            if match is None:
                raise ValueError(f"a quote in row {len(rows) + 1} that does not end with its cell")
            raw, quoted = match[1], match[1].startswith('"')
            text = raw[1:-1].replace('""', '"') if quoted else raw
            row.append(Cell(text, match.start(1), match.end(1), quoted))
            if match[2] != self.delimiter:
                rows.append(row)
                row = []
            place = match.end()
        return rows

    def cell(self, row: int, column: int) -> str:
        """Return the text of a cell, without spaces around it; '' if the row has no such cell."""
        cells = self.rows[row - 1]
        return cells[column].text.strip() if column < len(cells) else ""

    @cached_property
    def decimal_commas(self) -> bool:
        """Check whether numbers have decimal commas, as in 7,5."""
        texts = [cell.text.strip() for row in self.rows for cell in row]
        commas = [t for t in texts if WITH_COMMA.fullmatch(t) and not THOUSANDS.fullmatch(t)]
        return bool(commas) and not any(map(WITH_POINT.fullmatch, texts))

    @cached_property
    def all_quoted(self) -> bool:
        """Check whether every cell with a text is in quotes."""
        return all(cell.quoted for row in self.rows for cell in row if cell.text)

    def number(self, text: str) -> float | None:
        """Return the number in a cell; None if it has none, or may be meant in two ways."""
        if not NUMBER.fullmatch(text) or (THOUSANDS.fullmatch(text) and not self.decimal_commas):
            return None
        return float(text.replace(",", "."))

    def raw(self, text: str, cell: Cell) -> str:
        """Return a text as it stands in the file, in place of a cell."""
        needed = any(c in text for c in f'{self.delimiter}"\r\n') or text != text.strip()
        if cell.quoted or needed or self.all_quoted:
            return '"' + text.replace('"', '""') + '"'
        return text

    def changed(self, texts: Mapping[tuple[int, int], str]) -> bytes:
        """Return the file with other texts in some cells, by row and column.

        What its encoding cannot express becomes a question mark.
        """
        pieces, place = [], 0
        for (row, column), text in sorted(texts.items()):
            cell = self.rows[row - 1][column]
            if text != cell.text:
                pieces += [self.text[place : cell.start], self.raw(text, cell)]
                place = cell.end
        whole = "".join([*pieces, self.text[place:]])
        return self.mark + whole.encode(self.codec, errors="replace")
