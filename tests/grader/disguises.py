"""Disguises of copied programs, made by program: the same code in other words.

Each takes the sources of a submission by file name and a generator, and returns other sources.
"""

import ast
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

Sources = dict[str, bytes]
Disguise = Callable[[Sources, random.Random], Sources]

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
# Programs that have nothing in common but their purpose.
HONEST = {
    **{
        name: TESTS / "wild" / name / "vae.py"
        for name in ("argc", "channels", "pickled_class", "plain", "reads_labels", "workers")
    },
    "honest": TESTS / "hostile" / "honest.py",
    "gmm": ROOT / "gmm.py",
    "losses": ROOT / "losses.py",
    "inference": ROOT / "inference.py",
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def on_trees(change: Callable[[ast.Module, random.Random], ast.Module]) -> Disguise:
    """Make a disguise of a change to one syntax tree."""

    def disguise(sources: Sources, generator: random.Random) -> Sources:
        trees = {name: change(ast.parse(text), generator) for name, text in sources.items()}
        return {n: ast.unparse(ast.fix_missing_locations(t)).encode() for n, t in trees.items()}

    return disguise


# Other names


def chosen_names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the names of variables, functions and classes, and of attributes of `self`."""
    names, attributes = set[str](), set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                attributes.add(name)
    methods = {
        statement.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, FUNCTIONS)
    }
    return names - methods, attributes | {m for m in methods - {"forward"} if m[:2] != "__"}


def renamed(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Rename variables, functions, classes, arguments, attributes of `self`, and libraries."""
    names, attributes = chosen_names(tree)

    def table(words: set[str]) -> dict[str, str]:
        numbers = generator.sample(range(10_000), len(words))
        return {word: f"q{number}" for word, number in zip(sorted(words), numbers, strict=True)}

    variables, parts, libraries = table(names), table(attributes), dict[str, str]()
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    for alias in (alias for statement in imports for alias in statement.names):
        if "." not in alias.name or alias.asname:
            old = alias.asname or alias.name
            alias.asname = libraries[old] = f"lib_{generator.randrange(10**6)}"
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                node.id = variables.get(name, libraries.get(name, name))
            case ast.arg(arg=name):
                node.arg = variables[name]
            case ast.keyword(arg=str(name)):
                node.arg = variables.get(name, name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                node.name = variables.get(name, parts.get(name, name))
            case ast.Attribute(value=ast.Name(), attr=name):
                node.attr = parts.get(name, name)
    return tree


# Another order


def reordered(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Shuffle imports, functions, classes and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            for kinds in ((ast.Import, ast.ImportFrom), (*FUNCTIONS, ast.ClassDef)):
                places = [i for i, part in enumerate(node.body) if isinstance(part, kinds)]
                parts = [node.body[place] for place in places]
                generator.shuffle(parts)
                for place, part in zip(places, parts, strict=True):
                    node.body[place] = part
    return tree


# Code without an effect

IDLE = (
    "pass",
    "unused = 3",
    "unused = unused_too = 1.5",
    "'a remark'",
    "if False:\n    unused = 1",
    "if zero:\n    print('never')",
    "print('here')",
    "assert True",
    "for _ in range(0):\n    pass",
    "unused_too = len('abc') * one",
)


class Idler(ast.NodeTransformer):
    """Put code without an effect into half of the expressions and of the places for statements."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = [self.visit(statement) for statement in node.body]
        return self.filled(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mod | ast.BitOr | ast.BitAnd) or self.generator.random() < 0.5:
            return node
        form = self.generator.choice(["x * one", "x + zero", "x * one + zero", "-(-x)", "x / 1"])
        tree: Any = ast.parse(form, mode="eval").body
        return Placed(node).visit(tree)

    def filled(self, node: Any) -> Any:
        """Put idle statements between those of a body, and some of these into `if True`."""
        body = []
        for statement in node.body:
            if self.generator.random() < 0.5:
                body += ast.parse(self.generator.choice(IDLE)).body
            wrapped = isinstance(statement, ast.Assign) and self.generator.random() < 0.2
            body.append(ast.If(ast.Constant(True), [statement], []) if wrapped else statement)
        node.body = body
        return node


class Placed(ast.NodeTransformer):
    """Put an expression in the place of `x`."""

    def __init__(self, expression: ast.expr) -> None:
        self.expression = expression

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.expression if node.id == "x" else node


def padded(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Add code without an effect, with neutral numbers that have names."""
    tree = Idler(generator).visit(tree)
    future = [s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    rest = [statement for statement in tree.body if statement not in future]
    tree.body = [*future, *ast.parse("one, zero = 1.0, 0.0").body, *rest]
    return tree


# Another look

ENCODINGS = ("utf-8", "latin-1", "cp1252")


def annotated(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Add docstrings and type hints, and take away those that are there."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            else:
                words = generator.choice(["Do this.", "Compute \u00e9t\u00e9.", "See above."])
                node.body.insert(0, ast.Expr(ast.Constant(words)))
            for arg in node.args.args:
                hint = generator.choice(["int", "list[float]", "'object'"])
                arg.annotation = None if arg.annotation else ast.parse(hint, mode="eval").body
    return tree


def retouched(sources: Sources, generator: random.Random) -> Sources:
    """Add comments, docstrings and type hints; change the encoding and the line ends."""
    found = {}
    for name, content in on_trees(annotated)(sources, generator).items():
        encoding, end = generator.choice(ENCODINGS), generator.choice(["\n", "\r\n"])
        lines = [f"# -*- coding: {encoding} -*-"]
        for statement in ast.parse(content).body:
            lines += [f"# caf\u00e9 {generator.random()}", "", ast.unparse(statement)]
        text = "\n".join(lines).replace("\n", end)
        found[name] = text.encode(encoding, errors="backslashreplace")
    return found


# Another place


def split(sources: Sources, generator: random.Random) -> Sources:
    """Move half of the functions and classes to a second file."""
    tree = ast.parse(sources["vae.py"])
    defined = [s for s in tree.body if isinstance(s, (*FUNCTIONS, ast.ClassDef))]
    away = generator.sample(defined, len(defined) // 2)
    imports = [s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)]
    rest = [statement for statement in tree.body if statement not in away]
    if away:
        rest.insert(0, ast.ImportFrom("helpers", [ast.alias(s.name) for s in away], 0))
    return {"vae.py": written(rest), "helpers.py": written([*imports, *away])}


def written(statements: list[ast.stmt]) -> bytes:
    return ast.unparse(ast.fix_missing_locations(ast.Module(statements, []))).encode()


def as_notebook(sources: Sources, generator: random.Random) -> Sources:
    """Make cells of one to four statements."""
    statements = ast.parse(sources["vae.py"]).body
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "source": ["# My work"]}]
    while statements:
        count = generator.randrange(1, 5)
        magic = "%matplotlib inline\n" if generator.random() < 0.2 else ""
        source = magic + written(statements[:count]).decode()
        cells.append({"cell_type": "code", "outputs": [], "source": source})
        statements = statements[count:]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    return {"vae.ipynb": json.dumps(notebook).encode()}


# More than the six kinds


def is_number(node: object) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def with_other_numbers(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Change most of the numbers that are not 0, 1 or 2."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and is_number(node) and node.value not in (0, 1, 2):
            node.value = generator.choice([node.value, 3, 5, 7])
    return tree


def names_in(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    parts = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {part.id for part in parts if isinstance(part.ctx, kind)}


def swapped(tree: ast.Module, _: random.Random) -> ast.Module:
    """Swap neighbouring assignments that do not need each other."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        place = 0
        while isinstance(body, list) and place + 1 < len(body):
            one, other = body[place : place + 2]
            if isinstance(one, ast.Assign) and isinstance(other, ast.Assign):
                stored = names_in(one, ast.Store) | names_in(other, ast.Store)
                if not stored & (names_in(one, ast.Load) | names_in(other, ast.Load)):
                    body[place : place + 2] = [other, one]
                    place += 1
            place += 1
    return tree


def with_constants(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Give names to most numbers, at the top of the module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if is_number(value) and generator.random() < 0.7:
                name = names.setdefault(ast.unparse(value), f"NUMBER_{len(names)}")
                setattr(node, field, ast.Name(name, ast.Load()))
    tree.body = [*ast.parse("\n".join(f"{n} = {v}" for v, n in names.items())).body, *tree.body]
    return tree


def in_a_class(tree: ast.Module, _: random.Random) -> ast.Module:
    """Make the functions static methods of a class."""
    functions = [statement for statement in tree.body if isinstance(statement, ast.FunctionDef)]
    names = {function.name for function in functions}
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.Name) and value.id in names:
                setattr(node, field, ast.parse(f"Program.{value.id}", mode="eval").body)
    for function in functions:
        function.decorator_list.append(ast.Name("staticmethod", ast.Load()))
    if functions:
        first = tree.body.index(functions[0])
        tree.body.insert(first, ast.ClassDef("Program", [], [], [*functions], []))
        tree.body = [statement for statement in tree.body if statement not in functions]
    return tree


def with_other_imports(tree: ast.Module, _: random.Random) -> ast.Module:
    """Import what is used of a module, not the module."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {a.asname or a.name: a.name for statement in imports for a in statement.names}
    used = set[tuple[str, str]]()
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            match value:
                case ast.Attribute(value=ast.Name(id=module), attr=name) if module in modules:
                    used.add((modules[module], name))
                    setattr(node, field, ast.Name(f"the_{name}", ast.Load()))
    new = [ast.ImportFrom(module, [ast.alias(n, f"the_{n}")], 0) for module, n in sorted(used)]
    tree.body = [*new, *tree.body]
    return tree


def with_lambdas(tree: ast.Module, _: random.Random) -> ast.Module:
    """Write functions that only return something as lambdas."""
    for place, node in enumerate(tree.body):
        match node:
            case ast.FunctionDef(
                name=name, args=args, body=[ast.Return(value=ast.expr() as value)]
            ):
                target = ast.Name(name, ast.Store())
                tree.body[place] = ast.Assign([target], ast.Lambda(args, value))
    return tree


def with_unused_functions(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Add the functions and classes of another program, which nothing uses."""
    other = ast.parse(generator.choice([*HONEST.values()]).read_bytes())
    new = [s for s in other.body if isinstance(s, (*FUNCTIONS, ast.ClassDef))]
    tree.body = [*tree.body, *new]
    return tree


def with_useless_calls(tree: ast.Module, generator: random.Random) -> ast.Module:
    """Call functions that do nothing, or that return what they are given."""
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.FunctionDef):
            node.body = [s for old in node.body for s in (*ast.parse("nothing()").body, old)]
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.Call) and generator.random() < 0.5:
                setattr(node, field, ast.Call(ast.Name("same", ast.Load()), [value], []))
    helpers = "def nothing():\n    pass\ndef same(x):\n    return x\n"
    tree.body = [*tree.body, *ast.parse(helpers).body]
    return tree


def everything(sources: Sources, generator: random.Random) -> Sources:
    """Change names, order, imports and places, with code that has no effect in between."""
    changes = (swapped, with_constants, with_other_imports, in_a_class, renamed, reordered, padded)
    for change in changes:
        sources = on_trees(change)(sources, generator)
    return as_notebook(sources, generator)


KINDS: dict[str, Disguise] = {
    "renaming": on_trees(renamed),
    "reordering": on_trees(reordered),
    "no-ops": on_trees(padded),
    "another look": retouched,
    "two files": split,
    "notebook": as_notebook,
}
MORE: dict[str, Disguise] = {
    "other numbers": on_trees(with_other_numbers),
    "swapped": on_trees(swapped),
    "constants": on_trees(with_constants),
    "a class": on_trees(in_a_class),
    "other imports": on_trees(with_other_imports),
    "lambdas": on_trees(with_lambdas),
    "unused functions": on_trees(with_unused_functions),
    "useless calls": on_trees(with_useless_calls),
    "everything": everything,
}
