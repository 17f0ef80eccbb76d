"""The evaluation: one document that every report, page and exporter reads, and that a program can read too.

It is a function of the submission's bytes, its manifest, the reference date and the tools' versions: no clock, no
host and no path of a machine is in it, so the same inputs give the same bytes. (Times and hosts are in the custody
record.)
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from banbury.model.facts import Outcome
from banbury.model.rebuild import NotCompared, Rebuilt
from banbury.model.release import Release
from banbury.model.supply import SupplyChain
from banbury.model.tree import Check, Kind, Note, Region

SCHEMA = "banbury/evaluation/v1"

Fact = dict[str, object]


class Node(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place in the tree of a release. The same content (``sha256``) may stand at many places.

    ``id`` counts from 0 in depth-first order; ``parent`` is -1 for an artefact. ``name`` is the entry's path in its
    container; ``locator`` is the whole way down for a person (``image.bin!0001fc00-squashfs!etc/passwd``); ``where`` is
    the same without offsets and file names of the release, stable from one release to the next
    (``image!squashfs!etc/passwd``). ``start`` is the offset in the parent where the content is stored verbatim, or -1.
    ``format`` is the container format, ``""`` for a leaf. ``facts`` hold what depends on this place (path, mode),
    not on content alone. ``xattrs`` are extended attributes by name: hexadecimal, or ``sha256:`` and the digest of what
    is longer than 64 bytes. ``user`` and ``group`` are the owner's names, where the container states them (tar).
    """

    id: int
    parent: int
    name: str
    locator: str
    where: str
    kind: Kind
    depth: int = 0
    sha256: str = ""
    size: int = 0
    start: int = -1
    complete: bool = True
    format: str = ""
    mode: int = -1
    uid: int = -1
    gid: int = -1
    mtime: int = -1
    link: str = ""
    rdev: tuple[int, int] | None = None
    user: str = ""
    group: str = ""
    xattrs: dict[str, str] = {}
    facts: list[Fact] = []


class Trouble(Struct, frozen=True, kw_only=True):
    """A tool that did not finish on a content: failed or skipped, and why."""

    tool: str
    outcome: Outcome
    why: str


class File(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one content, wherever it stands: its sort, facts, and which tools looked."""

    sha256: str
    size: int
    kind: str = ""
    done: list[str] = []
    trouble: list[Trouble] = []
    facts: list[Fact] = []


class Container(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reader made of one content. ``regions`` partition it; they are kept for containers at image level
    (outside any file system), elsewhere only those that are unread."""

    sha256: str
    format: str
    size: int
    error: str = ""
    properties: dict[str, str] = {}
    checks: list[Check] = []
    notes: list[Note] = []
    regions: list[Region] = []


class Fate(StrEnum):
    """What became of a byte of an artefact."""

    OPENED = "opened"  # it is content, and the content came out
    STRUCTURE = "structure"  # it is a named part of a format
    PADDING = "padding"  # it is constant fill
    UNREAD = "unread"  # nobody could say, or reading it failed


class Stretch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes ``start`` to ``end`` of an artefact, their fate and owner. ``node`` is the container or member."""

    start: int
    end: int
    fate: Fate
    name: str
    node: int
    entropy: float = -1.0  # bits per byte, for unread stretches


class ImageMap(Struct, frozen=True, kw_only=True):
    """Where every byte of one artefact went: stretches in order, without gaps, and the totals by fate in bytes."""

    node: int
    name: str
    size: int
    totals: dict[str, int]
    stretches: list[Stretch]


class Coverage(Struct, frozen=True, kw_only=True):
    """One inspector over the release: done, failed and skipped contents; to the rest it does not apply."""

    tool: str
    version: int
    title: str
    done: int
    failed: int
    skipped: int


class Ledger(Struct, frozen=True, kw_only=True):
    """What was and was not read and examined. The report opens with it; nothing in it is optional.

    ``unread`` lists every unread stretch of every content (``node`` is its first place). ``checks`` are the containers'
    own counts that disagree with what was found; ``checks_ok`` counts those that agree. ``compared`` counts the shipped
    files that were compared with a rebuild; ``not_compared`` is what of the images was not, where the submission has a
    rebuild or source.
    """

    images: list[ImageMap]
    unread: list[Stretch]
    coverage: list[Coverage]
    nodes: dict[str, int]
    contents: int
    content_bytes: int
    not_unpacked: list[Trouble]
    checks_ok: int
    checks_failed: list[Check]
    limits_hit: list[str]
    compared: int = 0
    not_compared: list[NotCompared] = []


class Severity(StrEnum):
    """How much a finding matters where it stands, by its rule. Not a probability, and never blended with others."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    def at_least(self, other: Severity) -> bool:
        """Whether this is as severe as ``other``, or more."""
        order = list(Severity)
        return order.index(self) <= order.index(other)


class Grade(StrEnum):
    """How well the evidence carries the statement."""

    ESTABLISHED = "established"  # the bytes show it
    INDICATED = "indicated"  # the bytes suggest it; another reading is possible


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to look: content, place, offset and length in bytes, and what stands there (made printable)."""

    node: int
    sha256: str
    locator: str
    start: int = -1
    length: int = 0
    text: str = ""


class Status(StrEnum):
    """A finding against the baseline."""

    NEW = "new"
    PERSISTS = "persists"
    GONE = "gone"


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule met by evidence. ``id`` is the fingerprint by the rule's identity recipe, the same in every release."""

    id: str
    recipe: int
    rule: str
    title: str
    severity: Severity
    grade: Grade
    touches: str
    where: str
    message: str
    evidence: list[Evidence]
    status: Status | None = None


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place in the comparison of two releases. ``kind`` is added, removed, changed, moved, attributes or similar;
    ``before`` and ``after`` are places (``where``), ``similarity`` is 0 to 1 for similar content."""

    kind: str
    before: str = ""
    after: str = ""
    before_sha256: str = ""
    after_sha256: str = ""
    before_size: int = 0
    after_size: int = 0
    similarity: float = -1.0
    details: list[str] = []


class Comparison(Struct, frozen=True, kw_only=True):
    """What changed since the baseline. ``unchanged`` counts the places that are the same in both."""

    baseline: Release
    unchanged: int
    changes: list[Change]
    gone: list[Finding]
    limits: list[str]


class Evaluation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole document. ``tools`` are the versions of every reader and inspector; ``as_of`` (ISO date) is the day
    against which expiry dates are judged; ``rules_digest`` is the SHA-256 of the rules' files; ``rebuilds`` compare
    each image with what was built from the source; ``supply`` is what the release is made of and what is known of
    it."""

    schema: str
    program: str
    as_of: str
    release: Release
    ledger: Ledger
    findings: list[Finding]
    comparison: Comparison | None
    nodes: list[Node]
    files: dict[str, File]
    containers: dict[str, Container]
    tools: dict[str, str]
    rules_digest: str
    rebuilds: list[Rebuilt] = []
    supply: SupplyChain | None = None
