"""`notebook`: the executed notebook that a course requires, from the studies that do its tasks.

Every module that the tasks need is in its own cell, which writes it to a file. So the notebook
alone, in an empty folder with the data next to it, runs again from top to bottom. Answers are
Markdown cells, made from the results of the run itself.
"""

import argparse
import ast
import io
import re
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from command_line import CommandLine, check_outputs
from grader.errors import UserError
from storage import replacing
from studies import MODES

try:
    import nbclient
    import nbformat
except ImportError as error:  # they require much of Jupyter, which nothing else here needs
    installed = "'python -m pip install --requirement requirements.lock'"
    raise UserError("notebook", f"no {error.name}", installed) from error

ROOT = Path(__file__).parent.parent
ENTRY = ("vae.py", "reports/__init__.py", "studies/__init__.py")
DATA_FORMS = ("{}", "{}.npz", "{}.zip", "{}.png")
LINES, WIDTH = 74, 100  # of a page of answers
A4 = (8.27, 11.69)  # inches
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in an archive, so that the same files give the same bytes
TIMES = re.compile(r"^(.*about [\d.]+ min;|epoch \d+/\d+ ).*\n", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """A study, the name of its data in DATA, and what the course calls it."""

    study: str
    data: str
    title: str


@dataclass(frozen=True)
class Course:
    """The name of the submitted files, with places for both identifiers, and the tasks."""

    file: str
    title: str
    tasks: tuple[Task, ...]


COURSES = {
    "wet2": Course(
        "ee046202_wet2_{}_{}",
        "Beta-VAE, conditional VAE, and clustering",
        (
            Task("beta_vae", "mnist", "Part 1: the beta-VAE"),
            Task("cvae", "fashion", "Part 2: the conditional VAE"),
            Task("segment", "image", "Parts 3 and 4: spectral clustering and k-means"),
            Task("pokemon", "pokemon", "Bonus: Pokemon in grey"),
            Task("pokemon_cnn", "pokemon", "Bonus: Pokemon in colour"),
        ),
    ),
    "celeba": Course(
        "hw4_vae_{}_{}",
        "Assignment 4: variational autoencoders of faces",
        (Task("celeba", "celeba", "CelebA"),),
    ),
    "5lsl0": Course(
        "5lsl0_autoencoders_{}_{}",
        "Deterministic and variational autoencoders",
        (Task("latent_study", "mnist", "Exercises 1 to 6"),),
    ),
    "hw5": Course(
        "hw5_faces_{}_{}",
        "Assignment 5: autoencoders of facial expressions",
        (
            Task("faces_ae", "faces", "HW5 (1): the autoencoder"),
            Task("faces_vae", "faces", "HW5 (2): the variational autoencoder"),
        ),
    ),
}


def notebook(before: list[str], after: list[str], usage: str) -> None:
    """Write the executed notebook, the answers as a PDF, and both in a zip."""
    parser = CommandLine(
        usage, "data notebook out --course wet2 --id1 012345678 --id2 876543210 --preset quick"
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--course", required=True, choices=COURSES)
    parser.add_argument("--id1", required=True)
    parser.add_argument("--id2", required=True)
    parser.add_argument("--name1", default="")
    parser.add_argument("--name2", default="")
    parser.add_argument("--email1", default="")
    parser.add_argument("--email2", default="")
    parser.add_argument("--preset", choices=("full", "quick"), default="full")
    options = parser.parse(after)
    course = COURSES[options.course]
    for identifier in (options.id1, options.id2):
        if not re.fullmatch(r"[A-Za-z0-9-]+", identifier):
            raise UserError("command line", repr(identifier), "an identifier of letters and digits")
    data = {task.data: find_data(Path(before[0]), task.data) for task in course.tasks}
    stem = course.file.format(options.id1, options.id2)
    outputs = [options.out / f"{stem}.{ending}" for ending in ("ipynb", "pdf", "zip")]
    check_outputs(outputs, inputs=())

    sheet = nbformat.v4.new_notebook()
    sheet.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    sheet.cells = [
        getattr(nbformat.v4, f"new_{kind}_cell")(text, id=f"cell-{number}")
        for number, (kind, text) in enumerate(cells(course, options, data))
    ]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "data").mkdir()
        for path in data.values():
            (place / "data" / path.name).symlink_to(path.resolve())
        resources = {"metadata": {"path": name}}
        nbclient.NotebookClient(
            sheet, timeout=None, record_timing=False, coalesce_streams=True, resources=resources
        ).execute()
        for task in course.tasks:
            check_done(place, task.study, sheet)
        found = {task.study: read_answers(place / "results" / task.study) for task in course.tasks}
    without_times(sheet)
    sheet.cells = with_answers(sheet.cells, found)
    nbformat.validate(sheet)

    content = nbformat.writes(sheet).encode()
    pdf = answers_pdf(course, options, found)
    for path, written in zip(outputs, (content, pdf), strict=False):
        with replacing(path) as file:
            file.write(written)
    with replacing(outputs[2]) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, written in zip(outputs, (content, pdf), strict=False):
            archive.writestr(zipfile.ZipInfo(path.name, EPOCH), written, zipfile.ZIP_DEFLATED)
    print(f"wrote {', '.join(path.name for path in outputs)} to {options.out}")


def find_data(folder: Path, name: str) -> Path:
    """Return the path of the data set of this name in the folder: itself a folder, or a file."""
    forms = [folder / form.format(name) for form in DATA_FORMS]
    found = next(filter(Path.exists, forms), None)
    if found is None:
        raise UserError(folder, f"no {name}", f"one of {', '.join(path.name for path in forms)}")
    return found


def cells(
    course: Course, options: argparse.Namespace, data: dict[str, Path]
) -> Iterator[tuple[str, str]]:
    """Yield the notebook's cells, as their kind and text; answers are added later."""
    yield "markdown", f"# {course.title}\n\n{students(options)}"
    yield (
        "markdown",
        "How to read this: the cells under *Code* contain all of the code, one module per cell; "
        "the first line of a cell writes it to a file. Under each task, one command runs it, "
        "followed by its pictures and by answers with the numbers of that run. The data are in "
        f"`data`, next to the notebook: {', '.join(f'`{path.name}`' for path in data.values())}.",
    )
    studies = [task.study for task in course.tasks]
    files = modules(studies)
    yield "code", f"%pip install --quiet --disable-pip-version-check {' '.join(packages(files))}"
    yield "markdown", "## Code"
    files += templates(studies)
    folders = sorted({str(Path(path).parent) for path in files} - {"."})
    yield "code", f"!mkdir -p {' '.join(folders)} results"
    for path in files:
        yield "code", f"%%writefile {path}\n{(ROOT / path).read_text()}"
    for task in course.tasks:
        line = f"{data[task.data].name} {task.study} results/{task.study} --preset {options.preset}"
        yield "markdown", f"## {task.title}"
        yield "code", f"import sys\n\n!{{sys.executable}} vae.py data/{line}"
        yield (
            "code",
            "from pathlib import Path\n\nfrom IPython.display import Image, Markdown, display\n\n"
            f'for picture in sorted(Path("results/{task.study}").glob("*.png")):\n'
            '    display(Markdown(f"*{picture.stem}*"), Image(str(picture)))',
        )


def students(options: argparse.Namespace) -> str:
    rows = [
        (options.name1, options.email1, options.id1),
        (options.name2, options.email2, options.id2),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["| Name | Campus Email | ID |", "|---|---|---|", *lines])


def modules(studies: list[str]) -> list[str]:
    """Return the files of these modes and of all our modules they import, imported ones first."""
    found: dict[str, None] = {}

    def visit(file: str) -> None:
        if file in found or not (ROOT / file).exists():
            return
        for name in imported(ROOT / file) - {as_module(file)}:
            visit(as_file(name))
        found[file] = None

    for file in [*ENTRY, *map(file_of, studies)]:
        visit(file)
    return list(found)


def templates(studies: list[str]) -> list[str]:
    """Return the templates of the answers of these modes, which are next to their code."""
    folders = dict.fromkeys((ROOT / file_of(study)).parent for study in studies)
    files = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in files]


