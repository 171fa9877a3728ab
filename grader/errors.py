"""The error type for a user's mistake, which every command line prints as one line."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's control characters, lone surrogates, line separators

SHOWN = 5  # names in a message


def has_control(text: str) -> bool:
    """Check for characters that no file name needs; a no-break space or a joiner is not one."""
    return any(unicodedata.category(character) in CONTROL for character in text)


def printable(text: str) -> str:
    """Escape line breaks and terminal control codes in `text`: names in a file may contain them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def listed(names: Iterable[object], between: str = ", ") -> str:
    """Join the first few names, and say how many more there are."""
    kept = [*map(str, names)]
    more = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    return between.join(kept[:SHOWN]) + more


class UserError(Exception):
    """A mistake in the user's input: the file, what was found, what was expected."""

    def __init__(self, path: Path | str, found: str, expected: str) -> None:
        super().__init__(printable(f"{path}: {found}; expected {expected}"))
        self.found = printable(found)


def reason(error: Exception) -> str:
    """Return what an error says, without the path that an OSError repeats."""
    return str(getattr(error, "strerror", None) or error)
