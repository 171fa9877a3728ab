import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import Rules, read_assignment
from grader.submission.hiding import hidden_paths
from grader.submission.rules import MOST_FINDINGS, Finding, Kind, decide, imported_files
from grader.submission.rules import check as check_files
from tests.mutations import damaged

RULES = read_assignment("a3").rules
SEED = "import torch\ntorch.manual_seed(0)\n"
ROOT = Path(__file__).resolve().parents[2]

Submit = Callable[..., Path]


def check(folder: Path, rules: Rules) -> list[Finding]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return check_files(folder, files, "vae.py", rules)


def kinds(submit: Submit, text: str | bytes, **more: str) -> list[tuple[Kind, int]]:
    """Return kind and line of each finding on a program; the lines of SEED are not counted."""
    content = text.encode() if isinstance(text, str) else text
    folder = submit({"vae.py": SEED.encode() + content, **more})
    return [(finding.kind, finding.line - 2) for finding in check(folder, RULES)]


def test_an_assignment_that_names_no_module_has_nothing_to_say_of_one(submit: Submit) -> None:
    folder = submit({"vae.py": "import numpy\nimport torch"})
    assert check(folder, Rules()) == []
    assert check(folder, Rules(allowed=["torch"])) != []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import sklearn", Kind.FORBIDDEN),
        ("import sklearn.mixture as m", Kind.FORBIDDEN),
        ("from sklearn import mixture", Kind.FORBIDDEN),
        ("from sklearn.mixture import GaussianMixture", Kind.FORBIDDEN),
        ("from sklearn.cluster import *", Kind.FORBIDDEN),
        ("import importlib\nimportlib.import_module('sklearn.mixture')", Kind.FORBIDDEN),
        ("__import__('timm')", Kind.FORBIDDEN),
        ("def f():\n    from torchvision import models", Kind.FORBIDDEN),
        ("import torchvision as tv\nnet = tv.models.resnet18()", Kind.FORBIDDEN),
        ("import sklearn.metrics\nsklearn.mixture.GaussianMixture(3)", Kind.FORBIDDEN),
        ("try:\n    import transformers\nexcept ImportError:\n    pass", Kind.FORBIDDEN),
        ("exec('import os')", Kind.SUSPICIOUS),
        ("eval('1')", Kind.SUSPICIOUS),
        ("e = exec\ne('x = 1')", Kind.SUSPICIOUS),
        ("class A:\n    def exec(self):\n        pass\nexec('x = 1')", Kind.SUSPICIOUS),
        ("__builtins__.exec('x = 1')", Kind.SUSPICIOUS),
        ("import ctypes", Kind.SUSPICIOUS),
        ("from importlib import import_module as im\nim('skle' + 'arn')", Kind.SUSPICIOUS),
        ("import os\nos.system('id')", Kind.SUSPICIOUS),
        ("from os import system\nsystem('id')", Kind.SUSPICIOUS),
        ("import socket", Kind.SUSPICIOUS),
        ("import subprocess", Kind.SUSPICIOUS),
        ("def f(:", Kind.BROKEN),
        ("x = 1\n  y = 2", Kind.BROKEN),
        ("x = '\0'", Kind.BROKEN),
        (b"# coding: nonsense\n", Kind.BROKEN),
        ("import torch\nsaved = torch.load('x', weights_only=False)", Kind.REMARK),
        ("for lr in [1, 2]:\n    train_model(lr)", Kind.REMARK),
        (
            "import itertools\nfor a, b in itertools.product(x, y):\n    model.fit(a, b)",
            Kind.REMARK,
        ),
        ("import lightgbm", Kind.REMARK),
    ],
)
def test_what_breaks_a_rule_is_found(submit: Submit, text: str | bytes, kind: Kind) -> None:
    if text == b"# coding: nonsense\n":
        folder = submit({"vae.py": text})
        found = [finding.kind for finding in check(folder, RULES)]
    else:
        found = [kind for kind, _ in kinds(submit, text)]
    assert kind in found


@pytest.mark.parametrize(
    "text",
    [
        "from sklearn.metrics import f1_score, accuracy_score",
        "from sklearn import metrics\nmetrics.f1_score",
        "import sklearn.metrics\nsklearn.metrics.f1_score([1], [1])",
        "import numpy as np, pandas as pd, matplotlib.pyplot as plt",
        "from skimage.metrics import structural_similarity as ssim",
        "import os, sys, pickle, argparse, time\nos.path.join('a', 'b')",
        "model.eval()\nmodel.train()",
        "import re\nre.compile('x')",
        "import torch\ntorch.compile(model)",
        "for epoch in range(10):\n    train(epoch)",
        "for x in [a, b]:\n    model.train()\n    print(x)",
        "from . import helpers",
        "def eval(model):\n    pass\neval(1)",
    ],
)
def test_what_is_allowed_leaves_nothing(submit: Submit, text: str) -> None:
    assert kinds(submit, text) == []


