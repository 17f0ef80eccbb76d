"""Finds what a folder of modules offers, so that adding a module touches no other file."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def find(package: ModuleType, constant: str, kind: type[_T]) -> dict[str, _T]:
    """By name, everything in the tuples ``constant`` of the package's modules, in the order of the modules' names.

    Modules whose name starts with an underscore are helpers and are passed over. Raises ``ValueError`` for two things
    of one name and ``TypeError`` for something that is not a ``kind``.
    """
    found: dict[str, _T] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for item in getattr(module, constant):
            if not isinstance(item, kind):
                raise TypeError(f"{module.__name__}.{constant} holds {item!r}, which is no {kind.__name__}")
            if item.name in found:
                raise ValueError(f"two of {constant} are named {item.name!r}")
            found[item.name] = item
    return found
