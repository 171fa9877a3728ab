"""Texts that people and their programs write: any usual encoding, any usual dialect of CSV."""

import codecs
import csv
import io
import re

DELIMITERS = ",;\t"  # Excel writes the list separator of the user's country
HINT = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # some programs write a first row for Excel


def is_utf8(content: bytes) -> bool:
    """Check whether a text is in UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def encoding_of(content: bytes) -> tuple[bytes, str]:
    """Return the mark with which a text begins, and the codec of the rest."""
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            return mark, codec
    if not is_utf8(content):
        return b"", "cp1252"
    return codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b"", "utf-8"


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, in UTF-16 with its mark, or in Windows-1252.

    Raises ValueError if it is in none of them, or has a null character.
    """
    mark, codec = encoding_of(content)
    text = content.removeprefix(mark).decode(codec)
    if "\0" in text:
        raise ValueError("not a text")
    return text


def delimiter_of(text: str) -> str:
    """Return the character between the columns of a CSV, which its first row shows or names."""
    if hint := HINT.match(text):
        return hint[1]
    first = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    return max(DELIMITERS, key=first.count)


def csv_rows(content: bytes) -> list[tuple[int, list[str]]]:
    """Return the cells of each row of a CSV that is not blank, and the row's number from 1.

    Excel leaves rows of empty cells. Raises ValueError or csv.Error if it is not a CSV.
    """
    text = decoded(content)
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, strict=True, delimiter=delimiter_of(text))
    rows = [(number, row) for number, row in enumerate(reader, 1) if any(map(str.strip, row))]
    return rows[1:] if HINT.match(text) else rows
