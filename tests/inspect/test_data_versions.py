"""An inspector whose data changes is another version of it: a workspace keeps facts by the inspector's version, and
would show what the old data found under the new data's name."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from banbury.inspect.registry import inspectors

_DATA = Path(str(files("banbury.inspect"))) / "data"
#: For each file or folder of data: the first digits of its digest, and the inspectors that read it with their versions.
#: Where a digest changes, raise the versions of all of them, and write the row down anew.
PINNED: dict[str, tuple[str, dict[str, int]]] = {
    "components": ("aceed72aa886ee06", {"components": 6}),
    "default_passwords.toml": ("f81ff4f69f2e8cbf", {"accounts": 1, "password-hashes": 1, "credentials": 1}),
    "kernel_options.toml": ("4a85084a702e28bb", {"kernel": 1}),
    "kernel_parts.toml": ("80c45d35819b7e56", {"kernel-parts": 2}),
    "releases.bundle": ("0207ab9811936983", {"components": 6}),
    "script_uses.toml": ("3cb68caf57f54f00", {"scripts": 2}),
}


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False  # a name that a module has
    return True


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(str(sys.modules[module].__file__)).read_text("utf-8"))


def _imported(module: str) -> Iterator[str]:
    """The modules of the inspectors' room that a module imports."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("banbury.inspect"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("banbury.inspect"))


@cache
def _behind(module: str) -> frozenset[str]:
    """A module with all that it needs, directly or not."""
    seen: set[str] = set()
    left = [module]
    while left:
        here = left.pop()
        if here not in seen and _is_module(here):
            seen.add(here)
            left += _imported(here)
    return frozenset(seen)


@cache
def _names_data(module: str) -> frozenset[str]:
    """The data that a module opens: it names ``banbury.inspect``'s resources, and the file."""
    strings = {
        node.value for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return (
        frozenset(p.name for p in _DATA.iterdir() if p.name in strings) if "banbury.inspect" in strings else frozenset()
    )


def _readers(name: str) -> dict[str, int]:
    return {
        inspector.name: inspector.version
        for inspector in inspectors().values()
        if any(name in _names_data(module) for module in _behind(type(inspector).__module__))
    }


@pytest.mark.parametrize("name", sorted(p.name for p in _DATA.iterdir() if not p.name.startswith("__")))
def test_other_data_are_another_version_of_every_inspector_that_reads_them(name: str) -> None:
    readers = _readers(name)
    assert readers, "no inspector reads it"
    assert PINNED.get(name) == (_digest(_DATA / name), readers)
