"""Judges facts by the rules. Nothing is read again: another rule set gives other findings from the same facts."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from banbury.judge._supply import supply_facts
from banbury.judge.predicates import holds
from banbury.judge.rules import TOUCHES, Rule, fact_defaults, rules
from banbury.model.evaluation import (
    Container,
    Evidence,
    Fact,
    Fate,
    File,
    Finding,
    Ledger,
    Node,
    Severity,
    Stretch,
)
from banbury.model.places import stable_place
from banbury.model.rebuild import ComparedFile, Rebuilt
from banbury.model.supply import SupplyChain

_EVIDENCE_LIMIT = 50
_SEVERITIES = list(Severity)


class Stated(Struct, frozen=True):
    """A fact at a place, all its fields filled in."""

    fact: Fact
    node: Node
    payload: bool


class Facts(Struct, frozen=True, kw_only=True):
    """What the judge reads."""

    nodes: list[Node]
    files: dict[str, File]
    containers: dict[str, Container]
    ledger: Ledger
    payload: list[bool]
    rebuilds: list[Rebuilt] = []
    supply: SupplyChain | None = None


def judge(facts: Facts, as_of: dt.date, chosen: Iterable[Rule] | None = None) -> list[Finding]:
    """Every finding, most severe first, in an order that depends on nothing but the input."""
    stated: dict[str, list[Stated]] = {}
    for item in _state(facts):
        stated.setdefault(str(item.fact["fact"]), []).append(item)
    merged: dict[str, Finding] = {}
    for rule in chosen if chosen is not None else rules().values():
        hits = [s for s in stated.get(rule.fact, []) if holds(rule.when, s.fact, as_of)]
        for finding in _grouped(rule, hits) if rule.group else _single(rule, hits):
            known = merged.get(finding.id)
            merged[finding.id] = finding if known is None else _joined(known, finding)
    return sorted(merged.values(), key=_order)


def _order(finding: Finding) -> tuple[int, int, str, str, str]:
    rank = _SEVERITIES.index(finding.severity), TOUCHES.index(finding.touches)
    return *rank, finding.rule, finding.where, finding.id


def _joined(first: Finding, second: Finding) -> Finding:
    known = {(e.node, e.start) for e in first.evidence}
    more = [e for e in second.evidence if (e.node, e.start) not in known]
    return msgspec.structs.replace(first, evidence=(first.evidence + more)[:_EVIDENCE_LIMIT])


def _state(facts: Facts) -> Iterator[Stated]:
    """Every fact at every place it holds: those of the content, of the place, and of the ledger."""
    for node in facts.nodes:
        payload = facts.payload[node.id]
        file = facts.files.get(node.sha256)
        for fact in file.facts if file else []:
            yield Stated(_filled(fact, node, file, payload), node, payload)
        for fact in node.facts:
            yield Stated(_filled(fact, node, file, payload), node, payload)
        for fact in _ledger_facts(node, file, facts.containers.get(node.sha256), payload):
            yield Stated(_filled(fact, node, file, payload), node, payload)
    for image in facts.ledger.images:
        yield from _unread(facts, image.stretches, facts.nodes[image.node])
    for stretch in facts.ledger.unread:
        yield from _unread(facts, [stretch], facts.nodes[stretch.node])
    compared = (pair for rebuilt in facts.rebuilds for pair in _rebuilt(rebuilt, facts.nodes[rebuilt.image].where))
    supplied = supply_facts(facts.supply, facts.nodes) if facts.supply else ()
    for number, fact in (*compared, *supplied):
        node = facts.nodes[number]
        payload = facts.payload[number]
        yield Stated(_filled(fact, node, facts.files.get(node.sha256), payload), node, payload)


def _unread(facts: Facts, stretches: list[Stretch], node: Node) -> Iterator[Stated]:
    """One fact per unread stretch; offsets count from the start of ``node``'s content."""
    for stretch in stretches:
        if stretch.fate is Fate.UNREAD:
            size = stretch.end - stretch.start
            fact: Fact = {"fact": "tree.unread", "size": size, "entropy": stretch.entropy, "name": stretch.name}
            payload = facts.payload[node.id]
            yield Stated(_filled({**fact, "at": [stretch.start, size]}, node, None, payload), node, payload)


def _ledger_facts(node: Node, file: File | None, container: Container | None, payload: bool) -> Iterator[Fact]:
    for trouble in file.trouble if file else []:
        yield {"fact": "tool.trouble", "tool": trouble.tool, "outcome": str(trouble.outcome), "why": trouble.why}
    if container is None:
        return
    for note in container.notes:
        at = [note.start, max(note.end - note.start, 0)] if note.start >= 0 else None
        fields = {"code": note.code, "detail": note.detail, "path": note.path, "format": container.format}
        yield {"fact": "tree.note", "at": at, "payload": payload, **fields}
    for check in container.checks:
        if not check.ok:
            yield {"fact": "tree.check", "what": check.what, "expected": check.expected, "found": check.found}


