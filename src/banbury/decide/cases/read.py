"""Cases from TOML: bounded, strict, every error named."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from banbury.decide.cases.records import Case
from banbury.decide.policy.read import load as load_pack
from banbury.lab.regular import read_regular
from banbury.model.errors import InputError

#: The largest file, in bytes.
SIZE = 256 << 10


def shipped() -> list[str]:
    """The ids of the cases that come with the laboratory."""
    folder = files("banbury.decide").joinpath("data/cases")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Case:
    """The case of an id, or of a file whose name ends in ``.toml``. Raises :class:`InputError` where it is unusable."""
    if name.endswith(".toml"):
        path = Path(name)
        content = read_regular(path, SIZE + 1)
    elif name in shipped():
        content = files("banbury.decide").joinpath(f"data/cases/{name}.toml").read_bytes()
    else:
        raise InputError(f"no case is called {name[:60]!r}; shipped: {', '.join(shipped())}")
    if len(content) > SIZE:
        raise InputError(f"case {name[:200]}: larger than {SIZE >> 10} KiB")
    try:
        data = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as problem:
        raise InputError(f"case {name[:200]}: {str(problem)[:300]}") from problem
    return convert(data, name)


def convert(data: dict[str, Any], name: str) -> Case:
    """The case that ``data`` is. Raises :class:`InputError` for what is none, and for packs that are not shipped."""
    try:
        case = msgspec.convert(data, Case)
    except msgspec.ValidationError as problem:
        raise InputError(f"case {name[:200]}: {str(problem)[:300]}") from problem
    for policies in case.jurisdictions.values():
        for policy in policies:
            load_pack(policy)
    return case
