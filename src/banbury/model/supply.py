"""The vocabulary of the supply chain: what a release is made of, what is known against it, and who still supports it.

Inventory, matching and support are separate records: an inventory is a function of a release's bytes and the
identification rules; matches and support claims are functions of an inventory, of feed snapshots and of a date.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Technique(StrEnum):
    """How an identity was established."""

    PACKAGE = "package database"
    BANNER = "own banner"
    KNOWN_VERSION = "bare version in the known list"
    BARE_VERSION = "bare version"
    CANDIDATES = "several bare versions"
    LINKED = "version of a linked library"
    FILE_HASH = "exact file hash"
    BUILD_ID = "build-id"
    SYMBOLS = "exported-symbol bracket"
    FINGERPRINT = "string fingerprint"
    METADATA = "metadata of the file"  # vermagic, os-release, a build path, a jar's manifest


class Standing(StrEnum):
    """What an identity may be used for. Only ``asserted`` ones name a component with its version; ``dependency`` is a
    fact about what a file was built with, ``hint`` is for a person."""

    ASSERTED = "asserted"
    CANDIDATE = "candidate"
    DEPENDENCY = "dependency"
    HINT = "hint"


class Identity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of evidence that a file holds (a version of) a product.

    ``product`` is the laboratory's own name (see the product table). ``version`` is ``""`` where only the product is
    known; ``low`` (inclusive) and ``high`` (exclusive) bound it for a bracket; ``versions`` are the candidates where
    there are several. ``sha256``, ``start`` and ``length`` say where the ``matched`` text (at most 120 characters)
    stands; ``start`` is -1 where the evidence is no run of bytes. ``where`` is the place in the release.
    ``confidence`` is the measured share of such identities that were right, 0 to 1. ``package`` is the package's name
    as its manager writes it, where a package database is the evidence. ``snapshot``: the product says of itself that it
    is a state between releases, and of none.
    """

    product: str
    technique: Technique
    standing: Standing
    version: str = ""
    low: str = ""
    high: str = ""
    versions: list[str] = []
    rule: str = ""
    sha256: str = ""
    where: str = ""
    start: int = -1
    length: int = 0
    matched: str = ""
    confidence: float = 0.0
    package: str = ""
    snapshot: bool = False


