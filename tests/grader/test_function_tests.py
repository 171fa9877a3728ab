"""Tests of functions: what is wrong costs its own marks, and gains nothing elsewhere."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assessment.definitions import find_definitions
from grader.assessment.function_tests import difference, problem_with, read_result
from grader.assessment.grade import Grade
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import read_assignment
from grader.display.results import to_gradescope
from grader.errors import UserError
from grader.judging import FunctionTest
from grader.sandbox.command import Level

COURSE = """
name = "functions"
title = "Functions"
program = "work.py"
seed = 5

[[stage]]
name = "tests"
kind = "tests"
solution = "solution.py"
limits = { seconds = 120, memory_gib = 1, disk_mib = 8, files = 100, processes = 32, cpus = 1 }

[input.x]
shape = [4, 3]

[input.names]
values = ["a", "b"]
kind = "plain"

[input.private]
file = "inputs.npz"
kind = "array"

[[test]]
name = "double"
title = "double doubles"
call = "double(x)"
points = 3
seconds = 3

[[test]]
name = "summed"
title = "total sums"
call = "total(private)"
equals = 45
points = 2
hidden = true
seconds = 3

[[test]]
name = "network"
title = "the network has the right shape"
call = "Network(3, 2)(x)"
shape = [4, 2]
within = [0, 1]
points = 2
seconds = 3

[[test]]
name = "refusal"
title = "an unknown name is refused"
call = "pick(names, 'c')"
raises = "KeyError"
points = 1
seconds = 3
"""
SOLUTION = "def double(x):\n    return 2 * x\n"
WORK = """import numpy as np
import torch
from torch import nn


def double(x):
    return x + x


def total(values):
    return np.sum(values)


class Network(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.layer = nn.Linear(size, classes)

    def forward(self, x):
        return torch.sigmoid(self.layer(x))


def pick(names, name):
    return {n: n for n in names}[name]


while True:
    print("training")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "course.toml").write_text(COURSE)
    (folder / "solution.py").write_text(SOLUTION)
    np.savez(folder / "inputs.npz", private=np.arange(10))
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path, level: Level) -> Callable[[str], Grade]:
    """Return a function that grades a program."""

    def grade(source: str) -> Grade:
        folder = tmp_path / "handed_in"
        folder.mkdir(exist_ok=True)
        (folder / "work.py").write_text(source)
        return assess(folder, read_assignment(str(data / "course.toml")), Settings(data, level))

    return grade


def points(grade: Grade) -> dict[str, float]:
    return {mark.name: float(mark.points) for mark in grade.marks}


FULL = {"double": 3.0, "summed": 2.0, "network": 2.0, "refusal": 1.0}


@pytest.mark.parametrize("there", [False, True])
def test_a_mistake_in_an_input_is_found_before_the_first_step(
    data: Path, tmp_path: Path, there: bool
) -> None:
    data = Path(shutil.copytree(data, tmp_path / "data"))
    (data / "inputs.npz").unlink()
    if there:
        np.savez(data / "inputs.npz", another_name=np.arange(3))
    (tmp_path / "handed_in").mkdir()
    (tmp_path / "handed_in" / "work.py").write_text(WORK)
    reported: list[Grade] = []
    task, settings = read_assignment(str(data / "course.toml")), Settings(data, Level.TRUSTED)
    with pytest.raises(UserError, match=r"inputs\.npz"):
        assess(tmp_path / "handed_in", task, settings, reported.append)
    assert reported == []


def test_a_program_that_would_train_forever_is_tested(run: Callable[[str], Grade]) -> None:
    grade = run(WORK)
    assert points(grade) == FULL
    assert grade.step("tests").message == "4 of 4 tests passed"


FAULTS = {
    "wrong": ("return x + x", "return x + 1"),
    "crash": ("return x + x", "import os; os.abort()"),
    "exit": ("return x + x", "raise SystemExit(0)"),
    "loop": ("return x + x", "[0 for _ in iter(int, 1)]"),
    "parent": ("return x + x", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"),
    "group": ("return x + x", "import os, signal; os.kill(-1, signal.SIGKILL)"),
    "large": ("return x + x", "return torch.zeros(2_000_000)"),
    "deep": ("return x + x", "y = []\n    for _ in range(10**5): y = [y]\n    return y"),
    "object": ("return x + x", "return type('T', (), {'__eq__': lambda *_: True})()"),
    "inputs": ("return x + x", "x.zero_(); return x"),
    "files": (
        "return x + x",
        "import shutil, os; shutil.rmtree('results', ignore_errors=True); os._exit(0)",
    ),
}


QUICKLY = ("wrong", "crash")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=() if name in QUICKLY else pytest.mark.slow) for name in FAULTS],
)
def test_a_bad_function_costs_only_its_own_marks(run: Callable[[str], Grade], fault: str) -> None:
    old, new = FAULTS[fault]
    assert old in WORK
    grade = run(WORK.replace(old, new, 1))
    assert points(grade) == FULL | {"double": 0.0}
    assert grade.mark("double").message


