import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from grader import cli
from grader.cli import EXAMPLES, LOCK, main
from grader.sandbox.command import Level
from grader.sandbox.isolation import best_level
from tests.grader import notebooks
from tests.grader.test_exploits import program

Score = Callable[..., tuple[int, str, str]]


@pytest.fixture
def score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Score:
    """Return a function that runs `grader score` on a valid submission, with changed options."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (30, 28, 28)), np.repeat([1, 4, 8], 10)
    np.savez("test.npz", data=images.astype(np.uint8), labels=labels)
    np.savez("recon.npz", data=np.clip(images / 255 + 0.01, 0, 1))
    Path("vae.csv").write_text("Predicted_Label\n" + "\n".join(map(str, [*labels[:29], 1])))
    torch.save(nn.Linear(10, 3).state_dict(), "vae.pth")
    Path("gmm.pkl").write_bytes(b"\x80\x04}.")

    def run(**options: str) -> tuple[int, str, str]:
        words = {
            "recon_truth": "test.npz",
            "recon": "recon.npz",
            "truth": "test.npz",
            "pred": "vae.csv",
            "model": "vae.pth",
            "gmm": "gmm.pkl",
            "json": "out/scores.json",
        } | options
        argv = ["grader", "score"]
        for name, value in words.items():
            argv += [f"--{name.replace('_', '-')}", value]
        monkeypatch.setattr(sys, "argv", argv)
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_scores_go_to_the_terminal_and_to_json(score: Score) -> None:
    code, out, err = score()
    assert (code, err) == (0, "")
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["classification"]["accuracy"]["value"] == pytest.approx(29 / 30)
    assert scores["parameters"] == 33
    assert scores["within_limit"] is True
    assert scores["gmm_bytes"] == 4
    assert scores["remarks"] == []
    assert [row["label"] for row in scores["classes"]] == [1, 4, 8]
    for text in ("1 - MSE", "SSIM", "Macro F1", "33 numbers", "4 bytes", "chance alone"):
        assert text in out


def test_remarks_are_shown(score: Score) -> None:
    images = np.load("recon.npz")["data"]
    np.savez("other.npz", recon_data=images.reshape(30, 784) * 255)
    code, out, _ = score(recon="other.npz")
    remarks = json.loads(Path("out/scores.json").read_text())["remarks"]
    assert code == 0
    assert len(remarks) == 3
    assert out.count("Remark:") == 3


@pytest.mark.parametrize(
    ("numbers", "within", "remarks"), [(11_000_000, True, 1), (21_000_000, False, 1)]
)
def test_large_models(score: Score, numbers: int, within: bool, remarks: int) -> None:
    torch.save({"a": torch.zeros(numbers, dtype=torch.int8)}, "large.pth")
    assert score(model="large.pth")[0] == 0
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["within_limit"] is within
    assert len(scores["remarks"]) == remarks


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"recon": "nothing.npz"}, "nothing.npz: cannot be opened"),
        ({"recon_truth": "vae.csv"}, "vae.csv: not a zip archive"),
        ({"truth": "recon.npz"}, "recon.npz: no 'labels'"),
        ({"pred": "."}, ".: a folder"),
        ({"pred": "test.npz"}, "test.npz: not a CSV"),
        ({"model": "gmm.pkl"}, "gmm.pkl: not a zip archive"),
        ({"gmm": "nothing.pkl"}, "nothing.pkl: cannot be opened"),
        ({"json": "vae.csv/scores.json"}, "scores.json: cannot be written"),
        ({"json": "."}, "cannot be written"),
        ({"json": "vae.csv"}, "vae.csv: the name of a file to read"),
        ({"nonsense": "3"}, "No such option"),
    ],
)
def test_a_mistake_is_one_line(score: Score, options: dict[str, str], found: str) -> None:
    before = {p: p.read_bytes() for p in Path().iterdir() if p.is_file()}
    code, out, err = score(**options)
    assert code == 2
    assert found in err
    assert err.count("\n") == 1
    assert out == ""
    assert {p: p.read_bytes() for p in Path().iterdir() if p.is_file()} == before


def test_the_truth_may_be_a_link(score: Score) -> None:
    Path("link.npz").symlink_to("test.npz")
    assert score(recon_truth="link.npz", truth="link.npz")[0] == 0
    assert score(recon="link.npz")[0] == 2


def test_a_missing_option_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["grader", "score"])
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_names_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["grader", "--help"])
    assert main() == 0
    assert "score" in capsys.readouterr().out


def test_the_help_of_every_command_ends_in_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in EXAMPLES:
        monkeypatch.setattr(sys, "argv", ["grader", name, "--help"])
        assert main() == 0
        text, _, example = capsys.readouterr().out.partition("Example: ")
        assert example.startswith(f"python -m grader {name}")
        assert all(word in text for word in example.split() if word.startswith("--"))


@pytest.fixture
def grader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `python -m grader` with the given words."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grader", *map(str, words)])
        return main(), *capsys.readouterr()

    return run


@pytest.fixture
def honest(submit: Callable[..., Path]) -> Path:
    return submit({"vae.py": program()})


def test_one_command_takes_a_student_through_all_stages(
    grader: Score, honest: Path, data_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, shown, err = grader("run", honest, "--trust", "--data", data_folder, "--out", out)
    assert (code, err) == (0, "")
    for text in ("reconstruct", "Classification", "80 points", "Report: up to 20 points"):
        assert text in shown
    results = json.loads((out / "results.json").read_text())
    assert results["extra_data"]["record"]["level"] == "trusted"
    assert "<html" in (out / "report.html").read_text()


def test_without_a_test_set_another_stands_in_and_is_named(
    grader: Score, honest: Path, data_folder: Path, tmp_path: Path
) -> None:
    for name in ("train", "val"):
        (tmp_path / f"mnist_1_4_8_{name}.npz").write_bytes(
            (data_folder / f"mnist_1_4_8_{name}.npz").read_bytes()
        )
    code, shown, _ = grader("run", honest, "--trust", "--data", tmp_path)
    assert code == 0
    assert "mnist_1_4_8_train.npz replaces it" in shown.replace("\n", " ")


def test_an_earlier_result_is_confirmed_or_the_differences_are_named(
    grader: Score, honest: Path, data_folder: Path, tmp_path: Path
) -> None:
    words = ["run", honest, "--trust", "--data", data_folder, "--json", tmp_path / "first.json"]
    assert grader(*words)[0] == 0
    again = [*words[:-1], tmp_path / "second.json", "--against", tmp_path / "first.json"]
    code, shown, _ = grader(*again)
    assert code == 0
    assert "the same as in" in shown
    text = (honest / "vae.py").read_text().replace("[:2]", "[:1]")
    (honest / "vae.py").write_text(text)
    shown = grader(*again)[1]
    assert "sha256 was" in shown
    assert "metrics.reconstruction.value was" in shown


def test_a_mistake_in_the_data_replaces_no_earlier_result(
    grader: Score, honest: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("earlier")
    words = ("run", honest, "--trust", "--data", honest, "--out", tmp_path / "out")
    assert grader(*words)[0] == 2
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["earlier"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["nowhere", "--data", "{data}"], "nowhere: no such file or folder"),
        (["{honest}", "--data", "nowhere"], "no such file"),
        (["{honest}"], "no such file; expected the data set 'train' of the assignment (--data"),
        (["{honest}", "--data", "{data}", "--assignment", "a9"], "or one of: "),
        (["{honest}", "--data", "{data}", "--assignment", "{honest}/vae.py"], "not TOML"),
        (["{honest}", "--data", "{data}", "--stages", "train,test"], "the stage 'test'"),
        (["{honest}", "--data", "{data}", "--train", "--weights"], "exclude each other"),
        (["{honest}", "--data", "{data}", "--weights-dir", "nowhere"], "nowhere"),
        (["{honest}", "--data", "{data}", "--out", "{honest}/vae.py"], "vae.py"),
        (["{honest}", "--data", "{data}", "--against", "{honest}/vae.py"], "not a results.json"),
        (["{empty}", "--data", "{data}"], "no vae.py"),
    ],
)
def test_a_mistake_in_the_command_line_of_run_is_one_line(
    grader: Score, honest: Path, data_folder: Path, tmp_path: Path, words: list[str], found: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"honest": honest, "data": data_folder, "empty": tmp_path / "empty"}
    before = (honest / "vae.py").read_bytes()
    code, shown, err = grader("run", "--trust", *(word.format(**places) for word in words))
    if words[0] == "{empty}":  # a mistake in the submission still gets a result
        assert code == 0
        assert found in shown
        return
    assert code == 2
    assert found in err
    assert err.count("\n") == 1
    assert (honest / "vae.py").read_bytes() == before


def test_a_dry_run_names_stages_limits_and_findings(grader: Score, honest: Path) -> None:
    code, shown, _ = grader("dry-run", "a3", honest)
    assert code == 0
    assert "Stage train: python vae.py {train} {val} train vae.pth gmm_params.pkl" in shown
    assert "at most 120.0 min, 8 GiB of memory" in shown
    assert "no call of torch.manual_seed" in shown


def test_the_doctor_names_the_level_of_this_machine(grader: Score) -> None:
    code, shown, _ = grader("doctor")
    best = best_level()
    assert code == int(best is Level.TRUSTED)
    said = "cannot be run here" if best is Level.TRUSTED else f"are run at level {best}"
    assert said in shown


def test_the_doctor_says_how_to_get_a_better_level(
    grader: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "best_level", lambda: Level.TRUSTED)
    monkeypatch.setattr(cli, "supported_level", lambda: Level.FULL)
    code, shown, _ = grader("doctor")
    assert code == 1
    assert "this machine supports level full" in shown
    commands = [line.split() for line in shown.splitlines() if line.startswith("    ")]
    assert [words[1:3] for words in commands] == [["-m", "venv"], ["-m", "pip"], ["-m", "grader"]]
    assert commands[1][-1] == str(LOCK)
    assert LOCK.is_file()


def test_new_asks_and_dry_run_shows(
    grader: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--title", "Homework", "--program", "*.ipynb", "--as-it-came"]
    code, out, _ = grader("new", "hw1", *words, "--functions", "f, g", "--questions", "2")
    assert code == 0
    assert "wrote hw1.toml" in out
    (tmp_path / "work.ipynb").write_text(notebooks.notebook(notebooks.honest()))
    code, out, _ = grader("dry-run", "hw1.toml", "work.ipynb")
    assert code == 0
    assert "Test f() returns the right value: f(x)" in out
    code, _, err = grader("new", "hw1", *words, "--functions", "f", "--questions", "2")
    assert code == 2
    assert err.count("\n") == 1
