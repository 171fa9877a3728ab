"""Reduce the Python of a submission to a normal form, in which disguised copies look alike.

All of its sources become one syntax tree. In it, what has no effect is gone, what can be written in
several ways is written in one, names that the submission chose are one name, and calls have no
keywords. What is left is a text of words, one character each, which fingerprints can compare.
"""

import ast
import operator
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ..submission.notebook import Source, text_of

BREAK = "\n"  # between blocks; no word becomes this character
OWN, TEXT = "V", "S"  # the words for names that a submission chose, and for texts
REPAIRS = 20  # lines of a source that are left out, so that the rest can be parsed
DEEPEST = 60  # nodes of a tree above each other; what is deeper is cut off
ROUNDS = 4  # of simplification; each may find what the one before has made possible
LARGEST = 1e12  # of the numbers with which constants are computed

# What arrays have is theirs, even if a submission has given something of its own that name.
ARRAYS = frozenset(name for name in dir(np.ndarray) if not name.startswith("_"))
ARITHMETIC: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
INVERSE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
NEUTRAL = {ast.Add: 0, ast.Sub: 0, ast.Mult: 1, ast.Div: 1, ast.Pow: 1}
SYMMETRIC = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)
SILENT = (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass)
ACTING = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.For, ast.AsyncFor, ast.With, ast.AsyncWith)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Word = tuple[str, int]  # and the line that it comes from


@dataclass(frozen=True)
class Line:
    """A line of a submission as it was written; `place` is its file, or its cell."""

    place: str
    number: int
    text: str


@dataclass(frozen=True)
class NormalForm:
    """A text with a character for each word, and the lines that it comes from.

    `rows` has an index into `lines` for each character, or None. `unparsed` names the places whose
    words are taken as they are, because they are no Python.
    """

    text: str
    rows: list[int | None]
    lines: list[Line]
    unparsed: list[str]


def lines_of(source: Source) -> list[Line]:
    """Return the lines of a source as Python counts them, without characters that it refuses."""
    text = text_of(source).replace("\0", "").encode(errors="backslashreplace").decode()
    return [Line(source.place, number, line) for number, line in enumerate(text.split("\n"), 1)]


def parse(lines: Sequence[str]) -> tuple[list[ast.stmt], set[int]]:
    """Parse lines; return the statements, and the indices of the lines without which they parse."""
    kept, left_out = list(lines), set[int]()
    for _ in range(REPAIRS):
        try:
            with warnings.catch_warnings():  # about escapes, say
                warnings.simplefilter("ignore")
                return ast.parse("\n".join(kept)).body, left_out
        except SyntaxError as error:
            bad = min(max((error.lineno or 1) - 1, 0), len(kept) - 1)
        except (ValueError, RecursionError, MemoryError):
            bad = max(range(len(kept)), key=lambda index: len(kept[index]))
        # The line may be the only one in its block.
        indent = kept[bad][: len(kept[bad]) - len(kept[bad].lstrip())]
        kept[bad] = "" if bad in left_out else f"{indent}pass"
        left_out.add(bad)
    return [], {*range(len(lines))}


def move_and_prune(statements: list[ast.stmt], first: int) -> None:
    """Count lines from `first`, and cut off what lies deeper than functions can recurse."""
    level, depth = list[ast.AST](statements), 0
    while level:
        for node in level:
            if isinstance(node, ast.stmt | ast.expr | ast.excepthandler):
                node.lineno += first - 1
            for name, value in ast.iter_fields(node) if depth >= DEEPEST else ():
                if isinstance(value, list):
                    setattr(node, name, [])
                elif isinstance(value, ast.pattern):
                    setattr(node, name, None)
                elif isinstance(value, ast.expr):
                    setattr(node, name, at(value, ast.Constant(...)))
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1


