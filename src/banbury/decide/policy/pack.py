"""What a policy pack is made of: rules of typed kinds, definitions, sources, and tests of its own.

A pack is one YAML file (``docs/policies.md``). Every condition is three-valued: an inventory that does not say what a
rule needs yields *insufficient data*, never *met*.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

Status = Literal["law", "direction", "advice", "contract", "proposal"]
Installed = Literal["installed", "planned"]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a rule comes from. ``read``: what was read of it: the primary text, a secondary source, or only memory."""

    title: str
    read: Literal["primary", "secondary", "memory"]
    publisher: str = ""
    date: dt.date | None = None
    note: str = ""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source of the pack, and the clause in it."""

    ref: str
    clause: str


class Applies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the pack is about: an entity, or any of its owners, meets any of these. ``names``: words of the name or
    the id, in small letters. ``components``: a product of somebody else counts where a component of such a role is
    theirs (rebadged products). ``everyone``: the pack names no vendor.
    """

    vendor_class: tuple[Literal["high-risk", "designated", "trusted", "other"], ...] = ()
    names: tuple[str, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    components: tuple[Literal["essential", "substantial", "other"], ...] = ()
    everyone: bool = False


class FunctionClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Functions of the catalogue: those that meet any of these, less ``without``."""

    class_gb: tuple[str, ...] = ()
    class_eu: tuple[str, ...] = ()
    layer: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class SiteClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sites of a class of the inventory, or named in its table of sensitive places with such a class."""

    site: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()


class Definitions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The names that rules use."""

    function_class: dict[str, FunctionClass] = {}
    site_class: dict[str, SiteClass] = {}


class Where(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which elements a rule is about: all that is given must hold. A core function at an edge site is a core function:
    ``functions`` alone decides, wherever it stands.
    """

    functions: str = ""
    sites: str = ""
    tech: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every rule has. ``due``: the last day on which what it forbids may still be there; ``in_force``: the first
    day on which it binds. ``expect``: nothing in its scope is insufficient data, since no network is without it.
    """

    id: str
    title: str
    source: Reference
    where: Where = Where()
    in_force: dt.date | None = None
    due: dt.date | None = None
    expect: bool = False
    counts: tuple[Installed, ...] = ("installed",)
    note: str = ""


class Exclude(Rule, frozen=True, tag="exclude"):
    """None of their elements in the scope."""


class RemoveBy(Rule, frozen=True, tag="remove_by"):
    """The same with a date, which it must have."""


class NoInstallAfter(Rule, frozen=True, tag="no_install_after"):
    """Nothing of theirs installed (or bought) after ``date``."""

    date: dt.date
    by: Literal["installed", "purchased"] = "installed"


class ShareCap(Rule, frozen=True, tag="share_cap"):
    """Their share of an access network. ``breach``: whether a share of exactly ``max`` is one (``>=``) or not (``>``).
    ``reading``: their shares together (collective), or each vendor group's (per-vendor). ``group``: the operator's
    whole network, or each of its regions.
    """

    network: str
    metric: Literal["traffic", "subscribers", "premises", "sites"]
    max: float
    breach: Literal[">", ">="]
    reading: Literal["collective", "per-vendor"]
    group: tuple[Literal["operator", "region"], ...] = ("operator",)


class KeepAway(Rule, frozen=True, tag="keep_away"):
    """None of their elements at a sensitive place of ``classes``, or nearer than its own radius, else ``km``."""

    classes: tuple[str, ...]
    km: float | None = None


class Diversity(Rule, frozen=True, tag="diversity"):
    """How many vendor groups there must be in the scope; how many of others; how many of theirs at most."""

    min_vendors: int = 1
    min_trusted: int = 0
    max_covered: int | None = None
    group: tuple[Literal["operator", "region"], ...] = ("operator",)


class ReplaceManagerBy(Rule, frozen=True, tag="replace_manager_by"):
    """The scope may stay theirs; what manages it may not be."""


class ComponentBan(Rule, frozen=True, tag="component_ban"):
    """No component of theirs with one of ``roles`` in any product."""

    roles: tuple[Literal["essential", "substantial", "other"], ...] = ("essential", "substantial")


class SupportRestriction(Rule, frozen=True, tag="support_restriction"):
    """Third-line support not by them (``by_them``), and not in one of the ways in ``access``."""

    by_them: bool = True
    access: tuple[Literal["attended", "unattended"], ...] = ()


class Requires(Rule, frozen=True, tag="requires"):
    """Evidence for each product's release: one of ``evidence``, of ``level`` or higher, not older than
    ``max_age_days``. ``since``: of what was, or is to be, installed on that day or later.
    """

    evidence: tuple[Literal["evaluation", "equivalence", "audit", "scheme", "declaration"], ...]
    level: Literal["limited", "moderate", "sufficient"]
    max_age_days: int | None = None
    since: dt.date | None = None


class Sql(Rule, frozen=True, tag="sql"):
    """One SELECT giving ``operator``, ``id`` and ``hit`` (true, false, or null for cannot tell) of the relations of
    :mod:`banbury.decide.network.network`. ``reviewed_by``: who has read it.
    """

    query: str
    reviewed_by: str


AnyRule = (
    Exclude
    | RemoveBy
    | NoInstallAfter
    | ShareCap
    | KeepAway
    | Diversity
    | ReplaceManagerBy
    | ComponentBan
    | SupportRestriction
    | Requires
    | Sql
)
KINDS: dict[str, type[Any]] = {
    "exclude": Exclude,
    "remove_by": RemoveBy,
    "no_install_after": NoInstallAfter,
    "share_cap": ShareCap,
    "keep_away": KeepAway,
    "diversity": Diversity,
    "replace_manager_by": ReplaceManagerBy,
    "component_ban": ComponentBan,
    "support_restriction": SupportRestriction,
    "requires": Requires,
    "sql": Sql,
}


class Dates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``issued``; ``in_force``: first day on which the pack is judged by; ``until``: first day on which another took
    its place.
    """

    issued: dt.date
    in_force: dt.date
    until: dt.date | None = None


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict that a pack's own test expects. What is not given is not compared."""

    rule: str
    status: Literal["violation", "due", "met", "insufficient data"]
    subject: str = ""
    assets: tuple[str, ...] | None = None
    due: dt.date | None = None
    measured: float | None = None


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack's own test: rows of small tables, a date, and verdicts that there must be."""

    name: str
    as_of: dt.date
    inventory: dict[str, tuple[dict[str, Any], ...]]
    expect: tuple[Expected, ...]


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy pack. ``text``: what it is, and what was not read."""

    id: str
    version: int
    title: str
    jurisdiction: str
    legal_status: Status
    text: str
    dates: Dates
    applies: Applies
    rules: tuple[AnyRule, ...]
    sources: dict[str, Source]
    definitions: Definitions = Definitions()
    supersedes: tuple[str, ...] = ()
    tests: tuple[Trial, ...] = ()
