"""What every VEX document is written from, and the words that the formats share.

A version match that nobody has looked into is under investigation, never affected. Each document names the feeds that
it rests on by digest and date; where none was loaded there is nothing to say, and no document is written.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError
from banbury.model.release import Release
from banbury.model.supply import Component, FeedKind, Justification, Match, Snapshot, State
from banbury.present.cyclonedx import NAMESPACE
from banbury.present.parts import clean, references

#: What is asked of the supplier where a component is affected: the laboratory mends nothing itself.
ACTION = "Ask the supplier for a release in which this is fixed, or for a statement that shows why it does not apply."


class Subject(Struct, frozen=True, kw_only=True):
    """A component with its reference in the release's bill of materials and its name for people."""

    ref: str
    title: str
    component: Component


class Assessment(Struct, frozen=True, kw_only=True):
    """A release's matches on a day. ``as_of`` is ISO 8601; ``rows`` are in the order of vulnerability and component;
    ``skipped`` counts matches that name no component of the inventory."""

    release: Release
    as_of: str
    snapshots: list[Snapshot]
    rows: list[tuple[Subject, Match]]
    skipped: int = 0

    @property
    def timestamp(self) -> str:
        """The time that documents carry: the day of the assessment, no clock's."""
        return f"{self.as_of}T00:00:00Z"

    @property
    def identity(self) -> uuid.UUID:
        """The same for the same statements on the same release and feeds, whatever the format."""
        said = [self.release.id, self.as_of, [s.sha256 for s in self.snapshots], [m for _, m in self.rows]]
        # json rather than msgspec: it writes lone surrogates as escapes
        digest = hashlib.sha256(json.dumps(msgspec.to_builtins(said), sort_keys=True).encode()).hexdigest()
        return uuid.uuid5(NAMESPACE, f"vex {digest}")


def assess(
    release: Release, as_of: str, components: Sequence[Component], matches: Sequence[Match], snapshots: list[Snapshot]
) -> Assessment:
    """Bring matches and components together.

    Raises :class:`InputError` where no feed of vulnerabilities was loaded: silence would read as "none".
    """
    if not any(s.kind is FeedKind.VULNERABILITIES for s in snapshots):
        raise InputError(
            "no vulnerability feed was loaded: nothing can be said of this release", hint="banbury feeds import FILE…"
        )
    subjects: dict[str, Subject] = {}
    for ref, component in zip(references(components), components, strict=True):
        title = clean(f"{component.product or '(no name)'} {component.version}".strip())
        subjects.setdefault(component.id, Subject(ref=ref, title=title, component=component))
    rows: dict[tuple[str, str], tuple[Subject, Match]] = {}
    skipped = 0
    for match in matches:
        subject = subjects.get(match.component)
        key = (match.vulnerability, match.component)
        if subject is None or not match.vulnerability:
            skipped += 1
        elif key not in rows or _weight(match) > _weight(rows[key][1]):
            rows[key] = (subject, match)
    ordered = sorted(snapshots, key=lambda s: (s.name, s.newest, s.sha256))
    listed = [rows[key] for key in sorted(rows)]
    return Assessment(release=release, as_of=as_of, snapshots=ordered, rows=listed, skipped=skipped)


#: Where two matches speak of one vulnerability in one component, what is worse or less known counts.
_WEIGHTS = {State.NOT_AFFECTED: 0, State.FIXED: 1, State.CANDIDATE: 2, State.ANALYST: 3, State.AFFECTED: 4}


def _weight(match: Match) -> int:
    return _WEIGHTS[state(match)]


def state(match: Match) -> State:
    """The match's state: an analyst's decision where there is one that still stands, else the laboratory's."""
    decision = match.decision
    return decision.state if decision is not None and not decision.stale else match.state


def justification(match: Match) -> Justification | None:
    """Why it is not affected: as the decision says where one stands, else as the laboratory found."""
    decision = match.decision
    if decision is not None and not decision.stale:
        return decision.justification
    return match.justification


def reasons(match: Match) -> str:
    """Why, in sentences: the decision, the reasons, and the range that held."""
    said = [_sentence(reason.says) for reason in match.reasons if reason.says]
    decision = match.decision
    if decision is not None:
        stale = " (the evidence has changed since: it no longer counts)" if decision.stale else ""
        said.insert(0, f"{decision.who}, {decision.when}: {decision.why}{stale}")
    if match.why:
        said.append(f"Matched by {match.why}.")
    if state(match) in (State.CANDIDATE, State.ANALYST):
        said.append("The version matches; whether the release is affected has not been established.")
    return clean(" ".join(said))


def _sentence(text: str) -> str:
    """A reason as a sentence: what stands side by side in a table runs together in a line ("<=1.2.12 1.2.8-1 is …")."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def feeds(assessment: Assessment) -> list[str]:
    """A sentence for each feed: what it is, its digest and the date of its newest record."""
    return [
        clean(f"{s.name} ({s.kind}, {s.format}): {s.records} records, {_newest(s)}, sha256:{s.sha256}")
        for s in assessment.snapshots
    ]


def _newest(snapshot: Snapshot) -> str:
    return f"newest {snapshot.newest}" if snapshot.newest else "not dated"


def from_feeds(assessment: Assessment, match: Match) -> list[str]:
    """The names of the feeds that say so, in order and once each."""
    names = {s.sha256: s.name for s in assessment.snapshots}
    return list(dict.fromkeys(clean(names.get(digest, digest)) for digest, _ in match.snapshots))
