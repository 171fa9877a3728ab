"""Whose sources are alike? copydetect's fingerprints of token sequences, pair by pair.

Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD
2003). What it finds is for a person to look at; it takes no marks.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from copydetect import CopyDetector

from grader.artifacts import ArtifactError
from grader.assignment import Assignment
from grader.runs import Entry, write_whole
from grader.sandbox import temporary_folder
from grader.submission import open_submission

THRESHOLD = 0.6  # of one source's fingerprints that are in the other too, known code left out
LARGEST = 1 << 20  # bytes of a source


@dataclass(frozen=True)
class Pair:
    """Two submissions, and the larger share of one's source that is in the other."""

    one: str
    other: str
    share: float


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
        found: dict[tuple[str, str], float] = {}
        for share, back, test, reference, *_ in detector.get_copied_code_list():
            one, other = (Path(p).relative_to(folder).parts[0] for p in (test, reference))
            if one != other:
                pair = min(one, other), max(one, other)
                found[pair] = max(found.get(pair, 0.0), float(share), float(back))
        page = detector.generate_html_report(output_mode="return")
        write_whole(out, str(page).replace(f"{folder}/", ""))
    pairs = [Pair(one, other, share) for (one, other), share in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.share, pair.one, pair.other))
