"""Copies that are found in spite of a disguise, and what is said of sources that are not read."""

import json
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.classroom import similarity
from grader.classroom.class_run import find_submissions
from grader.classroom.normal_form import normal_form
from grader.classroom.similarity import Pair, compare, earlier_entries
from grader.errors import UserError
from grader.submission.notebook import Source, decoded_source
from tests.grader.classes import grader
from tests.grader.disguises import HONEST, KINDS, MORE, ROOT, Sources
from tests.mutations import damaged

A3 = read_assignment("a3")
WILD = Path(__file__).parents[1] / "wild"
SOURCE = HONEST["honest"].read_text()
# Made from `channels`, with another mistake each: the same program by design.
SAME_PROGRAM = {"crashes_late", "loud", "wrong_count"}
INDEPENDENT = (
    "gmm.py",
    "losses.py",
    "inference.py",
    "storage.py",
    "clusters.py",
    "data.py",
    "figures.py",
    "classifier.py",
    "studies/segment/study.py",
    "studies/faces/networks.py",
)


def write(folder: Path, sources: Sources) -> None:
    for name, content in sources.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def compared(
    folder: Path, base: Path | None = None, old: list[Path] | None = None
) -> tuple[list[Pair], dict[str, list[str]]]:
    """Compare the submissions in a folder; the page is written next to it."""
    page = folder.parent / "page.html"
    return compare(find_submissions(folder), A3, base, page, earlier_entries(old or []))


def shares(folder: Path) -> dict[tuple[str, str], float]:
    return {(pair.one, pair.other): pair.share for pair in compared(folder)[0]}


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
def test_a_disguised_copy_is_found(tmp_path: Path, kind: str) -> None:
    disguise = (KINDS | MORE)[kind]
    for name, path in HONEST.items():
        sources = {"vae.py": path.read_bytes()}
        write(tmp_path / "class" / name, sources)
        write(
            tmp_path / "class" / f"{name}-copy", disguise(sources, random.Random(f"{kind} {name}"))
        )
    pairs, left_out = compared(tmp_path / "class")
    found = {(pair.one, pair.other): pair.share for pair in pairs}
    copies = [found.get((name, f"{name}-copy"), 0) for name in HONEST]
    assert min(copies) > (0.99 if kind in KINDS else 0.73 if kind == "everything" else 0.82)
    assert left_out == {}
    # Unused functions are those of another of these programs.
    if kind != "unused functions":
        assert len(found) == len(HONEST)


def test_honest_submissions_are_not_similar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similarity, "THRESHOLD", 0.36)
    for folder in WILD.iterdir():
        if folder.name not in SAME_PROGRAM:
            sources = {path.name: path.read_bytes() for path in folder.glob("*.py")}
            write(tmp_path / "class" / folder.name, sources)
    for name in INDEPENDENT:
        write(tmp_path / "class" / name.replace("/", "-"), {"vae.py": (ROOT / name).read_bytes()})
    assert len(list((tmp_path / "class").iterdir())) == 21
    assert compared(tmp_path / "class") == ([], {})


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
        SOURCE.replace("\n", "\r").encode(),
        SOURCE.replace("\n\n", "\n\0\n").encode(),
        f"def broken(:\n{SOURCE}\n!pip install x\n".encode(),
        f"{SOURCE}\ndeep = {'-' * 20_000}1\n".encode(),
        f"{SOURCE}\ndeep = {'1 + ' * 20_000}1\n".encode(),
    ],
)
def test_neither_encoding_nor_broken_lines_hide_a_copy(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "class" / "one", {"vae.py": SOURCE.encode()})
    write(tmp_path / "class" / "two", {"vae.py": content})
    (pair,), left_out = compared(tmp_path / "class")
    assert (pair.one, pair.other) == ("one", "two")
    assert pair.share > 0.9
    assert left_out == {}


