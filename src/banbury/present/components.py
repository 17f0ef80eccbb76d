"""The software that a release states it is made of: installed packages, kernels and boot loaders, with evidence."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from msgspec import Struct

from banbury.model.evaluation import Fact, Grade
from banbury.present.facts import Stated

#: purl types of the package managers (package-url specification, PURL-TYPES). opkg has none: it gets no purl.
_PURL = {"dpkg": "deb", "apk": "apk", "rpm": "rpm", "python": "pypi", "npm": "npm", "luarocks": "luarocks"}
#: Alpine Linux's architectures.
_ALPINE = frozenset(
    ["aarch64", "armhf", "armv7", "loongarch64", "ppc64le", "riscv64", "s390x", "x86", "x86_64", "mips64"]
)


class Proof(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a component is seen. ``technique`` is one of CycloneDX's: ``manifest-analysis`` (a package manager's
    database says so), ``binary-analysis`` (a program's own banner says so)."""

    technique: str
    node: int
    locator: str
    start: int = -1
    length: int = 0
    value: str = ""


class Component(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of software. ``type`` is CycloneDX's; ``purl`` is "" where its package manager has no purl type."""

    type: str
    name: str
    version: str
    purl: str = ""
    grade: Grade
    manager: str = ""
    architecture: str = ""
    license: str = ""
    supplier: str = ""
    depends: list[str] = []
    evidence: list[Proof]


def components(facts: dict[str, list[Stated]]) -> list[Component]:
    """Components in the order of the tree; one that several places state has several proofs."""
    found: dict[tuple[str, ...], Component] = {}
    makers: list[tuple[str, Callable[[Stated], Component]]] = [
        ("kernel.banner", _kernel),
        ("kernel.boot-loader", _boot_loader),
        ("package.installed", _package),
    ]
    for tag, make in makers:
        for stated in facts.get(tag, []):
            component = make(stated)
            key = (component.type, component.name, component.version, component.manager, component.architecture)
            known = found.get(key)
            if known is None:
                found[key] = component
            else:
                known.evidence.extend(component.evidence)
    return [c for c in found.values() if c.name]


def _proof(stated: Stated, technique: str, value: str = "") -> list[Proof]:
    node = stated.node
    start, length = stated.start, stated.length
    return [Proof(technique=technique, node=node.id, locator=node.locator, start=start, length=length, value=value)]


def _kernel(stated: Stated) -> Component:
    return Component(
        type="operating-system",
        name="linux",
        version=str(stated.fact.get("version", "")),
        grade=Grade.ESTABLISHED,
        evidence=_proof(stated, "binary-analysis", str(stated.fact.get("text", ""))),
    )


def _boot_loader(stated: Stated) -> Component:
    return Component(
        type="firmware",
        name=str(stated.fact.get("name", "")),
        version=str(stated.fact.get("version", "")),
        grade=Grade.ESTABLISHED,
        evidence=_proof(stated, "binary-analysis", str(stated.fact.get("text", ""))),
    )


def _package(stated: Stated) -> Component:
    fact = stated.fact
    depends = fact.get("depends")
    return Component(
        type="library",
        name=str(fact.get("name", "")),
        version=str(fact.get("version", "")),
        purl=purl(fact),
        grade=Grade.ESTABLISHED,
        manager=str(fact.get("manager", "")),
        architecture=str(fact.get("architecture", "")),
        license=str(fact.get("license", "")),
        supplier=str(fact.get("maintainer", "")),
        depends=[str(d) for d in depends] if isinstance(depends, list) else [],
        evidence=_proof(stated, "manifest-analysis", str(fact.get("database", ""))),
    )


def purl(fact: Fact) -> str:
    """The package URL of an installed package in its canonical form.

    "" where its manager has no purl type, where the name is empty, and for apk where the architecture is none of
    Alpine's: OpenWrt has apk packages too, and whose they are decides the namespace.
    """
    kind = _PURL.get(str(fact.get("manager", "")))
    name, version = str(fact.get("name", "")), str(fact.get("version", ""))
    architecture = str(fact.get("architecture", ""))
    if kind is None or not name or (kind == "apk" and architecture not in _ALPINE):
        return ""
    if kind == "pypi":
        name = name.lower().replace("_", "-")
    namespace = {"deb": "ubuntu/" if "ubuntu" in version else "debian/", "apk": "alpine/"}.get(kind, "")
    if kind == "npm" and name.startswith("@") and "/" in name:
        scope, _, name = name.partition("/")
        namespace = f"{quote(scope, safe='')}/"
    qualifier = f"?arch={_quoted(architecture)}" if architecture and kind in ("deb", "apk", "rpm") else ""
    return f"pkg:{kind}/{namespace}{_quoted(name)}{'@' + _quoted(version) if version else ''}{qualifier}"


def _quoted(text: str) -> str:
    """Percent-encoded as the package-url specification says: the colon stays."""
    return quote(text, safe=":")