FORGED = """import json, os, sys, time
from pathlib import Path
for name in ("double", "summed", "network", "refusal"):
    for value in ({"result": 45}, {"raised": "KeyError"}, {"result": True}):
        Path("results", f"{name}.json").write_text(json.dumps(value))
"""


def test_forged_results_gain_nothing(run: Callable[[str], Grade]) -> None:
    forger = WORK.replace(
        "    return x + x", "    " + FORGED.replace("\n", "\n    ") + "os._exit(0)"
    )
    assert points(run(forger)) == FULL | {"double": 0.0}


def test_code_that_cheats_when_it_is_defined_gains_nothing(run: Callable[[str], Grade]) -> None:
    cheat = (
        "import os, json, torch, numpy as np\n"
        "class Trap(type):\n"
        "    def __new__(kind, *rest):\n"
        "        json.dumps = lambda *_: '{\"result\": 45}'\n"
        "        torch.Tensor.__add__ = lambda *_: None\n"
        "        return type.__new__(kind, *rest)\n"
        "class Sprung(metaclass=Trap):\n    pass\n"
        "def double(x):\n    return None\n"
    )
    grade = run(cheat)
    assert points(grade) == dict.fromkeys(FULL, 0.0)


def test_the_solution_and_expected_values_are_not_in_reach(run: Callable[[str], Grade]) -> None:
    spy = WORK.replace(
        "    return x + x",
        "    import os\n"
        "    places = [os.path.join(f, n) for top in ('/tmp', '/home')\n"
        "              for f, _, names in os.walk(top) for n in names]\n"
        "    raise ValueError([p for p in places if p.endswith(('solution.py', 'course.toml'))])",
    )
    assert "[]" in run(spy).mark("double").message


def test_a_hidden_test_tells_students_only_that_it_failed(run: Callable[[str], Grade]) -> None:
    grade = run(WORK.replace("np.sum(values)", "np.sum(values) + 1"))
    mark = grade.mark("summed")
    assert mark.message == "a hidden test failed"
    assert mark.details == "46; expected 45"
    (entry,) = [t for t in to_gradescope(grade)["tests"] if t["name"] == "total sums"]
    assert entry["visibility"] == "after_published"
    assert "46" not in entry["output"]


def test_an_undefined_name_is_explained(run: Callable[[str], Grade]) -> None:
    grade = run(WORK.replace("def double", "def twice"))
    assert grade.mark("double").message == "the submission defines no double"


def test_a_solution_without_a_result_is_staffs_mistake(
    data: Path, tmp_path: Path, level: Level
) -> None:
    for path in data.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "solution.py").write_text("def double(x):\n    return 1 / 0\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "work.py").write_text(WORK)
    task = read_assignment(str(tmp_path / "course.toml"))
    grade = assess(tmp_path / "work", task, Settings(tmp_path, level))
    assert "solution.py: the test double: raises ZeroDivisionError" in grade.steps[-1].output


NUMBER = {"type": "tensor", "shape": [], "values": [1.0]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, width=32) | st.text(max_size=3),
    lambda x: (
        st.lists(x, max_size=3)
        | st.fixed_dictionaries({"type": st.text(max_size=6), "shape": x, "values": x})
    ),
    max_leaves=8,
)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, width=32) | st.text(max_size=3),
    lambda x: st.lists(x, max_size=3),
    max_leaves=8,
)


@given(value=PLAIN)
def test_a_value_is_what_it_is(value: Any) -> None:
    assert difference(value, value, 1e-6) is None


@given(found=VALUES, expected=st.floats(-1e3, 1e3) | st.lists(st.floats(-1e3, 1e3), min_size=1))
def test_any_result_is_compared(found: Any, expected: Any) -> None:
    text = difference(found, expected, 1e-6)
    assert text is None or "\n" not in text


@pytest.mark.parametrize(
    ("found", "expected", "text"),
    [
        ({"type": "array", "shape": [2], "values": [1, 2]}, [1, 2], None),
        ({"type": "number", "shape": [], "values": [1.00001]}, 1, None),
        ({"type": "tensor", "shape": [1], "values": [3]}, 3, None),
        (
            {"type": "array", "shape": [2, 1], "values": [1, 2]},
            [1, 2],
            "shape (2, 1); expected (2,)",
        ),
        ({"type": "array", "shape": [2], "values": [math.nan, 2]}, [1, 2], "values that differ"),
        ({"type": "array", "shape": [3], "values": [1]}, [1], "expected"),
        ({"type": "Module"}, 1, "a value of the type Module; expected 1"),
        ({"type": "set"}, {"type": "set"}, "type set"),
        (["0"], [0.0], "'0'; expected 0.0"),
        ([1.0, 2.0], ["1", "2"], "1.0; expected '1'"),
        ({"type": "dict", "items": {"a": 1.0}}, {"type": "dict", "items": {"a": 1.0 + 1e-9}}, None),
        ({"type": "tensor", "shape": [2], "values": [1, 2]}, [NUMBER, NUMBER], "differ"),
        ({"type": "tensor", "shape": [2], "values": [1, 1]}, [NUMBER, NUMBER], None),
        ([{"type": "number", "shape": [], "values": [1]}, 2.0], [1, 2], None),
        ([1, 2, 3], [1, 2], "shape (3,); expected (2,)"),
        (["a", 2], ["a", 3], "value 2: 2; expected 3"),
        (True, True, None),
        ("a", "b", "'a'; expected 'b'"),
        ({"type": "dict", "items": {"a": 1}}, 1, "type dict; expected 1"),
    ],
)
def test_results_are_compared_by_value(found: Any, expected: Any, text: str | None) -> None:
    given_text = difference(found, expected, 1e-4)
    assert given_text is None if text is None else text in (given_text or "")


