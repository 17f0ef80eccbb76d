"""Every inspector there is, found by walking ``inspect/inspectors``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from banbury.inspect import inspectors as package
from banbury.inspect.contract import FileInspector, TreeInspector


@cache
def inspectors() -> dict[str, FileInspector | TreeInspector]:
    """All inspectors by name, in a fixed order."""
    found: dict[str, FileInspector | TreeInspector] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for inspector in module.INSPECTORS:
            if inspector.name in found:
                raise ValueError(f"two inspectors are named {inspector.name!r}")
            found[inspector.name] = inspector
    return found
