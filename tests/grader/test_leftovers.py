"""What is part of the content of a folder or zip, and what systems and tools left there."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.leftovers import is_leftover

LEFT = (
    *("__MACOSX", ".DS_Store", "._vae.py", "Thumbs.db", "THUMBS.DB", "desktop.ini", "Desktop.ini"),
    *(".ipynb_checkpoints", ".git", "__pycache__", "~$report.docx", "@eaDir", "Icon\r"),
)


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("place", ["{}", "a/{}", "{}/a.py", "a/{}/b/c.png"])
def test_what_systems_and_tools_leave(name: str, place: str) -> None:
    assert is_leftover(PurePosixPath(place.format(name)))


@given(st.lists(st.from_regex(r"[\w ()]{1,9}(\.\w{1,4})?", fullmatch=True), min_size=1, max_size=4))
def test_any_other_file_is_content(parts: list[str]) -> None:
    names = [part for part in parts if part.casefold() not in map(str.casefold, LEFT)]
    assert not is_leftover(PurePosixPath("./" + "/".join(names)))
