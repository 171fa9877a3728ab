"""The error type for a user's mistake, which every command line prints as one line."""

from pathlib import Path


def printable(text: str) -> str:
    """Escape line breaks and terminal control codes in `text`: names in a file may contain them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class SafeText(str):
    """A text that students may read: no program that has seen test images chose any of it.

    It consists of fixed words, counts, and names from the assignment or from the code that was
    handed in. Types keep any other text out of what students read. So a name in a file that a test
    stage wrote, which could carry an image, does not get there, not even cut.
    """

    __slots__ = ()


NOTHING = SafeText("")
ANOTHER_FORMAT = SafeText("not in the required format")


class UserError(Exception):
    """A mistake in the user's input: the file, what was found, what was expected.

    `kind` says what was found to readers who must not see what a program chose to write.
    """

    def __init__(
        self, path: Path | str, found: str, expected: str, kind: SafeText = ANOTHER_FORMAT
    ) -> None:
        super().__init__(printable(f"{path}: {found}; expected {expected}"))
        self.path, self.expected, self.kind = Path(path), expected, kind

    def for_students(self) -> SafeText:
        """Return what a student may read if a test stage wrote the file."""
        return SafeText(f"{self.path.name}: {self.kind}; expected {self.expected}")


def reason(error: Exception) -> str:
    """Return what an error says, without the path that an OSError repeats."""
    return str(getattr(error, "strerror", None) or error)
