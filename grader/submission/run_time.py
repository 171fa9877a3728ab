"""What a program imported when it ran, compared with what its syntax trees show."""

from collections.abc import Iterator

from ..assignment import Rules
from ..errors import printable
from ..sandbox.command import Imports
from .hiding import loaded
from .rules import Finding, decide, installed, judge


def is_shown(module: str, findings: list[Finding]) -> bool:
    """Check whether there is a finding about the import of this module, or of a part of it."""
    shown = (finding.module for finding in findings if finding.module)
    return any(
        f"{name}.".startswith(f"{module}.") or f"{module}.".startswith(f"{name}.") for name in shown
    )


def undeclared(
    imports: Imports, findings: list[Finding], own: set[str], rules: Rules
) -> Iterator[str]:
    """Yield what is wrong with the imports of a program, unless its code shows them.

    `findings` are those on its code, and `own` its own modules. A library that is allowed may load
    what it needs. A forbidden module that no allowed library needs was loaded for the program.
    """
    around = {name[:dot] for name in rules.allowed for dot, c in enumerate(name) if c == "."}
    for module in sorted(imports.by_program - around):  # packages with allowed modules
        top = module.split(".")[0]
        problem = judge(module, rules) if top not in own and installed(top) else None
        if problem and not is_shown(module, findings):
            yield printable(f"{problem[1]}: seen when it ran, but not in its code")
    forbidden = {
        module
        for module in imports.by_library
        if decide(module, rules) is False and installed(module.split(".")[0])
    }
    needed = loaded(tuple(rules.allowed)) if forbidden else frozenset()
    for module in sorted(forbidden - needed - imports.by_program):
        if not is_shown(module, findings):
            yield printable(f"had {module} imported, which the assignment forbids")
