"""Firmware images with a package manager's database: what their programs' bytes say, against that database.

The database is the truth and is shown to nothing: each package that ships a program or library counts, and
what counts is what its own files show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from banbury.bench.components import same
from banbury.model.evaluation import Fact, File, Node
from banbury.model.supply import Identity, Standing
from banbury.supply.identify import identities
from banbury.supply.knowledge.bundle import default
from banbury.supply.products import by_package
from banbury.supply.versions import upstream

Tell = Callable[[str], object]
#: Unpacks and inspects an image, given it and a folder to work in: its places and contents.
Examine = Callable[[Path, Path], tuple[list[Node], dict[str, File]]]


class Image(Struct, frozen=True, kw_only=True):
    """One image: packages that ship a binary, those whose product is named by it, those whose version is asserted
    rightly, and packages of whose product a wrong version is asserted."""

    name: str
    packages: int
    named: int
    right: int
    wrong: int


def measure(path: Path, work: Path, examine: Examine, tell: Tell) -> Image | None:
    """Look at an image; ``None``, with a word about it, where it is not there or has no lists of packages' files."""
    if not path.is_file():
        tell(f"SKIPPED: {path} is not there; nothing is said of images like it")
        return None
    nodes, files = examine(path, work / "images")
    found = _by_place(nodes, files)
    counted = [one for package in _packages(nodes, files) if (one := _judge(package, found)) is not None]
    if not counted:
        tell(f"SKIPPED: {path.name} has no package manager's database with lists of files")
        return None
    named, right, wrong = (sum(column) for column in zip(*counted, strict=True))
    return Image(name=path.name, packages=len(counted), named=named, right=right, wrong=wrong)


class _Package(Struct, frozen=True, kw_only=True):
    manager: str
    name: str
    version: str
    product: str
    binaries: list[str]


def _packages(nodes: Sequence[Node], files: dict[str, File]) -> Iterator[_Package]:
    """The packages, each with the paths of the files that its list names."""
    facts: list[Fact] = [fact for file in files.values() for fact in file.facts]
    facts += [fact for node in nodes for fact in node.facts]
    lists = {str(f["name"]): f for f in facts if f.get("fact") == "package.files"}
    seen: set[str] = set()
    for fact in facts:
        name = str(fact.get("name", ""))
        if fact.get("fact") not in ("package.installed", "package.control") or name in seen or name not in lists:
            continue
        seen.add(name)
        manager, version = str(lists[name].get("manager")), str(fact.get("version", ""))
        source = str(fact.get("source", ""))
        product = by_package(manager, name, version, source) or source.rstrip("/").rpartition("/")[2] or name
        yield _Package(manager=manager, name=name, version=version, product=product, binaries=_programs(lists[name]))


def _programs(fact: Fact) -> list[str]:
    listed = fact.get("programs")
    return [str(path).lstrip("/") for path in listed] if isinstance(listed, list) else []


def _by_place(nodes: Sequence[Node], files: dict[str, File]) -> dict[str, list[Identity]]:
    """What each ELF file shows, by its path within its file system."""
    knowledge, _ = default()
    by_digest: dict[str, list[Identity]] = {}
    for identity in identities(nodes, files, knowledge):
        by_digest.setdefault(identity.sha256, []).append(identity)
    return {
        node.name.lstrip("/"): by_digest.get(node.sha256, [])
        for node in nodes
        if node.sha256 in files and files[node.sha256].kind == "elf"
    }


def _judge(package: _Package, found: dict[str, list[Identity]]) -> tuple[bool, bool, bool] | None:
    """(named, version right, a wrong version asserted); ``None`` for a package without a binary."""
    mine = [found[path] for path in package.binaries if path in found]
    if not mine:
        return None
    own = [i for one in mine for i in one if i.product == package.product and i.standing is not Standing.DEPENDENCY]
    version = upstream(package.version, package.manager)
    asserted = {i.version for i in own if i.standing is Standing.ASSERTED and i.version}
    right = any(same(v, version) for v in asserted)
    return bool(own), right, any(not same(v, version) for v in asserted)


def table(measured: Sequence[Image]) -> Iterator[str]:
    """The images as Markdown; a line that says so where there are none."""
    if not measured:
        yield "No firmware image was given (`--firmware`): nothing is measured on one."
        return
    yield "Images, package databases not shown to what is measured; of the packages that ship a binary:"
    yield ""
    yield "| image | packages | product named | version asserted, right | packages with a wrong version |"
    yield "|---|---|---|---|---|"
    for image in measured:
        shares = (f"{n} ({100 * n / image.packages:.1f} %)" for n in (image.named, image.right))
        yield f"| {image.name} | {image.packages} | {' | '.join(shares)} | {image.wrong} |"
