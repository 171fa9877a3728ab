"""Call what a submission defines, one process for each call, and write what comes back.

    python caller.py PLAN FOLDER

PLAN is the JSON file that `assessment.function_tests` writes, readable and not writable here. For
each of its tests, FOLDER gets the file NAME.json with {"result": ...}, as `encode` returns it, or
with {"raised": the kind of an exception, "text": its text, "place": the last place in the
submission}. This program shares its machine and user with the submission, so nothing that it writes
is evidence: the grader compares the results with what it knows, and that is not in PLAN.
"""

import ast
import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

MOST_VALUES = 1_000_000  # numbers in a result
DEEPEST = 8  # lists in lists of a result
TEXT = 300  # characters of an error
POLL_SECONDS = 0.005
SEED = 0


def encode(value: Any, depth: int = 0) -> Any:
    """Return a result as JSON: arrays and tensors with their type, shape and values."""
    import numpy as np
    import torch

    if depth > DEEPEST:
        return {"type": "deep"}
    if isinstance(value, torch.Tensor):
        value, kind = value.detach().cpu(), "tensor"
        value = value.to(torch.float64) if value.is_floating_point() else value
        value = value.numpy()
    else:
        kind = "array" if isinstance(value, np.ndarray) else "number"
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "c":
        return [encode(value.real, depth + 1), encode(value.imag, depth + 1)]
    if isinstance(value, np.ndarray | np.generic):
        if value.size > MOST_VALUES or value.dtype.kind not in "buif":
            return {"type": "large" if value.size > MOST_VALUES else str(value.dtype)}
        values = value.astype(np.float64 if value.dtype.kind == "f" else np.int64)
        return {"type": kind, "shape": list(value.shape), "values": values.ravel().tolist()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [encode(part, depth + 1) for part in value[:MOST_VALUES]]
    if isinstance(value, dict):
        return {"type": "dict", "items": {str(k): encode(v, depth + 1) for k, v in value.items()}}
    return {"type": type(value).__name__}


def run(source: dict[str, Any], names: dict[str, Any], problems: list[str]) -> None:
    """Run what a source keeps, statement by statement: one that fails does not stop the others.

    A definition may need data or a package that is not there, and not be needed itself.
    """
    place, keep = source["place"], source["keep"]
    for number, statement in enumerate(ast.parse(source["text"]).body):
        if keep is not None and number not in keep:
            continue
        code = compile(ast.Module([statement], []), place, "exec")
        try:
            exec(code, names)
        except (Exception, SystemExit) as error:
            line = f"{place}, line {statement.lineno}"
            problems.append(f"{line}: {type(error).__name__}: {error}"[:TEXT])


class OwnModules(MetaPathFinder, Loader):
    """Imports the submission's modules with `run`."""

    def __init__(self, sources: list[dict[str, Any]], problems: list[str]) -> None:
        self.sources = {source["file"]: source for source in sources if source["file"]}
        self.problems = problems

    def file_of(self, name: str) -> str | None:
        """Return the file of a module, if it is the submission's."""
        path = name.replace(".", "/")
        return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in self.sources), None)

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        file = self.file_of(fullname)
        if file is None:
            return None
        package = file.endswith("/__init__.py")
        spec = ModuleSpec(fullname, self, origin=str(Path(file).absolute()), is_package=package)
        spec.has_location = True  # so that the module has a __file__
        if package:
            spec.submodule_search_locations = [str(Path(file).parent)]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        file = self.file_of(module.__name__)
        assert file is not None
        run(self.sources[file], vars(module), self.problems)


class Definitions:
    """The names that a submission defines, after each of its sources."""

    def __init__(self, sources: list[dict[str, Any]]) -> None:
        self.sources = sources
        self.problems: list[str] = []
        sys.meta_path.insert(0, OwnModules(sources, self.problems))

    def defining(self, name: str) -> Iterator[int]:
        """Yield the sources that define a name, the last one first."""
        for number in reversed(range(len(self.sources))):
            if name in self.sources[number]["defines"]:
                yield number

    def after(self, last: int) -> dict[str, Any]:
        """Return the names that are known after the source with this number.

        The cells of a notebook share their names. Any other source is a module of its own.
        """
        chosen = self.sources[last]
        if chosen["file"] is not None:
            module = chosen["file"].removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            return vars(importlib.import_module(module))
        main = ModuleType("__main__")
        sys.modules["__main__"] = main  # classes of a notebook belong to it
        for source in self.sources[: last + 1]:
            if source["file"] is None:
                run(source, vars(main), self.problems)
        return vars(main)


