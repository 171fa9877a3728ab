"""The rooms of the grader: imports between them point one way, and reach what they offer."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import grader

HOME = Path(grader.__file__).parent
# A room may import from the rooms before it, and every room from the ground floor.
ROOMS = ("sandbox", "submission", "assessment", "display", "classroom", "staff", "shipping")
ENTRIES = {"__main__", "cli"}  # nothing imports these


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules of the grader that a file imports, as parts below the grader's folder."""
    home = path.relative_to(HOME).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        parts = home[: len(home) - node.level + 1] + tuple((node.module or "").split("."))
        parts = tuple(part for part in parts if part)
        for alias in node.names:
            inside = HOME.joinpath(*parts, alias.name)
            module = inside.is_dir() or inside.with_suffix(".py").is_file()
            yield (*parts, alias.name) if module else parts


def offered(room: str) -> set[str]:
    """Return the modules that a room's docstring offers to other rooms."""
    text = ast.get_docstring(ast.parse((HOME / room / "__init__.py").read_text(encoding="utf-8")))
    return set(re.findall(r"`(\w+)`", (text or "").split("Import from outside:")[1]))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way_and_reach_what_a_room_offers(room: str) -> None:
    for path in (HOME / room).glob("*.py"):
        for target in imports(path):
            if not target or target[0] == room:
                continue
            if target[0] in ROOMS:
                assert ROOMS.index(target[0]) < ROOMS.index(room), (path.name, target)
                assert target[1] in offered(target[0]), (path.name, target)
            else:
                assert target[0] not in ENTRIES, (path.name, target)


def test_the_ground_floor_imports_from_no_room() -> None:
    for path in HOME.glob("*.py"):
        if path.stem not in ENTRIES:
            assert not {target[0] for target in imports(path) if target} & {*ROOMS, *ENTRIES}


def test_every_folder_with_code_is_a_room() -> None:
    solutions = "assignments"  # what tests compare with, next to the assignments' files
    assert {path.parent.name for path in HOME.glob("*/*.py")} - {solutions} == {*ROOMS}