def test_all_files_and_cells_count_and_what_cannot_be_run_too(tmp_path: Path) -> None:
    notebook = {"cell_type": "code", "outputs": [], "source": f"%%writefile net.py\n{SOURCE}"}
    text = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [notebook]})
    write(tmp_path / "class" / "file", {"main.py": SOURCE.encode()})
    write(tmp_path / "class" / "written", {"vae.py": b"import net\n", "vae.ipynb": text.encode()})
    write(tmp_path / "class", {"alone.ipynb": text.encode()})
    pairs, left_out = compared(tmp_path / "class")
    assert {(pair.one, pair.other) for pair in pairs} == {
        ("alone.ipynb", "file"),
        ("alone.ipynb", "written"),
        ("file", "written"),
    }
    assert left_out == {}
    assert "<h3>vae.ipynb, cell 1</h3>" in (tmp_path / "page.html").read_text()


def test_what_is_not_compared_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "LARGEST", 1000)
    write(tmp_path / "class" / "one", {"vae.py": b"#" * 2000, "small.py": b"import this\n"})
    write(tmp_path / "class", {"two.zip": b"no zip"})
    write(tmp_path / "class" / "three", {"vae.py": b"import this\n", "x.ipynb": b"{"})
    write(tmp_path / "class" / "four", {"notes.txt": b"nothing"})
    write(tmp_path / "class" / "five", {"vae.py": b"\xff ( [ \n" * 50})
    pairs, left_out = compared(tmp_path / "class")
    assert pairs == []
    assert left_out["one"] == ["not compared: vae.py has 2,000 characters"]
    assert left_out["two"][0].startswith("not compared: two.zip: not a zip archive")
    assert left_out["three"][0].startswith("not compared: x.ipynb: no JSON")
    assert left_out["four"][0].startswith("not compared: four: no vae.py")
    assert left_out["five"] == ["compared as plain text, because it is no Python: vae.py"]


def test_text_that_is_no_python_is_compared_too(tmp_path: Path) -> None:
    text = "".join(f"let value{i} be {{ {i} of {i * i} }}\n" for i in range(100)).encode()
    write(tmp_path / "class" / "one", {"vae.py": text})
    write(tmp_path / "class" / "two", {"vae.py": b"more ( text\n" + text})
    assert shares(tmp_path / "class")["one", "two"] > 0.9


def test_known_code_is_not_counted(tmp_path: Path) -> None:
    starter, own = HONEST["plain"].read_bytes(), HONEST["workers"].read_bytes()
    write(tmp_path / "base", KINDS["notebook"]({"vae.py": starter}, random.Random(0)))
    write(tmp_path / "class" / "one", {"vae.py": starter, "own.py": SOURCE.encode()})
    write(tmp_path / "class" / "two", {"vae.py": starter, "own.py": own})
    assert len(compared(tmp_path / "class")[0]) == 1
    assert compared(tmp_path / "class", tmp_path / "base")[0] == []
    assert str(tmp_path / "base") in (tmp_path / "page.html").read_text()
    write(tmp_path / "base", {"damaged.ipynb": b"{"})
    with pytest.raises(UserError, match="files of known code that can be read"):
        compared(tmp_path / "class", tmp_path / "base")


def test_earlier_years_are_compared_with_this_one_only(tmp_path: Path) -> None:
    for name in ("2025/a", "2025/b", "class/c"):
        write(tmp_path / name, {"vae.py": SOURCE.encode()})
    write(tmp_path / "2025", {"broken.zip": b"no zip"})
    pairs, left_out = compared(tmp_path / "class", old=[tmp_path / "2025"])
    assert [(pair.one, pair.other) for pair in pairs] == [("c", "2025/a"), ("c", "2025/b")]
    assert left_out.keys() == {"2025/broken"}
    write(tmp_path / "other" / "2025" / "a", {"vae.py": SOURCE.encode()})
    with pytest.raises(UserError, match="a second folder of this name"):
        earlier_entries([tmp_path / "2025", tmp_path / "other" / "2025"])


