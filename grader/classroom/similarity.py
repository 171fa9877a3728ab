"""Similar sources, found pair by pair with copydetect's fingerprints of token sequences.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD
2003). The pairs are flagged for review; no marks are deducted.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from copydetect import CopyDetector

from ..assignment import Assignment
from ..display.result_page import ENVIRONMENT
from ..errors import UserError
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


def gather(entries: list[Entry], task: Assignment, folder: Path) -> None:
    """Copy each submission's sources to a folder of its own; leave out broken submissions."""
    for entry in entries:
        with temporary_folder() as scratch:
            try:
                submission = open_submission(entry.path.absolute(), task, scratch)
            except UserError:
                continue
            for path in sorted(submission.folder.rglob("*.py")):
                if path.is_file() and path.stat().st_size <= LARGEST:
                    target = folder / entry.id / path.relative_to(submission.folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)


def compare(entries: list[Entry], task: Assignment, base: Path | None, out: Path) -> list[Pair]:
    """Return the pairs above `THRESHOLD`, the most similar first; write their page to `out`.

    Code below `base`, such as starter code, is not counted.
    """
    with temporary_folder() as folder:
        gather(entries, task, folder)
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
    return sorted(pairs, key=lambda pair: (-pair.share, pair.one, pair.other))
