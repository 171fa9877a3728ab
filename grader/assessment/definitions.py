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
from ..submission.notebook import LARGEST_SOURCE, Source, sources
from ..submission.rules import installed

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
HARMLESS = {"print"}  # builtins whose call defines nothing
MOST_SOURCES = 2_000


@dataclass(frozen=True)
class Kept:
    """A source's definitions, on the lines where they were, with their names and its imports."""

    place: str
    text: str
    file: str | None
    defines: list[str]
    imports: list[str]


def called(node: ast.AST) -> list[ast.expr]:
    return [child.func for child in ast.walk(node) if isinstance(child, ast.Call)]


def first_name(node: ast.expr) -> str | None:
    """Return the name with which a chain of attributes begins."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def is_simple(value: ast.expr, imported: set[str]) -> bool:
    """Check whether an expression calls nothing but Python's own functions and those of modules.

    A call of something else could be a training.
    """
    known = imported | (set(dir(builtins)) - HARMLESS)
    return all(first_name(function) in known for function in called(value))


def keeps(node: ast.stmt, imported: set[str]) -> bool:
    """Check whether a statement defines something without doing anything."""
    if isinstance(node, ast.Import | ast.ImportFrom | Definition):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        plain = all(isinstance(t, ast.Name | ast.Tuple) for t in targets)
        return plain and node.value is not None and is_simple(node.value, imported)
    if isinstance(node, ast.Try):  # an import with an alternative
        inside = [*node.body, *(part for handler in node.handlers for part in handler.body)]
        return all(keeps(part, imported) or isinstance(part, ast.Pass) for part in inside)
    return False


def defined(node: ast.stmt) -> list[str]:
    """Return the functions, classes, variables and imported names that a statement defines."""
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [name for _, names in imports(ast.Module([node], [])) for name in names]
    stores = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return [name.id for name in stores]


def imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield each module that is imported, with the names that the import defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, [alias.asname or alias.name.split(".")[0]]
        elif isinstance(node, ast.ImportFrom):
            own = node.level or not node.module
            yield "" if own else node.module or "", [a.asname or a.name for a in node.names]


def definitions(source: Source, imported: set[str]) -> Kept | None:
    """Return the definitions of a source; None if it is not valid Python, or too large.

    A module keeps all of its text, because it is imported as it is. `imported` are the names
    imported by earlier sources; those of this one are added.
    """
    if len(source.text) > LARGEST_SOURCE:
        return None
    try:
        tree = ast.parse(source.text)
        found = [*imports(tree)]
        imported |= {name for _, names in found for name in names}
        body = tree.body if source.file else [n for n in tree.body if keeps(n, imported)]
        names = [name for node in body for name in defined(node)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    text = source.text if isinstance(source.text, str) else source.text.decode(errors="replace")
    if source.file is None:
        text = on_their_lines(text, body)
    return Kept(source.place, text, source.file, names, [module for module, _ in found if module])


def on_their_lines(text: str, body: list[ast.stmt]) -> str:
    """Return a text without what is not in `body`; line numbers stay."""
    lines = text.split("\n")
    kept = [""] * len(lines)
    for node in body:
        decorators = node.decorator_list if isinstance(node, Definition) else []
        first = min([node.lineno, *(d.lineno for d in decorators)])
        for number in range(first, (node.end_lineno or first) + 1):
            kept[number - 1] = lines[number - 1]
    return "\n".join(kept)


def find_definitions(folder: Path, program: str, others: list[Path]) -> list[Kept]:
    """Return the definitions of a program in `folder`, then of its `other` modules.

    What cannot be read defines nothing. The program is no module, which may train when it is
    imported.
    """
    found: list[Kept] = []
    imported: set[str] = set()
    for path in [folder / program, *others]:
        name = path.relative_to(folder).as_posix()
        try:
            for source in sources(path, name):
                own = replace(source, file=None) if source.file == program else source
                kept = definitions(own, imported)
                found += [kept] if kept else []
        except (UserError, OSError):
            continue
    return found[:MOST_SOURCES]


def libraries(kept: list[Kept]) -> list[str]:
    """Return the installed modules that are imported, which do not belong to the submission."""
    own = {source.file.split("/")[0].split(".")[0] for source in kept if source.file}
    found = {module for source in kept for module in source.imports}
    tops = {module: module.split(".")[0] for module in found}
    return sorted(name for name, top in tops.items() if top not in own and installed(top))
