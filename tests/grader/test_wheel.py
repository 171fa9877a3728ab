"""The grader, installed without the rest of the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import grader
from tests.grader.test_exploits import program

ROOT = Path(grader.__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the unpacked wheel. Do not write to it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    process = subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    with zipfile.ZipFile(folder / process.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(
    installed: Path, folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command as its console script would, in `folder`."""
    script = "import sys; from vae_grader.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_the_grader_alone(installed: Path) -> None:
    package, info = sorted(path.name for path in installed.iterdir())
    assert (package, info) == ("vae_grader", f"vae_grader-{grader.__version__}.dist-info")
    entry_points = (installed / info / "entry_points.txt").read_text()
    assert "vae-grader = vae_grader.__main__:main" in entry_points
    source = Path(grader.__file__).parent
    files = {p.relative_to(source) for p in source.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    copies = {p.relative_to(installed / package) for p in (installed / package).rglob("*.*")}
    assert {path for path in files if path.suffix} <= copies
    assert (installed / package / "templates" / "run_autograder").is_file()


@pytest.mark.slow
def test_it_works_in_a_student_s_own_folder(
    installed: Path, data_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "vae.py").write_text(program())
    assert run(installed, tmp_path, "--version").stdout == f"vae-grader {grader.__version__}\n"
    options = ("--trust", "--train", "--data", str(data_folder), "--out", "out")
    graded = run(installed, tmp_path, "run", ".", *options)
    assert graded.returncode == 0, graded.stderr
    assert "points" in graded.stdout
    assert (tmp_path / "out" / "report.html").is_file()
    autograder = run(installed, tmp_path, "gradescope", "a.zip", "--data", str(data_folder))
    assert autograder.returncode == 0, autograder.stderr
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
    assert {"grader/cli.py", "grader/requirements.lock", "setup.sh", "run_autograder"} <= {*names}


@pytest.mark.parametrize(
    ("typed", "completed"), [("vae-grader ba", "batch"), ("vae-grader batch --jo", "--jobs")]
)
def test_a_shell_completes_its_words(
    installed: Path, tmp_path: Path, typed: str, completed: str
) -> None:
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    found = run(installed, tmp_path, _VAE_GRADER_COMPLETE="complete_bash", **asked)
    assert found.stdout.split() == [completed]


@pytest.mark.parametrize(
    "line", ["bundle out.py", "package --data . --group 2020CSZ1234 --name Ann"]
)
def test_what_needs_the_repository_says_so(installed: Path, tmp_path: Path, line: str) -> None:
    process = run(installed, tmp_path, *line.split())
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    name = line.split()[0]
    assert process.stderr.startswith(f"{name}: it needs the source of vae.py")
    assert f"expected 'python -m grader {name}' in a copy of the repository" in process.stderr
    assert list(tmp_path.iterdir()) == []
