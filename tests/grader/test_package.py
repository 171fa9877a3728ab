import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.assignment import read_assignment
from grader.cli import main
from grader.shipping.bundle import bundle
from grader.submission.check import check_submission

Run = Callable[..., tuple[int, str, str]]
LINK = "https://drive.google.com/file/d/1"
NAME = "2020CSZ1234_2020CSZ5678"


@pytest.fixture
def package(
    files: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs `grader package` on the small trained model.

    It takes flags, and options to change or, with the value None, to leave out.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("train", "val"):
        shutil.copy(files / f"{name}.npz", tmp_path / f"mnist_1_4_8_{name}.npz")
    for path in trained.iterdir():
        shutil.copy(path, tmp_path)
    usual = {
        "data": ".",
        "group": ["2020CSZ1234", "2020CSZ5678"],
        "name": ["Ann Müller", "Bob"],
        "model-link": LINK,
    }

    def run(*flags: str, **changes: str | list[str] | None) -> tuple[int, str, str]:
        words = ["grader", "package", *flags]
        for option, value in (usual | {k.replace("_", "-"): v for k, v in changes.items()}).items():
            for one in [value] if isinstance(value, str) else value or []:
                words += [f"--{option}", one]
        monkeypatch.setattr(sys, "argv", words)
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.slow
def test_the_zip_passes_the_check_and_is_the_same_twice(package: Run, tmp_path: Path) -> None:
    code, out, err = package("--weights")
    assert (code, err) == (0, ""), out
    path = tmp_path / "submission.zip"
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted(
            f"{NAME}/{name}"
            for name in (
                "vae.py",
                "group.txt",
                "model_path.txt",
                f"{NAME}.pdf",
                "vae.pth",
                "gmm_params.pkl",
            )
        )
        assert archive.read(f"{NAME}/vae.py").decode() == bundle()
        assert archive.read(f"{NAME}/model_path.txt").decode() == f"{LINK}\n"
        assert archive.read(f"{NAME}/group.txt").decode() == "2020CSZ1234\n2020CSZ5678\n"
    assert all(check.passed for check in check_submission(path, read_assignment("a3")))
    assert package("--weights")[0] == 0
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": ["2020CSZ1234"]}, "a --group and a --name for each author"),
        ({"group": ["2020CSZ1234", "2020CSZ1234"]}, "each once"),
        ({"group": ["2020CSZ1234", "2020CSZ567"]}, "expected an entry number"),
        ({"model_link": "vae.pth"}, "expected a link such as"),
        ({"model_link": "https://example.com/x"}, "still the example link"),
        ({"model_link": None}, "model_path.txt: still the example link"),
        ({"out": "work.zip"}, "the course asks for submission.zip"),
        ({"data": "nowhere"}, "cannot be read"),
    ],
)
def test_what_the_course_would_refuse_is_refused(
    package: Run, tmp_path: Path, changes: dict[str, str | list[str] | None], message: str
) -> None:
    code, _, err = package(**changes)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("*.zip"))
