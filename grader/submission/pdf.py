"""The number of pages of an untrusted PDF, and the first line of its text.

The PDF is read in a sandbox, because it may be made to keep a reader busy forever.
"""

import json
import shutil
from pathlib import Path

from ..artifacts import read_file
from ..errors import UserError
from ..sandbox import isolation
from ..sandbox.command import Command, Level, Limits, interpreter
from ..sandbox.resources import temporary_folder
from ..verdicts import Verdict

LIMITS = Limits(seconds=20, memory=1 << 30, disk=1 << 20, files=10, processes=16, cpus=1)
LARGEST = 64 << 20  # bytes
LINE = 500  # characters
READER = """
import json, sys
from pypdf import PdfReader
pages = PdfReader(sys.argv[1]).pages
lines = (line.strip() for line in pages[0].extract_text().splitlines())
print(json.dumps([len(pages), next((line for line in lines if line), "")]))
"""


def read_pdf(path: Path, level: Level) -> tuple[int, str]:
    """Return the number of pages and the first line. Raises UserError if it cannot be read."""
    expected = "a PDF that can be read without a password"
    content = read_file(path, expected, LARGEST)
    if not content.startswith(b"%PDF-"):
        raise UserError(path, "no PDF", expected)
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        folder.mkdir(mode=0o700)
        shutil.copyfile(path, folder / "report.pdf")
        command = Command((interpreter(), "-I", "-c", READER, "report.pdf"), folder)
        outcome = isolation.run(command, LIMITS, level)
    try:
        if outcome.verdict is not Verdict.OK:
            raise ValueError(outcome.verdict)
        pages, line = json.loads(outcome.output.splitlines()[-1])
        return int(pages), str(line)[:LINE]
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(path, "a damaged or locked PDF", expected) from error
