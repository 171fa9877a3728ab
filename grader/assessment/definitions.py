"""What a submission's code defines, without what it does: nothing is run to find out.

Tests call a function of a notebook that trains for hours, or of a program that ends by training.
So only imports, functions, classes and simple variables are kept.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..submission.notebook import LARGEST_SOURCE, Source, sources, text_of
from ..submission.rules import installed

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
HARMLESS = {"print", "input"}  # builtins whose call defines nothing
MOST_SOURCES = 2_000


@dataclass(frozen=True)
class Kept:
    """A source, and which of its statements define something: their numbers, names and imports.

    A module keeps all of its statements, because it is imported as it is.
    """

    place: str
    text: str
    file: str | None
    keep: list[int] | None
    defines: list[str]
    imports: list[str]


@dataclass
class Known:
    """Names whose call trains nothing: the submission's `modules` may, other imports do not."""

    modules: set[str]
    callable: set[str]


def called(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is called below a node when it is evaluated, so not in a lambda's body."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node.func
    for child in ast.iter_child_nodes(node):
        yield from called(child)


def first_name(node: ast.expr) -> str | None:
    """Return the name with which a chain of attributes begins."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def keeps(node: ast.stmt, known: Known) -> bool:
    """Check whether a statement defines something without doing anything.

    A call of something else than Python's own functions, those of libraries, and the submission's
    classes could be a training.
    """
    if isinstance(node, ast.Import | ast.ImportFrom | Definition | ast.Pass):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        if node.value is None:
            return False
        return all(first_name(function) in known.callable for function in called(node.value))
    if isinstance(node, ast.If):
        return all(keeps(part, known) for part in (*node.body, *node.orelse))
    if isinstance(node, ast.With):
        return all(keeps(part, known) for part in node.body)
    if isinstance(node, ast.Try):  # an import with an alternative
        handled = [part for handler in node.handlers for part in handler.body]
        parts = (*node.body, *handled, *node.orelse, *node.finalbody)
        return all(keeps(part, known) for part in parts)
    return False


def defined(node: ast.stmt) -> list[str]:
    """Return the functions, classes, variables and imported names that a statement defines."""
    if isinstance(node, Definition):
        return [node.name]
    names = [name for _, found in imports(node) for name in found]
    for child in ast.walk(node):
        if isinstance(child, Definition):
            names.append(child.name)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names.append(child.id)
    return names


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yield each module that is imported, with the names that the import defines.

    The submission's own package, which `.` means, has no name.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, [alias.asname or alias.name.split(".")[0]]
        elif isinstance(node, ast.ImportFrom):
            own = node.level or not node.module
            yield "" if own else node.module or "", [a.asname or a.name for a in node.names]


def definitions(source: Source, known: Known) -> Kept | None:
    """Return the definitions of a source; None if it is not valid Python, or too large.

    `known` has names from earlier sources; those of this one are added.
    """
    if len(source.text) > LARGEST_SOURCE:
        return None
    text = text_of(source)
    try:
        tree = ast.parse(text)
        found = [*imports(tree)]
        for module, names in found:
            if module and module.split(".")[0] not in known.modules:
                known.callable |= {*names}
        known.callable |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        keep = [number for number, node in enumerate(tree.body) if keeps(node, known)]
        body = tree.body if source.file else [tree.body[number] for number in keep]
        own = [name for node in body for name in defined(node)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    modules = [module for module, _ in found if module]
    return Kept(source.place, text, source.file, None if source.file else keep, own, modules)


def joined(found: list[Source]) -> list[Source]:
    """Return sources with those of one file joined: a cell may add to what another has written."""
    files: dict[str, Source] = {}
    rest: list[Source] = []
    for source in found:
        if source.file is None:
            rest.append(source)
        elif source.file in files and source.added:
            before = files[source.file]
            files[source.file] = replace(before, text=f"{text_of(before)}\n{text_of(source)}")
        else:
            files[source.file] = source
    return [*files.values(), *rest]


def find_definitions(folder: Path, program: str, others: list[Path]) -> list[Kept]:
    """Return the definitions of the `other` modules, then those of a program in `folder`.

    What cannot be read defines nothing. The program is no module, which may train when it is
    imported.
    """
    found: list[Source] = []
    for path in [*others, folder / program]:
        name = path.relative_to(folder).as_posix()
        try:
            read = sources(path, name)
            found += [replace(s, file=None) if s.file == program else s for s in read]
        except (UserError, OSError):
            continue
    found = joined(found)
    known = Known(
        {source.file.split("/")[0].split(".")[0] for source in found if source.file},
        set(dir(builtins)) - HARMLESS,
    )
    kept = [definitions(source, known) for source in found]
    return [part for part in kept if part][-MOST_SOURCES:]


def libraries(kept: list[Kept]) -> list[str]:
    """Return the installed modules that are imported, which do not belong to the submission."""
    own = {source.file.split("/")[0].split(".")[0] for source in kept if source.file}
    found = {module for source in kept for module in source.imports}
    tops = {module: module.split(".")[0] for module in found}
    return sorted(name for name, top in tops.items() if top not in own and installed(top))
