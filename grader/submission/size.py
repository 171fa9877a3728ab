"""Count the numbers in all trained artefacts of a submission, for the assignment's limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..artifacts import count_numbers, without_folder
from ..assignment import Assignment
from ..errors import UserError


@dataclass
class Size:
    """The numbers in each artefact, and the limits for their sum; None if there is none."""

    allowed: int | None = None
    advised: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

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

    Eight bytes of a file that is not a state dict count as a number. A damaged state dict counts as
    a number for every four bytes, and is listed as unreadable.
    """
    size = Size()
    for name in assignment.trained_artefacts():
        artefact = assignment.artefact[name]
        size.allowed = artefact.numbers_allowed or size.allowed
        size.advised = artefact.numbers_advised or size.advised
        if name not in files:
            continue
        path = files[name]
        if artefact.kind != "weights":
            size.numbers[name] = math.ceil(path.stat().st_size / 8)
            continue
        try:
            size.numbers[name] = count_numbers(path)
        except UserError as error:
            size.numbers[name] = path.stat().st_size // 4
            size.unreadable.append(without_folder(error, path.parent))
    return size
