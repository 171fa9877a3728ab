"""A notebook that is run in the sandbox: what it makes, what it shows, and what it cannot do."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grader.assessment.grade import Grade
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import Assignment, read_assignment
from grader.display.result_page import render
from grader.display.results import to_gradescope
from grader.sandbox.command import Level
from grader.verdicts import Verdict
from tests.conftest import shapes
from tests.grader.notebooks import Cells, code, markdown, notebook

COURSE = """
name = "course"
title = "A course that runs notebooks"
program = "*.ipynb"
seed = 3

[data.images]
file = "images.npz"
shuffled = true

[data.notes]
file = "notes.txt"
kind = "file"

[[stage]]
name = "notebook"
kind = "notebook"
place = { "data/images.npz" = "images", "notes.txt" = "notes" }
makes = ["numbers.json", "answers.csv", "plot.png"]
limits = { seconds = 60, memory_gib = 1, disk_mib = 20, files = 200, processes = 64, cpus = 1 }

[artefact."numbers.json"]
kind = "numbers"

[artefact."answers.csv"]
kind = "labels"
of = "images"
column = "label"

[artefact."plot.png"]
kind = "picture"

[[metric]]
name = "labels"
title = "Labels"
artefact = "answers.csv"
parts = { "sklearn.balanced_accuracy_score" = 0.5, "sklearn.cohen_kappa_score" = 0.5 }
arguments = { "sklearn.cohen_kappa_score" = { weights = "quadratic" } }
points = 10

[[number]]
name = "count"
title = "The number of images"
artefact = "numbers.json"
key = "found.count"
equals = 30
points = 2

[[number]]
name = "brightness"
title = "The mean grey value"
artefact = "numbers.json"
at_least = 0
at_most = 1
points = 1

[[probe]]
kind = "order"
stage = "notebook"
artefact = "answers.csv"
limit = 0.9

[[manual]]
title = "Question 1"
section = "question 1"
points = 5

[[manual]]
title = "The plot"
artefact = "plot.png"
points = 3
"""
READ = """%matplotlib inline
import json
import matplotlib.pyplot as plt
import numpy as np
with np.load("data/images.npz") as file:
    images = file["data"] / 255
"""
ANSWER = """means = images.reshape(len(images), -1).mean(axis=1)
labels = np.digitize(means, np.quantile(means, [1 / 3, 2 / 3]))
with open("answers.csv", "w") as file:
    file.write("label\\n" + "\\n".join(str([1, 4, 8][k]) for k in labels))
with open("numbers.json", "w") as file:
    json.dump({"found": {"count": len(images)}, "brightness": float(images.mean())}, file)
