"""What a submission's code imports and does, read from its syntax trees, never by running it.

A syntax tree shows what is written, not what happens. Code that hides its imports is marked as
`suspicious`, the sandbox prevents it from using them, and `run_time` compares what was imported.
"""

import ast
import functools
import importlib.metadata
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ..artifacts import without_folder
from ..assignment import NOTEBOOK, Rules
from ..errors import UserError, printable
from ..safe_text import SafeText
from .notebook import LARGEST_SOURCE, Magic, Source, sources

PACKAGES = ("site-packages", "dist-packages")  # names of folders with installed packages
MOST_FINDINGS = 200  # in one file
# More than this, in a whole submission, may be a table of answers.
MOST_LITERALS = 10_000  # characters of texts and numbers in the code
MOST_DATA = 20_000  # bytes of files that are no code
MOST_CODE = 200_000  # bytes of code, with its comments
DOCSTRING = 2_000  # characters of a docstring that is not counted among the texts
DEEPEST_SEARCH = 3  # loops in loops that are read as a search for settings

# These run or find code by names that only appear at run time.
DYNAMIC_NAMES = {
    "get_ipython",
    "__import__",
    "__builtins__",
    "exec",
    "eval",
    "compile",
    "breakpoint",
}
DYNAMIC_MODULES = {
    "importlib",
    "runpy",
    "builtins",
    "ctypes",
    "code",
    "imp",
    "pkgutil",
    "zipimport",
}
OUTSIDE_MODULES = {
    "socket", "urllib", "http", "requests", "ftplib", "subprocess", "pty", "gc", "inspect", "dill",
}  # fmt: skip
OUTSIDE_CALLS = {
    "os.system",
    "os.popen",
    "os.fork",
    "os.kill",
    "os.execv",
    "os.execve",
    "os.setsid",
}
SEARCH_CALLS = {"product", "ParameterGrid", "GridSearchCV", "RandomizedSearchCV"}
TRAIN_WORDS = ("train", "fit")

INSTALLERS = {"pip", "pip3", "conda", "mamba"}
# Magics that run no code, or only what is in the cell and was read.
HARMLESS = {
    *("matplotlib", "time", "timeit", "prun", "capture", "memit", "autoreload", "config", "who"),
    *("whos", "pwd", "cd", "ls", "env", "pylab", "precision", "html", "markdown", "latex"),
    *("svg", "reset", "tensorboard", "xmode", "pdb", "debug", "history", "lsmagic", "magic"),
}
EXTENSIONS = [["load_ext", "autoreload"], ["load_ext", "tensorboard"]]
MAGIC_SIZE = 60  # characters of a magic in a finding

STANDARD = sys.stdlib_module_names | {"__main__"}
HARMLESS_NAMES = {"test", "this", "code", "symbol"}  # standard library modules that nobody needs
COMPILED = {".pyc", ".so", ".pyd"}
START_UP = {"sitecustomize", "usercustomize"}  # imported by Python itself


class Kind(StrEnum):
    FORBIDDEN = "forbidden"  # breaks a rule of the assignment
    BROKEN = "broken"  # cannot be read as Python
    SUSPICIOUS = "suspicious"  # flagged for review
    MISSING = "missing"  # allowed, but not installed here
    REMARK = "remark"


@dataclass(frozen=True)
class Finding:
    """What a rule finds on a line of a file, or of a cell of a notebook.

    `module` is what is imported there, if it is.
    """

    kind: Kind
    file: str
    line: int
    message: str
    module: str = ""

    def __str__(self) -> str:
        between = ", line " if ", cell " in self.file else ":"
        return printable(f"{self.file}{between}{self.line}: {self.message}")

    def for_students(self) -> SafeText:
        """Return the finding: the code was written before any test image could be in it."""
        return SafeText(self)


def decide(module: str, rules: Rules) -> bool | None:
    """Decide by the longest rule that fits whether a module may be imported; None if none fits."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in rules.allowed or prefix in rules.forbidden:
            return prefix in rules.allowed
    return None


def judge(module: str, rules: Rules) -> tuple[Kind, str] | None:
    """Return what is wrong with importing `module`, or None. It may be a name within a module."""
    top = module.split(".")[0]
    allowed = decide(module, rules)
    if allowed is False:
        return Kind.FORBIDDEN, f"imports {module}, which the assignment forbids"
    if top in DYNAMIC_MODULES | OUTSIDE_MODULES:
        return Kind.SUSPICIOUS, f"imports {module}"
    if allowed is None and rules.allowed and top not in STANDARD:
        return Kind.REMARK, f"imports {top}, which the assignment does not name"
    return None


@functools.lru_cache(maxsize=10_000)
def package(name: str) -> ModuleSpec | None:
    """Find a top-level module among the installed packages, without importing anything.

    What the grader itself has imported, or could import from its folder, says nothing.
    """
    places = [p for p in sys.path if Path(p).name in PACKAGES]
    return PathFinder.find_spec(name, places)


def installed(module: str) -> bool:
    """Check whether a top-level module is there for a submission to import."""
    return module in STANDARD or package(module) is not None


@functools.cache
def owners() -> Mapping[str, list[str]]:
    """Return the packages that contain each top-level module; this reads every package's files."""
    return importlib.metadata.packages_distributions()


