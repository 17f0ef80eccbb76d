"""OpenVEX 0.2.0, by records of our own (the specification's "VEX document", "Statement", "Product" structs)."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec
from msgspec import Struct

import banbury
from banbury.model.errors import InputError
from banbury.model.supply import Match, State
from banbury.present.cyclonedx import NAMESPACE, serial
from banbury.present.parts import clean, cpe
from banbury.present.vex.assessment import ACTION, Assessment, Subject, feeds, from_feeds, justification, reasons, state

_STATES: Final = {
    State.CANDIDATE: "under_investigation",
    State.ANALYST: "under_investigation",
    State.AFFECTED: "affected",
    State.NOT_AFFECTED: "not_affected",
    State.FIXED: "fixed",
}


class Vulnerability(Struct, kw_only=True, omit_defaults=True):
    """What the statement is about."""

    name: str
    description: str = ""
    aliases: list[str] = []


class Subcomponent(Struct, kw_only=True, omit_defaults=True):
    """A component of the release. ``id`` is an IRI."""

    id: str = msgspec.field(name="@id")
    identifiers: dict[str, str] = {}


class Product(Struct, kw_only=True, omit_defaults=True):
    """The release."""

    id: str = msgspec.field(name="@id")
    hashes: dict[str, str] = {}
    subcomponents: list[Subcomponent] = []


class Statement(Struct, kw_only=True, omit_defaults=True):
    """One vulnerability in one component. Not affected has a justification or an impact statement, never both;
    affected has an action statement."""

    vulnerability: Vulnerability
    products: list[Product]
    status: str
    status_notes: str = ""
    justification: str = ""
    impact_statement: str = ""
    action_statement: str = ""


class Document(Struct, kw_only=True):
    """The document. ``tooling`` names the feeds."""

    context: str = msgspec.field(name="@context")
    id: str = msgspec.field(name="@id")
    author: str
    timestamp: str
    version: int
    tooling: str
    statements: list[Statement]


def render_openvex(assessment: Assessment, author: str = "banbury") -> bytes:
    """The document as UTF-8 JSON. Raises :class:`InputError` where there is no statement: the format needs one."""
    if not assessment.rows:
        raise InputError("no vulnerability matches this release: OpenVEX has no document without a statement")
    document = Document(
        context="https://openvex.dev/ns/v0.2.0",
        id=f"urn:uuid:{uuid.uuid5(NAMESPACE, f'openvex {assessment.identity}')}",
        author=clean(author),
        timestamp=assessment.timestamp,
        version=1,
        tooling=f"banbury {banbury.__version__}; " + "; ".join(feeds(assessment)),
        statements=[_statement(assessment, *row) for row in assessment.rows],
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _statement(assessment: Assessment, subject: Subject, match: Match) -> Statement:
    now = state(match)
    why = justification(match) if now is State.NOT_AFFECTED else None
    said = reasons(match)
    sources = ", ".join(from_feeds(assessment, match))
    notes = " ".join(filter(None, (said, f"Source: {sources}." if sources else "")))
    impact = said or "No reason was given."
    return Statement(
        vulnerability=Vulnerability(
            name=clean(match.vulnerability),
            description=clean(match.summary),
            aliases=[clean(alias) for alias in dict.fromkeys(match.aliases)],
        ),
        products=[_product(assessment, subject)],
        status=_STATES[now],
        status_notes=notes,
        justification=str(why or ""),
        impact_statement=impact if now is State.NOT_AFFECTED and why is None else "",
        action_statement=ACTION if now is State.AFFECTED else "",
    )


def _product(assessment: Assessment, subject: Subject) -> Product:
    release, component = assessment.release, subject.component
    identifiers = {"purl": clean(component.purl)} if component.purl else {}
    names = [name for pair in component.cpes if (name := cpe(pair, component.version, component.type))]
    if names:
        identifiers["@cpe23"] = names[0]
    own = f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{release.id} {subject.ref}')}"
    hashes = {"sha-256": release.artefacts[0].sha256} if len(release.artefacts) == 1 else {}
    return Product(id=serial(release), hashes=hashes, subcomponents=[Subcomponent(id=own, identifiers=identifiers)])
