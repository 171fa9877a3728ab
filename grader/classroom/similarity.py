"""Similar sources, found pair by pair with copydetect's fingerprints of token sequences.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD
2003). The pairs are flagged for review; no marks are deducted.
"""

import tokenize
from dataclasses import dataclass
from pathlib import Path

from copydetect import CopyDetector

from ..artifacts import without_folder
from ..assignment import Assignment
from ..display.result_page import ENVIRONMENT
from ..errors import UserError, printable
from ..files import write_whole
from ..sandbox.resources import temporary_folder
from ..submission.unpacking import open_submission
from .class_run import Entry

THRESHOLD = 0.6  # share of a source's fingerprints that the other has too, without known code
LARGEST = 1 << 20  # bytes of a source


@dataclass(frozen=True)
class Pair:
    """Two submissions, and the larger share of one's source that is also in the other."""

    one: str
    other: str
    share: float


@dataclass(frozen=True)
class Alike:
    """Two files, the share of each that the other has too, and their sources as marked-up HTML."""

    one: str
    other: str
    share: float
    back: float
    one_source: str
    other_source: str

    @property
    def pair(self) -> tuple[str, str]:
        """Return the submissions that they belong to."""
        one, other = sorted((self.one.split("/")[0], self.other.split("/")[0]))
        return one, other


def source_text(path: Path) -> str:
    """Return the text of a source in its declared encoding, or in Latin-1 if it is in no other."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, LookupError, ValueError):
        return path.read_text(encoding="latin-1")


def gather(entries: list[Entry], task: Assignment, folder: Path) -> dict[str, list[str]]:
    """Copy each submission's sources to a folder of its own, in UTF-8.

    Returns what was left out, and why, by submission.
    """
    left_out: dict[str, list[str]] = {}
    for entry in entries:
        with temporary_folder() as scratch:
            try:
                submission = open_submission(entry.path.absolute(), task, scratch)
            except UserError as error:
                left_out[entry.id] = [f"not compared: {without_folder(error, entry.path.parent)}"]
                continue
            for path in sorted(p for p in submission.folder.rglob("*.py") if p.is_file()):
                name = path.relative_to(submission.folder)
                if path.stat().st_size > LARGEST:
                    text = f"not compared: {name} has {path.stat().st_size:,} bytes"
                    left_out.setdefault(entry.id, []).append(printable(text))
                    continue
                target = folder / entry.id / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(source_text(path), "utf-8", errors="backslashreplace")
    return left_out


def compare(
    entries: list[Entry], task: Assignment, base: Path | None, out: Path
) -> tuple[list[Pair], dict[str, list[str]]]:
    """Find the pairs above `THRESHOLD`, the most similar first; write their page to `out`.

    Code below `base`, such as starter code, is not counted. Returns also what could not be
    compared, by submission.
    """
    with temporary_folder() as folder:
        left_out = gather(entries, task, folder)
        detector = CopyDetector(
            test_dirs=[str(folder)],
            extensions=["py"],
            boilerplate_dirs=[str(base)] if base else [],
            display_t=THRESHOLD,
            ignore_leaf=True,
            autoopen=False,
            silent=True,
        )
        detector.run()
        files = [
            Alike(
                one=str(Path(test).relative_to(folder)),
                other=str(Path(reference).relative_to(folder)),
                share=float(share),
                back=float(back),
                one_source=test_html,
                other_source=reference_html,
            )
            for share, back, test, reference, test_html, reference_html, _ in (
                detector.get_copied_code_list()
            )
        ]
    files = [file for file in files if file.pair[0] != file.pair[1]]
    page = ENVIRONMENT.get_template("similarity.html").render(files=files, base=base)
    write_whole(out, page)
    found: dict[tuple[str, str], float] = {}
    for file in files:
        found[file.pair] = max(found.get(file.pair, 0.0), file.share, file.back)
    pairs = [Pair(one, other, share) for (one, other), share in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.share, pair.one, pair.other)), left_out