def inside(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a scope; of a function in it, only what is evaluated out here."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, FUNCTIONS):
            stack += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            stack += node.decorator_list
        else:
            stack += ast.iter_child_nodes(node)


def bound_by(node: ast.AST) -> list[str]:
    """Return the names that a node itself binds, other than by an import."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
            return [name]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case _:
            return []


def bindings(nodes: Iterable[ast.AST]) -> Counter[str]:
    """Count how often each name is bound in a scope."""
    return Counter(name for node in inside(nodes) for name in bound_by(node))


def local_bindings(function: Function) -> tuple[Counter[str], Counter[str]]:
    """Count how often a function binds its own names, and those that it shares with a scope."""
    found, shared = bindings([function.args, *function.body]), Counter[str]()
    for node in inside(function.body):
        for name in node.names if isinstance(node, ast.Global | ast.Nonlocal) else ():
            shared[name] += found.pop(name, 0)
    return found, shared


def names_read(nodes: Iterable[ast.AST], skipped: set[int]) -> set[str]:
    """Return the names and attributes that nodes read, but those with an id in `skipped`."""
    found, stack = set[str](), list(nodes)
    while stack:
        node = stack.pop()
        if id(node) in skipped:
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                found.add(name)
            case ast.ImportFrom(names=aliases):
                found.update(alias.name for alias in aliases)
        stack += ast.iter_child_nodes(node)
    return found


def assigned_name(node: ast.AST) -> str | None:
    """Return the name to which a statement assigns, if it assigns to one name only."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


class Names:
    """What the names in a submission stand for.

    `imported`: the last part of what each name from a library stands for. `own_imports`: names that
    come from the submission's own modules. `module`: how often each name is bound outside of
    functions. `attributes`: names of methods and of what is assigned to `x.NAME`. `idle`: functions
    that do nothing. `echoes`: functions that return their only argument.
    """

    def __init__(self, tree: ast.Module, modules: set[str]) -> None:
        self.modules = modules
        self.imported: dict[str, str] = {}
        self.own_imports: set[str] = set()
        self.module = bindings(tree.body)
        self.attributes: set[str] = set()
        self.idle: set[str] = set()
        self.echoes: set[str] = set()
        for node in ast.walk(tree):
            self.add(node)
        self.attributes -= ARRAYS

    def add(self, node: ast.AST) -> None:
        """Add what a node says of names."""
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.add_import(alias.asname or whole, whole)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                start = "." * level + (module or "")
                for alias in aliases:
                    self.add_import(alias.asname or alias.name, f"{start}.{alias.name}")
            case ast.ClassDef(body=body):
                self.attributes.update(bindings(body))
            case ast.Attribute(attr=name, ctx=ast.Store()):
                self.attributes.add(name)
            case ast.FunctionDef(name=name, args=args, body=body):
                self.module.update(local_bindings(node)[1])
                if is_empty(body):
                    self.idle.add(name)
                match args.args, body:
                    case [ast.arg(arg=given)], [ast.Return(value=ast.Name(id=got))] if given == got:
                        self.echoes.add(name)

    def add_import(self, name: str, path: str) -> None:
        first, last = path.partition(".")[0], path.rpartition(".")[2]
        if first in self.modules or not first:
            self.own_imports.add(name)
        else:
            self.imported[name] = last

    def is_library(self, node: ast.AST) -> bool:
        """Check for the path of something in a library, such as `np.linalg`."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.imported and not self.module[node.id]

    def is_harmless(self, node: ast.AST) -> bool:
        """Check that a node only calls libraries and built-in functions."""
        for part in ast.walk(node):
            if isinstance(part, ast.Call):
                known = isinstance(part.func, ast.Name) and not self.module[part.func.id]
                if not (known or self.is_library(part.func)):
                    return False
            elif isinstance(part, ACTING):
                return False
        return True


def number_of(node: ast.AST) -> float | None:
    """Return the value of a number; None for anything else."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value if abs(value) < LARGEST else None
        case _:
            return None


def is_empty(body: Sequence[ast.stmt]) -> bool:
    return all(isinstance(statement, SILENT) for statement in body)


def is_main_test(test: ast.expr) -> bool:
    """Check for the condition `__name__ == "__main__"`."""
    return isinstance(test, ast.Compare) and any(
        isinstance(part, ast.Name) and part.id == "__name__"
        for part in (test.left, *test.comparators)
    )


class Simplifier(ast.NodeTransformer):
    """Remove what has no effect, and write in one way what can be written in several."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.constants: dict[str, ast.expr] = {}

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Assert | ast.Delete):
            return None
        if isinstance(node, FUNCTIONS):
            return self.function(node)
        if isinstance(node, BLOCKS):
            return self.block(node)
        if isinstance(node, ast.Try | ast.TryStar):
            return self.flattened(node)
        return super().visit(node)

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.constants = self.bound_once(node.body, self.names.module)
        self.generic_visit(node)
        self.empty_dead(node.body, {*self.names.module})
        return node

    def function(self, node: Function) -> Function:
        """Simplify a function, in which outer constants are known, but for names of its own."""
        outer, (local, _) = self.constants, local_bindings(node)
        own = self.bound_once(node.body, local)
        self.constants = {name: value for name, value in outer.items() if name not in local} | own
        self.generic_visit(node)
        self.constants = outer
        self.empty_dead(node.body, {*local})
        return node

    def bound_once(self, body: list[ast.stmt], counts: Counter[str]) -> dict[str, ast.expr]:
        """Return the constants, and parts of libraries, that get a name which is bound once."""
        return {
            name: node.value
            for node in inside(body)
            if (name := assigned_name(node)) and counts[name] == 1 and isinstance(node, ast.Assign)
            if isinstance(node.value, ast.Constant) or self.names.is_library(node.value)
        }

    def empty_dead(self, body: list[ast.stmt], local: set[str]) -> None:
        """Take away the targets of assignments to names that only dead names are computed from."""
        assignments = {
            id(node): (name, node)
            for node in inside(body)
            if isinstance(node, ast.Assign) and (name := assigned_name(node)) in local and name
        }
        needs: dict[str, set[str]] = {}
        harmless = {
            key for key, (_, node) in assignments.items() if self.names.is_harmless(node.value)
        }
        for name, node in (assignments[key] for key in harmless):
            needs.setdefault(name, set()).update(names_read([node.value], set()))
        fresh = names_read(body, harmless)
        live = set(fresh)
        while fresh:
            fresh = {need for name in fresh for need in needs.get(name, ())} - live
            live |= fresh
        for key, (name, node) in assignments.items():
            if name not in live:
                node.targets = []
                node.value = ast.Constant(None) if key in harmless else node.value

    # Statements

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        """Remove docstrings, bare values, messages, and the call of the base class's `__init__`."""
        self.generic_visit(node)
        if not any(isinstance(part, ACTING) for part in ast.walk(node)):
            return None
        match node.value:
            case ast.Call(func=ast.Name(id=name)) if name in self.names.idle:
                return None
            case ast.Call(func=ast.Name(id="print"), keywords=keywords):
                return node if any(keyword.arg == "file" for keyword in keywords) else None
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name)):
                return None if name == "__init__" else node
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return None
        return self.visit_Assign(at(node, ast.Assign([node.target], node.value)))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Write `a += b` as `a = a + b` if `a` is a name."""
        if not isinstance(node.target, ast.Name):
            return self.generic_visit(node)
        old = at(node.target, ast.Name(node.target.id, ast.Load()))
        new = at(node, ast.BinOp(old, node.op, node.value))
        return self.visit_Assign(at(node, ast.Assign([node.target], new)))

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Write one assignment for each name, and a function for a lambda."""
        match node:
            case ast.Assign(targets=[]):
                return self.visit_Expr(at(node, ast.Expr(node.value)))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda(args=args, body=body)):
                result = at(body, ast.Return(body))
                return self.function(at(node, ast.FunctionDef(name, args, [result], [], None)))
            case ast.Assign(targets=[target], value=value):
                pairs = list(paired(target, value))
            case ast.Assign(targets=targets, value=value):
                pairs = [(target, value) for target in targets]
        if len(pairs) > 1:
            whole = ast.Module([at(node, ast.Assign([one], value)) for one, value in pairs], [])
            self.generic_visit(whole)
            return whole.body
        self.generic_visit(node)
        return None if same(node.targets[0], node.value) else node

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        if is_main_test(node.test):
            return node.body
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        if is_empty(node.body) and is_empty(node.orelse):
            return None
        if is_empty(node.body):
            node.test = self.visit(at(node.test, ast.UnaryOp(ast.Not(), node.test)))
            node.body, node.orelse = node.orelse, []
        return node

    def visit_While(self, node: ast.While) -> Any:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant) and not node.test.value:
            return node.orelse
        return None if is_empty(node.body) else node

    def block(self, node: Any) -> Any:
        """Remove a loop or a `with` in which nothing is left."""
        self.generic_visit(node)
        return None if is_empty(node.body) else node

    def flattened(self, node: ast.Try | ast.TryStar) -> list[ast.stmt]:
        """Return what is in a `try`, without it."""
        self.generic_visit(node)
        handled = [part for handler in node.handlers for part in handler.body]
        return [*node.body, *node.orelse, *handled, *node.finalbody]

    # Expressions

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self.constants:
            return moved(self.constants[node.id], node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Remove the call of a function that returns its argument."""
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id=name), args=[value]) if name in self.names.echoes:
                return value
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Compute with constants; remove `+ 0`, `* 1` and the like."""
        self.generic_visit(node)
        left, right = number_of(node.left), number_of(node.right)
        if left is not None and right is not None:
            return computed(node, type(node.op), left, right)
        neutral = NEUTRAL.get(type(node.op))
        if neutral is not None and right == neutral:
            return node.left
        if isinstance(node.op, ast.Add | ast.Mult) and left == neutral and left is not None:
            return node.right
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """Remove double negation; negate numbers, constants and comparisons."""
        self.generic_visit(node)
        match node:
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return operand
            case ast.UnaryOp(op=op, operand=ast.UnaryOp(op=inner, operand=operand)):
                return operand if type(op) is type(inner) else node
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = number_of(operand)
                return node if number is None else at(node, ast.Constant(-number))
            case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
                return at(node, ast.Constant(not value))
            case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[op]) as compared):
                compared.ops = [INVERSE[type(op)]()]
                return self.visit_Compare(compared)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Write `a > b` as `b < a`; compare constants."""
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        if mirrored := MIRRORED.get(type(node.ops[0])):
            node.left, node.ops, node.comparators = node.comparators[0], [mirrored()], [node.left]
        left, right = number_of(node.left), number_of(node.comparators[0])
        if left is None or right is None:
            return node
        return computed(node, type(node.ops[0]), left, right)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Remove `and True`, and `or False`."""
        self.generic_visit(node)
        idle = isinstance(node.op, ast.And)
        kept = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value is idle)]
        if len(kept) > 1:
            return at(node, ast.BoolOp(node.op, kept))
        return kept[0] if kept else at(node, ast.Constant(idle))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node


