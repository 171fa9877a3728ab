"""Texts that students may read, whatever a program that has seen test images has written."""

from pathlib import Path

from .errors import UserError


class SafeText(str):
    """A text that students may read: no program that has seen test images wrote any of its words.

    It consists of fixed words, counts, and names and lines of the code that was handed in. A
    program can choose among these, but that says little. Types keep any other text out of what
    students read. So a name in a file that a test stage wrote, which could carry an image, does not
    get there, not even cut.
    """

    __slots__ = ()


NOTHING = SafeText("")


class FormatError(UserError):
    """A mistake in the format of a file; `kind` says what was found without quoting it."""

    def __init__(self, path: Path, found: str, expected: str, kind: SafeText) -> None:
        super().__init__(path, found, expected)
        self.path, self.expected, self.kind = path, expected, kind

    def for_students(self) -> SafeText:
        """Return what a student may read if a test stage wrote the file."""
        return SafeText(f"{self.path.name}: {self.kind}; expected {self.expected}")
