"""Fold the core of this project into one self-contained vae.py, for a submission.

The modules are read as text; none of them is run. Each becomes a section, in an order that defines
every name before its use. Docstrings and comments are kept. Modes other than the graded ones are
left out, and then every function, class, method and constant that nothing uses.
"""

import ast
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .. import HOME
from ..errors import UserError

ROOT = HOME.parent
CORE = (
    "grader.errors",
    "grader.values",
    "storage",
    "data",
    "models",
    "losses",
    "training",
    "inference",
    "clusters",
    "gmm",
    "classifier",
    "checkpoint",
    "recipe",
    "command_line",
    "graded",
)
ENTRY = "vae"
# What uses these is left out: other modes than the graded ones, going on after an interruption, and
# the latents, which the assignment does not ask for.
EXTRA = ("extra_modes", "project_version", "SavedTraining", "saved", "save_latents", "LATENTS")
KEPT = {"loss_function"}  # names that the assignment requires, whether or not they are used
WIDTH = 100


def path_of(name: str) -> Path:
    """Return the path of a module of the core, from the repository's root."""
    return Path(f"{name.replace('.', '/')}.py")


class Module:
    """The source of a core module, from which statements can be cut."""

    def __init__(self, name: str) -> None:
        path = ROOT / path_of(name)
        try:
            self.source = path.read_text(encoding="utf-8")
        except OSError as error:
            expected = "the core's source next to the grader"
            raise UserError(path, f"cannot be read ({error.strerror})", expected) from error
        self.name = name
        self.sha256 = hashlib.sha256(self.source.encode()).hexdigest()
        self.docstring = ast.get_docstring(self.tree) or ""
        self.imports = [n for n in self.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        docstring = self.tree.body[:1] if self.docstring else []
        self.cut([*docstring, *self.imports, *extra_statements(self.tree)])

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def cut(self, nodes: list[ast.stmt]) -> None:
        """Cut statements out of the source, with the blank lines and comments above them."""
        lines = self.source.splitlines()
        gone: set[int] = set()
        for node in nodes:
            decorators = getattr(node, "decorator_list", [])
            first = min(n.lineno for n in (node, *decorators)) - 1
            while first and (not lines[first - 1].strip() or lines[first - 1].strip()[0] == "#"):
                first -= 1
            gone |= set(range(first, node.end_lineno or first))
        kept = [line for number, line in enumerate(lines) if number not in gone]
        self.source = "\n".join(kept).strip() + "\n"


def extra_statements(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements that need more of the repository than the core."""
    kinds = ast.If | ast.Assign | ast.Expr
    statements = (n for n in ast.walk(tree) if isinstance(n, kinds))
    return [n for n in statements if any(names_in(n)[name] for name in EXTRA)]


def names_in(node: ast.AST) -> Counter[str]:
    """Count how often each name occurs below a node, as a variable or as an attribute."""
    return Counter(
        n.id if isinstance(n, ast.Name) else n.attr
        for n in ast.walk(node)
        if (isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)) or isinstance(n, ast.Attribute)
    )


def defined_name(node: ast.stmt) -> str | None:
    """Return the name that a statement gives to a function, a class or a value, if any."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return node.name
        case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
            return name
    return None


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Yield what a module defines, and the methods of its classes that only the core can call."""
    for node in tree.body:
        if name := defined_name(node):
            yield name, node
        if isinstance(node, ast.ClassDef) and not node.bases:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("__"):
                    yield method.name, method


def cut_unused(modules: list[Module]) -> None:
    """Cut definitions that nothing else uses, until all that are left are used."""
    while True:
        trees = [module.tree for module in modules]
        used = sum(map(names_in, trees), Counter[str]())
        unused = [
            [
                node
                for name, node in definitions(tree)
                if used[name] == names_in(node)[name] and name not in KEPT
            ]
            for tree in trees
        ]
        if not any(unused):
            return
        for module, nodes in zip(modules, unused, strict=True):
            module.cut(nodes)


def check_names(modules: list[Module]) -> None:
    """Raise ValueError if the modules cannot share one namespace: a mistake in the core."""
    defined = Counter(name for m in modules for node in m.tree.body if (name := defined_name(node)))
    outer = {name for _, name, _ in outer_imports(modules)}
    clashes = {name for name, count in defined.items() if count > 1 or name in outer}
    whole = {a.name for m in modules for n in m.imports for a in n.names} & {*CORE, ENTRY}
    if clashes or whole:
        raise ValueError(f"defined twice: {clashes}; core modules imported as a whole: {whole}")


def outer_imports(modules: list[Module]) -> set[tuple[str, str, str]]:
    """Return what is imported from outside the core: (module or "", name here, text)."""
    found = set()
    for node in (node for module in modules for node in module.imports):
        outer = "" if isinstance(node, ast.Import) else node.module or ""
        inside = isinstance(node, ast.ImportFrom) and node.level > 0  # from the grader to the core
        if inside or outer in CORE:
            continue
        for alias in node.names:
            text = alias.name + (f" as {alias.asname}" if alias.asname else "")
            found.add((outer, alias.asname or alias.name.split(".")[0], text))
    return found


def import_lines(modules: list[Module]) -> str:
    """Return the imports that the modules still need, with the standard library first."""
    used = sum((names_in(module.tree) for module in modules), Counter[str]())
    needed = sorted(entry for entry in outer_imports(modules) if used[entry[1]])
    groups: dict[bool, list[str]] = {True: [], False: []}
    for _, _, text in (entry for entry in needed if not entry[0]):
        groups[text.split(".")[0].split(" ")[0] in sys.stdlib_module_names].append(f"import {text}")
    for outer in dict.fromkeys(entry[0] for entry in needed if entry[0]):
        names = sorted((t for m, _, t in needed if m == outer), key=lambda t: (not t.isupper(), t))
        line = f"from {outer} import {', '.join(names)}"
        if len(line) > WIDTH:
            line = "\n    ".join([f"from {outer} import (", *(f"{n}," for n in names)]) + "\n)"
        groups[outer.split(".")[0] in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(lines) for lines in groups.values() if lines)


def heading(module: Module) -> str:
    """Return a comment that says where a section comes from."""
    rule = "# " + "-" * (WIDTH - 2)
    text = [path_of(module.name).as_posix(), "", *module.docstring.splitlines()]
    return "\n".join([rule, *(f"# {line}".rstrip() for line in text), rule])


def require_repository(command: str) -> None:
    """Raise UserError if the grader was installed without the rest of the repository."""
    if not all((ROOT / path_of(name)).is_file() for name in (*CORE, ENTRY)):
        found = "it needs the source of vae.py, which an installed grader does not have"
        expected = f"'python -m grader {command}' in a copy of the repository"
        raise UserError(command, found, expected)


def bundle() -> str:
    """Return the source of the one file."""
    modules = [Module(name) for name in (*CORE, ENTRY)]
    check_names(modules)
    cut_unused(modules)
    files = "\n".join(
        f"    {path_of(module.name).as_posix()}  {module.sha256}" for module in modules
    )
    header = (
        f'"""{modules[-1].docstring}\n\n'
        "Made by 'python -m grader bundle' from these files (SHA-256), a section each:\n\n"
        f'{files}\n"""'
    )
    sections = [f"{heading(module)}\n\n\n{module.source.strip()}" for module in modules]
    parts = [header, import_lines(modules), "\n\n\n".join(sections)]
    return "\n\n".join(parts) + "\n"
