"""What a release states of its own parts: packages in its package managers' records, kernels, modules, boot loaders.

Each package counts once, however many records repeat it: a status file, a control file beside it and a copy of both in
another tree are one package with several pieces of evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, structs

from banbury.model.evaluation import Fact, File, Node
from banbury.model.supply import Identity, Standing, Technique
from banbury.supply.products import by_package, products
from banbury.supply.purls import package_url
from banbury.supply.versions import upstream

#: Managers of a programming language's packages: their names are of another world than an operating system's.
LANGUAGES: Final = ("python", "npm", "luarocks")
#: How a kernel's own version begins: what follows is the builder's (kernel.org, "Kernel release numbering").
_KERNEL: Final = re.compile(r"\d{1,3}\.\d{1,4}(?:\.\d{1,6}){0,2}(?:-rc\d{1,3})?")
#: Formats in which one package comes: its own control record then says what the file is.
_PACKED: Final = frozenset({"ar", "bzip2", "gzip", "ipk", "deb", "tar", "tar-v7", "xz", "zstd", "lzma"})


class Stated(Struct, frozen=True):
    """A fact at a place."""

    node: Node
    fact: Fact

    def text(self, field: str) -> str:
        """A field as text, ``""`` where it is not stated."""
        value = self.fact.get(field)
        return value if isinstance(value, str) else ""

    def texts(self, field: str) -> list[str]:
        """A field that is a list of texts."""
        value = self.fact.get(field)
        return [str(item) for item in value] if isinstance(value, list) else []

    def span(self) -> tuple[int, int]:
        """Offset and length of what shows it, -1 and 0 where it is no run of bytes."""
        at = self.fact.get("at")
        return (int(at[0]), int(at[1])) if isinstance(at, (list, tuple)) and len(at) == 2 else (-1, 0)


class Package(Struct, frozen=True, kw_only=True):
    """What a package manager states of a package beside its identity."""

    manager: str
    name: str
    version: str
    architecture: str = ""
    license: str = ""
    supplier: str = ""
    source: str = ""
    purl: str = ""
    depends: list[str] = []
    provides: list[str] = []


class Claim(Struct, frozen=True, kw_only=True):
    """An identity, with the package that it is of where a package manager states it."""

    identity: Identity
    type: str = ""
    package: Package | None = None


def by_tag(nodes: Iterable[Node], files: dict[str, File], tags: frozenset[str]) -> dict[str, list[Stated]]:
    """The facts with these tags at the places where they hold, in the order of the tree. A content that stands at
    several places is told of each: what it is depends on where it is."""
    found: dict[str, list[Stated]] = {tag: [] for tag in tags}
    chosen = {digest: kept for digest, file in files.items() if (kept := [f for f in file.facts if f["fact"] in tags])}
    for node in nodes:
        for fact in chosen.get(node.sha256, ()):
            found[str(fact["fact"])].append(Stated(node, fact))
        for fact in node.facts:
            if fact["fact"] in tags:
                found[str(fact["fact"])].append(Stated(node, fact))
    return found


def kernel_version(text: str) -> str:
    """The kernel's own version in what a kernel says of itself: ``3.10.49`` of ``3.10.49-vendor+``; "" where none."""
    match = _KERNEL.match(text)
    return match[0] if match else ""


def claims(stated: dict[str, list[Stated]], nodes: list[Node], *, package_databases: bool = True) -> Iterator[Claim]:
    """Everything that the release states of its parts. Without ``package_databases``, only what kernels, modules and
    boot loaders say of themselves."""
    if package_databases:
        yield from _packages(stated, nodes)
    for item in stated.get("kernel.banner", []):
        if version := kernel_version(item.text("version")):
            yield Claim(identity=_identity(item, "linux", version, Technique.BANNER, "kernel.banner"))
    for item in stated.get("kernel.boot-loader", []):
        if name := item.text("name"):
            product = "u-boot" if name.lower() in ("u-boot", "uboot") else name
            identity = _identity(item, product, item.text("version"), Technique.BANNER, "kernel.boot-loader")
            yield Claim(identity=identity, type="firmware")
    for item in stated.get("kernel.module", []):
        if version := kernel_version(item.text("vermagic")):
            identity = _identity(item, "linux", version, Technique.METADATA, "kernel.module")
            yield Claim(identity=structs.replace(identity, matched=f"vermagic={item.text('vermagic')}"[:120]))


def _identity(item: Stated, product: str, version: str, technique: Technique, rule: str) -> Identity:
    start, length = item.span()
    return Identity(
        product=product,
        technique=technique,
        standing=Standing.ASSERTED,
        version=version,
        rule=rule,
        sha256=item.node.sha256,
        where=item.node.where,
        start=start,
        length=length,
        matched=item.text("text")[:120],
        confidence=1.0,
    )


def _packages(stated: dict[str, list[Stated]], nodes: list[Node]) -> Iterator[Claim]:
    """Installed packages, with what a control record beside the database adds; and packages that are no part of a tree
    but were handed in as such."""
    records = {
        (item.node.parent, item.text("manager"), item.text("name"), item.text("version")): item
        for item in stated.get("package.control", [])
    }
    known = set()
    for item in stated.get("package.installed", []):
        tree = (item.node.parent, item.text("manager"), item.text("name"))
        known.add(tree)
        yield _package(item, records.get((*tree, item.text("version"))))
    for (parent, manager, name, _), item in records.items():
        database = item.text("database")
        beside = database == "opkg control" and (parent, manager, name) not in known
        if not beside and database == "opkg control":
            continue
        if beside and not any((parent, manager) == tree[:2] for tree in known):
            yield _package(item)  # a tree with the control records alone
        elif database == "control" and (manager := _alone(item.node, nodes)):
            yield _package(Stated(item.node, {**item.fact, "manager": manager}))


def _alone(node: Node, nodes: list[Node]) -> str:
    """The manager of a package file that was handed in by itself, ``""`` for a control record anywhere else."""
    above = node
    while above.parent >= 0:
        above = nodes[above.parent]
        if above.format not in _PACKED:
            return ""
    return "opkg" if above.name.endswith((".ipk", ".opk")) else "dpkg"


def _package(item: Stated, record: Stated | None = None) -> Claim:
    """A package: its product by the table, or a name of its own where the table has none."""

    def text(field: str) -> str:
        return item.text(field) or (record.text(field) if record else "")

    manager, name, version = item.text("manager"), item.text("name"), item.text("version")
    product = product_of(manager, name, version, text("source"))
    package = Package(
        manager=manager,
        name=name,
        version=version,
        architecture=text("architecture"),
        license=text("license"),
        supplier=text("maintainer"),
        source=text("source"),
        purl=package_url(manager, name, version, text("architecture")),
        depends=item.texts("depends"),
        provides=item.texts("provides"),
    )
    number = kernel_version(version) if product == "linux" else upstream(version, manager)
    identity = _identity(item, product, number or version, Technique.PACKAGE, "package.installed")
    return Claim(identity=structs.replace(identity, package=name), package=package)


def product_of(manager: str, name: str, version: str, source: str) -> str:
    """The product of a package. One that the table does not know keeps its own name, marked with its manager where
    that name is some other product's."""
    if manager in LANGUAGES:
        return f"{manager}:{name}"
    if found := by_package(manager, name, version, source):
        return found
    if manager == "opkg" and source == "package/kernel/linux" and kernel_version(version):
        return "linux"
    return f"{manager}:{name}" if name in products() else name
