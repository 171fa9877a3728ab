"""The checks of an assignment on a notebook as it was handed in: its cells, outputs and names."""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import listed, printable
from ..judging import NotebookCheck
from .contents import NAMED, TYPES, Contents
from .notebook import LARGEST_SOURCE, Notebook, Source, cell_source
from .unpacking import Submission

RULE_LINE = set(" \t|:-")  # characters of the line between the header and the rows of a table
EMPTY = re.compile(r"[\W_]*")
FORMATTED = re.compile(r"\{[^{}]*\}|%[-+ #0-9.]*[a-zA-Z]")
SAVING_CHARACTERS = 200  # of a file's name


@dataclass(frozen=True)
class Handed:
    """A notebook, the Python in it, and the checks on the names of all files."""

    notebook: Notebook
    sources: list[Source]
    contents: Contents


def handed_in(submission: Submission) -> Handed | None:
    """Return what checks look at in a submission; None if it is no notebook."""
    if submission.notebook is None:
        return None
    found = [cell_source(cell, submission.program) for cell in submission.notebook.code]
    return Handed(submission.notebook, found, submission.contents)


@dataclass(frozen=True)
class Result:
    """The share of the points, from 0 to 1, and what is missing for all of them."""

    share: float
    problem: str = ""


PASSED = Result(1.0)


def shared(found: int, every: int, problem: str) -> Result:
    """Return the result if `found` of `every` are right."""
    return PASSED if found == every else Result(found / every, printable(problem))


def cells(numbers: list[int]) -> str:
    return f"cell{'s' * (len(numbers) > 1)} {listed(numbers)}"


def cells_run(handed: Handed, _: NotebookCheck) -> Result:
    """Check whether every code cell was run. An empty one need not be."""
    code = handed.notebook.code
    missing = [cell.number for cell in code if cell.execution_count is None]
    if not code:
        return Result(0.0, "it has no code cells")
    return shared(len(code) - len(missing), len(code), f"{cells(missing)} not run")


def cells_in_order(handed: Handed, _: NotebookCheck) -> Result:
    """Check whether the cells that were run were run from top to bottom."""
    run = [c for c in handed.notebook.code if c.execution_count is not None]
    if not run:
        return Result(0.0, "no cell was run")
    for before, cell in itertools.pairwise(run):
        first, second = before.execution_count or 0, cell.execution_count or 0
        if second <= first:
            order = f"In [{second}] after In [{first}]"
            text = f"cell {cell.number} was run before the cells above it ({order})"
            return Result(0.0, f"{text}: restart the kernel and run all cells")
    return PASSED


def no_errors(handed: Handed, _: NotebookCheck) -> Result:
    """Check whether no cell ended with an error. Without outputs, nothing says that none did."""
    code = handed.notebook.code
    failed = [
        f"cell {cell.number} ended with {out.ename or 'an error'}"
        for cell in code
        for out in cell.outputs
        if out.output_type == "error"
    ]
    if failed:
        return Result(0.0, printable(listed(failed, "; ")))
    if not any(cell.outputs for cell in code):
        return Result(0.0, "no cell has an output: were the outputs cleared?")
    return PASSED


def tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the tables in a Markdown text as rows of cells, the header first."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if "|" in line:
            if not (set(line) <= RULE_LINE and "-" in line):
                rows.append([part.strip() for part in line.strip().strip("|").split("|")])
        elif rows:
            yield rows
            rows = []


def table_filled(handed: Handed, check: NotebookCheck) -> Result:
    """Check whether the table with these columns has enough rows without an empty cell."""
    wanted = [name.casefold() for name in check.columns]
    for cell in handed.notebook.cells:
        for header, *rows in tables(cell.source if cell.cell_type == "markdown" else ""):
            spelled = [name.strip("*_ ").casefold() for name in header]
            if not set(wanted) <= set(spelled):
                continue
            places = [spelled.index(name) for name in wanted]
            filled = [row for row in rows if all(is_filled(row, place) for place in places)]
            text = f"cell {cell.number} has {len(filled)} filled rows; expected {check.rows}"
            return shared(min(len(filled), check.rows), check.rows, text)
    return Result(0.0, f"no table with the columns {', '.join(check.columns)}")


def is_filled(row: list[str], place: int) -> bool:
    return place < len(row) and not EMPTY.fullmatch(row[place])


def trees(handed: Handed) -> Iterator[ast.Module]:
    """Yield the syntax trees of all sources that are valid Python."""
    for source in handed.sources:
        try:
            if len(source.text) <= LARGEST_SOURCE:
                yield ast.parse(source.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue


def names(handed: Handed, check: NotebookCheck) -> Result:
    """Check whether the code defines these functions, classes or variables."""
    defined: set[str] = set()
    for tree in trees(handed):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
    missing = [name for name in check.names if name not in defined]
    found = len(check.names) - len(missing)
    return shared(found, len(check.names), f"the code defines no {listed(missing)}")


def texts(node: ast.AST) -> Iterator[str]:
    """Yield each text below a node, with {} for what is formatted into it."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield FORMATTED.sub("{}", child.value)
        elif isinstance(child, ast.JoinedStr | ast.BinOp):
            yield template(child)


def template(node: ast.expr) -> str:
    """Return the text that an expression makes, with {} for each part that is not literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return "{}"


def checkpoints(handed: Handed, check: NotebookCheck) -> Result:
    """Check whether the code has the names of these files, put together from parts or not."""
    written: set[str] = set()
    for tree in trees(handed):
        try:
            found = {text.rsplit("/", 1)[-1] for text in texts(tree)}
        except RecursionError:
            continue
        written |= {text for text in found if len(text) <= SAVING_CHARACTERS}
    missing = [
        name
        for name in check.names
        if not any(re.fullmatch(re.escape(name).replace(r"\{\}", ".+"), text) for text in written)
    ]
    found_names = len(check.names) - len(missing)
    return shared(found_names, len(check.names), f"the code writes no {listed(missing)}")


def kept(rule: str) -> Callable[[Handed, NotebookCheck], Result]:
    """Return a check that repeats one on the files of the submission."""

    def check(handed: Handed, _: NotebookCheck) -> Result:
        broken = [c for c in handed.contents.checks if c.rule == rule and c.passed is False]
        return Result(0.0, broken[0].message) if broken else PASSED

    return check


KINDS: dict[str, Callable[[Handed, NotebookCheck], Result]] = {
    "cells_run": cells_run,
    "cells_in_order": cells_in_order,
    "no_errors": no_errors,
    "table_filled": table_filled,
    "names": names,
    "checkpoints": checkpoints,
    "file_name": kept(NAMED),
    "file_types": kept(TYPES),
}
