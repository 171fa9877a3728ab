"""Tests of functions: call them in the sandbox, and compare the results outside of it.

All tests run together first, each in a process of its own. One that fails is run again alone, in a
sandbox of its own, so that no function can spoil the result of another.
"""

import builtins
import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts import read_arrays, read_file
from ..assignment import Assignment, Stage
from ..errors import UserError, printable
from ..judging import FunctionTest, Input
from ..safe_text import SafeText
from ..sandbox import caller, isolation
from ..sandbox.command import Command, Outcome, interpreter
from ..sandbox.resources import temporary_folder
from ..submission.unpacking import carried_files
from ..verdicts import Verdict
from .definitions import Kept, find_definitions, libraries
from .grade import Mark, Step
from .stages import Bench, limits_of, place_data

CALLER = Path(caller.__file__)
LARGEST = 64 << 20  # bytes of a result
SHOWN = 60  # characters of a value in a message
START_SECONDS = 60.0  # to import the libraries, in addition to the time of a test

Results = dict[str, dict[str, Any]]
SOLVED: dict[str, Results] = {}  # what the solution returned, for the assignment at hand


def make_inputs(assignment: Assignment, data_folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the inputs by name; `plain` ones are JSON. Raises UserError."""
    generator = np.random.default_rng(assignment.seed)
    return {
        name: make_input(name, part, generator, data_folder)
        for name, part in assignment.input.items()
    }


def draw_input(part: Input, shape: list[int], generator: np.random.Generator) -> np.ndarray:
    """Return a random array of a shape."""
    if part.draw == "integers":
        return generator.integers(int(part.low), int(part.high) + 1, shape)
    if part.draw == "uniform":
        return generator.uniform(part.low, part.high, shape).astype(np.float32)
    return generator.standard_normal(shape, np.float32)


def make_input(
    name: str, part: Input, generator: np.random.Generator, data_folder: Path
) -> np.ndarray:
    """Return one input: drawn, read, or as it stands in the assignment."""
    if part.shape is not None:
        return draw_input(part, part.shape, generator)
    if part.file is not None:
        arrays = read_arrays(data_folder / part.file)
        if name not in arrays:
            raise UserError(data_folder / part.file, f"no '{name}'", f"an array called {name}")
        return arrays[name]
    if part.kind == "plain":
        return np.array(json.dumps(part.values))
    values = np.array(part.values)
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def write_plan(
    assignment: Assignment,
    kept: list[Kept],
    tests: list[FunctionTest],
    inputs: dict[str, np.ndarray],
    folder: Path,
) -> list[Path]:
    """Write what the caller reads to a folder, and return the paths of the files.

    Only these tests and their inputs are in it: a function may tell what it finds there.
    """
    plan, arrays = folder / "plan.json", folder / "inputs.npz"
    names = {name for test in tests for call in test.call for name in caller.free_names(call)}
    np.savez(arrays, **{n: array for n, array in inputs.items() if n in names})  # type: ignore[arg-type]
    content = {
        "inputs": str(arrays),
        "kinds": {n: part.kind for n, part in assignment.input.items() if n in names},
        "sources": [asdict(source) for source in kept],
        "modules": libraries(kept),
        "tests": [
            {
                "name": test.name,
                "calls": test.call,
                "seconds": test.seconds,
                "raises": test.raises is not None,
            }
            for test in tests
        ],
    }
    plan.write_text(json.dumps(content))
    return [plan, arrays]


def run_tests(
    bench: Bench, stage: Stage, kept: list[Kept], tests: list[FunctionTest], seconds: float
) -> tuple[Results, Outcome]:
    """Call the functions in a sandbox; return what came back by test, and how the run ended.

    `seconds` is the most that the run may take.
    """
    inputs = make_inputs(bench.assignment, bench.settings.data_folder)
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        (folder / "results").mkdir(mode=0o700, parents=True)
        for source in kept:
            if source.file is not None:
                with contextlib.suppress(OSError):  # one file may be the folder of another
                    target = folder / source.file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(source.text, errors="backslashreplace")
        place_data(stage, folder, bench.copies)
        readable = write_plan(bench.assignment, kept, tests, inputs, scratch)
        command = Command(
            words=(interpreter(), "-c", CALLER.read_text(), str(readable[0]), "results"),
            folder=folder,
            readable=tuple(readable),
            hidden=bench.hidden_paths(),
        )
        most = min(seconds, START_SECONDS + sum(test.seconds for test in tests))
        outcome = isolation.run(
            command, replace(limits_of(stage), seconds=most), bench.settings.level
        )
        return {test.name: read_result(folder / "results", test.name) for test in tests}, outcome


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """Return what a call left: {"result": ...}, {"raised": ...}, or {} if that is nothing."""
    try:
        content = read_file(folder / f"{name}.json", "a result", LARGEST)
        found = json.loads(content)
        return found if isinstance(found, dict) else {}
    except (UserError, ValueError, RecursionError):
        return {}


def is_numeric(value: Any) -> bool:
    """Check whether a value is a number, or consists of nested lists of numbers."""
    if isinstance(value, list):
        return all(map(is_numeric, value))
    return isinstance(value, bool | int | float)


def arrays_of(value: Any) -> np.ndarray | None:
    """Return the numbers of an encoded result as an array; None if it is something else."""
    try:
        if isinstance(value, dict) and value.get("type") in ("tensor", "array", "number"):
            return np.array(value["values"], np.float64).reshape(value["shape"])
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            parts = [part for part in map(arrays_of, value) if part is not None and part.size == 1]
            return np.array([p.item() for p in parts]) if len(parts) == len(value) else None
        if is_numeric(value):
            return np.array(value, np.float64)
    except (ValueError, TypeError, OverflowError, KeyError, RecursionError):
        return None
    return None


def difference(found: Any, expected: Any, tolerance: float) -> str | None:
    """Return how a result differs from what is expected; None if it does not.

    Numbers may be in arrays, tensors, lists, or plain; they may differ by `tolerance`, absolutely
    or relatively. What could not be encoded equals nothing.
    """
    one, other = arrays_of(found), arrays_of(expected)
    if one is not None and other is not None:
        return difference_of_arrays(one, other, tolerance)
    if isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            return f"{len(found)} values; expected {len(expected)}"
        return first_difference(
            zip(range(1, len(found) + 1), found, expected, strict=True), tolerance
        )
    if isinstance(found, dict) and isinstance(expected, dict):
        mine, theirs = found.get("items"), expected.get("items")
        if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
            return first_difference(((k, mine[k], theirs[k]) for k in theirs), tolerance)
    same = found == expected and not isinstance(expected, dict)
    return None if same else f"{described(found)}; expected {described(expected)}"


def first_difference(parts: Iterable[tuple[Any, Any, Any]], tolerance: float) -> str | None:
    """Return the first difference among parts, each with its place, what was found and expected."""
    for place, one, other in parts:
        if text := difference(one, other, tolerance):
            return printable(f"value {place!s:.60}: {text}")
    return None


def difference_of_arrays(one: np.ndarray, other: np.ndarray, tolerance: float) -> str | None:
    """Return how two arrays of numbers differ; None if they do not."""
    if one.shape != other.shape and not (one.size == other.size == 1):
        return f"shape {one.shape}; expected {other.shape}"
    if np.allclose(one.ravel(), other.ravel(), rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    if one.size == 1:
        return f"{one.item():.6g}; expected {other.item():.6g}"
    with np.errstate(all="ignore"):
        largest = np.abs(one - other).max()
    return f"values that differ by up to {largest:.3g} from what is expected"


def described(value: Any) -> str:
    """Return a short text for an encoded value."""
    if isinstance(value, dict):
        shape = value.get("shape")
        size = f" of shape {tuple(shape)}" if isinstance(shape, list) and shape else ""
        return printable(f"a value of the type {value.get('type')!s:.60}{size:.60}")
    return printable(repr(value)[:SHOWN])


def wrong_shape(found: Any, test: FunctionTest) -> str | None:
    """Return how the shapes, or the bounds, of a result differ from what is expected."""
    assert test.shape is not None
    several = any(isinstance(part, list) for part in test.shape)
    shapes = [tuple(s) for s in test.shape] if several else [tuple(test.shape)]  # type: ignore[arg-type]
    parts = found if several else [found]
    if not isinstance(parts, list) or len(parts) != len(shapes):
        return f"{described(found)}; expected {len(shapes)} arrays"
    for part, shape in zip(parts, shapes, strict=True):
        array = arrays_of(part)
        if array is None or array.shape != shape:
            what = described(part) if array is None else f"shape {array.shape}"
            return f"{what}; expected shape {shape}"
        if test.within and array.size and not in_bounds(array, test.within):
            return f"values from {array.min():.3g} to {array.max():.3g}; expected {test.within}"
    return None


def in_bounds(array: np.ndarray, bounds: tuple[float, float]) -> bool:
    return bool(np.isfinite(array).all() and bounds[0] <= array.min() and array.max() <= bounds[1])


def problem_with(test: FunctionTest, answer: dict[str, Any], expected: Any) -> str | None:
    """Return what is wrong with an answer to a test; None if it passes."""
    raised = answer.get("raised")
    if test.raises is not None:
        if raised == test.raises:
            return None
        return f"raises {raised or 'nothing'!s:.60}; expected {test.raises}"
    if raised is not None:
        place = f" in {answer['place']}" if answer.get("place") else ""
        return printable(f"raises {raised!s:.60}: {answer.get('text')!s:.200}{place!s:.100}")
    if "result" not in answer:
        return f"no result: it ended the process, or ran longer than {test.seconds:g} s"
    if test.shape is not None:
        return wrong_shape(answer["result"], test)
    return difference(answer["result"], expected, test.tolerance)


def expected_results(bench: Bench, stage: Stage) -> dict[str, Any]:
    """Return what each test expects. Raises UserError if the solution has no result for one."""
    tests = [test for test in bench.assignment.test if test.by_solution]
    found: dict[str, Any] = {test.name: test.equals for test in bench.assignment.test}
    if not tests:
        return found
    assert stage.solution is not None
    path = bench.assignment.companion(stage.solution)
    settings = bench.settings
    key = f"{bench.assignment.digest()} {settings.level} {settings.data_folder}"
    if key not in SOLVED:
        kept = find_definitions(path.parent, path.name, [])
        SOLVED.clear()
        SOLVED[key], _ = run_tests(bench, stage, kept, tests, stage.limits.seconds)
    for test in tests:
        answer = SOLVED[key][test.name]
        result = answer.get("result")
        if "result" not in answer or difference(result, result, 0):
            text = problem_with(test, answer, None) or "a result that cannot be compared"
            raise UserError(path, f"the test {test.name}: {text}", "a result to compare with")
        found[test.name] = answer["result"]
    return found


def mark_of(test: FunctionTest, problem: str | None) -> Mark:
    """Return the mark of a test. Of a hidden one, a student reads only that it failed."""
    mark = Mark(test.name, test.title, test.points, bonus=test.bonus, hidden=test.hidden)
    mark.value = 0.0 if problem else 1.0
    mark.details = problem or ""
    if problem:
        mark.message = SafeText("a hidden test failed" if test.hidden else printable(problem))
    return mark


def undefined(test: FunctionTest, bench: Bench, kept: list[Kept]) -> str | None:
    """Return a name in the calls of a test that nothing defines; None if each call has them all."""
    known = {name for source in kept for name in source.defines} | set(dir(builtins))
    known |= bench.assignment.input.keys() | {"np", "torch", "nn", "device"}
    missing = [sorted(caller.free_names(call) - known) for call in test.call]
    return None if "*" in known or not all(missing) else missing[0][0]


@dataclass
class Run:
    """What the runs of a test stage have used so far, of `most` seconds, and what was printed."""

    most: float
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    output: str = ""

    def add(self, outcome: Outcome) -> None:
        self.seconds += outcome.seconds
        self.cpu_seconds += outcome.cpu_seconds
        self.peak_memory = max(self.peak_memory, outcome.peak_memory)
        self.output = outcome.output or self.output


def run_group(
    bench: Bench,
    stage: Stage,
    kept: list[Kept],
    tests: list[FunctionTest],
    expected: dict[str, Any],
    run: Run,
) -> dict[str, str | None]:
    """Run tests together, and those that fail alone; return what is wrong with each."""
    problems: dict[str, str | None] = {}
    for test in tests:
        if name := undefined(test, bench, kept):
            problems[test.name] = f"the submission defines no {name}"
    waiting = [[test for test in tests if test.name not in problems]]
    while waiting:
        chosen = waiting.pop(0)
        if not chosen or run.seconds >= run.most:
            continue
        results, outcome = run_tests(bench, stage, kept, chosen, run.most - run.seconds)
        run.add(outcome)
        for test in chosen:
            found = problem_with(test, results[test.name], expected[test.name])
            problems[test.name] = found
            if found and len(chosen) > 1:
                waiting.append([test])
    return {test.name: problems.get(test.name, "the time ran out before it") for test in tests}


def run_test_stage(bench: Bench, stage: Stage) -> Step:
    """Run all tests of the assignment, and give a mark for each.

    Hidden tests are not in one sandbox with the others, whose errors students read.
    """
    home, program = bench.submission.folder, bench.submission.program
    files, _ = carried_files(bench.submission, bench.assignment.artefact)
    others = sorted(p for p in files if p.suffix == ".py" and p != home / program)
    kept = find_definitions(home, program, others)
    expected = expected_results(bench, stage)
    run, tests = Run(stage.limits.seconds), bench.assignment.test
    problems: dict[str, str | None] = {}
    for hidden in (False, True):
        group = [test for test in tests if test.hidden == hidden]
        problems |= run_group(bench, stage, kept, group, expected, run)
    for test in tests:
        bench.grade.replace(mark_of(test, problems[test.name]))
    bench.program_seconds += run.seconds
    passed = sum(problem is None for problem in problems.values())
    message = SafeText(f"{passed} of {len(tests)} tests passed")
    used = (run.seconds, run.cpu_seconds, run.peak_memory, run.output)
    return Step(stage.name, Verdict.OK, message, *used)