def last_place(error: BaseException, places: set[str]) -> str:
    """Return the last place of a traceback that is in the submission; "" if there is none."""
    found, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        short = os.path.relpath(name) if name.startswith("/") else name
        if short in places:
            found = f"{short}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def free_names(call: str) -> set[str]:
    """Return the names that an expression reads and does not bind itself."""
    tree = ast.parse(call, mode="eval")
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {name.id for name in found if isinstance(name.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {name.id for name in found} - bound


def tries(definitions: Definitions, names: list[str]) -> list[int | None]:
    """Return the sources after which a call with these names can be tried, the last one first.

    Modules come after the program in question only if that defines none of the names.
    """
    found = {number for name in names for number in definitions.defining(name)}
    main = {number for number in found if definitions.sources[number]["file"] is None}
    return [*sorted(main or found, reverse=True)] or [None]


def namespace(
    definitions: Definitions, last: int | None, own: list[str], known: dict[str, Any]
) -> dict[str, Any]:
    """Return the names for a call: the submission's `own` after the source `last`, and the rest."""
    names = {} if last is None else dict(definitions.after(last))
    for name in own:
        if name not in names:  # defined in another source, which is a module
            names[name] = definitions.after(next(definitions.defining(name)))[name]
    return names | known


def answer(plan: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Return what a call returns or raises.

    If there are several calls, or the submission defines a name of the call several times, the
    first try that returns something counts; the last definition is tried first.
    """
    import numpy as np
    import torch

    torch.set_num_threads(1)
    definitions = Definitions(plan["sources"])
    places = {source["place"] for source in plan["sources"]}
    found: dict[str, Any] = {}
    for call in test["calls"]:
        own = [name for name in sorted(free_names(call)) if [*definitions.defining(name)]]
        for last in tries(definitions, own):
            try:
                known = {**read_inputs(plan), "np": np, "torch": torch, "nn": torch.nn}
                names = namespace(definitions, last, own, known)
                torch.manual_seed(SEED)
                np.random.seed(SEED)
                return {"result": encode(eval(call, names))}
            except Exception as error:
                text = " ".join(str(error).split())[:TEXT]
                place = last_place(error, places)
                found = found or {"raised": type(error).__name__, "text": text, "place": place}
                if test["raises"]:
                    return found
    if definitions.problems and found["raised"] == "NameError" and not found["place"]:
        found["text"] += f" ({definitions.problems[0]})"
    return found


def read_inputs(plan: dict[str, Any]) -> dict[str, Any]:
    """Return fresh copies of the inputs by name."""
    import numpy as np
    import torch

    found: dict[str, Any] = {"device": torch.device("cpu")}
    with np.load(plan["inputs"], allow_pickle=False) as arrays:
        for name, kind in plan["kinds"].items():
            if kind == "plain":
                found[name] = json.loads(str(arrays[name]))
            else:
                found[name] = torch.from_numpy(arrays[name]) if kind == "tensor" else arrays[name]
    return found


def write_answer(plan: dict[str, Any], test: dict[str, Any], folder: Path) -> None:
    """Answer one test, in a process of its own; never return."""
    try:
        os.setpgid(0, 0)
        content = json.dumps(answer(plan, test))
        (folder / f"{test['name']}.part").write_text(content)
        (folder / f"{test['name']}.part").rename(folder / f"{test['name']}.json")
    except BaseException as error:  # sys.exit in a submission, among others
        with contextlib.suppress(Exception):
            text = {"raised": type(error).__name__, "text": str(error)[:TEXT], "place": ""}
            (folder / f"{test['name']}.json").write_text(json.dumps(text))
    finally:
        os._exit(0)


def wait(pid: int, seconds: float) -> None:
    """Wait for a process for at most so many seconds, then kill it and what it started."""
    end = time.monotonic() + seconds
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(POLL_SECONDS)


def main() -> None:
    plan, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    sys.path.insert(0, str(Path.cwd()))
    for name in ("numpy", "torch", *plan["modules"]):  # once, and not in each process
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for test in plan["tests"]:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            write_answer(plan, test, folder)
        wait(pid, test["seconds"])


if __name__ == "__main__":
    main()