class Writer(ast.NodeVisitor):
    """Write a simplified tree as blocks of words: the module, and each function."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.local: list[set[str]] = []
        self.selves: list[str] = []
        self.blocks: list[list[Word]] = []
        self.line = 0

    def visit(self, node: ast.AST) -> list[Word]:
        self.line = getattr(node, "lineno", self.line)
        if isinstance(node, (*SILENT, ast.expr_context)):
            return []
        if isinstance(node, FUNCTIONS):
            return self.function(node)
        if isinstance(node, ast.Module | ast.Expr | ast.keyword | ast.withitem):
            return [word for child in ast.iter_child_nodes(node) for word in self.visit(child)]
        found: list[Word] = super().visit(node)
        return found

    def words(self, word: str, *nodes: ast.AST | None) -> list[Word]:
        """Return a word, and after it those of nodes."""
        found = [(word, self.line)]
        for node in nodes:
            found += self.visit(node) if node else []
        return found

    def sorted_words(self, nodes: Iterable[ast.AST]) -> list[Word]:
        """Return the words of nodes in an order that their places do not change."""
        parts = sorted(map(self.visit, nodes), key=lambda part: [word for word, _ in part])
        return [word for part in parts for word in part]

    def generic_visit(self, node: ast.AST) -> list[Word]:
        return self.words(type(node).__name__, *ast.iter_child_nodes(node))

    def function(self, node: Function) -> list[Word]:
        """Write a function as a block, without its arguments."""
        args = node.args
        self.local.append({*local_bindings(node)[0]})
        block = self.words("def", *args.defaults, *args.kw_defaults, *node.decorator_list)
        place = len(self.blocks)
        for statement in node.body:
            block += self.visit(statement)
        self.blocks.insert(place, block)
        self.local.pop()
        return []

    def visit_ClassDef(self, node: ast.ClassDef) -> list[Word]:
        found = []
        for statement in node.body:
            first = first_argument(statement)
            self.selves += first
            found += self.visit(statement)
            del self.selves[len(self.selves) - len(first) :]
        return found

    def visit_Lambda(self, node: ast.Lambda) -> list[Word]:
        return self.words("Lambda", node.body)

    def visit_Name(self, node: ast.Name) -> list[Word]:
        name = node.id
        own = name in self.names.own_imports or self.names.module[name]
        if own or any(name in local for local in self.local):
            return [(OWN, self.line)]
        return [(self.names.imported.get(name, name), self.line)]

    def visit_Attribute(self, node: ast.Attribute) -> list[Word]:
        """Write what `self` has like a name, and what a library has without the library."""
        value = node.value
        if isinstance(value, ast.Name) and value.id in [*self.selves, *self.names.own_imports]:
            return [(OWN, self.line)]
        if self.names.is_library(value):
            return [(node.attr, self.line)]
        return self.words(OWN if node.attr in self.names.attributes else node.attr, value)

    def visit_Call(self, node: ast.Call) -> list[Word]:
        """Write the arguments without keywords, and `format` like an f-string."""
        match node.func:
            case ast.Attribute(value=ast.Constant(value=str()), attr="format"):
                return self.words(TEXT, *node.args, *node.keywords)
        return self.words("Call", node.func, *node.args) + self.sorted_words(node.keywords)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> list[Word]:
        values = (part.value for part in node.values if isinstance(part, ast.FormattedValue))
        return self.words(TEXT, *values)

    def visit_Constant(self, node: ast.Constant) -> list[Word]:
        value = node.value
        if isinstance(value, str | bytes):
            return [(TEXT, self.line)]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and abs(value) > LARGEST:
            return [("large", self.line)]
        return [(repr(value), self.line)]

    def visit_BinOp(self, node: ast.BinOp) -> list[Word]:
        match node:
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
                return self.words(TEXT, *(right.elts if isinstance(right, ast.Tuple) else [right]))
            case ast.BinOp(op=op) if isinstance(op, SYMMETRIC):
                return self.words(type(op).__name__) + self.sorted_words([node.left, node.right])
        return self.words(type(node.op).__name__, node.left, node.right)

    def visit_BoolOp(self, node: ast.BoolOp) -> list[Word]:
        return self.words(type(node.op).__name__) + self.sorted_words(node.values)

    def visit_Compare(self, node: ast.Compare) -> list[Word]:
        match node.ops:
            case [ast.Eq() | ast.NotEq() as op]:
                sides = [node.left, *node.comparators]
                return self.words(type(op).__name__) + self.sorted_words(sides)
        return self.words("Compare", node.left, *node.ops, *node.comparators)

    def visit_AugAssign(self, node: ast.AugAssign) -> list[Word]:
        return self.words("Assign", node.target, ast.BinOp(node.target, node.op, node.value))


def at(place: ast.AST, node: Any) -> Any:
    """Give a new node the place of another."""
    return ast.copy_location(node, place)


def moved(value: ast.expr, place: ast.AST) -> ast.expr:
    """Return a copy of a constant, or of the path of something in a library, at another place."""
    if isinstance(value, ast.Attribute):
        return at(place, ast.Attribute(moved(value.value, place), value.attr, ast.Load()))
    if isinstance(value, ast.Name):
        return at(place, ast.Name(value.id, ast.Load()))
    return at(place, ast.Constant(value.value)) if isinstance(value, ast.Constant) else value


def computed(node: ast.expr, kind: type[ast.AST], left: float, right: float) -> ast.expr:
    """Return the constant that an operation on numbers gives, or the node if it gives none."""
    try:
        return at(node, ast.Constant(ARITHMETIC[kind](left, right)))
    except (KeyError, ArithmeticError):
        return node


def paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the single assignments that make up `a, b = x, y`."""
    match target, value:
        case (ast.Tuple(elts=targets), ast.Tuple(elts=values)) if len(targets) == len(values):
            if not any(isinstance(part, ast.Starred) for part in [*targets, *values]):
                yield from zip(targets, values, strict=True)
                return
    yield target, value


