"""Rules are data: TOML files beside this module, read and checked once.

A rule names a fact (``fact``), says which field values make it a finding (``when``), how it is told apart from the
next (``identity``), and what a reader needs to know: title, severity, grade, what it touches, why, remedy, source,
and what it misses. ``matches`` and ``passes`` are facts that it must and must not take; tests hold it to them.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct, field

from banbury.inspect.registry import inspectors
from banbury.judge._supply import SUPPLY_FACTS
from banbury.judge.predicates import ANY, RuleError, branches, check_condition
from banbury.model.evaluation import Fact, Grade, Severity

FOLDER = Path(__file__).parent / "rules"

#: Facts that come from the readers, the ledger, the rebuild and the supply chain rather than from an inspector: fields
#: with defaults.
LEDGER_FACTS: dict[str, dict[str, object]] = {
    "tree.note": {"code": "", "detail": "", "path": "", "format": "", "payload": False},
    "tree.unread": {"size": 0, "entropy": -1.0, "name": ""},
    "tree.check": {"what": "", "expected": 0, "found": 0},
    "tool.trouble": {"tool": "", "outcome": "", "why": ""},
    "rebuild.image": {
        "method": "",
        "verdict": "",
        "files_verdict": "",
        "proved": -1.0,
        "left_out": 0,
        "built_by": "",
        "tied": False,
    },
    "rebuild.left-out": {"path": "", "sort": "", "elsewhere": "", "of": "", "lacks": "the image"},
    "rebuild.file-system": {"doubt": ""},
    "rebuild.premise": {"kind": "", "subject": "", "rebuilt": "", "shipped": ""},
    "rebuild.reliance": {"rule": "", "title": "", "tier": "", "assumption": "", "files": 0},
    "rebuild.file": {
        "path": "",
        "how": "",
        "verdict": "",
        "content": "",
        "why": "",
        "functions": 0,
        "code": 0,
        "counterpart": "",
    },
    "rebuild.attribute": {"path": "", "what": "", "rebuilt": "", "shipped": "", "special": False},
    **SUPPLY_FACTS,
}
#: Fields that every fact has, taken from its place: name in the container, stable place, octal mode, file kind.
PLACE_FIELDS = ("@name", "@where", "@mode", "@kind", "@payload")


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a finding is recognised in the next release: by the rule, these fields and, unless ``anywhere``, the place.
    ``recipe`` is raised when that changes; old and new fingerprints are then not compared."""

    recipe: int = 1
    fields: list[str] = []
    anywhere: bool = False


class Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take facts together that agree in field ``by``; a finding needs at least ``places`` places. ``distinct`` is what
    must differ between them: ``where`` (default) or a field."""

    by: str
    places: int = 2
    distinct: str = "@where"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published rule. ``when`` maps a field to a value, a list of values, or a table of operators (see
    :mod:`banbury.judge.predicates`)."""

    id: str
    title: str
    severity: Severity
    grade: Grade
    touches: str
    fact: str
    message: str
    why: str
    remedy: str
    source: list[str]
    misses: list[str]
    when: dict[str, object] = {}
    cwe: list[int] = []
    identity: Identity = Identity()
    group: Group | None = None
    status: str = "stable"
    since: str = "0.1.0"
    matches: list[Fact]
    passes: list[Fact]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[Rule] = field(default_factory=list)


#: What a finding can touch, in the order in which reports list it.
TOUCHES = (
    "accounts",
    "keys and certificates",
    "remote access",
    "start-up",
    "web interface",
    "programs",
    "kernel",
    "supply chain",
    "file system",
    "integrity of the image",
    "coverage",
)


@cache
def fact_defaults() -> dict[str, dict[str, object]]:
    """Every fact's tag and the values of its fields where a fact leaves them out."""
    known = dict(LEDGER_FACTS)
    for inspector in inspectors().values():
        for kind in inspector.facts:
            info = msgspec.inspect.type_info(kind)
            assert isinstance(info, msgspec.inspect.StructType)
            defaults: dict[str, object] = {}
            for entry in info.fields:
                value: object = None
                if entry.default is not msgspec.NODEFAULT:
                    value = entry.default
                elif entry.default_factory is not msgspec.NODEFAULT:
                    value = entry.default_factory()
                defaults[entry.encode_name] = msgspec.to_builtins(value)
            known[str(info.tag)] = defaults
    return known


@cache
def rules() -> dict[str, Rule]:
    """All rules by id, checked. Raises :class:`RuleError`."""
    found: dict[str, Rule] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        try:
            listed = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).rule
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
            raise RuleError(f"{path.name}: {problem}") from problem
        for rule in listed:
            if rule.id in found:
                raise RuleError(f"{path.name}: two rules are named {rule.id}")
            check_rule(rule)
            found[rule.id] = rule
    return found


@cache
def rules_digest() -> str:
    """SHA-256 over the rule files in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.toml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check_rule(rule: Rule) -> None:
    """Raise :class:`RuleError` for anything about a rule that does not hold together."""
    defaults = fact_defaults().get(rule.fact)
    if defaults is None:
        raise RuleError(f"{rule.id}: no inspector states a fact {rule.fact!r}")
    known = {*defaults, *PLACE_FIELDS, "text"}
    conditions = [(n, c) for n, c in rule.when.items() if n != ANY]
    for branch in branches(rule.when[ANY]) if ANY in rule.when else []:
        conditions += branch.items()
    used = {*(n for n, _ in conditions), *rule.identity.fields, *re.findall(r"\{([^{}!:]*)", rule.message)}
    if rule.group is not None:
        used |= {rule.group.by, rule.group.distinct}
        known |= {"count"}
    if unknown := used - known:
        raise RuleError(f"{rule.id}: fact {rule.fact} has no field {', '.join(sorted(unknown))}")
    for name, condition in conditions:
        check_condition(rule.id, name, condition)
    if rule.touches not in TOUCHES:
        raise RuleError(f"{rule.id}: touches {rule.touches!r}, which is not one of: {', '.join(TOUCHES)}")
    if not (rule.matches and rule.passes and rule.source and rule.misses):
        raise RuleError(f"{rule.id}: a rule needs matches, passes, source and misses")
