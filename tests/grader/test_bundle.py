import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grader.assignment import read_assignment
from grader.shipping import bundle as bundling
from grader.shipping.bundle import CORE, ENTRY, ROOT, bundle, path_of
from grader.submission.rules import check

COMMANDS = (
    "train.npz val.npz train vae.pth gmm_params.pkl --epochs 2",
    "test.npz test_reconstruction vae.pth",
    "test.npz test_classifier vae.pth gmm_params.pkl",
)
OUTPUTS = ("vae.pth", "gmm_params.pkl", "vae.history.csv", "vae_reconstructed.npz", "vae.csv")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "vae.py"
    path.write_text(bundle())
    return path


@pytest.mark.slow
def test_the_bundle_gives_the_bytes_of_the_repository(
    files: Path, bundled: Path, tmp_path: Path
) -> None:
    outputs = []
    for name, program in {"one": bundled, "many": ROOT / "vae.py"}.items():
        folder = tmp_path / name
        folder.mkdir()
        for data in files.iterdir():
            shutil.copy(data, folder)
        for line in COMMANDS:
            command = [sys.executable, str(program), *line.split()]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        outputs.append({output: (folder / output).read_bytes() for output in OUTPUTS})
    assert outputs[0].keys() == outputs[1].keys()
    for output in OUTPUTS:
        assert outputs[0][output] == outputs[1][output], output
    assert np.load(tmp_path / "one" / "vae_reconstructed.npz")["data"].std() > 0


def test_the_bundle_breaks_no_rule_and_raises_no_question(bundled: Path) -> None:
    findings = check(bundled.parent, [bundled], "vae.py", read_assignment("a3").rules)
    assert list(map(str, findings)) == []


def test_the_bundle_is_clean_and_formatted(bundled: Path) -> None:
    for words in (["check"], ["format", "--check"]):
        options = ["--config", str(ROOT / "pyproject.toml"), str(bundled)]
        command = [sys.executable, "-m", "ruff", *words, *options]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        assert process.returncode == 0, process.stdout


def test_the_bundle_is_small(bundled: Path) -> None:
    text = bundled.read_text()
    in_docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            in_docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    code = [n for n, line in lines if line and line[0] != "#" and n not in in_docstrings]
    assert len(code) <= 1200


def test_the_bundle_says_where_each_section_is_from_and_needs_no_other_file(bundled: Path) -> None:
    text = bundled.read_text()
    places = [text.index(f"\n# {path_of(name)}\n") for name in (*CORE, ENTRY)]
    assert places == sorted(places)
    assert "importlib" not in text
    assert "extra_modes" not in text
    command = [sys.executable, "-I", str(bundled)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout
    assert out.count("python vae.py") == 3


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for a small core: it holds the entry, and tests add the module `one`."""
    monkeypatch.setattr(bundling, "ROOT", tmp_path)
    monkeypatch.setattr(bundling, "CORE", ("one",))
    (tmp_path / "vae.py").write_text(
        '"""Entry."""\n\nimport sys\n\nfrom one import used\n\n\ndef main():\n'
        "    if sys.argv:\n        extra_modes()\n    return used(sys.argv)\n\n\n"
        "def extra_modes():\n    return unused_here\n\n\n"
        'if __name__ == "__main__":\n    main()\n'
    )
    return tmp_path


def test_what_nothing_uses_is_left_out_and_comments_stay(core: Path) -> None:
    (core / "one.py").write_text(
        '"""One."""\n\nimport json\nimport math\n\n'
        "# Why so many.\nUSED = math.tau\n\n# Why not.\nUNUSED = json.dumps(1)\n\n\n"
        "class Thing:\n    def kept(self):\n        return USED\n\n"
        "    def dropped(self):\n        return self.dropped()\n\n\n"
        "def used(words):\n    # Because.\n    return Thing().kept()\n"
    )
    text = bundle()
    assert "# Why so many.\nUSED" in text
    assert "# Because." in text
    for gone in ("UNUSED", "Why not", "dropped", "json", "extra_modes", "from one"):
        assert gone not in text.replace("one.py", "")
    assert "import math\nimport sys\n" in text


@pytest.mark.parametrize(
    ("source", "clash"),
    [("import math\n\n\ndef main():\n    math.tau\n", "main"), ("import vae\n", "whole: {'vae'}")],
)
def test_modules_that_cannot_share_a_namespace_are_a_mistake(
    core: Path, source: str, clash: str
) -> None:
    (core / "one.py").write_text(source + "\n\ndef used(words):\n    return words\n")
    with pytest.raises(ValueError, match=clash):
        bundle()