def versions(modules: list[str]) -> dict[str, str]:
    """Return the installed versions of the packages that contain these modules."""
    packages = {p for module in modules for p in owners().get(module.split(".")[0], [])}
    return {package: importlib.metadata.version(package) for package in sorted(packages)}


class TooManyFindingsError(Exception):
    """A file has so many findings that nobody would read them, or so many that it delays others."""


class Reader(ast.NodeVisitor):
    """Collects findings on one file. `names` maps each imported name to its module path."""

    def __init__(self, file: str, rules: Rules, own: set[str]) -> None:
        self.file, self.rules, self.own = file, rules, own
        self.names: dict[str, str] = {}
        self.defined: set[str] = set()
        self.loops = 0  # around the present node
        self.calls: set[str] = set()
        self.found: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        return list(self.found.values())

    def find(self, kind: Kind, node: ast.AST, message: str, module: str = "") -> None:
        """Keep a finding, unless the same was found above. Raises TooManyFindingsError."""
        if len(self.found) == MOST_FINDINGS:
            raise TooManyFindingsError
        line = getattr(node, "lineno", 1)
        self.found.setdefault(message, Finding(kind, self.file, line, message, module))

    def imported(self, node: ast.AST, module: str) -> None:
        """Judge the import of `module`, which may also be a name within a module."""
        top = module.split(".")[0]
        if top in self.own:
            return
        problem = judge(module, self.rules)
        if problem:
            self.find(problem[0], node, problem[1], module)
        if (not problem or problem[0] is not Kind.FORBIDDEN) and not installed(top):
            self.find(Kind.MISSING, node, f"imports {top}, which is not installed here", top)

    def judge_magic(self, magic: Magic) -> None:
        """Judge a command of a notebook."""
        if problem := judge_magic(magic):
            place = ast.Pass(lineno=magic.line, col_offset=0)
            self.find(problem[0], place, problem[1])

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported(node, alias.name)
            top = alias.name.split(".")[0]
            self.names[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            return
        module = node.module or ""
        for alias in node.names:
            name = f"{module}.{alias.name}"
            self.imported(node, module if alias.name == "*" else name)
            self.names[alias.asname or alias.name] = name

    def dotted(self, node: ast.expr) -> str | None:
        """Return the module path that a chain of attributes spells, if it begins with an import."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.names:
            return None
        return ".".join([self.names[node.id], *reversed(parts)])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.dotted(node)
        if path is None:
            self.generic_visit(node)
        elif path.split(".")[0] not in self.own and decide(path, self.rules) is False:
            self.find(Kind.FORBIDDEN, node, f"uses {path}, which the assignment forbids")

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = function.id if isinstance(function, ast.Name) else None
        path = self.dotted(function) or name or ""
        self.calls.add(path)
        literal = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else 0
        if path in ("__import__", "importlib.import_module") and isinstance(literal, str):
            self.imported(node, literal)
        if path in OUTSIDE_CALLS or path.split(".")[0] in DYNAMIC_MODULES:
            self.find(Kind.SUSPICIOUS, node, f"calls {path}")
        if path.endswith("load") and any(
            k.arg == "weights_only" and getattr(k.value, "value", None) is False
            for k in node.keywords
        ):
            self.find(Kind.REMARK, node, "loads weights with weights_only=False")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in DYNAMIC_NAMES and node.id not in self.names.keys() | self.defined:
            self.find(Kind.SUSPICIOUS, node, f"uses {node.id}")

    def visit_Module(self, node: ast.Module) -> None:
        # The name of a method hides nothing.
        self.defined = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        asked = self.rules.search_remark and self.loops < DEEPEST_SEARCH
        if asked and is_search(node):
            self.find(Kind.REMARK, node, "trains in a loop over settings; no search is expected")
        self.loops += 1
        self.generic_visit(node)
        self.loops -= 1


def called_names(node: ast.AST) -> Iterator[str]:
    """Yield the last part of the name of each function that is called below a node."""
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            function = child.func
            if isinstance(function, ast.Name | ast.Attribute):
                yield function.id if isinstance(function, ast.Name) else function.attr


def is_search(loop: ast.For) -> bool:
    """Check whether a loop goes over literal settings, or their product, and trains with each."""
    literal = isinstance(loop.iter, ast.List | ast.Tuple) and len(loop.iter.elts) > 1
    product = bool(SEARCH_CALLS & set(called_names(loop.iter)))
    body = ast.Module(loop.body, [])
    names = {name.lower() for name in called_names(body)} - {"train"}  # model.train() sets a mode
    trains = any(word in name for name in names for word in TRAIN_WORDS)
    return (literal or product) and trains


def parse(source: Source) -> ast.Module | Finding:
    """Return the syntax tree of a source, or a finding that says why there is none."""
    place, content = source.place, source.text
    try:
        if len(content) > LARGEST_SOURCE:
            return Finding(Kind.SUSPICIOUS, place, 1, f"{len(content) >> 20} MiB of source")
        wrong = undecodable(content, place) if isinstance(content, bytes) else None
        return wrong or ast.parse(content, place)
    except SyntaxError as error:
        return Finding(Kind.BROKEN, place, error.lineno or 1, f"is not valid Python: {error.msg}")
    except (ValueError, LookupError, RecursionError, MemoryError) as error:
        return Finding(Kind.BROKEN, place, 1, f"is not valid Python: {error}")


def read_sources(path: Path, name: str) -> list[Source] | Finding:
    """Return the Python in a file, or a finding that says why it cannot be read."""
    try:
        return list(sources(path, name))
    except UserError as error:
        text = f"is not a notebook that can be read: {without_folder(error, path.parent)}"
        return Finding(Kind.BROKEN, name, 1, text)


def undecodable(content: bytes, file: str) -> Finding | None:
    """Return a finding on a source that is not in its encoding; the parser overlooks comments."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except SyntaxError:  # it also looks at the first two lines
        encoding = "utf-8"
    if encoding == "utf-8-sig":  # after a mark, Python overlooks comments as well
        return None
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"is not in {encoding} (byte {content[error.start]:02x}): save it as UTF-8"
        return Finding(Kind.BROKEN, file, line, found)
    return None


def literal_size(tree: ast.Module) -> int:
    """Count the characters of all texts and numbers in a file that are no usual docstrings."""
    statements = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    unused = {id(value) for value in statements}
    total = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant):
            continue
        if isinstance(node.value, str | bytes):
            length = len(node.value)
            total += length if id(node) not in unused or length > DOCSTRING else 0
        elif isinstance(node.value, int):
            total += node.value.bit_length() // 3
        elif isinstance(node.value, float | complex):
            total += len(str(node.value))
    return total