def test_a_finding_names_file_and_line(submit: Submit) -> None:
    folder = submit({"vae.py": SEED + "x = 1\nimport timm\n", "inner/net.py": "import timm"})
    texts = [str(finding) for finding in check(folder, RULES) if finding.kind is Kind.FORBIDDEN]
    assert texts == [
        "inner/net.py:1: imports timm, which the assignment forbids",
        "vae.py:4: imports timm, which the assignment forbids",
    ]


def test_modules_of_the_submission_itself_are_its_own(submit: Submit) -> None:
    text = "import helpers\nfrom nets.vae import VAE\nhelpers.models.resnet18()"
    assert kinds(submit, text, **{"helpers.py": "", "nets/vae.py": ""}) == []


@pytest.mark.parametrize(
    "name", ["torch.py", "numpy/__init__.py", "sitecustomize.py", "json.py", "sklearn.so"]
)
def test_a_file_that_takes_the_place_of_a_module_is_found(submit: Submit, name: str) -> None:
    folder = submit({"vae.py": SEED, name: ""})
    (finding,) = (f for f in check(folder, RULES) if f.kind is Kind.FORBIDDEN)
    assert "takes the place" in finding.message


def test_files_that_take_no_place_are_let_be(submit: Submit) -> None:
    files = {"logging/loss.png": "", "profile/notes.txt": "", "json.txt": "", "utils/net.py": ""}
    assert check(submit({"vae.py": SEED, **files}), RULES) == []


def test_a_data_file_does_not_make_a_forbidden_module_ones_own(submit: Submit) -> None:
    text = SEED + "from sklearn.mixture import GaussianMixture\nimport socket"
    files = {"sklearn.txt": "", "socket.txt": "", "sklearn/notes.py": ""}
    found = check(submit({"vae.py": text, **files}), RULES)
    assert [finding.kind for finding in found] == [Kind.FORBIDDEN, Kind.SUSPICIOUS]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        (b"x = 1\n# Andr\xe9\n", 2, "is not in utf-8 (byte e9): save it as UTF-8"),
        (b"# Andr\xe9\nx = 1\n", 1, "is not in utf-8 (byte e9)"),
        (b"# coding: ascii\nx = '\xc3\xa9'\n", 2, "is not in ascii (byte c3)"),
        (b"\xef\xbb\xbfx = 1\n# Andr\xe9\n", 0, ""),
        (b"# coding: rot13\nx = 1\n", 1, "not a text encoding"),
        (b"# coding: latin-1\n# Andr\xe9\n", 0, ""),
        (b"\xef\xbb\xbfx = '\xc3\xa9'\n", 0, ""),
    ],
)
def test_a_source_is_read_in_the_encoding_that_python_reads(
    submit: Submit, text: bytes, line: int, found: str
) -> None:
    folder = submit({"vae.py": text})
    broken = [f for f in check(folder, RULES) if f.kind is Kind.BROKEN]
    assert [f.line for f in broken] == [line] * bool(line)
    assert all(found in f.message for f in broken)
    done = subprocess.run([sys.executable, folder / "vae.py"], capture_output=True, check=False)
    assert (done.returncode == 0) is not bool(line), done.stderr


def test_a_broken_file_that_is_not_run_is_only_remarked_upon(submit: Submit) -> None:
    (finding,) = check(submit({"vae.py": SEED, "old/notes.py": "!pip install x"}), RULES)
    assert finding.kind is Kind.REMARK


def test_the_files_that_a_program_imports_are_followed(submit: Submit) -> None:
    folder = submit(
        {
            "vae.py": "import nets.vae as n\ndef f():\n    from helpers import g",
            "nets/vae.py": "from . import blocks\nfrom ..helpers import h",
            "nets/blocks.py": "import vae",
            "helpers.py": "(",
            "old.py": "import timm",
        }
    )
    files = list(folder.rglob("*.py"))
    found = imported_files(folder, files, "vae.py")
    names = {path.relative_to(folder).as_posix() for path in found}
    assert names == {"vae.py", "nets/vae.py", "nets/blocks.py", "helpers.py"}


def test_a_missing_seed_is_remarked_upon(submit: Submit) -> None:
    (finding,) = check(submit({"vae.py": "import torch"}), RULES)
    assert finding.kind is Kind.REMARK
    assert "torch.manual_seed" in finding.message
    text = "from torch import manual_seed\nmanual_seed(0)"
    assert check(submit({"vae.py": text}, "other"), RULES) == []


