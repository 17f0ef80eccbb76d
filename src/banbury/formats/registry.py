"""Every reader there is, found by walking ``formats/readers``."""

from __future__ import annotations

from functools import cache

from banbury.formats import readers as package
from banbury.formats.contract import Reader
from banbury.lab.plugins import find


@cache
def readers() -> dict[str, Reader]:
    """All readers by name, in a fixed order."""
    return find(package, "READERS", Reader)  # type: ignore[type-abstract]
