import zipfile
from pathlib import Path
from typing import Any

import pypdf
import pytest

import vae
from reports.notebook import COURSES, imported, modules, packages, templates
from studies import MODES
from tests.mistakes import refusal

ROOT = Path(vae.__file__).parent
IDS = "--id1 012345678 --id2 87654321"


def run(line: str) -> int:
    return vae.main(line.split())


@pytest.mark.parametrize("course", COURSES)
def test_the_code_is_all_that_the_tasks_import(course: str) -> None:
    studies = [task.study for task in COURSES[course].tasks]
    assert set(studies) <= set(MODES)
    files = modules(studies)
    assert len(files) == len(set(files))
    ours = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in ROOT.rglob("*.py")
        if ".venv" not in path.parts
    }
    held = {file.removesuffix(".py").replace("/", ".") for file in files}
    for file in files:
        for name in imported(ROOT / file):
            assert name not in ours or name in held, f"{file} imports {name}"
    for study in studies:
        module = MODES[study][2].rsplit(".", 1)[0]
        assert module in held
        folder = module.replace(".", "/").rpartition("/")[0]
        assert any(template.startswith(folder) for template in templates([study]))


def test_what_pip_must_bring_is_found_in_the_code() -> None:
    files = modules(["celeba"])
    assert {"lightning-fabric", "rich", "torch", "typer"} <= set(packages(files))
    assert "lightning-fabric" not in packages(modules(["latent_study"]))


@pytest.mark.parametrize(
    "study", [task.study for course in COURSES.values() for task in course.tasks]
)
def test_every_task_takes_the_preset_that_it_is_given(
    study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(f"{tmp_path}/none {study} {tmp_path}/out --preset quick", capsys)
    assert message.startswith(f"{tmp_path}/none")


def images(sheet: Any) -> list[str]:
    """Return all pictures among a notebook's outputs."""
    outputs = [output for cell in sheet.cells for output in cell.get("outputs", [])]
    return [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]


@pytest.mark.slow
def test_the_notebook_is_executed_and_runs_again(mnist: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(mnist)
    line = (
        f"{tmp_path}/data notebook {tmp_path}/out --course 5lsl0 {IDS} --name1 Ada --preset quick"
    )
    assert run(line) == 0
    stem = "5lsl0_autoencoders_012345678_87654321"
    path = tmp_path / "out" / f"{stem}.ipynb"
    sheet = nbformat.read(path, as_version=4)
    nbformat.validate(sheet)
    assert "| Name | Campus Email | ID |" in sheet.cells[0].source
    assert "| Ada |  | 012345678 |" in sheet.cells[0].source
    pictures = images(sheet)
    assert len(pictures) > 10
    answers = [cell.source for cell in sheet.cells if cell.source.startswith("### ")]
    assert len(answers) == 16
    assert not any(line.startswith(("* ", "- ")) for text in answers for line in text.splitlines())
    with zipfile.ZipFile(tmp_path / "out" / f"{stem}.zip") as archive:
        assert sorted(archive.namelist()) == [f"{stem}.ipynb", f"{stem}.pdf"]
        assert archive.read(f"{stem}.ipynb") == path.read_bytes()
    text = "".join(page.extract_text() for page in pypdf.PdfReader(path.with_suffix(".pdf")).pages)
    assert "Which loss would suit classification?" in text
    # Staff run the submitted notebook in a folder of their own.
    place = tmp_path / "staff"
    place.mkdir()
    (place / "data").symlink_to(tmp_path / "data")
    resources = {"metadata": {"path": str(place)}}
    nbclient.NotebookClient(sheet, timeout=600, record_timing=False, resources=resources).execute()
    assert (place / "results" / "latent_study" / "answers.md").exists()
    assert images(sheet) == pictures


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DATA notebook out --course 5lsl0 --id1 1", "--id2"),
        ("DATA notebook out --course 5lsl0 --id1 ../x --id2 1", "'../x'"),
        (f"DATA notebook out --course wet9 {IDS}", "invalid choice: 'wet9'"),
        (f"DATA notebook out --course wet2 {IDS}", "no mnist; expected one of mnist, mnist.npz"),
        (f"absent notebook out --course celeba {IDS}", "no celeba"),
    ],
)
def test_a_mistake_is_one_line(
    line: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(line.replace("DATA", str(tmp_path)), capsys)
    assert not Path("out").exists()
