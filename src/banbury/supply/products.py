"""The product table: what each product is called by package managers and by feeds.

The rows are data, ``data/products/*.toml``, a file for each area. A product has one id, which is the laboratory's own
name for it. Nothing is matched by likeness: a name is in the table or it is not.
"""

from __future__ import annotations

import re
import tomllib
from fnmatch import translate
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct, convert

#: Package managers whose names the table holds.
MANAGERS: Final = ("opkg", "dpkg", "apk", "rpm", "buildroot")


class Product(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product.

    ``type`` is a CycloneDX component type. ``opkg`` … ``buildroot``: names of packages, sources' or binaries', where
    ``*`` stands for anything; ``libc@0.9.*`` holds only for versions of that form. ``cpes``, ``cna``: the pairs
    ``vendor:product`` with who uses them so; ``osv``: ``ecosystem:name``. ``shared``: names that another product claims
    too, with the reason. ``sources``: where the package names are from.
    """

    id: str
    title: str
    type: str
    upstream: str
    purl: str
    opkg: list[str] = []
    dpkg: list[str] = []
    apk: list[str] = []
    rpm: list[str] = []
    buildroot: list[str] = []
    cpes: dict[str, str] = {}
    cna: dict[str, str] = {}
    osv: list[str] = []
    shared: dict[str, str] = {}
    note: str = ""
    sources: list[str]

    def packages(self, manager: str) -> list[str]:
        """The patterns of names in a package manager; none for one that the table does not know.

        OpenWrt's packages keep under apk the names that they had under opkg: those count beside Alpine's.
        """
        found: list[str] = getattr(self, manager) if manager in MANAGERS else []
        return found + self.opkg if manager == "apk" else found

    def names(self) -> dict[str, str]:
        """The names that feeds use (:mod:`banbury.supply.feeds.query`), each with who says so."""
        out = {f"cpe:{pair}": source for pair, source in self.cpes.items()}
        out |= {f"cna:{pair}": source for pair, source in self.cna.items()}
        out |= {f"osv:{name}": "OSV" for name in self.osv}
        if self.id in _OWN_FEEDS:
            out[_OWN_FEEDS[self.id]] = "the project"
        return out

    def package_url(self, version: str) -> str:
        """The package URL of a version (purl-spec: ``pkg:type/name@version``)."""
        return f"{self.purl}@{_quote(version)}" if version else self.purl


_OWN_FEEDS: Final = {"curl": "curl:curl", "linux": "kernel:linux"}


def _quote(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._~:-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), text)


def _tables() -> list[Traversable]:
    folder = files("banbury.supply") / "data" / "products"
    return sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)


@cache
def products() -> dict[str, Product]:
    """Every product by id, in the order of the files."""
    found: dict[str, Product] = {}
    for item in _tables():
        for row in convert(tomllib.loads(item.read_text("utf-8"))["product"], list[Product]):
            if row.id in found:
                raise ValueError(f"{item.name}: the product {row.id} is there already")
            found[row.id] = row
    return found


@cache
def digest() -> str:
    """The SHA-256 of the whole table: what a result that used it names."""
    return sha256(b"\0".join(item.read_bytes() for item in _tables())).hexdigest()


class _Pattern(Struct, frozen=True):
    """How a name of a package is recognised; ``weight``: an exact name before the longest pattern."""

    weight: tuple[bool, bool, int]
    product: str
    name: re.Pattern[str]
    version: re.Pattern[str] | None


@cache
def _patterns(manager: str) -> tuple[dict[str, list[_Pattern]], list[_Pattern]]:
    """Exact names and patterns of a manager, the most special first."""
    exact: dict[str, list[_Pattern]] = {}
    globs: list[_Pattern] = []
    for row in products().values():
        for text in row.packages(manager):
            name, _, version = text.partition("@")
            entry = _Pattern(
                ("*" not in name, bool(version), len(name)),
                row.id,
                re.compile(translate(name)),
                re.compile(translate(version)) if version else None,
            )
            if "*" in name:
                globs.append(entry)
            else:
                exact.setdefault(name, []).append(entry)
    for rows in exact.values():
        rows.sort(key=lambda entry: entry.weight, reverse=True)
    return exact, sorted(globs, key=lambda entry: entry.weight, reverse=True)


def _named(manager: str, name: str, version: str) -> str:
    exact, globs = _patterns(manager)
    for entry in exact.get(name, []):
        if entry.version is None or entry.version.match(version):
            return entry.product
    if name in exact or len(name) > 200:
        return ""
    for entry in globs:
        if entry.name.match(name) and (entry.version is None or entry.version.match(version)):
            return entry.product
    return ""


def by_package(manager: str, name: str, version: str = "", source: str = "") -> str:
    """The product of a package, or ``""`` where the table has none.

    ``version`` is the package's; ``source`` the source package it states: dpkg's ``Source`` (``glibc (2.36-9)``), apk's
    origin, RPM's ``busybox-1.35-1.src.rpm``, OpenWrt's ``package/libs/openssl``. The package's own name counts first.
    """
    if found := _named(manager, name, version):
        return found
    if manager == "dpkg" and name.endswith("-udeb"):  # the installer's form of a package; its record names no source
        return _named(manager, name.removesuffix("-udeb"), version)
    origin = source_name(manager, source)
    return _named(manager, origin, version) if origin and origin != name else ""


def source_name(manager: str, source: str) -> str:
    """The name of a source package in what a package states of its source."""
    text = source.strip()[:400].split(" ")[0]
    if manager == "opkg":
        return "" if text.startswith("package/kernel/") else text.rstrip("/").rpartition("/")[2]
    if manager == "rpm" and text.endswith(".rpm"):
        return text.rsplit("-", 2)[0]
    return text


@cache
def by_name() -> dict[str, tuple[str, ...]]:
    """The products that claim each name of a feed (``cpe:busybox:busybox``)."""
    found: dict[str, tuple[str, ...]] = {}
    for row in products().values():
        for name in row.names():
            found[name] = (*found.get(name, ()), row.id)
    return found
