"""What is asked of the feed store, and what it answers. (:class:`banbury.supply.feeds.store.FeedStore` does the work.)

Names. A product is asked for by a *name in a feed*, a string with a namespace:

- ``cpe:VENDOR:PRODUCT`` - vendor and product of CPE 2.3 names (NVD, overrides, CISA ADP), in lower case, without
  CPE's backslashes: ``cpe:busybox:busybox``;
- ``cna:VENDOR:PRODUCT`` - vendor and product as the CVE list's ``affected`` writes them, in lower case, blanks
  as ``_``: ``cna:openssl:openssl``, ``cna:linux:linux``;
- ``osv:ECOSYSTEM:NAME`` - a package of an OSV feed (or of retire.js, ecosystem ``npm``), in lower case:
  ``osv:oss-fuzz:openssl``;
- ``curl:curl`` and ``kernel:linux`` - the projects' own tables: curl's, and per-stream kernel lists.

Versions are compared as bytes: :func:`banbury.supply.versions.key` makes the key; the scheme is
:func:`banbury.supply.versions.scheme_of` of the name.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from msgspec import Struct, msgpack

#: Above every key of a version.
TOP = b"\xff"


class Stated(IntEnum):
    """How a feed bounds the versions of a product."""

    RANGE = 0  # low and high hold
    EVERY = 1  # no bound at all, as ``*``
    NOT_STATED = 2  # ``-``, ``n/a``, a text that is no version: a class of its own, of low rank
    EXACT = 3  # one version


class Leaf(Struct, frozen=True, array_like=True, gc=False):
    """One statement "these versions of this product". ``low`` is inclusive, ``high`` exclusive, both keys of
    :mod:`banbury.supply.versions` (``b""`` and :data:`TOP` where unbounded). ``part`` is the CPE's (a, o, h) or ``""``.
    ``vulnerable`` false is "running on/with": it decides a configuration but is never itself a match.
    ``says`` is the bound as the feed wrote it: ``>=1.16.0 <=1.33.1``. ``narrowed`` holds what else the CPE demands
    (edition, target software, hardware) as ``field=value``, empty where nothing. ``voice``: who says it, where that is
    another than the record's source: CISA's container in a record of the CVE list."""

    name: str
    low: bytes = b""
    high: bytes = TOP
    stated: int = 0
    vulnerable: bool = True
    part: str = ""
    says: str = ""
    narrowed: str = ""
    voice: str = ""

    def holds(self, key: bytes) -> bool:
        """Whether a version with this key lies in the bounds (true for NOT_STATED too: ask ``stated`` first)."""
        return self.low <= key < self.high


class Node(Struct, frozen=True, array_like=True):
    """A node of a configuration: ``AND`` or ``OR`` over leaves and nodes; ``negate`` turns the result round."""

    operator: str
    negate: bool = False
    leaves: list[Leaf] = []
    children: list[Node] = []


class Wanted(Struct, frozen=True, gc=False):
    """One product in one version to look up. ``tag`` comes back in the hits (the component's id). ``key`` is ``b""``
    where no version is known: then every statement on the name is a hit."""

    tag: str
    name: str
    key: bytes = b""


class Advisory(Struct, frozen=True, kw_only=True, gc=False):
    """The head of a vulnerability as one source tells it.

    ``source``: ``nvd``, ``nvd-overrides``, ``cve`` (the CVE list, ADP included), ``openssl``, ``curl``, ``kernel``,
    ``osv``, ``retire.js``. ``flags``: ``rejected``, ``disputed``, ``deferred``, ``unsupported when assigned``.
    ``aliases``: other ids of it. ``cvss`` is the highest version's base score that the source gives, -1 where none.
    ``ssvc``: CISA's decision points as ``exploitation=active`` … ``snapshot`` is the SHA-256 of the feed's file.
    """

    number: int
    source: str
    id: str
    modified: str
    published: str
    summary: str
    cvss: float
    vector: str
    flags: list[str]
    aliases: list[str]
    ssvc: list[str]
    weaknesses: list[str]
    snapshot: str


class Hit(Struct, frozen=True, gc=False):
    """A statement of a feed that speaks of a wanted product and version. ``tree`` is
    ``configuration``, as MessagePack or decoded."""

    wanted: Wanted
    leaf: Leaf
    advisory: Advisory
    tree: bytes | Node | None = None

    @property
    def configuration(self) -> Node | None:
        """``None`` where the leaf decides alone (an OR of vulnerable leaves); else the whole tree of the configuration
        that holds the leaf, to be evaluated against everything in the inventory."""
        return _decoded(self.tree) if isinstance(self.tree, bytes) else self.tree


@lru_cache(1 << 12)
def _decoded(tree: bytes) -> Node:
    return msgpack.decode(tree, type=Node)


class Said(Struct, frozen=True, gc=False):
    """What a record says beside those that hold for a component: a statement on one of its names (``None``: the record
    is rejected). ``source`` is the record's."""

    source: str
    snapshot: str
    leaf: Leaf | None


class Exploited(Struct, frozen=True, kw_only=True):
    """A row of CISA's KEV catalogue. Days are ISO 8601."""

    id: str
    added: str
    due: str
    ransomware: bool
    name: str
    snapshot: str


class Probability(Struct, frozen=True, kw_only=True):
    """A row of EPSS: probability of exploitation within 30 days, and percentile, both 0 to 1; ``day`` may be ``""``."""

    id: str
    score: float
    percentile: float
    day: str
    snapshot: str


class Cycle(Struct, frozen=True, kw_only=True):
    """A release cycle of a product as a feed gives it. Dates are ISO 8601, ``""`` where none is given.

    ``product``: the feed's own name (endoflife.date's file name; ``debian``, ``ubuntu`` of distro-info too).
    ``eol``, ``support`` (active support), ``extended`` (paid or LTS support): the date on which it ends; where a feed
    only says yes or no, the date is ``""`` and ``ended``/… hold it (``None``: not said, or a date is given).
    """

    product: str
    cycle: str
    source: str
    released: str = ""
    eol: str = ""
    ended: bool | None = None
    support: str = ""
    support_ended: bool | None = None
    extended: str = ""
    extended_ended: bool | None = None
    discontinued: str = ""
    lts: bool = False
    latest: str = ""
    latest_released: str = ""
    codename: str = ""
    snapshot: str = ""


class Release(Struct, frozen=True, kw_only=True):
    """A version of a product and the day on which it was released (ISO 8601)."""

    product: str
    version: str
    day: str
    snapshot: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """A vulnerability whose record came with or after a snapshot. ``what``: ``new`` or ``changed`` or ``withdrawn``."""

    source: str
    id: str
    what: str