def test_shapes_and_bounds() -> None:
    test = FunctionTest(
        name="t", title="t", points=1, call=["f()"], shape=[[2], [1]], within=(0, 1)
    )
    good = {"result": [{"type": "array", "shape": [2], "values": [0, 1]}, [0.5]]}
    assert problem_with(test, good, None) is None
    bad_values = ([[0, 1]], [[0, 1], [2]], [[0, 1, 1], [1]], 3, [[0, math.nan], [1]], None)
    for bad in (*bad_values, [["0", "1"], ["1"]], [[None, None], [None]]):
        assert problem_with(test, {"result": bad}, None)


@given(content=st.binary(max_size=60) | st.sampled_from([b"[" * 9999, b"{}", b"[1]", b"null"]))
def test_any_file_is_a_result_or_none(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("results")
    (folder / "a.json").write_bytes(content)
    assert isinstance(read_result(folder, "a"), dict)


def test_definitions_without_what_they_do(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import torch\nfrom torch import nn as layers\nSIZE, WIDTH = 3, 2 * 4\n"
        "device = torch.device('cpu')\nmodel = train()\nhistory = model.fit(1)\nprint('x')\n"
        "try:\n    import fast\nexcept ImportError:\n    fast = None\n"
        "@torch.no_grad()\ndef f():\n    return SIZE\n\n\nfor i in range(3):\n    f()\n"
    )
    (kept,) = find_definitions(tmp_path, "work.py", [])
    assert set(kept.defines) == {"torch", "layers", "SIZE", "WIDTH", "device", "fast", "f"}
    assert kept.keep == [0, 1, 2, 3, 7, 8]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('solution = "solution.py"', "", "a 'solution'"),
        ('call = "double(x)"', 'call = "double(x"', "test.0.call"),
        ("equals = 45", 'equals = 45\nraises = "X"', "test.1"),
        ("within = [0, 1]", "within = 3", "test.2.within"),
        ("shape = [4, 2]", "", "'within' only with 'shape'"),
        ("[input.x]\nshape = [4, 3]", "[input.x]", "input.x"),
        ('kind = "tests"', 'kind = "tests"\nmakes = ["a.txt"]', "no 'makes'"),
        (
            "[[stage]]",
            '[data.d]\nfile = "d.npz"\n\n[[stage]]\nplace = { "d.npz" = "d" }',
            "only public data",
        ),
    ],
)
def test_a_mistake_in_tests_is_one_line(
    data: Path, tmp_path: Path, old: str, new: str, key: str
) -> None:
    (tmp_path / "solution.py").write_text(SOLUTION)
    assert old in COURSE
    path = tmp_path / "course.toml"
    path.write_text(COURSE.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_assignment(str(path))
    assert key in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_an_open_test_sees_nothing_of_the_hidden_ones(run: Callable[[str], Grade]) -> None:
    """Students read the errors of open tests, so nothing of a hidden test must be there."""
    spy = WORK.replace(
        "    return x + x",
        "    import json, sys\n"
        "    plan = json.load(open(sys.argv[1]))\n"
        "    arrays = sorted(np.load(plan['inputs']))\n"
        "    raise ValueError([t['name'] for t in plan['tests']], arrays)",
    )
    message = run(spy).mark("double").message
    assert "['double'], ['x']" in message
    assert "summed" not in message
    assert "private" not in message


SOUND = {
    "mark": "\ufeff" + WORK,
    "carriage returns": WORK.replace("\n", "\r"),
    "one line": "import time; time.sleep(99)\n" + WORK,
    "an else": "try:\n    import math\nexcept ImportError:\n    pass\nelse:\n    print(9)\n" + WORK,
    "a lambda": WORK.replace(
        "def double(x):\n    return x + x",
        "double = lambda x: helper(x)\ndef helper(x): return x + x",
    ),
    "an if": WORK.replace("    return x + x", "    return k * x")
    + "\nif True:\n    k = 2\nelse:\n    k = 3\n",
    "settings": "config = {}\nconfig['k'] = 2\n" + WORK.replace("x + x", "config['k'] * x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", SOUND)
def test_sound_code_in_any_form_passes(run: Callable[[str], Grade], form: str) -> None:
    assert points(run(SOUND[form])) == FULL


def test_an_old_module_counts_only_if_the_program_defines_no_such_name(
    run: Callable[[str], Grade], tmp_path: Path
) -> None:
    (tmp_path / "handed_in").mkdir()
    (tmp_path / "handed_in" / "zz_old.py").write_text("def double(x):\n    return 1\n")
    assert points(run(WORK)) == FULL