"""
DRAW = """plt.plot(means)
plt.savefig('plot.png')
print('\\x1b[1m' + open('notes.txt').read())
plt.show()
"""


def work() -> Cells:
    return [code(READ), code(ANSWER), markdown("## Question 1\n\nThey get *brighter*."), code(DRAW)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    images, labels = shapes(30, 0)
    np.savez(folder / "images.npz", data=images, labels=labels)
    (folder / "notes.txt").write_text("a public note")
    (folder / "course.toml").write_text(COURSE)
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path, level: Level) -> Callable[[Cells], Grade]:
    """Return a function that grades a notebook with these cells."""

    def grade(cells: Cells) -> Grade:
        path = tmp_path / "work.ipynb"
        path.write_text(notebook(cells))
        return assess(path, course(data), Settings(data, level))

    return grade


def course(data: Path) -> Assignment:
    return read_assignment(str(data / "course.toml"))


def test_a_notebook_is_run_and_what_it_makes_is_judged(run: Callable[[Cells], Grade]) -> None:
    grade = run(work())
    assert grade.step("notebook").verdict is Verdict.OK, grade.step("notebook")
    assert float(grade.mark("count").points) == 2
    assert float(grade.mark("brightness").points) == 1
    assert 0 < float(grade.mark("labels").points) <= 10
    assert grade.mark("labels").parts.keys() == {
        "sklearn.balanced_accuracy_score",
        "sklearn.cohen_kappa_score",
    }
    question, plot = grade.sections
    assert "*brighter*" in question.text
    assert question.printed == "a public note"
    assert len(question.pictures) == len(plot.pictures) == 1
    page = render(grade)
    assert "<em>brighter</em>" in page
    assert page.count("data:image/") >= 3
    json.dumps(to_gradescope(grade), allow_nan=False)


@pytest.mark.slow
def test_a_notebook_is_probed(run: Callable[[Cells], Grade]) -> None:
    assert run(work()).flags == []
    cells = work()
    cells[1]["source"] = ANSWER.replace(
        "[1, 4, 8][k]) for k in labels", "[1, 4, 8][i % 3]) for i in range(30)"
    )
    (flag,) = run(cells).flags
    assert flag.source == "order of notebook"


@pytest.mark.slow
def test_the_same_notebook_gives_the_same_result(run: Callable[[Cells], Grade]) -> None:
    one, other = run(work()), run(work())
    assert [mark.points for mark in one.marks] == [mark.points for mark in other.marks]
    assert one.record == other.record


def test_an_error_is_named_and_what_came_before_it_counts(run: Callable[[Cells], Grade]) -> None:
    cells = work()
    cells.insert(2, code("import secret_of_the_student\n"))
    grade = run(cells)
    step = grade.step("notebook")
    assert step.verdict is Verdict.RUNTIME_ERROR
    assert step.message == "cell 3 ended with ModuleNotFoundError"
    assert float(grade.mark("count").points) == 2
    assert grade.sections[1].problem == "no plot.png"


def test_numbers_that_are_wrong_or_missing_cost_their_own_points(
    run: Callable[[Cells], Grade],
) -> None:
    cells = work()
    cells[1]["source"] = ANSWER.replace("len(images)}", "31}").replace('"brightness"', '"light"')
    grade = run(cells)
    assert float(grade.mark("count").points) == 0
    assert grade.mark("count").details == "31; expected 30"
    assert grade.mark("brightness").message == "numbers.json has no number called brightness"
    assert float(grade.mark("labels").points) > 0


HOSTILE = {
    "the results": "text = '{\"score\": 1}'\nprint(text)\nopen('results.json', 'w').write(text)",
    "the labels": 'import numpy as np\nprint(np.load("data/images.npz")["labels"])',
    "the inputs": 'open("data/images.npz", "wb").write(b"")',
    "a network": "import socket\nsocket.create_connection(('127.0.0.1', 22), 1)",
}


@pytest.mark.parametrize("attempt", HOSTILE)
def test_a_cell_gains_nothing(run: Callable[[Cells], Grade], attempt: str) -> None:
    grade = run([code(HOSTILE[attempt])])
    assert float(grade.points) == 0
    assert to_gradescope(grade)["score"] == 0


def test_a_kernel_does_not_outlive_its_stage(run: Callable[[Cells], Grade]) -> None:
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        while True:\n            time.sleep(1)\n    os._exit(0)\n"
    )
    grade = run([*work(), code(daemon)])
    assert float(grade.mark("count").points) == 2
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"ipykernel" in content(path) and b"vae-grader" in content(path)
    ]
    assert left == []


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_an_output_bomb_ends_at_a_limit(run: Callable[[Cells], Grade]) -> None:
    grade = run([code("while True:\n    print('x' * 1_000_000)")])
    assert grade.step("notebook").verdict in (
        Verdict.TIME_LIMIT,
        Verdict.MEMORY_LIMIT,
        Verdict.OUTPUT_LIMIT,
        Verdict.RUNTIME_ERROR,
    )
    assert float(grade.points) == 0


def test_html_and_hostile_objects_in_outputs_stay_text(run: Callable[[Cells], Grade]) -> None:
    cells = [
        markdown(
            "## Question 1\n\n<script>alert(1)</script> [x](javascript:alert(1)) ![](http://a/b.png)"
        ),
        code(
            "from IPython.display import HTML, display\n"
            "class Trap:\n"
            "    def _repr_html_(self):\n"
            "        open('trap', 'w').close()\n"
            "        return '<script>alert(2)</script>'\n"
            "    def __repr__(self):\n"
            "        return '<b onclick=alert(3)>trap</b>'\n"
            "display(HTML('<img src=http://a/c.png>'), Trap())\nprint('<i>plain</i>')"
        ),
    ]
    grade = run(cells)
    page = render(grade)
    for text in ("<script", "onclick=alert(3)>", "http://a/c.png", "<i>plain"):
        assert text not in page
    assert "&lt;i&gt;plain" in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'href="javascript' not in page
    assert 'src="http' not in page


def test_data_take_the_place_of_what_was_handed_in(
    data: Path, tmp_path: Path, level: Level
) -> None:
    folder = tmp_path / "handed_in"
    (folder / "notes.txt").mkdir(parents=True)
    (folder / "notes.txt" / "x.py").write_text("x = 1")
    (folder / "data").write_text("a file")
    (folder / "work.ipynb").write_text(notebook(work()))
    grade = assess(folder, course(data), Settings(data, level))
    assert float(grade.mark("count").points) == 2


def test_what_replaces_the_executed_notebook_says_nothing_to_students(
    run: Callable[[Cells], Grade],
) -> None:
    secret = "314159265358979323846264338327950288"
    grade = run(
        [
            code(
                f"import os\nopen('executed.ipynb', 'w').write('{{\"nbformat\": {secret}, "
                '"cells": []}\')\nos.kill(os.getppid(), 9)'
            )
        ]
    )
    results = to_gradescope(grade)
    assert secret not in json.dumps(results["tests"]) + results["output"]
