"""Imports go where the table of rooms in docs/architecture.md lets them, and never in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCE = CHECKOUT / "src" / "banbury"

#: Imports that the table does not allow and that are there: (module, room). Each goes when its reason goes.
DEBTS: set[tuple[str, str]] = set()


def table() -> dict[str, set[str]]:
    """Each room of the table, and the rooms it may import."""
    text = (CHECKOUT / "docs" / "architecture.md").read_text("utf-8")
    rows = text.partition("| room | what it does | may import |\n")[2].partition("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {room.strip("`"): set(re.findall(r"`(\w+)`", allowed)) for room, _, allowed in cells}


def room_of(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    """Every module but the package itself, which only names its public surface."""
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def imported(module: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of each import of another room, wherever in the module it stands."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name}:{node.lineno}: a relative import"
            names = [
                f"{node.module}.{alias.name}" if node.module == "banbury" else str(node.module) for alias in node.names
            ]
        for name in names:
            top, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if top == "banbury" and room in table():
                yield node.lineno, room


def test_every_room_is_in_the_table() -> None:
    """The document names every package and module at the top of the source, and no other."""
    assert set(table()) == {room_of(module) for module in modules()}


@pytest.mark.parametrize("room", sorted(table()))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    """No module imports a room that its own room's row does not name."""
    allowed = table()[room] | {room}
    wrong = {
        (module.relative_to(SOURCE).as_posix(), other): line
        for module in modules()
        if room_of(module) == room
        for line, other in imported(module)
        if other not in allowed
    }
    assert set(wrong) == {debt for debt in DEBTS if room_of(SOURCE / debt[0]) == room}, wrong


def test_readers_and_inspectors_know_nothing_of_where_they_run() -> None:
    """Only the modules that look for plug-ins import the laboratory's parts."""
    users = {
        module.relative_to(SOURCE).as_posix()
        for module in modules()
        if room_of(module) in {"formats", "inspect"} and any(room == "lab" for _, room in imported(module))
    }
    assert users == {"formats/registry.py", "inspect/registry.py"}


def test_the_table_has_no_circle() -> None:
    """The rooms can be put in an order in which each imports only earlier ones, starting from the model."""
    order = list(TopologicalSorter(table()).static_order())

    assert order[0] == "model"
    assert order[-1] == "cli"


def test_the_imports_that_a_reader_must_not_have() -> None:
    """Code that parses hostile bytes imports nothing that runs programs, opens sockets or unpacks to a disk."""
    banned = {"subprocess", "socket", "tarfile", "zipfile", "pickle", "shelve", "shutil", "urllib", "http", "ctypes"}
    wrong = []
    for module in modules():
        if room_of(module) in {"formats", "inspect"} and module.name != "testing.py":
            for node in ast.walk(ast.parse(module.read_text("utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                wrong += [f"{module.name}: {n}" for n in names if n.partition(".")[0] in banned]
    assert wrong == []
