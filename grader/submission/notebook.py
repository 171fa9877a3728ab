"""Jupyter notebooks that were handed in: their cells, and the Python in them. Nothing is run.

The format: https://nbformat.readthedocs.io/en/latest/format_description.html, version 4.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ..artifacts import read_file
from ..assignment import NOTEBOOK
from ..errors import UserError, printable

LARGEST = 64 << 20  # bytes
LARGEST_SOURCE = 512 << 10  # bytes of Python; more is flagged, and not parsed
LARGEST_CODE = 1 << 20  # characters of all code cells together
LONGEST_LINE = 10_000  # characters of a magic's line
MOST_OPEN = 30  # lines between a bracket and its end
MOST_CELLS = 2_000
EXPECTED = "a Jupyter notebook in format 4, as Jupyter saves it"

# Magics whose argument, or whose cell, is Python that the kernel runs.
TIMED = ("time", "timeit", "prun", "capture", "memit", "mprun", "lprun")
WRITING = ("writefile", "file")
MODULE_FILE = re.compile(r"(\w[\w-]*/){0,10}\w[\w-]*\.py")
TEXT_FILE = re.compile(r"(\w[\w-]*/){0,10}\w[\w-]*\.\w+")
CELL_MAGIC = re.compile(r"\s*%%(\w+)[ \t]*(.*)")
LINE_MAGIC = re.compile(r"(\s*)(?:%(\w+)[ \t]*(.*)|(!.*)|(\?\??[\w.*]+)|([\w.*]+\?\??))\s*$")
INSTALLING = re.compile(r"\s*(pip3?|conda|mamba) +(install|uninstall|list|show|freeze)\b.*")
OPTIONS = re.compile(r"(-[a-z]+ *[\d.]* +)*(.*)")  # of %timeit and the like, then the code


def joined(value: object) -> object:
    """Join the lines of a text, which a notebook may keep in a list."""
    return "".join(map(str, value)) if isinstance(value, list) else value


def texts_only(value: object) -> object:
    """Keep what is text in a dictionary of contents by MIME type."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(kind): text for kind, part in pairs if isinstance(text := joined(part), str)}


def attached(value: object) -> object:
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(name): texts_only(contents) for name, contents in pairs}


Text = Annotated[str, BeforeValidator(joined)]
Contents = Annotated[dict[str, str], BeforeValidator(texts_only)]


class Output(BaseModel):
    """An output of a code cell: `text` of a stream, or `data` by MIME type, or an error's name."""

    output_type: str
    text: Text = ""
    data: Contents = {}
    ename: str = ""


class Cell(BaseModel):
    """A cell. `number` counts all cells from 1."""

    cell_type: str
    source: Text = ""
    execution_count: int | None = None
    outputs: list[Output] = []
    attachments: Annotated[dict[str, dict[str, str]], BeforeValidator(attached)] = {}
    number: int = 0

    @property
    def is_code(self) -> bool:
        """Check whether this is a code cell with something in it."""
        return self.cell_type == "code" and bool(self.source.strip())


class Notebook(BaseModel):
    nbformat: int
    cells: Annotated[list[Cell], Field(max_length=MOST_CELLS)]

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]


@dataclass(frozen=True)
class Magic:
    """A command of the notebook, not of Python, on a line of a cell: `%name ...` or `!...`."""

    line: int
    text: str


@dataclass(frozen=True)
class Source:
    """Python from a place in a submission, with the line numbers of that place.

    `place` is a file, or a cell of a notebook. `file` is where Python finds it as a module; None
    for a cell.
    """

    place: str
    text: str | bytes
    file: str | None
    magics: tuple[Magic, ...] = ()
    added: bool = False  # to the end of the file


def read_notebook(path: Path) -> Notebook:
    """Read a notebook. Raises UserError if it is damaged, too large, or in an older format."""
    content = read_file(path, EXPECTED, LARGEST)
    try:
        found: Any = json.loads(content)
        version = found.get("nbformat") if isinstance(found, dict) else None
        if isinstance(version, int) and version != 4:
            raise UserError(path, f"a notebook in format {version}", EXPECTED)
        notebook = Notebook.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "its content"
        raise UserError(path, f"{key}: {first['msg']}", EXPECTED) from error
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"no JSON ({printable(str(error)[:80])})", EXPECTED) from error
    size = sum(len(cell.source) for cell in notebook.code)
    if size > LARGEST_CODE:
        found = f"{size:,} characters of code"
        raise UserError(path, found, f"at most {LARGEST_CODE:,}")
    numbered = [
        cell.model_copy(update={"number": number}) for number, cell in enumerate(notebook.cells, 1)
    ]
    return notebook.model_copy(update={"cells": numbered})


