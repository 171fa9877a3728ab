"""Count the numbers in all trained artefacts of a submission, for the assignment's limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..artifacts import without_folder
from ..assignment import Assignment
from ..errors import UserError
from ..parameters import FLOAT32, count_numbers


@dataclass
class Size:
    """The numbers in each artefact, and the limits for their sum; None if there is none.

    `unreadable` says which could not be counted exactly, `doubts` which may hold more numbers than
    the limit although fewer were counted, and `hints` how an author can save fewer.
    """

    allowed: int | None = None
    advised: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the sum over the artefacts."""
        return sum(self.numbers.values())

    @property
    def too_large(self) -> bool:
        """Check whether the sum is above the limit."""
        return self.allowed is not None and self.total > self.allowed


def measure_size(files: Mapping[str, Path], assignment: Assignment) -> Size:
    """Count the numbers in those of `files` that a submission may include instead of training.

    Eight bytes of a file other than weights count as a number. Weights that cannot be read count as
    a number for every four bytes, and are listed as unreadable. There is a doubt only if a number
    for every byte would be more than the limit.
    """
    size = Size()
    for name in assignment.trained_artefacts():
        artefact = assignment.artefact[name]
        size.allowed = artefact.numbers_allowed or size.allowed
        size.advised = artefact.numbers_advised or size.advised
        if name not in files:
            continue
        path = files[name]
        length = path.stat().st_size
        large = size.allowed is not None and length > size.allowed
        unknown = [f"{name}: {length:,} bytes that could be as many numbers"] * large
        if artefact.kind != "weights":
            size.numbers[name] = math.ceil(length / 8)
            size.doubts += unknown
            continue
        try:
            count = count_numbers(path)
            size.numbers[name] = count.numbers
            size.hints += [count.hint] if count.hint else []
            size.doubts += [count.doubt] if count.doubt and large else []
        except UserError as error:
            size.numbers[name] = length // FLOAT32
            size.unreadable.append(without_folder(error, path.parent))
            size.doubts += unknown
    return size