def _rebuilt(rebuilt: Rebuilt, where: str) -> Iterator[tuple[int, Fact]]:
    """What comparing an image (at ``where``) with its rebuild showed: each fact with the node that it is of."""
    totals = rebuilt.totals
    proved = totals.proved_share if totals and totals.proved_share is not None else -1.0
    image = {
        "fact": "rebuild.image",
        "method": rebuilt.method,
        "verdict": rebuilt.verdict,
        "files_verdict": rebuilt.files_verdict,
        "proved": proved,
        "left_out": len(rebuilt.left_out),
        "built_by": ", ".join(rebuilt.built_by),
        "tied": rebuilt.tied,
    }
    yield rebuilt.image, image
    for gone in rebuilt.left_out:
        yield (
            gone.node,
            {
                "fact": "rebuild.left-out",
                "path": gone.path,
                "sort": gone.sort,
                "elsewhere": gone.elsewhere,
                "of": where,
                "lacks": gone.lacks or "the image",
            },
        )
    for system in rebuilt.file_systems:
        for doubt in system.doubts:
            yield system.node, {"fact": "rebuild.file-system", "doubt": doubt}
    for p in rebuilt.premises:
        stated = {"kind": p.kind, "subject": p.subject, "rebuilt": p.rebuilt, "shipped": p.shipped}
        yield rebuilt.image, {"fact": "rebuild.premise", **stated}
    for r in rebuilt.reliances:
        rests = {"rule": r.rule, "title": r.title, "tier": r.tier, "assumption": r.text, "files": r.files}
        yield rebuilt.image, {"fact": "rebuild.reliance", **rests}
    for file in rebuilt.files:
        yield from _compared(file)


def _compared(file: ComparedFile) -> Iterator[tuple[int, Fact]]:
    yield (
        file.node,
        {
            "fact": "rebuild.file",
            "path": file.path,
            "how": file.how,
            "verdict": file.verdict,
            "content": file.content,
            "why": file.why,
            "functions": file.functions,
            "code": file.code,
            "counterpart": file.counterpart,
        },
    )
    for change in file.changes:
        if change.what != "added":
            setuid = change.what == "mode" and _special(change.rebuilt) != _special(change.shipped)
            setuid = setuid or change.what == "xattr security.capability"
            values = {"what": change.what, "rebuilt": change.rebuilt, "shipped": change.shipped, "special": setuid}
            yield file.node, {"fact": "rebuild.attribute", "path": file.path, **values}


def _special(mode: str) -> int:
    """The setuid, setgid and sticky bits of an octal mode."""
    return int(mode, 8) & 0o7000 if re.fullmatch("[0-7]+", mode) else 0


def _filled(fact: Fact, node: Node, file: File | None, payload: bool) -> Fact:
    place: Fact = {
        "@name": node.name,
        "@where": node.where,
        "@mode": node.mode,
        "@kind": file.kind if file else "",
        "@payload": payload,
    }
    return {**fact_defaults().get(str(fact["fact"]), {}), **fact, **place}


def _single(rule: Rule, hits: list[Stated]) -> Iterator[Finding]:
    for hit in hits:
        fields = [hit.fact.get(name) for name in rule.identity.fields]
        place = "" if rule.identity.anywhere else stable_place(hit.node.where)
        yield _finding(rule, place, fields, hit.fact, [hit])


def _grouped(rule: Rule, hits: list[Stated]) -> Iterator[Finding]:
    assert rule.group is not None
    groups: dict[str, list[Stated]] = {}
    for hit in hits:
        key = hit.fact.get(rule.group.by)
        if key not in ("", None, []):
            groups.setdefault(str(key), []).append(hit)
    for key, members in sorted(groups.items()):
        distinct = {str(m.fact.get(rule.group.distinct)) for m in members}
        if len(distinct) >= rule.group.places:
            yield _finding(rule, "", [key], {**members[0].fact, "count": len(distinct)}, members)


def _finding(rule: Rule, place: str, fields: list[object], fact: Fact, hits: list[Stated]) -> Finding:
    return Finding(
        id=fingerprint(rule, place, fields),
        recipe=rule.identity.recipe,
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        grade=rule.grade,
        touches=rule.touches,
        where=hits[0].node.where,
        message=_text(rule.message, fact),
        evidence=[_evidence(hit) for hit in hits[:_EVIDENCE_LIMIT]],
    )


def fingerprint(rule: Rule, place: str, fields: list[object]) -> str:
    """The identity of a finding: 32 hex digits of SHA-256 over recipe, rule, place and identity fields.

    No offset, hash or line number enters it, so that it is the same in the next release.
    """
    parts = [rule.identity.recipe, rule.id, place, fields]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:32]


def _text(template: str, fact: Fact) -> str:
    """The message with ``{field}`` filled in; hostile values are made printable and cut."""
    return re.sub(r"\{([^{}]+)\}", lambda m: printable(fact.get(m.group(1))), template)


def printable(value: object, limit: int = 200) -> str:
    """Any value as one line of text without control characters."""
    if isinstance(value, list):
        value = ", ".join(str(v) for v in value)
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value)[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _evidence(hit: Stated) -> Evidence:
    at = hit.fact.get("at")
    start, length = (int(at[0]), int(at[1])) if isinstance(at, (list, tuple)) and len(at) == 2 else (-1, 0)
    text = printable(hit.fact.get("text", ""))
    node = hit.node
    return Evidence(node=node.id, sha256=node.sha256, locator=node.locator, start=start, length=length, text=text)