def test_an_allowed_package_that_is_not_installed_is_told(submit: Submit) -> None:
    found = kinds(submit, "import cv2")
    assert found in ([], [(Kind.MISSING, 1)])
    rules = RULES.model_copy(update={"allowed": ["torch", "not_a_package"]})
    (finding,) = check(submit({"vae.py": SEED + "import not_a_package"}, "other"), rules)
    assert finding.kind is Kind.MISSING


def test_what_the_grader_has_imported_does_not_matter(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as in a worker
    assert kinds(submit, "import __main__\n__main__.VAE = object") == []
    before = set(sys.modules)
    found = kinds(submit, "import tests.conftest, grader, antigravity.x", **{"n.py": "import idna"})
    assert [kind for kind, line in found if line == 1] == 2 * [Kind.REMARK, Kind.MISSING]
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"net.py": f"T = '{'x' * 10_001}'"}, "10,001 characters"),
        ({"net.py": "T = [" + 11 * (("x" * 999).join("''") + ", ") + "]"}, "10,989 characters"),
        ({"net.py": "T = [" + "0.25, " * 3000 + "]"}, "12,000 characters"),
        ({"net.py": f"T = 0x{'f' * 10_000}"}, "13,333 characters"),
        ({"net.py": 3 * '"' + "x" * 10_001 + 3 * '"'}, "10,001 characters"),
        ({f"net{i}.py": f"T = '{'x' * 2000}'" for i in range(6)}, "12,000 characters"),
        ({"net.py": f"# {'x' * 200_000}"}, "bytes of code and comments"),
        ({"net.npz": "x" * 20_001}, "20,001 bytes of files that are no code"),
        ({f"net{i}.json": "x" * 5_000 for i in range(5)}, "25,000 bytes of files"),
    ],
)
def test_room_for_a_table_of_answers_is_found(
    submit: Submit, files: dict[str, str], message: str
) -> None:
    (finding,) = check(submit({"vae.py": SEED, **files}), RULES)
    assert finding.kind is Kind.SUSPICIOUS
    assert message in finding.message


def test_usual_texts_are_no_table(submit: Submit) -> None:
    text = SEED + f'"""{"A docstring. " * 100}"""\nHELP = "{"x" * 500}"\nSIZES = [64, 128]'
    assert check(submit({"vae.py": text, "notes.txt": "x" * 5000}), RULES) == []


def test_findings_beyond_number_are_cut(submit: Submit) -> None:
    text = "import " + ", ".join(f"a{i}" for i in range(10_000))
    found = check(submit({"vae.py": SEED + text}), RULES)
    assert len(found) == MOST_FINDINGS + 1
    assert found[0].kind is Kind.SUSPICIOUS
    assert "the rest was not read" in found[0].message


def test_depth_beyond_reason_is_no_crash(submit: Submit) -> None:
    for i, text in enumerate(["(" * 5000, "-" * 50_000 + "1", "x" + ".y" * 20_000]):
        assert check(submit({"vae.py": text}, str(i)), RULES)


def test_the_longest_rule_decides() -> None:
    assert decide("sklearn.metrics.cluster", RULES) is True
    assert decide("sklearn.cluster", RULES) is False
    assert decide("torchvision.transforms", RULES) is True
    assert decide("lightgbm", RULES) is None


def test_what_is_hidden_is_all_that_an_allowed_module_does_not_load() -> None:
    rules = Rules(allowed=["sklearn.metrics"], forbidden=["sklearn", "not_a_package", "jinja2.ext"])
    hidden = list(hidden_paths(rules))
    names = {path.name for path in hidden if path.parent.name == "sklearn"}
    assert {"mixture", "naive_bayes.py", "svm", "__pycache__", "tests"} <= names
    assert not names & {"metrics", "utils", "base.py", "__init__.py", "preprocessing"}
    assert [path.name for path in hidden if path.parent.name == "jinja2"] == ["ext.py"]
    (jinja2,) = hidden_paths(Rules(forbidden=["jinja2"]))
    assert jinja2.name == "jinja2"
    assert list(hidden_paths(Rules(allowed=["sklearn.metrics"]))) == []


def test_the_graded_files_of_this_project_break_no_rule(tmp_path: Path) -> None:
    names = ["graded", "recipe", "models", "losses", "training", "inference", "gmm", "data"]
    for name in (*names, "storage", "vae"):
        (tmp_path / f"{name}.py").write_text((ROOT / f"{name}.py").read_text())
    found = check(tmp_path, RULES)
    assert [str(f) for f in found if f.kind in (Kind.FORBIDDEN, Kind.BROKEN)] == []


PROGRAM = (Path(__file__).parents[1] / "wild" / "plain" / "vae.py").read_bytes()


@given(content=damaged(PROGRAM) | st.binary())
def test_any_file_is_read_or_found_broken(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "vae.py").write_bytes(content)
    check(folder, RULES)
