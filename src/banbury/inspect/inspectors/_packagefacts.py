"""The facts about packages."""

from __future__ import annotations

from msgspec import field

from banbury.model.facts import Fact


class _Package(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """``manager`` is opkg, dpkg, apk, rpm, python or npm ("" where a control file does not tell); ``status`` the
    manager's own word; ``files`` counts its files where the same file lists them, else -1; ``size`` is the installed
    size in bytes, or -1; ``database`` names the record the fact was read from."""

    manager: str
    name: str
    version: str
    architecture: str = ""
    status: str = ""
    depends: list[str] = field(default_factory=list)
    provides: list[str] = field(default_factory=list)
    source: str = ""
    license: str = ""
    maintainer: str = ""
    section: str = ""
    essential: bool = False
    size: int = -1
    files: int = -1
    database: str = ""


class InstalledPackage(_Package, frozen=True, kw_only=True, omit_defaults=True, tag="package.installed"):
    """A package that the package manager's own database states as installed (see ``status``)."""


class PackageControl(_Package, frozen=True, kw_only=True, omit_defaults=True, tag="package.control"):
    """A package's own control record: beside a database it repeats it, in a package file it states its identity."""


class PackageFiles(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="package.files"):
    """The list of files that one installed package owns: how many, and the paths of at most 500 that by their place are
    programs and libraries."""

    manager: str
    name: str
    files: int
    programs: list[str] = field(default_factory=list)
