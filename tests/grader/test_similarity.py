"""Sources that are compared, however they are encoded, and what is said of those that are not."""

from pathlib import Path

import pytest

from grader.assignment import read_assignment
from grader.classroom import similarity
from grader.classroom.class_run import find_submissions
from grader.classroom.similarity import compare, source_text

A3 = read_assignment("a3")
SOURCE = (Path(__file__).parents[1] / "hostile" / "honest.py").read_text()


@pytest.mark.parametrize(
    "content",
    [
        f"# -*- coding: latin-1 -*-\n# caf\xe9\n{SOURCE}".encode("latin-1"),
        f"# caf\xe9, without a declaration\n{SOURCE}".encode("latin-1"),
        f"\ufeff{SOURCE}".encode(),
        f"# coding: cp1252\n# \u201cquoted\u201d\n{SOURCE}".encode("cp1252"),
        f"# coding: no_such_encoding\n{SOURCE}".encode(),
        f"# coding: hex\n{SOURCE}".encode(),
        f"# coding: undefined\n{SOURCE}".encode(),
        f"# coding: unicode_escape\n# \\ud800\n{SOURCE}".encode(),
        SOURCE.replace("\n", "\r\n").encode(),
    ],
)
def test_no_encoding_hides_a_copy(tmp_path: Path, content: bytes) -> None:
    for name, source in {"one": SOURCE.encode(), "two": content}.items():
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "vae.py").write_bytes(source)
    entries = find_submissions(tmp_path / "class")
    (pair,), left_out = compare(entries, A3, None, tmp_path / "page.html")
    assert (pair.one, pair.other) == ("one", "two")
    assert pair.share > 0.9
    assert left_out == {}


def test_what_is_not_compared_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "LARGEST", 1000)
    (tmp_path / "class" / "one").mkdir(parents=True)
    (tmp_path / "class" / "one" / "vae.py").write_text("#" * 2000)
    (tmp_path / "class" / "two.zip").write_bytes(b"no zip")
    entries = find_submissions(tmp_path / "class")
    pairs, left_out = compare(entries, A3, None, tmp_path / "page.html")
    assert pairs == []
    assert left_out["one"] == ["not compared: vae.py has 2,000 bytes"]
    assert left_out["two"][0].startswith("not compared: two.zip: not a zip archive")


def test_a_source_is_read_as_python_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_bytes("# coding: cp1252\nx = '\u20ac'\n".encode("cp1252"))
    assert "\u20ac" in source_text(path)
