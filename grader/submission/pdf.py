"""An untrusted PDF: the number of its pages, the first line of its text, and its pages as pictures.

It is read in a sandbox, because it may be made to keep a reader busy forever.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts import read_file
from ..errors import UserError
from ..sandbox import isolation
from ..sandbox.command import Command, Level, Limits, Outcome, SandboxError, interpreter
from ..sandbox.resources import temporary_folder
from ..verdicts import Verdict
from .images import HEADER, read_pixels

LIMITS = Limits(seconds=20, memory=1 << 30, disk=1 << 20, files=10, processes=16, cpus=1)
DRAWING_LIMITS = Limits(seconds=60, memory=2 << 30, disk=256 << 20, files=100, processes=16, cpus=1)
LARGEST = 64 << 20  # bytes
MOST_PAGES = 20  # as pictures
LINE = 500  # characters
SIDE = 1_200  # pixels, the most of a page
EXPECTED = "a PDF that can be read without a password"
READER = """
import json, sys
from pypdf import PdfReader
pages = PdfReader(sys.argv[1]).pages
lines = (line.strip() for line in pages[0].extract_text().splitlines())
print(json.dumps([len(pages), next((line for line in lines if line), "")]))
"""

# pypdfium2 draws as Chromium does.
DRAWER = f"""
import struct, sys
import pypdfium2
pages = pypdfium2.PdfDocument(sys.argv[1])
print(len(pages))
for number in range(min(len(pages), {MOST_PAGES})):
    page = pages[number]
    image = page.render(scale={SIDE - 1} / max(page.get_size())).to_pil().convert("RGB")
    with open(str(number) + ".rgb", "wb") as file:
        file.write(struct.pack("{HEADER.format}", *image.size) + image.tobytes())
"""


def run_reader(program: str, path: Path, folder: Path, limits: Limits, level: Level) -> Outcome:
    """Run a program in the sandbox on a copy of a PDF in a new folder.

    Raises UserError if it is no PDF, a link, or too large, and SandboxError.
    """
    content = read_file(path, EXPECTED, LARGEST)
    if not content.startswith(b"%PDF-"):
        raise UserError(path, "no PDF", EXPECTED)
    folder.mkdir(mode=0o700)
    (folder / "report.pdf").write_bytes(content)
    command = Command((interpreter(), "-I", "-c", program, "report.pdf"), folder)
    return isolation.run(command, limits, level)


def draw_pages(path: Path, level: Level) -> tuple[list[NDArray[np.uint8]], int]:
    """Return the first pages of a PDF as pixels, (H, W, 3) each, and how many it has.

    Raises UserError if it cannot be drawn.
    """
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        try:
            outcome = run_reader(DRAWER, path, folder, DRAWING_LIMITS, level)
            count = int(outcome.output.split()[0])
        except (SandboxError, ValueError, IndexError) as error:
            raise UserError(path, "a damaged or locked PDF", EXPECTED) from error
        found = (read_pixels(folder / f"{number}.rgb", SIDE) for number in range(MOST_PAGES))
        return [page for page in found if page is not None], count


def read_pdf(path: Path, level: Level) -> tuple[int, str]:
    """Return the number of pages and the first line. Raises UserError if it cannot be read."""
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        outcome = run_reader(READER, path, scratch / "work", LIMITS, level)
    try:
        if outcome.verdict is not Verdict.OK:
            raise ValueError(outcome.verdict)
        pages, line = json.loads(outcome.output.splitlines()[-1])
        return int(pages), str(line)[:LINE]
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(path, "a damaged or locked PDF", EXPECTED) from error