def same(target: ast.expr, value: ast.expr) -> bool:
    """Check for the same name, or the same attribute of the same name."""
    match target, value:
        case ast.Name(id=one), ast.Name(id=other):
            return one == other
        case ast.Attribute(value=one, attr=name), ast.Attribute(value=other, attr=second):
            return name == second and same(one, other)
    return False


def first_argument(method: ast.stmt) -> list[str]:
    """Return the name of the argument through which a method gets its object."""
    if not isinstance(method, FUNCTIONS):
        return []
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in method.decorator_list)
    return [arg.arg for arg in [*method.args.posonlyargs, *method.args.args][: not static]]


def character(word: str) -> str:
    """Return the character for a word: one of 55,000, so that it rarely is another word's too."""
    return chr(32 + zlib.crc32(word.encode()) % (0xD800 - 32))


def raw_words(line: str) -> list[str]:
    """Return the words and signs of a line that cannot be parsed."""
    return re.findall(r"\w+|[^\w\s]", line)


def module_names(sources: Iterable[Source]) -> set[str]:
    """Return the first names under which the submission's own modules can be imported."""
    paths = [PurePosixPath(source.file) for source in sources if source.file]
    return {part for path in paths for part in (path.stem, *path.parent.parts)}


def normal_form(sources: Sequence[Source]) -> NormalForm:
    """Return the normal form of all the sources of a submission together."""
    lines, tree, raw, unparsed = list[Line](), ast.Module([], []), list[Word](), list[str]()
    for source in sources:
        own = lines_of(source)
        statements, left_out = parse([line.text for line in own])
        move_and_prune(statements, len(lines))
        tree.body += statements
        for index in sorted(left_out):
            raw += [(word, len(lines) + index) for word in raw_words(own[index].text)]
        if len(left_out) == len(own) > REPAIRS:
            unparsed.append(source.place)
        lines += own
    text, rows = "", list[int | None]()
    for block in [*blocks_of(tree, module_names(sources)), raw]:
        text += "".join(character(word) for word, _ in block) + BREAK
        rows += [*(row for _, row in block), None]
    return NormalForm(text, rows, lines, unparsed)


def blocks_of(tree: ast.Module, modules: set[str]) -> list[list[Word]]:
    """Simplify a tree, and return the words of the module and of each function."""
    for _ in range(ROUNDS):
        Simplifier(Names(tree, modules)).visit(tree)
    writer = Writer(Names(tree, modules))
    return [writer.visit(tree), *writer.blocks]
