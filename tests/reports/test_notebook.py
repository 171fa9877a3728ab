import re
import zipfile
from pathlib import Path
from typing import Any

import pypdf
import pytest

import vae
from reports.answers import Picture, Question
from reports.courses import COURSES
from reports.notebook import ENTRY, imported, modules, packages, question_cells, templates
from studies import MODES
from studies.__main__ import main
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
    shown = [name for file in templates(studies) for name in listed_code((ROOT / file).read_text())]
    assert {
        name for name in shown if not any(name.startswith(f"{file}.") for file in held)
    } == set()


def listed_code(template: str) -> list[str]:
    """Return the names of all functions that a template shows."""
    listings = re.findall(r"<!-- code: (.*?) -->", template, re.DOTALL)
    return [name for names in listings for name in names.split()]


@pytest.mark.parametrize("course", COURSES)
def test_nothing_that_only_others_need_is_in_the_notebook(course: str) -> None:
    studies = [task.study for task in COURSES[course].tasks]
    files = modules(studies)
    assert not {"vae.py", "graded.py", "recipe.py", "inference.py", "classifier.py"} & set(files)
    own = {Path(MODES[study][2].replace(".", "/")).parent.parent.name for study in studies}
    folders = {path.parts[1] for path in map(Path, files) if len(path.parts) == 3}
    assert folders == own | {"shared"}
    needed = {name for file in files for name in imported(ROOT / file)}
    held = {file.removesuffix(".py").replace("/", ".") for file in files}
    starts = {file.removesuffix(".py").replace("/", ".") for file in ENTRY}
    starts |= {MODES[study][2].rpartition(".")[0] for study in studies}
    assert held - starts <= needed


def test_a_question_comes_before_its_code_its_pictures_and_its_answer() -> None:
    pictures = [Picture(Path("/r/a.png"), 'The "a"'), Picture(Path("/r/b.png"), "b")]
    question = Question("Q1", "Why?", ["losses.bce"], pictures, "Because.\n\n")
    cells = [(cell.cell_type, cell.source) for cell in question_cells(question, "results/cvae")]
    assert cells == [
        ("markdown", "### Q1\n\n*Why?*"),
        ("code", 'show_code("losses.bce")'),
        ("code", 'show_picture("results/cvae/a.png", "The \\"a\\"")'),
        ("code", 'show_picture("results/cvae/b.png", "b")'),
        ("markdown", "Because."),
    ]


def test_a_study_runs_alone_as_it_does_as_a_mode(mnist: Path, tmp_path: Path) -> None:
    line = f"{mnist} beta_vae {{}} --epochs 1 --hidden-size 8 --z-dim 2 --betas 1 --betas 2"
    assert main(line.format(tmp_path / "a").split()) == 0
    assert run(line.format(tmp_path / "b")) == 0
    for name in ("answers.md", "summary.json", "samples.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


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


@pytest.mark.parametrize("words", ["", "absent", "absent nothing out", "absent beta_vae out"])
def test_a_mistake_in_its_command_is_one_line(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def outputs(sheet: Any, kind: str) -> list[Any]:
    """Return all outputs of a notebook of this kind."""
    found = [output for cell in sheet.cells for output in cell.get("outputs", [])]
    return [o["data"][kind] for o in found if kind in o.get("data", {})]


def log(sheet: Any) -> str:
    """Return what the command of the first task printed."""
    (cell,) = (cell for cell in sheet.cells if cell.source.startswith("!{sys.executable}"))
    printed = "".join(output["text"] for output in cell.outputs)
    return re.sub(r", about [\d.]+ min|  \d+:\d\d left|\r", "", printed)


@pytest.mark.slow
def test_the_notebook_is_executed_and_runs_again(mnist: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(mnist)
    # On so few images, the epochs of the full preset are fewer steps than those of the quick one.
    line = f"{tmp_path}/data notebook {tmp_path}/out --course 5lsl0 {IDS} --name1 Ada"
    assert run(line) == 0
    stem = "5lsl0_autoencoders_012345678_87654321"
    path = tmp_path / "out" / f"{stem}.ipynb"
    sheet = nbformat.read(path, as_version=4)
    nbformat.validate(sheet)
    assert "| Name | Campus Email | ID |" in sheet.cells[0].source
    assert "| Ada |  | 012345678 |" in sheet.cells[0].source
    pictures = outputs(sheet, "image/png")
    assert len(pictures) > 10
    assert all(code.startswith("# ") for code in outputs(sheet, "text/plain") if "def " in code)
    asked = [n for n, cell in enumerate(sheet.cells) if re.match(r"### \w+\n\n\*", cell.source)]
    assert len(asked) == 16
    for start, following in zip(asked, [*asked[1:], len(sheet.cells)], strict=True):
        shown = [cell.source.partition("(")[0] for cell in sheet.cells[start + 1 : following - 1]]
        assert shown == sorted(shown), "code, then pictures"
        assert set(shown) <= {"show_code", "show_picture"}
        text = sheet.cells[following - 1].source
        assert not any(line.startswith(("* ", "- ")) for line in text.splitlines())
    assert re.search(r"^epoch (\d+)/\1  loss", log(sheet), re.MULTILINE)
    assert " min" not in "".join(o["text"] for cell in sheet.cells for o in streams(cell))
    with zipfile.ZipFile(tmp_path / "out" / f"{stem}.zip") as archive:
        assert sorted(archive.namelist()) == [f"{stem}.ipynb", f"{stem}.pdf"]
        assert archive.read(f"{stem}.ipynb") == path.read_bytes()
    pages = pypdf.PdfReader(path.with_suffix(".pdf")).pages
    assert "Which loss would suit classification?" in "".join(page.extract_text() for page in pages)
    assert sum(len(page.images) for page in pages) == len(pictures)
    # Staff run the submitted notebook in a folder of their own.
    place = tmp_path / "staff"
    place.mkdir()
    (place / "data").symlink_to(tmp_path / "data")
    before = log(sheet)
    resources = {"metadata": {"path": str(place)}}
    nbclient.NotebookClient(sheet, timeout=600, record_timing=False, resources=resources).execute()
    assert (place / "results" / "latent_study" / "answers.md").exists()
    assert outputs(sheet, "image/png") == pictures
    assert log(sheet) == before


def streams(cell: Any) -> list[Any]:
    return [output for output in cell.get("outputs", []) if output.output_type == "stream"]


def test_the_images_to_segment_are_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mnist", "fashion", "pokemon", "image.png"):
        (tmp_path / name).mkdir()
    message = refusal(f"{tmp_path} notebook {tmp_path}/out --course wet2 {IDS}", capsys)
    assert "no image/; expected one of image" in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DATA notebook out --course 5lsl0 --id1 1", "--id2"),
        ("DATA notebook out --course 5lsl0 --id1 ../x --id2 1", "'../x'"),
        (f"DATA notebook out --course wet9 {IDS}", "invalid choice: 'wet9'"),
        (
            f"DATA notebook out --course wet2 {IDS}",
            "no mnist; expected one of mnist, mnist.npz, mnist.zip",
        ),
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