class Component(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A product in one version (``""`` where nothing asserts one), with all evidence for it.

    ``id`` is ``product@version``, with ``#architecture`` or a package manager's name where two would be the same.
    ``cpes`` are ``vendor:product`` pairs to match by, ``purl`` the package URL or ``""``. ``package_version`` is the
    version as the package manager writes it, with its revision. ``disagreements`` are sentences: two sources state
    different versions. ``facts`` are ids of conditions found for it: ``started``, ``listens``, ``setuid``, ``webroot``,
    and ``loaded-by-started`` and ``loaded-by-listening`` for a library that such a program loads. ``depends`` are the
    ids of components that its packages state they need. ``source`` and ``source_version`` are its packages' source, as
    their manager names it, where it has a name or number of its own; ``mixed``: they are of several. ``unlisted``
    counts further identities like those listed.
    """

    id: str
    product: str
    version: str
    type: str = "library"
    cpes: list[str] = []
    purl: str = ""
    manager: str = ""
    package_version: str = ""
    architecture: str = ""
    supplier: str = ""
    license: str = ""
    identities: list[Identity] = []
    disagreements: list[str] = []
    patched: list[str] = []  # CVE ids that package data names as fixed
    facts: list[str] = []
    depends: list[str] = []
    source: str = ""
    source_version: str = ""
    mixed: bool = False
    unlisted: int = 0


class Inventory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All components of a release. ``loose`` are identities that name no component (hints, dependencies).

    ``rules`` and ``knowledge`` are the digests of what identified them. The kernel's own inventory (what is built into
    *this* image) is in ``kernels``. ``notes`` say what it may be short of: containers that end too early."""

    release: str
    label: str
    rules: str
    knowledge: str
    components: list[Component]
    loose: list[Identity] = []
    kernels: list[KernelParts] = []
    parts: list[Parts] = []
    notes: list[str] = []


class Parts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a component's files show of its code: functions that they define or call by name, applets of BusyBox.

    ``names`` are packed sets of functions (:mod:`banbury.inspect.names`). ``complete`` says for ``functions`` and
    ``applets`` whether what is not there is known to be absent: stripped files show only what they export and call."""

    component: str
    functions: list[str] = []
    names: list[str] = []
    applets: list[str] = []
    complete: dict[str, bool] = {}


class KernelParts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is built into one kernel image, as far as the image shows it: the component's id, names of modules (built in
    and loadable), configuration options that are set, symbols' digest, and the source files that these imply.

    ``complete`` says for each list whether what is not in it is known to be absent. ``files`` and ``absent`` are source
    files, folders (``/`` at the end) or beginnings (``*``) that are known to be, and known not to be, in the kernel or
    its modules. ``names`` are packed sets of the kernel's functions (:mod:`banbury.inspect.names`). ``places`` are the
    modules of which the folder in the kernel's source is known, with it (``drivers/net/ppp/ppp_async``); ``foreign``
    the folders whose modules are made of another kernel's source."""

    component: str
    modules: list[str] = []
    builtin: list[str] = []
    places: list[str] = []
    foreign: list[str] = []
    options: dict[str, str] = {}
    symbols: int = 0
    names: list[str] = []
    files: list[str] = []
    absent: list[str] = []
    complete: dict[str, bool] = {}


class FeedKind(StrEnum):
    """What a feed speaks of."""

    VULNERABILITIES = "vulnerabilities"
    EXPLOITED = "exploited"
    PROBABILITY = "probability of exploitation"
    SUPPORT = "end of support"


class FeedPart(Struct, frozen=True, kw_only=True):
    """What a file holds of one feed (``nvd``, ``cve``, ``osv debian``): records, and the date of the newest."""

    feed: str
    records: int
    newest: str


class Snapshot(Struct, frozen=True, kw_only=True):
    """One imported file of a feed. ``sha256`` names it; ``newest`` is the date of its newest record (ISO 8601), and
    ``parts`` have that of each feed where the file holds several."""

    sha256: str
    name: str
    kind: FeedKind
    format: str
    importer: int
    records: int
    ranges: int
    refused: int
    newest: str
    imported: str
    licence: str = ""
    parts: list[FeedPart] = []


class State(StrEnum):
    """What is known of a vulnerability in a component. A version match alone is ``candidate``."""

    CANDIDATE = "candidate"
    AFFECTED = "affected"
    NOT_AFFECTED = "not affected"
    FIXED = "fixed"
    ANALYST = "needs an analyst"


class Justification(StrEnum):
    """Why a component is not affected (the five of VEX; OpenVEX 0.2.0, "Status Justifications")."""

    COMPONENT_NOT_PRESENT = "component_not_present"
    CODE_NOT_PRESENT = "vulnerable_code_not_present"
    CODE_NOT_CONTROLLABLE = "vulnerable_code_cannot_be_controlled_by_adversary"
    CODE_NOT_EXECUTED = "vulnerable_code_not_in_execute_path"
    MITIGATED = "inline_mitigations_already_exist"


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One machine-readable reason: ``kind`` is an id of the published table of reasons, ``says`` the sentence,
    ``evidence`` what it rests on (digests, symbols, options, versions)."""

    kind: str
    says: str
    evidence: dict[str, str] = {}


class Match(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A vulnerability against a component.

    ``snapshots`` are the feeds that say so, each with how it matched; ``why`` the range or configuration that held.
    ``evidence`` is the digest that an analyst's decision is bound to: of component, vulnerability and reasons.
    ``rank`` sorts: smaller first. ``flags``: disputed, rejected, deferred, no version stated.
    """

    vulnerability: str
    component: str
    state: State
    justification: Justification | None = None
    reasons: list[Reason] = []
    snapshots: list[tuple[str, str]] = []
    why: str = ""
    aliases: list[str] = []
    summary: str = ""
    published: str = ""
    cvss: float = -1.0
    vector: str = ""
    epss: float = -1.0
    exploited: str = ""  # the day on which it was listed as known to be exploited
    network: bool | None = None
    rank: int = 0
    flags: list[str] = []
    evidence: str = ""
    decision: Decision | None = None


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An analyst's word on a match, bound to its evidence. ``stale``: the evidence changed since."""

    vulnerability: str
    component: str
    state: State
    why: str
    who: str
    when: str
    evidence: str
    justification: Justification | None = None
    stale: bool = False


class Claim(StrEnum):
    """The six kinds of claim on the end of support."""

    ANNOUNCED = "announced date"
    SUPERSEDED = "superseded branch"
    DEAD = "dead project"
    CONTRACT = "contract support"
    OLDER = "older than the oldest listed"
    DISTRIBUTION = "maintained by a distribution"


class Support(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One claim on a component. ``ended``: on the date asked about, ``None`` where it cannot be told. ``end``: the day
    (ISO 8601) or ``""``. ``released``: the version's own day; ``behind``: newer releases known; ``source``: document
    and its date. ``within``: support ends before the product's declared support period does."""

    component: str
    claim: Claim
    ended: bool | None
    end: str = ""
    branch: str = ""
    released: str = ""
    behind: int = -1
    successor: str = ""
    source: str = ""
    source_date: str = ""
    confidence: str = ""
    within: bool = False


class Discrepancy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Declared against found: ``kind`` is ``undeclared``, ``absent``, ``version`` or ``unused``."""

    kind: str
    name: str
    declared: str = ""
    found: str = ""
    component: str = ""
    says: str = ""


class Bill(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bill of materials that was handed in: its artefact's name and SHA-256, and how many components it names.
    ``refused`` says why it could not be read; then nothing was compared with it. ``remarks``: what is odd in it."""

    name: str
    sha256: str
    format: str = ""
    listed: int = 0
    refused: str = ""
    remarks: list[str] = []


class SupplyChain(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release is made of, and what is known of it on the evaluation's date.

    ``feeds`` are the snapshots that were asked, without the time at which they were imported: where there is none of
    vulnerabilities, an empty ``matches`` means that nobody looked. ``unmatched`` are components of which no feed
    speaks by any name. ``unclaimed`` are those on whose support nothing is known. ``bills`` are the bills of materials
    that were compared with the inventory.
    """

    inventory: Inventory
    feeds: list[Snapshot] = []
    matches: list[Match] = []
    unmatched: list[str] = []
    support: list[Support] = []
    unclaimed: list[str] = []
    bills: list[Bill] = []
    discrepancies: list[Discrepancy] = []

    @property
    def matched(self) -> bool:
        """Whether any feed of vulnerabilities was asked."""
        return any(feed.kind is FeedKind.VULNERABILITIES for feed in self.feeds)
