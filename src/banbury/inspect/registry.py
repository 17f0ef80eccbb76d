"""Every inspector there is, found by walking ``inspect/inspectors``."""

from __future__ import annotations

from functools import cache

from banbury.inspect import inspectors as package
from banbury.inspect.contract import FileInspector, Inspector, TreeInspector
from banbury.lab.plugins import find


@cache
def inspectors() -> dict[str, FileInspector | TreeInspector]:
    """All inspectors by name, in a fixed order."""
    found = find(package, "INSPECTORS", Inspector)
    return {name: i for name, i in found.items() if isinstance(i, (FileInspector, TreeInspector))}