def reserved_names(rules: Rules) -> set[str]:
    """Return the modules that no file of a submission may replace."""
    packages = {module.split(".")[0] for module in (*rules.allowed, *rules.forbidden)}
    return packages | START_UP | (STANDARD - HARMLESS_NAMES)


def imported_files(folder: Path, files: list[Path], program: str) -> list[Path]:
    """Return the program and those of `files` that it imports, directly or indirectly."""
    known = {path.relative_to(folder).as_posix(): path for path in files if path.suffix == ".py"}
    found: dict[str, Path] = {}
    waiting = [program]
    while waiting:
        file = waiting.pop()
        if file in found or file not in known:
            continue
        found[file] = known[file]
        tree = parse(Source(file, known[file].read_bytes(), file))
        modules: list[str] = []
        for node in ast.walk(tree) if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.Import):
                modules += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = file.split("/")[: -node.level] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                modules += [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        for module in modules:
            path = module.replace(".", "/")
            waiting += [f"{path}.py", f"{path}/__init__.py"]
    return list(found.values())


def room_for_tables(files: list[Path], literals: int) -> Iterator[Finding]:
    """Yield what could hold a table of answers in the files of a submission."""
    python = [path for path in files if path.suffix == ".py"]
    code = sum(path.stat().st_size for path in python)
    others = (".py", NOTEBOOK, *COMPILED)
    data = sum(path.stat().st_size for path in files if path.suffix not in others)
    for size, most, what in (
        (literals, MOST_LITERALS, "characters of texts and numbers in the code"),
        (code, MOST_CODE, "bytes of code and comments"),
        (data, MOST_DATA, "bytes of files that are no code"),
    ):
        if size > most:
            message = f"{size:,} {what}: there is room for a table of answers"
            yield Finding(Kind.SUSPICIOUS, "*", 1, message)


def own_modules(folder: Path, rules: Rules, written: Iterable[str] = ()) -> set[str]:
    """Return the top-level modules of a submission that take no other's place.

    They are in its folder, or `written` to these files by a notebook.
    """
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py")]
    found = {file.split("/")[0].split(".")[0] for file in (*files, *written)}
    return found - reserved_names(rules)


def judge_magic(magic: Magic) -> tuple[Kind, str] | None:
    """Return what is to be said about a command of a notebook, or None if it is harmless."""
    text = magic.text.partition("=")[2].strip() if "=" in magic.text.split()[0:2] else magic.text
    words = text.strip("%!?{} ").split()
    name, several = words[0] if words else "", set(";&|`$") & set(text)
    installs = name in INSTALLERS or words[1:3] == ["-m", "pip"]
    if text.startswith("?") or text.endswith("?"):
        return None
    if installs and not several:
        return Kind.REMARK, f"installs packages: {text[:MAGIC_SIZE]}"
    if text.startswith("%") and not several and (name in HARMLESS or words in EXTENSIONS):
        return None
    return Kind.SUSPICIOUS, f"runs a command: {text[:MAGIC_SIZE]}"


def replaced(found: list[Source], file: str, reserved: set[str]) -> Iterator[Finding]:
    """Yield the modules that cells write in the place of others."""
    for source in found:
        first, _, inner = (source.file or "").partition("/")
        module = first.split(".")[0]
        written = source.file is not None and source.place != file
        if written and module in reserved and (not inner or inner.startswith("__init__.")):
            message = f"takes the place of the module {module}"
            yield Finding(Kind.FORBIDDEN, source.place, 1, message)


def is_code(path: Path) -> bool:
    return path.suffix in (".py", NOTEBOOK)


def weakened(finding: Finding, other: bool, cell: bool) -> Finding:
    """Return what an unreadable source means: one that is not run is only remarked.

    `other`: it is in another file than the program. A broken `cell` is flagged, because a notebook
    goes on without it.
    """
    if finding.kind is Kind.BROKEN and cell:
        return replace(finding, kind=Kind.SUSPICIOUS)
    return replace(finding, kind=Kind.REMARK) if finding.kind is Kind.BROKEN and other else finding


def check(folder: Path, files: list[Path], program: str, rules: Rules) -> list[Finding]:
    """Apply all rules to `files` below `folder`; `program` is the one that is run."""
    findings: list[Finding] = []
    reserved = reserved_names(rules)
    for path in sorted(files):
        file = path.relative_to(folder).as_posix()
        first, _, inner = file.partition("/")
        module = first.split(".")[0]
        if path.suffix in COMPILED:
            findings.append(Finding(Kind.SUSPICIOUS, file, 1, "is compiled code"))
        if path.suffix != ".py" and path.suffix not in COMPILED:
            continue
        # A folder takes precedence over an installed module only if it is a package.
        if module in reserved and (not inner or inner.startswith("__init__.")):
            message = f"takes the place of the module {module}"
            findings.append(Finding(Kind.FORBIDDEN, file, 1, message))
    calls: set[str] = set()
    literals = 0
    code = {path.relative_to(folder).as_posix(): path for path in sorted(files) if is_code(path)}
    read = {file: read_sources(path, file) for file, path in code.items()}
    every = [source for found in read.values() if isinstance(found, list) for source in found]
    own = own_modules(folder, rules, [source.file for source in every if source.file])
    for file, found in read.items():
        if isinstance(found, Finding):
            findings.append(found)
            continue
        reader = Reader(file, rules, own)
        findings += replaced(found, file, reserved)
        for source in found:
            tree = parse(source)
            reader.file = source.place
            for magic in source.magics:
                reader.judge_magic(magic)
            if isinstance(tree, Finding):
                findings.append(weakened(tree, file != program, source.file is None))
                continue
            try:
                reader.visit(tree)
            except RecursionError:
                message = "is nested too deep to be read"
                findings.append(Finding(Kind.SUSPICIOUS, source.place, 1, message))
            except TooManyFindingsError:
                message = f"has more than {MOST_FINDINGS} findings; the rest was not read"
                findings.append(Finding(Kind.SUSPICIOUS, source.place, 1, message))
                break
            literals += literal_size(tree)
        findings += reader.findings
        calls |= reader.calls
    findings += room_for_tables(files, literals)
    if rules.seed_call and rules.seed_call not in calls:
        findings.append(Finding(Kind.REMARK, "*.py", 1, f"no call of {rules.seed_call}"))
    return findings
