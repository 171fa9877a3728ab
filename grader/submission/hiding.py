"""Which installed modules a submission that runs in namespaces does not see.

Forbidden packages are not there. Of a forbidden package with an allowed module in it, only what
that module loads is there: a list of the rest would never be complete.
"""

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..assignment import Rules
from ..files import write_whole
from ..sandbox.command import interpreter
from ..sandbox.resources import private_folder
from .rules import package, versions

LOAD = "import importlib, json, sys; [importlib.import_module(m) for m in sys.argv[1:]]"
LOADED = f"{LOAD}; print(json.dumps(sorted(sys.modules)))"


@functools.cache
def loaded(modules: tuple[str, ...]) -> frozenset[str]:
    """Return the modules that are loaded when the installed `modules` are imported.

    Another process imports them. The result is kept in a file, because that takes seconds.
    """
    of = [sys.version, interpreter(), *modules, versions(list(modules))]
    name = hashlib.sha256(json.dumps(of).encode()).hexdigest()
    path = private_folder() / f"loaded-{name}.json"
    if not path.exists():
        words = [interpreter(), "-I", "-c", LOADED, *modules]
        write_whole(path, subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return frozenset(json.loads(path.read_bytes()))


def hidden_paths(rules: Rules) -> Iterator[Path]:
    """Yield the folders and files of installed modules that a submission must not import."""
    for module in rules.forbidden:
        top, *inner = module.split(".")
        found = package(top)
        for place in (found.submodule_search_locations or []) if found else []:
            folder = Path(place, *inner)
            allowed = tuple(name for name in rules.allowed if name.startswith(f"{module}."))
            if not folder.is_dir():
                yield from folder.parent.glob(f"{folder.name}.*")
            elif not allowed:
                yield folder
            else:
                yield from unloaded(module, folder, loaded(allowed))


def unloaded(module: str, folder: Path, names: frozenset[str]) -> Iterator[Path]:
    """Yield what is in the folder of a package, except the modules called `names`."""
    for path in sorted(folder.iterdir()):
        name = path.name.split(".")[0]
        importable = path.is_dir() or path.suffix in (".py", ".so")
        if importable and path.name != "__init__.py" and f"{module}.{name}" not in names:
            yield path
