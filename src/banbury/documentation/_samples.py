"""The names of the samples that each inspector is tested on, where the tests are there (that is, in a checkout)."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from functools import cache
from pathlib import Path

import banbury

SORTS = ("positive", "negative", "malformed")
_CHECKOUT = Path(banbury.__file__).resolve().parents[2]


@cache
def samples() -> dict[str, dict[str, list[str]]]:
    """Inspector, sort of sample, names in the order of their file. Empty outside a checkout."""
    if not ((_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "tests/inspect/cases").is_dir()):
        return {}
    if str(_CHECKOUT) not in sys.path:
        sys.path.append(str(_CHECKOUT))
    package = importlib.import_module("tests.inspect.cases")
    found: dict[str, dict[str, list[str]]] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        for case in importlib.import_module(f"{package.__name__}.{info.name}").CASES:
            found.setdefault(case.inspector, {sort: [] for sort in SORTS})[case.sort].append(case.name)
    return found
