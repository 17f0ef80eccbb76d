"""Measures identification by bytes: packages whose product and version are known, and what their files' bytes say.

A package's control record is the truth and is not shown to what is measured; nor is any digest of its files. What is
counted: packages whose product is named; whose product is asserted in the right version and in no other; versions
asserted of the package's own product, right and wrong. Versions asserted of other products (copies inside, or errors)
are listed, since no record says which they are.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from banbury.bench.truth import also, unclear
from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView, Skip
from banbury.inspect.inspectors.components import Components
from banbury.inspect.inspectors.elf_identity import ElfIdentityInspector
from banbury.model.errors import BanburyError, InputError
from banbury.model.facts import Fact
from banbury.model.supply import Identity, Standing
from banbury.supply.content import Content
from banbury.supply.identify import of_content, within_bracket
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.knowledge.mine import clean, product_of
from banbury.supply.knowledge.packages import members
from banbury.supply.versions import key, upstream

_INSPECTOR = Components()
#: Those whose facts identification reads in an evaluation. The first is the pass, whose time is taken.
READ: Final[tuple[FileInspector, ...]] = (_INSPECTOR, ElfIdentityInspector())
_PROSE = re.compile(r"data/usr/share/(?:doc|man|info|locale|lintian|bug)/")


class Unit(Struct, kw_only=True):
    """One package: the truth, and what its bytes say. ``holds``: its programs hold the version as text at all.
    ``other``: ``product version`` asserted of other products. ``also``, ``unclear``: corrections of the truth
    (:mod:`banbury.bench.truth`)."""

    package: str
    product: str
    version: str
    programs: int = 0
    holds: bool = False
    named: bool = False
    asserted: list[str] = []
    wrong: list[str] = []
    candidates: bool = False
    bracket: str = ""
    techniques: list[str] = []
    other: list[str] = []
    also: list[str] = []
    unclear: bool = False

    @property
    def right(self) -> bool:
        """Product and version right, and no other version asserted of it."""
        return bool(self.asserted) and not self.wrong

    def sorted_out(self, stated: Iterable[str]) -> tuple[int, int]:
        """How many of the versions stated of the product are right, and wrong, with the truth corrected."""
        right = wrong = 0
        for version in stated:
            if any(same(version, each) for each in (self.version, *self.also)):
                right = 1
            elif not self.unclear:
                wrong += 1
        return right, wrong


class Measured(Struct, kw_only=True):
    """The whole: units, bytes looked at, CPU seconds of the inspector on them."""

    units: list[Unit]
    size: int
    cpu: float
    files: int

    def summary(self) -> list[tuple[str, str]]:
        """The figures, each with what it is."""
        units = [u for u in self.units if u.programs]
        right = sum(u.right for u in units)
        good, bad = sum(bool(u.asserted) for u in units), sum(len(u.wrong) for u in units)
        silent = [u for u in units if not u.asserted and not u.wrong]
        holding = [u for u in units if u.holds]
        return [
            ("packages with a program, library or script library", str(len(units))),
            ("product named", _share(sum(u.named for u in units), len(units))),
            ("product and version right", _share(right, len(units))),
            ("… of those whose programs hold the version as text", _share(sum(u.right for u in holding), len(holding))),
            ("of the versions asserted of it, right", _share(good, good + bad)),
            ("no version asserted, but it is among the candidates", str(sum(u.candidates for u in silent))),
            ("no version asserted, but symbols bracket it rightly", str(sum(u.bracket == "right" for u in silent))),
            ("no version asserted, and symbols bracket it wrongly", str(sum(u.bracket == "wrong" for u in silent))),
            (
                "speed of the inspector",
                f"{self.size / 1e6 / max(self.cpu, 1e-9):.0f} MB/s CPU on {self.size / 1e6:.0f} MB",
            ),
        ]

    def details(self) -> list[str]:
        """What is wrong, what is not said, and what is said of other products: a line each."""
        wrong = [f"wrong: {u.package} {u.product} {u.version}: {', '.join(u.wrong)}" for u in self.units if u.wrong]
        silent = [
            f"no version: {u.package} {u.product} {u.version}{'' if u.named else ', not even its name'}"
            for u in self.units
            if u.programs and not u.asserted and not u.wrong
        ]
        return [*wrong, *silent, *(f"other: {u.package}: {', '.join(u.other)}" for u in self.units if u.other)]


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


def measure(
    packages: Iterable[Path], knowledge: Knowledge, tell: Callable[[str], object] = lambda line: None
) -> Measured:
    """Look at every package. Digests in ``knowledge`` are not used. Raises :class:`InputError` where there is none."""
    blind = structs.replace(knowledge, files={}, build_ids={})
    _INSPECTOR.prepare()
    total = Measured(units=[], size=0, cpu=0.0, files=0)
    for path in packages:
        try:
            total.units.append(_unit(path, blind, total))
        except BanburyError as problem:
            tell(f"{path.name} is left out: {problem}")
    if not total.units:
        raise InputError("there is no package in there that can be read")
    return total


def _unit(path: Path, knowledge: Knowledge, total: Measured) -> Unit:
    manager = "opkg" if path.suffix == ".ipk" else "dpkg"
    held = dict(members(path))
    control = held.get("control/control", b"").decode("utf-8", "replace")
    fields = dict(re.findall(r"^([A-Za-z-]{1,40}): *(.{0,400})$", control, re.MULTILINE))
    source = fields.get("Source", "")
    name, whole = fields.get("Package", ""), fields.get("Version", "")
    stated = re.search(r"\(([^()]{1,100})\)", source)
    product = product_of(manager, name, whole, source)
    unit = Unit(package=name, product=product, version=clean(upstream(stated[1] if stated else whole, manager)))
    unit.also, unit.unclear = also(product, unit.version, held), unclear(product, name, whole, source)
    version = re.compile(rb"(?<![\d.])" + re.escape(unit.version.encode()) + rb"(?![\d])")
    found: list[Identity] = []
    for where, content in held.items():
        if not where.startswith("data/") or (_PROSE.match(where) and not where.endswith(".js")):
            continue
        if content.startswith(b"\x7fELF") or where.endswith(".js"):
            unit.programs += 1
            unit.holds |= version.search(content) is not None
        found += _look(where, content, knowledge, total)
    _judge(unit, found)
    return unit


def _look(where: str, content: bytes, knowledge: Knowledge, total: Measured) -> list[Identity]:
    view = FileView(View(content), where)
    before = time.process_time()
    facts = _facts(_INSPECTOR, view)
    total.cpu += time.process_time() - before
    facts += [fact for inspector in READ[1:] for fact in _facts(inspector, view)]
    total.size += len(content)
    total.files += 1
    plain = [msgspec.to_builtins(f) for f in facts]
    digest = hashlib.sha256(content).hexdigest()
    return list(of_content(Content(sha256=digest, facts=plain, where=where, names=[where], kind=view.kind), knowledge))


def _facts(inspector: FileInspector, view: FileView) -> list[Fact]:
    try:
        return list(inspector.inspect(view)) if inspector.applies(view) else []
    except (BanburyError, Skip):
        return []


def _judge(unit: Unit, found: Sequence[Identity]) -> None:
    own = [i for i in found if i.product == unit.product and i.standing is not Standing.DEPENDENCY]
    unit.named = bool(own)
    for identity in own:
        if identity.standing is Standing.ASSERTED and identity.version:
            into = unit.asserted if same(identity.version, unit.version) else unit.wrong
            if identity.version not in into:
                into.append(identity.version)
                unit.techniques.append(f"{identity.technique.value}: {identity.matched[:60]}")
        unit.candidates |= any(same(v, unit.version) for v in identity.versions)
        if identity.low or identity.high:
            try:
                unit.bracket = "right" if within_bracket(unit.version, identity) else "wrong"
            except ValueError:
                continue
    others = {
        f"{i.product} {i.version}" for i in found if i.product != unit.product and i.standing is Standing.ASSERTED
    }
    unit.other = sorted(others)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same version."""
    if one == other:
        return True
    try:
        return key(one) == key(other)
    except ValueError:
        return False