def test_flags_are_those_of_this_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "class" / "new", {"vae.py": SOURCE.encode()})
    write(tmp_path / "2025" / "old", {"vae.py": SOURCE.encode()})
    write(tmp_path / "2025", {"broken.zip": b"no zip"})
    plan = {"submissions": str(tmp_path / "class"), "assignment": "a3", "data": str(tmp_path)}
    write(tmp_path / "run", {"run.json": json.dumps(plan | {"extensions": None}).encode()})
    monkeypatch.chdir(tmp_path)
    assert grader("similarity run --old 2025", monkeypatch) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("2025/broken: not compared: broken.zip: not a zip archive")
    assert "100%  new  2025/old" in shown.out
    flags = json.loads((tmp_path / "run" / "flags.json").read_text())
    assert flags == {"new": ["similar: 100% in common with 2025/old"]}
    pairs = json.loads((tmp_path / "run" / "similarity.json").read_text())["pairs"]
    assert pairs == [["new", "2025/old", 1.0]]


def test_the_page_marks_common_lines_and_escapes_all_text(tmp_path: Path) -> None:
    extra = "alert = '<script>'\nprint(sorted({alert: 3}, key=repr), file=open('x', 'w'))\n"
    write(tmp_path / "class" / "one", {"vae.py": SOURCE.encode()})
    write(tmp_path / "class" / "<two>", {"vae.py": (SOURCE + extra).encode()})
    compared(tmp_path / "class")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "alert = &#39;&lt;script&gt;&#39;\n" in page
    assert "<h2>&lt;two&gt;</h2>" in page
    line = "    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:2]"
    assert page.count(f"<mark>{line}</mark>") == 2
    assert "default-src 'none'" in page


def test_the_result_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("plain", "workers", "honest"):
        sources = {"vae.py": HONEST[name].read_bytes()}
        write(tmp_path / "class" / name, sources)
        write(tmp_path / "class" / f"{name}-2", MORE["everything"](sources, random.Random(0)))
    first = compared(tmp_path / "class"), (tmp_path / "page.html").read_text()
    assert (compared(tmp_path / "class"), (tmp_path / "page.html").read_text()) == first


def test_a_source_is_read_as_python_reads_it() -> None:
    assert "\u20ac" in decoded_source("# coding: cp1252\nx = '\u20ac'\n".encode("cp1252"))


NASTY = st.sampled_from(
    [
        b"(" * 150 + b")" * 150,
        b"x = " + b"[" * 90 + b"]" * 90,
        b"x" + b".a()" * 5000,
        b"-" * 9000 + b"1",
        b"1 +" * 9000 + b"1",
        b"if a: pass\n" + b"elif b: pass\n" * 3000,
        b"match a:\n case " + b"[" * 80 + b"]" * 80 + b": pass",
        b"f = " + b"lambda a=" * 90 + b"1" + b": 2" * 90,
        b"x = 9" + b"9" * 5000 + b" ** 9 ** 9",
        b"x = 1 / 0 % 0 + 1e308 * 1e308",
        b"\0\xff\xfe# coding: utf-7\n",
        b"global x; x = x; x += 0; del x",
        b"def f(x): return x\nf(f(f))\nasync def g(): await f(g)\n",
        b"a = b = a, b = b, a\n(a := 1)",
        b"try: x\nexcept* E: pass",
        b"def f():\n nonlocal y\n global f\n",
        b"'" + b"\\" * 999,
    ]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(NASTY, damaged(SOURCE.encode()), st.binary(max_size=300)), max_size=3))
def test_no_source_breaks_the_normal_form(parts: list[bytes]) -> None:
    before = sys.getrecursionlimit()
    form = normal_form([Source("x.py", b"\n".join(parts), "x.py"), Source("y, cell 1", "x", None)])
    assert len(form.text) == len(form.rows)
    assert all(row is None or 0 <= row < len(form.lines) for row in form.rows)
    assert sys.getrecursionlimit() == before


def test_a_large_source_is_compared(tmp_path: Path) -> None:
    large = SOURCE + "".join(f"value_{i} = compute({i})[{i}] + {i}\n" for i in range(8_000))
    write(tmp_path / "class" / "one", {"vae.py": large.encode()})
    write(tmp_path / "class" / "two", {"vae.py": SOURCE.encode()})
    assert shares(tmp_path / "class")["one", "two"] == 1
