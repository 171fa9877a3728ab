"""`notebook`: the executed notebook that a course requires, from the studies that do its tasks.

Every module that the tasks need is in its own cell, which writes it to a file. So the notebook
alone, in an empty folder with the data next to it, runs again from top to bottom. After a task has
run, its answers.md says what comes next: each question with the code, the pictures and the answer.
"""

import argparse
import ast
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from command_line import CommandLine, check_outputs
from grader.errors import UserError
from reports.answers import Question, read_questions
from reports.courses import COURSES, Course, Task
from storage import replacing
from studies import MODES

try:
    import nbclient
    import nbformat

    from reports.answers_pdf import answers_pdf
except ImportError as error:  # they require what nothing else here needs
    installed = "'python -m pip install --requirement requirements.lock'"
    raise UserError("notebook", f"no {error.name}", installed) from error

ROOT = Path(__file__).parent.parent
ENTRY = ("studies/__init__.py", "studies/__main__.py", "studies/shared/showing.py")
ENDINGS = ("", ".npz", ".zip")  # of a data set
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in an archive, so that the same files give the same bytes
ESTIMATE = re.compile(r", about [\d.]+ min|  \d+:\d\d left")  # which differ from run to run
FOLDED = {"jupyter": {"source_hidden": True}}  # JupyterLab shows the cell folded


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

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "data").mkdir()
        for path in data.values():
            (place / "data" / path.name).symlink_to(path.resolve())
        sheet, found = executed(course, options, data, place)
        authors = [f"{options.name1} {options.id1}", f"{options.name2} {options.id2}"]
        pdf = answers_pdf(course.title, list(map(str.strip, authors)), found)
    written = [nbformat.writes(sheet).encode(), pdf]
    for path, content in zip(outputs[:2], written, strict=True):
        with replacing(path) as file:
            file.write(content)
    with replacing(outputs[2]) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in zip(outputs[:2], written, strict=True):
            archive.writestr(zipfile.ZipInfo(path.name, EPOCH), content, zipfile.ZIP_DEFLATED)
    print(f"wrote {', '.join(path.name for path in outputs)} to {options.out}")


def executed(
    course: Course, options: argparse.Namespace, data: dict[str, Path], place: Path
) -> tuple[Any, list[tuple[str, list[Question]]]]:
    """Run the course's tasks in a notebook, in the folder `place`, which has the data.

    Return the notebook, and the questions that it answers, by the titles of the tasks.
    """
    sheet = nbformat.v4.new_notebook()
    sheet.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    client = nbclient.NotebookClient(
        sheet,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(place)}},
    )

    def add(cells: Iterator[Any]) -> None:
        for cell in cells:
            cell.id = f"cell-{len(sheet.cells)}"
            sheet.cells.append(cell)
            client.execute_cell(cell, len(sheet.cells) - 1)
            for output in cell.get("outputs", []):
                if "text" in output:
                    output["text"] = ESTIMATE.sub("", output["text"].replace("\r\n", "\n"))

    found = []
    with client.setup_kernel():
        add(opening_cells(course, options, data))
        for task in course.tasks:
            add(task_cells(task, data[task.data].name, options.preset))
            results = place / "results" / task.study
            check_done(results, task.study, sheet.cells[-1])
            found.append((task.title, read_questions(results / "answers.md")))
            for question in found[-1][1]:
                add(question_cells(question, f"results/{task.study}"))
    nbformat.validate(sheet)
    return sheet, found


def markdown(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text)


def code(text: str, **metadata: Any) -> Any:
    return nbformat.v4.new_code_cell(text, metadata=metadata)


def find_data(folder: Path, name: str) -> Path:
    """Return the path of the data set of this name in the folder: itself a folder, or a file.

    A name that ends in a slash can only be that of a folder.
    """
    endings = ("",) if name.endswith("/") else ENDINGS
    forms = [folder / f"{name}{ending}" for ending in endings]
    found = next(filter(Path.exists, forms), None)
    if found is None:
        raise UserError(folder, f"no {name}", f"one of {', '.join(path.name for path in forms)}")
    return found


def opening_cells(
    course: Course, options: argparse.Namespace, data: dict[str, Path]
) -> Iterator[Any]:
    """Yield what comes before the tasks: who hands this in, how to read it, and the modules."""
    yield markdown(f"# {course.title}\n\n{students(options)}")
    files = modules([task.study for task in course.tasks])
    yield markdown(
        "How to read this: under each task, one command runs it, and its log follows. Then come "
        "the questions: each with the code that matters, its pictures, and its answer. Numbers in "
        "answers are those of the run above them. `show_code` reads the code from the files that "
        "run.\n\nThe data are in `data`, next to the notebook: "
        f"{', '.join(f'`{path.name}`' for path in data.values())}.\n\n## Set-up"
    )
    yield code(f"%pip install --quiet --disable-pip-version-check {' '.join(packages(files))}")
    yield markdown(
        f"### All modules\n\nThese {len(files)} cells are the whole program: the first line of a "
        "cell writes it to a file. You can fold them (JupyterLab shows them folded): what matters "
        "for a question is shown again with it."
    )
    files += templates([task.study for task in course.tasks])
    folders = sorted({str(Path(path).parent) for path in files} - {"."})
    yield code(f"!mkdir -p {' '.join(folders)} results")
    for path in files:
        yield code(f"%%writefile {path}\n{(ROOT / path).read_text()}", **FOLDED)
    yield code(
        "import sys\n\nfrom studies.shared.showing import show_code, show_picture\n\n"
        "# The commands below print logs, not lines that rewrite themselves.\n%env TERM=dumb"
    )


def task_cells(task: Task, data: str, preset: str) -> Iterator[Any]:
    """Yield a task and the command that runs it."""
    yield markdown(f"## {task.title}\n\n{task.asks}")
    line = f"data/{data} {task.study} results/{task.study} --preset {preset}"
    yield code(f"!{{sys.executable}} -m studies {line}")


def question_cells(question: Question, folder: str) -> Iterator[Any]:
    """Yield a question, the code and the pictures that answer it, and its answer."""
    asked = f"\n\n*{question.asked}*" if question.asked else ""
    yield markdown(f"### {question.heading}{asked}")
    if question.code:
        yield code(f"show_code({', '.join(map(quoted, question.code))})")
    for picture in question.pictures:
        path = f"{folder}/{picture.path.name}"
        yield code(f"show_picture({quoted(path)}, {quoted(picture.caption)})")
    yield markdown(question.answer.strip())


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


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


def check_done(results: Path, study: str, cell: Any) -> None:
    """Raise UserError, with the last line that a study's cell printed, if it left no answers."""
    if (results / "answers.md").exists():
        return
    said = "".join(output.get("text", "") for output in cell.outputs)
    last = said.strip().splitlines() or ["nothing"]
    raise UserError(study, last[-1], "data and options with which this task runs")
