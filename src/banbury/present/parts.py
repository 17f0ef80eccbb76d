"""What a bill of materials lists, in one form for every format: the components of a release's inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from banbury.model.evaluation import Evaluation
from banbury.model.supply import Component, Identity, Inventory, Standing, Technique

#: CycloneDX's words for how an identity was established (ECMA-424, evidence.identity.methods.technique).
_TECHNIQUES = {
    Technique.PACKAGE: "manifest-analysis",
    Technique.FILE_HASH: "hash-comparison",
    Technique.BUILD_ID: "hash-comparison",
    Technique.METADATA: "other",
}
#: NISTIR 7695, 5.3.2 and 6.2: what stands unquoted in a formatted string; all other printable ASCII is quoted.
_CPE_PLAIN = re.compile(r"[a-z0-9._-]")
_CPE_OF_TYPE = {"operating-system": "o", "device": "h", "firmware": "o"}


class Method(Struct, frozen=True, kw_only=True):
    """How an identity was established: CycloneDX's technique, 0 to 1, and what was seen. ``of_version``: it states
    the version too."""

    technique: str
    confidence: float
    value: str = ""
    of_version: bool = True


class Occurrence(Struct, frozen=True, kw_only=True):
    """Where it was seen: the way down, the content, the offset in it in bytes (-1: none) and the matched text."""

    location: str
    sha256: str = ""
    start: int = -1
    text: str = ""


class Part(Struct, frozen=True, kw_only=True):
    """One component of a bill. ``ref`` is unique in the bill and the same in every run; ``needs`` are refs."""

    ref: str
    type: str
    name: str
    version: str = ""
    purl: str = ""
    cpes: list[str] = []
    supplier: str = ""
    license: str = ""
    methods: list[Method] = []
    occurrences: list[Occurrence] = []
    patched: list[str] = []
    notes: list[tuple[str, str]] = []
    needs: list[str] = []


def parts(evaluation: Evaluation, inventory: Inventory | None = None) -> list[Part]:
    """The components of a release: those of its inventory, or of another one of it that is given."""
    if inventory is None and evaluation.supply is not None:
        inventory = evaluation.supply.inventory
    return from_inventory(inventory) if inventory is not None else []


def from_inventory(inventory: Inventory) -> list[Part]:
    """The components of an inventory in its order."""
    listed = inventory.components
    refs = references(listed)
    by_id = {component.id: ref for ref, component in reversed(list(zip(refs, listed, strict=True)))}
    return [_found(ref, c, by_id) for ref, c in zip(refs, listed, strict=True)]


def references(listed: Iterable[Component]) -> list[str]:
    """A reference for each component, from its id; a number is added where one stands already."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    out = []
    for component in listed:
        own = ref = f"component:{clean(component.id)}"
        while ref in taken:
            counts[own] = counts.get(own, 1) + 1
            ref = f"{own}#{counts[own]}"
        taken.add(ref)
        out.append(ref)
    return out


def clean(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates (from names that are not UTF-8) are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def cpe(pair: str, version: str, kind: str = "library") -> str:
    """The CPE 2.3 name of ``vendor:product`` in a version, ``""`` where it cannot be written as one.

    ``pair`` is as in the product table: lower case, unquoted. Source: NISTIR 7695, section 6.2.
    """
    vendor, colon, product = pair.partition(":")
    if not (colon and vendor and product):
        return ""
    wanted = [_cpe_value(text) for text in (vendor, product, version or "*")]
    if not all(wanted):
        return ""
    return ":".join(["cpe:2.3", _CPE_OF_TYPE.get(kind, "a"), *wanted, *["*"] * 7])


def _cpe_value(text: str) -> str:
    text = text.lower().replace(" ", "_")
    if text == "*":
        return text
    if not (text.isascii() and text.isprintable()) or len(text) > 256:
        return ""
    quoted = "".join(c if _CPE_PLAIN.fullmatch(c) else f"\\{c}" for c in text)
    return "\\-" if quoted == "-" else quoted


def _found(ref: str, component: Component, refs: dict[str, str]) -> Part:
    own = [i for i in component.identities if i.standing is not Standing.DEPENDENCY]
    notes = [("manager", component.manager), ("architecture", component.architecture)]
    notes += [("package-version", component.package_version)]
    notes += [("fact", fact) for fact in component.facts]
    notes += [("disagreement", text) for text in component.disagreements]
    notes += [("further-identities", str(component.unlisted))] if component.unlisted else []
    names = [name for pair in component.cpes if (name := cpe(pair, component.version, component.type))]
    return Part(
        ref=ref,
        type=component.type,
        name=clean(component.product) or "(no name)",
        version=clean(component.version),
        purl=clean(component.purl),
        cpes=names,
        supplier=clean(component.supplier),
        license=clean(component.license),
        methods=[_method(i) for i in own],
        occurrences=[o for i in own if (o := _occurrence(i))],
        patched=[clean(i) for i in component.patched],
        notes=[(name, clean(value)) for name, value in notes if value],
        needs=sorted({refs[need] for need in component.depends if need in refs} - {ref}),
    )


def _method(identity: Identity) -> Method:
    return Method(
        technique=_TECHNIQUES.get(identity.technique, "binary-analysis"),
        confidence=min(max(identity.confidence, 0.0), 1.0),
        value=clean(": ".join(filter(None, (str(identity.technique), identity.matched or identity.version)))),
        of_version=bool(identity.version),
    )


def _occurrence(identity: Identity) -> Occurrence | None:
    where = clean(identity.where) or identity.sha256
    if not where:
        return None
    return Occurrence(
        location=where, sha256=identity.sha256, start=identity.start, text=clean(identity.matched or identity.rule)
    )
