"""Notebooks that students hand in: what is read in them, whatever is in them."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assessment.sections import section_cells
from grader.assignment import Rules
from grader.errors import UserError
from grader.judging import NotebookCheck
from grader.submission import notebook_checks, rules
from grader.submission.contents import Contents
from grader.submission.notebook import (
    cell_source,
    read_notebook,
    sources,
    without_magics,
    without_outputs,
)
from grader.submission.notebook_checks import Handed
from tests.grader.notebooks import code, honest, markdown, notebook, printed, shown


def write(tmp_path: Path, cells: list[dict[str, Any]]) -> Path:
    path = tmp_path / "work.ipynb"
    path.write_text(notebook(cells))
    return path


def findings(tmp_path: Path, *cells: dict[str, Any], **settings: Any) -> list[str]:
    path = write(tmp_path, list(cells))
    found = rules.check(tmp_path, [path], path.name, Rules(**settings))
    return [str(finding) for finding in found]


def test_cells_are_numbered_and_their_lines_joined(tmp_path: Path) -> None:
    cells = [markdown("# Title"), code("a = 1\n", printed("x")), code("")]
    cells[1]["source"] = ["a = 1\n", "b = 2"]
    read = read_notebook(write(tmp_path, cells))
    assert [cell.number for cell in read.cells] == [1, 2, 3]
    assert [cell.source for cell in read.code] == ["a = 1\nb = 2"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"not json", "no JSON"),
        (b"[1]", "its content"),
        (b'{"nbformat": 3, "worksheets": []}', "in format 3"),
        (b'{"nbformat": 4}', "cells"),
        (b'{"nbformat": 4, "cells": [{"source": "x"}]}', "cells.0.cell_type"),
        (b'{"nbformat": 4, "cells": {}}', "cells"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
    ],
)
def test_what_is_no_notebook_is_refused_in_one_line(
    tmp_path: Path, content: bytes, found: str
) -> None:
    path = tmp_path / "work.ipynb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=found) as error:
        read_notebook(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)
FIELDS = st.sampled_from(
    ["cell_type", "source", "outputs", "attachments", "execution_count", "data", "output_type"]
)


@given(cells=st.lists(st.dictionaries(FIELDS, JSON | st.sampled_from(["code", "markdown"]))))
def test_any_json_is_read_or_refused(
    cells: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "work.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "cells": cells}))
    try:
        read = read_notebook(path)
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert len(read.cells) == len(cells)
    for source in sources(path, "work.ipynb"):
        assert source.file is None or ".." not in source.file.split("/")
    json.loads(without_outputs(read))


PIECES = st.sampled_from(
    [
        *("%matplotlib inline", "!pip install x", "x = !ls", "?help", "help?", "  %time b()"),
        *("a = 1", "if a:", "    !ls", "'''", "%%time", "%%bash", "def f():", "    return 1", ""),
        "é = '%x'",
    ]
)


@given(lines=st.lists(PIECES, max_size=8))
def test_line_numbers_survive_the_magics(lines: list[str]) -> None:
    text = "\n".join(lines)
    python, magics = without_magics(text)
    assert python.count("\n") == text.count("\n")
    assert all(1 <= magic.line <= len(lines) for magic in magics)
    for old, new in zip(lines, python.split("\n"), strict=True) if lines else ():
        assert old == new or old.lstrip().startswith(("%", "!", "?")) or "!" in old or "?" in old


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("files = !ls\ny = %env HOME", "files = None\ny = None"),
        ("for i in x:\n    !echo {i}", "for i in x:\n    pass"),
        ("%time import sklearn", "import sklearn"),
        ("print?\nx = 1", "pass\nx = 1"),
        ("%matplotlib inline\nx = 1  # why?", "pass\nx = 1  # why?"),
        ("%matplotlib inline\nx = f(1\n      %k)", "pass\nx = f(1\n      %k)"),
        ("!pip install \\\n  x\ny = 1", "pass\n\ny = 1"),
        ("pip install x\ny = 1", "pass\ny = 1"),
        ("%timeit -n 10 f(1)", "f(1)"),
        ("s = '''\n!kept\n'''", "s = '''\n!kept\n'''"),
    ],
)
def test_magics_become_python(text: str, python: str) -> None:
    assert without_magics(text)[0] == python


def source_of(tmp_path: Path, text: str) -> tuple[str, str | None]:
    (cell,) = read_notebook(write(tmp_path, [code(text)])).code
    source = cell_source(cell, "work.ipynb")
    assert isinstance(source.text, str)
    return source.text, source.file


def test_a_cell_may_write_a_module(tmp_path: Path) -> None:
    assert source_of(tmp_path, "%%writefile nets/vae.py\nx = 1") == ("\nx = 1", "nets/vae.py")
    assert source_of(tmp_path, "%%writefile notes.md\nhello") == ("", None)
    assert source_of(tmp_path, "%%bash\nrm -r x") == ("", None)
    assert source_of(tmp_path, "%%time\nimport os") == ("\nimport os", None)


@pytest.mark.parametrize(
    "place", ["/etc/x.py", "../x.py", "a/../../x.py", "~/x.py", "a\0.py", "$X.py"]
)
def test_no_module_leads_outside(tmp_path: Path, place: str) -> None:
    assert source_of(tmp_path, f"%%writefile {place}\nx = 1") == ("", None)


def test_rules_name_the_cell_and_its_line(tmp_path: Path) -> None:
    found = findings(
        tmp_path,
        markdown("# Title"),
        code("import numpy as np"),
        code("x = 1\n\nfrom sklearn.mixture import GaussianMixture"),
        forbidden=["sklearn"],
    )
    assert found == [
        "work.ipynb, cell 3, line 3: imports sklearn.mixture.GaussianMixture, which the assignment "
        "forbids"
    ]


def test_names_are_known_in_later_cells(tmp_path: Path) -> None:
    cells = code("import torch as t"), code("t.hub.load('x', 'y')")
    found = findings(tmp_path, *cells, forbidden=["torch.hub"])
    assert "work.ipynb, cell 2, line 1: uses torch.hub.load, which the assignment forbids" in found


def test_no_magic_hides_an_import(tmp_path: Path) -> None:
    for text in (
        "%time import sklearn",
        "%%time\nimport sklearn",
        "%%capture out\nimport sklearn",
        "%%timeit -n1 -r1 import sklearn\npass",
        "%timeit -n1 import sklearn",
        "%prun import sklearn",
    ):
        assert any(
            "imports sklearn" in f for f in findings(tmp_path, code(text), forbidden=["sklearn"])
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!curl http://x", "runs a command: !curl http://x"),
        ("%%bash\nls", "runs a command: %%bash"),
        ("%run other.py", "runs a command: %run other.py"),
        ("%%python\nimport sklearn", "runs a command: %%python"),
        ("%alias go python x.txt", "runs a command: %alias go python x.txt"),
        ("%load_ext sklearn", "runs a command: %load_ext sklearn"),
        ("!pip install x; python y.txt", "runs a command: !pip install x; python y.txt"),
        ("%%writefile ../evil.py\nx = 1", "runs a command: %%writefile ../evil.py"),
        ("x = !ls", "runs a command: !ls"),
        ("get_ipython().run_cell('x')", "uses get_ipython"),
        ("pip install umap-learn", "installs packages: pip install umap-learn"),
        ("!pip install umap-learn", "installs packages: !pip install umap-learn"),
        ("%pip install umap-learn", "installs packages: %pip install umap-learn"),
    ],
)
def test_commands_are_flagged_or_remarked(tmp_path: Path, text: str, said: str) -> None:
    assert findings(tmp_path, code(text)) == [f"work.ipynb, cell 1, line 1: {said}"]


@pytest.mark.parametrize(
    "text",
    [
        "%matplotlib inline\n%load_ext autoreload\nx = 1",
        "p = %pwd",
        "import math\nmath?",
        "%matplotlib inline\nx = 1  # enough?",
        "%%writefile notes.md\nhello",
        "%timeit -n 10 sum([1])",
    ],
)
def test_usual_magics_are_no_finding(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, code(text)) == []


def test_a_cell_may_not_write_a_module_in_the_place_of_another(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, code("%%writefile random.py\nx = 1"))
    assert "takes the place of the module random" in found


def test_a_broken_cell_is_flagged_and_the_others_are_read(tmp_path: Path) -> None:
    found = findings(tmp_path, code("x ="), code("import sklearn"), forbidden=["sklearn"])
    assert found[0].startswith("work.ipynb, cell 1, line 1: is not valid Python")
    assert "cell 2, line 1: imports sklearn" in found[1]


def test_a_notebook_is_run_without_its_outputs(tmp_path: Path) -> None:
    stripped = without_outputs(read_notebook(write(tmp_path, honest())))
    cells = json.loads(stripped)["cells"]
    assert len(cells) == len(honest())
    assert "image/png" not in stripped
    assert "noa@campus" not in stripped
    assert [c["source"] for c in cells if c["cell_type"] == "code"] == [
        c["source"] for c in honest() if c["cell_type"] == "code"
    ]


def test_the_honest_notebook_is_python(tmp_path: Path) -> None:
    for source in sources(write(tmp_path, [*honest(), code("1 + 1", shown())]), "work.ipynb"):
        ast.parse(source.text)


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000 + "x",
        "# " + "#" * 200_000 + "x",
        "|" + " " * 200_000 + "x",
        "{" * 200_000 + "%" * 200_000,
        "```\n" * 50_000,
        "x = " * 50_000 + "!ls",
        "?" * 200_000,
        "%%" + "w" * 200_000,
    ],
)
@pytest.mark.parametrize("kind", ["markdown", "code"])
def test_no_line_keeps_the_grader_busy(tmp_path: Path, text: str, kind: str) -> None:
    cell = markdown(text) if kind == "markdown" else code(text)
    check = NotebookCheck.model_validate(
        {"name": "t", "title": "t", "points": 1, "kind": "table_filled", "columns": ["a"]}
    )
    path = write(tmp_path, [cell])
    read = read_notebook(path)
    handed = Handed(read, [*sources(path, "work.ipynb")], Contents())
    notebook_checks.table_filled(handed, check)
    notebook_checks.checkpoints(handed, check.model_copy(update={"names": ["a_{}_b.pth"]}))
    assert section_cells(read, "question", ["other"]) == []
    findings(tmp_path, cell)