def decoded_source(content: bytes) -> str:
    """Return the text of a source in its declared encoding, or in Latin-1 if it is in no other."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding)
    except (SyntaxError, LookupError, ValueError):
        return content.decode("latin-1")


def text_of(source: Source) -> str:
    """Return the text of a source, with \\n at the end of each line."""
    text = source.text if isinstance(source.text, str) else decoded_source(source.text)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def statement(found: re.Match[str]) -> str:
    """Return the Python in a line that begins with a magic."""
    if found[2] not in TIMED:
        return "pass"
    code = OPTIONS.fullmatch(found[3])
    return (code[2] if code else "") or "pass"


def is_open(lines: list[str]) -> bool:
    """Check whether a bracket is open after some lines, so that the next one is no magic."""
    try:
        ast.parse("\n".join(lines[-MOST_OPEN:]))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return "was never closed" in str(error)
    return False


def is_assigned(line: str) -> bool:
    """Check whether a line assigns the result of a magic to a name."""
    _, equals, value = line.partition("=")
    return bool(equals) and value.lstrip().startswith(("%", "!"))


def without_magics(text: str) -> tuple[str, tuple[Magic, ...]]:
    """Replace the magics in a cell by Python on the same lines; return it, and the magics.

    A cell that is too large to be parsed stays as it is.
    """
    if len(text) > LARGEST_SOURCE or is_python(text):
        return text, ()
    lines, magics = text.split("\n"), list[Magic]()
    continued = False  # from a magic on the line above
    for number, line in enumerate(lines):
        if continued:
            continued, lines[number] = line.endswith("\\"), ""
            continue
        if len(line) > LONGEST_LINE:
            continue
        if found := LINE_MAGIC.fullmatch(line):
            if number and is_open(lines[:number]):
                continue
            lines[number] = found[1] + statement(found)
            continued = line.endswith("\\")
        elif INSTALLING.fullmatch(line):
            lines[number] = "pass"
            continued = line.endswith("\\")
        elif is_assigned(line):
            lines[number] = line.partition("=")[0] + "= None"
        else:
            continue
        magics.append(Magic(number + 1, line.strip()))
    return "\n".join(lines), tuple(magics)


def cell_source(cell: Cell, name: str) -> Source:
    """Return the Python in a code cell of the notebook called `name`.

    A cell that writes a Python file is that file. Of a cell in another language, only the magic
    that says so is left.
    """
    place = f"{name}, cell {cell.number}"
    first, _, rest = cell.source.lstrip("\n").partition("\n")
    empty = "\n" * (cell.source.count("\n") - rest.count("\n"))
    found = CELL_MAGIC.fullmatch(first.rstrip("\r"))
    if found is None:
        text, magics = without_magics(cell.source)
        return Source(place, text, None, magics)
    magic = (Magic(1, first.strip()),)
    if found[1] in WRITING:
        added = found[2].strip().startswith("-a ")
        file = found[2].strip().removeprefix("-a").strip(" '\"").removeprefix("./")
        module = MODULE_FILE.fullmatch(file) is not None
        text = empty + rest if module else ""
        plain = module or (TEXT_FILE.fullmatch(file) and not file.endswith(".py"))
        return Source(place, text, file if module else None, () if plain else magic, added)
    if found[1] in TIMED:
        code = OPTIONS.fullmatch(found[2]) if found[1] in ("timeit", "prun") else None
        text, magics = without_magics(empty[:-1] + (code[2] if code else "") + "\n" + rest)
        return Source(place, text, None, magic + magics)
    return Source(place, "", None, magic)


def sources(path: Path, name: str) -> Iterator[Source]:
    """Yield the Python in a file of a submission, which is called `name` there.

    A notebook has one source for each code cell. Raises UserError if it cannot be read.
    """
    if path.suffix == NOTEBOOK:
        yield from (cell_source(cell, name) for cell in read_notebook(path).code)
    else:
        yield Source(name, path.read_bytes(), name)


def with_outputs(notebook: Notebook, executed: Notebook) -> Notebook:
    """Return a notebook with the outputs that the same cells have in an executed copy of it."""
    cells = [
        cell.model_copy(update={"outputs": other.outputs, "execution_count": other.execution_count})
        if cell.cell_type == other.cell_type == "code"
        else cell
        for cell, other in zip(notebook.cells, executed.cells, strict=False)
    ]
    return notebook.model_copy(update={"cells": cells + notebook.cells[len(cells) :]})


def without_outputs(notebook: Notebook) -> str:
    """Return a notebook of the code cells alone, as if they had never been run."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{cell.number}",
            "metadata": {},
            "outputs": [],
            "source": cell.source,
        }
        if cell.cell_type == "code"
        else {"cell_type": "raw", "id": f"cell-{cell.number}", "metadata": {}, "source": ""}
        for cell in notebook.cells
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