def file_of(study: str) -> str:
    """Return the file that has the handler of a mode."""
    return as_file(MODES[study][2].rpartition(".")[0])


def packages(files: list[str]) -> list[str]:
    """Return the packages that pip must install so that these files can be imported."""
    names = {name.partition(".")[0] for file in files for name in imported(ROOT / file)}
    theirs = names - sys.stdlib_module_names - {as_module(file).partition(".")[0] for file in files}
    distributions = packages_distributions()
    return sorted({distributions[name][0] for name in theirs})


def as_file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def as_module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def imported(path: Path) -> set[str]:
    """Return the names of all modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            near = f"{path.parent.name}." if node.level else ""  # a module of the same folder
            module = near + node.module
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def check_done(place: Path, study: str, sheet: Any) -> None:
    """Raise UserError, with the last line that the study printed, if it has left no answers."""
    if (place / "results" / study / "answers.md").exists():
        return
    said = [
        output.get("text", "")
        for cell in sheet.cells
        if f"results/{study} " in cell.source
        for output in cell.get("outputs", [])
    ]
    last = "".join(said).strip().splitlines() or ["nothing"]
    raise UserError(study, last[-1], "data and options with which this task runs")


def read_answers(folder: Path) -> str:
    """Return the text under the title of a study's answers."""
    return (folder / "answers.md").read_text().split("\n", 1)[1].strip()


def without_times(sheet: Any) -> None:
    """Remove what differs from run to run: the estimated time of a training, and its progress."""
    for cell in sheet.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = TIMES.sub("", output["text"])


def with_answers(cells: list[Any], found: dict[str, str]) -> list[Any]:
    """Return the cells, with each task's answers after its pictures, one cell per question."""
    result = []
    for cell in cells:
        result.append(cell)
        study = re.search(r'Path\("results/(\w+)"\)', cell.source)
        if study:
            parts = re.split(r"^(?=## )", found[study[1]], flags=re.MULTILINE)
            result += [
                nbformat.v4.new_markdown_cell(f"#{part.strip()}", id=f"{study[1]}-{number}")
                for number, part in enumerate(filter(None, parts))
            ]
    return result


def answers_pdf(course: Course, options: argparse.Namespace, found: dict[str, str]) -> bytes:
    """Return a PDF of the answers alone, as pages of text."""
    titles = {task.study: task.title for task in course.tasks}
    text = [course.title, f"{options.name1} {options.id1}, {options.name2} {options.id2}", ""]
    for study, answers in found.items():
        text += [titles[study].upper(), ""]
        for line in answers.splitlines():
            plain = line.lstrip("# ").replace("`", "").strip("*")
            text += textwrap.wrap(plain, WIDTH, subsequent_indent="") or [""]
        text += [""]
    file, nothing = io.BytesIO(), dict.fromkeys(("CreationDate", "Producer", "Creator"))
    style: dict[str, Any] = {"family": "monospace", "fontsize": 7.5, "linespacing": 1.35}
    with PdfPages(file, metadata=nothing) as pages:
        for start in range(0, len(text), LINES):
            page = Figure(figsize=A4)
            page.text(0.08, 0.95, "\n".join(text[start : start + LINES]), va="top", **style)
            pages.savefig(page)
    return file.getvalue()
