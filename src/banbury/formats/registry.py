"""Every reader there is, found by walking ``formats/readers``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from banbury.formats import readers as package
from banbury.formats.contract import Reader


@cache
def readers() -> dict[str, Reader]:
    """All readers by name, in a fixed order."""
    found: dict[str, Reader] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for reader in module.READERS:
            if reader.name in found:
                raise ValueError(f"two readers are named {reader.name!r}")
            found[reader.name] = reader
    return found
