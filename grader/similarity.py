"""Whose sources are alike? copydetect's fingerprints of token sequences, pair by pair.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD
2003). What it finds is for a person to look at; it takes no marks.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from copydetect import CopyDetector

from .artifacts import ArtifactError
from .assignment import Assignment
from .files import write_whole
from .report import ENVIRONMENT
from .runs import Entry
from .sandbox import temporary_folder
from .submission import open_submission

THRESHOLD = 0.6  # of one source's fingerprints that are in the other too, known code left out
LARGEST = 1 << 20  # bytes of a source


@dataclass(frozen=True)
class Pair:
    """Two submissions, and the larger share of one's source that is in the other."""

    one: str
    other: str
    share: float


@dataclass(frozen=True)
class Alike:
    """Two files, the shares of each that the other has too, and their sources as marked HTML."""

    one: str
    other: str
    share: float
    back: float
    one_source: str
    other_source: str

    @property
    def pair(self) -> tuple[str, str]:
        """The submissions that they belong to."""
        one, other = sorted((self.one.split("/")[0], self.other.split("/")[0]))
        return one, other


def gather(entries: list[Entry], task: Assignment, folder: Path) -> None:
    """Each submission's sources in a folder of its own; broken submissions are left out."""
    for entry in entries:
        with temporary_folder() as scratch:
            try:
                submission = open_submission(entry.path.absolute(), task, scratch)
            except ArtifactError:
                continue
            for path in sorted(submission.folder.rglob("*.py")):
                if path.is_file() and path.stat().st_size <= LARGEST:
                    target = folder / entry.id / path.relative_to(submission.folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)


def compare(entries: list[Entry], task: Assignment, base: Path | None, out: Path) -> list[Pair]:
    """The pairs beyond `THRESHOLD`, the most alike first; their page is written to `out`.

    Code that lies below `base`, such as the starter's, counts for nobody.
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
