"""The table of the kernel's parts, ``data/kernel_parts.toml``: which options, functions and modules show a folder."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from msgspec import Struct, convert


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shows that something of a folder is in a kernel: any option, any prefix of a function, any module."""

    options: list[str]
    symbols: list[str]
    modules: list[str] = []


class Table(Struct, frozen=True, kw_only=True):
    """The whole table. ``machines``: the folder of ``arch/`` by what an ELF header calls the machine; ``only``: folders
    that are built for some machines alone."""

    single: list[str]
    not_single: list[str]
    always: list[str]
    machines: dict[str, str]
    only: dict[str, list[str]]
    parts: dict[str, Part]


@cache
def table() -> Table:
    """The table, read once."""
    text = (files("banbury.inspect") / "data" / "kernel_parts.toml").read_text("utf-8")
    return convert(tomllib.loads(text), Table)


@cache
def watched() -> frozenset[str]:
    """Every option that a part names."""
    return frozenset(option for part in table().parts.values() for option in part.options)
