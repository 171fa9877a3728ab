"""Which installed modules a submission that runs in namespaces does not see.

Of a forbidden package that contains an allowed module, only the modules that the allowed one loads
are visible: a list of the others would never be complete. Other forbidden packages look empty.
"""

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..assignment import Rules
from ..files import write_whole
from ..sandbox.command import interpreter
from ..sandbox.resources import private_folder
from .rules import PACKAGES, versions

# Imports the longest part of each name that is a module; the last line of its output is the answer.
LOAD = """
import importlib, json, sys
for name in sys.argv[1:]:
    while name:
        try:
            importlib.import_module(name)
            break
        except ImportError:
            name = name.rpartition(".")[0]
print()
print(json.dumps(sorted(sys.modules)))
"""


@functools.cache
def loaded(modules: tuple[str, ...]) -> frozenset[str]:
    """Return the modules that are loaded when the installed `modules` are imported.

    Another process imports them; there are none if that fails. The result is kept in a file,
    because that takes seconds.
    """
    of = [sys.version, interpreter(), LOAD, *modules, versions(list(modules))]
    name = hashlib.sha256(json.dumps(of).encode()).hexdigest()
    path = private_folder() / f"loaded-{name}.json"
    with suppress(OSError, ValueError):
        return frozenset(json.loads(path.read_bytes()))
    words = [interpreter(), "-I", "-c", LOAD, *modules]
    answer = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    try:
        found = frozenset(map(str, json.loads(answer.stdout.splitlines()[-1])))
    except (ValueError, IndexError):
        return frozenset()
    write_whole(path, json.dumps(sorted(found)))
    return found


def places() -> list[Path]:
    """Return the folders with installed packages that a submission could import from.

    Those of the system's Python are visible, and a submission can add them to its path.
    """
    system = [*Path("/usr/lib").glob("python3*"), *Path("/usr/local/lib").glob("python3*")]
    inside = [folder / name for folder in system for name in PACKAGES]
    own = [Path(path) for path in sys.path if Path(path).name in PACKAGES]
    return list(dict.fromkeys(folder for folder in (*own, *inside) if folder.is_dir()))


def hidden_paths(rules: Rules) -> Iterator[Path]:
    """Yield the folders and files of installed modules that a submission must not import."""
    for module in rules.forbidden:
        allowed = tuple(name for name in rules.allowed if name.startswith(f"{module}."))
        for place in places():
            folder = place.joinpath(*module.split("."))
            if folder.is_dir() and allowed:
                yield from unloaded(module, folder, loaded(allowed))
            elif folder.is_dir():
                yield folder
            yield from (p for p in folder.parent.glob(f"{folder.name}.*") if is_code(p))


def is_code(path: Path) -> bool:
    return path.suffix in (".py", ".so")


def unloaded(module: str, folder: Path, names: frozenset[str]) -> Iterator[Path]:
    """Yield the modules in the folder of a package, except those called `names`."""
    for path in sorted(folder.iterdir()):
        name = path.name.split(".")[0]
        importable = path.is_dir() or is_code(path)
        if importable and path.name != "__init__.py" and f"{module}.{name}" not in names:
            yield path
