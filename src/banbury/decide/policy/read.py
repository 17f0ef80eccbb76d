"""Packs from YAML: bounded, strict, and every error named by pack, rule and key.

YAML 1.1 (PyYAML's safe loader) without anchors and aliases, so that a small file cannot become a large one, and with
keys that may stand only once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml

from banbury.decide.network.catalogue import EU, GB, LAYERS, functions
from banbury.decide.network.tables import tables
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack
from banbury.model.errors import InputError

#: Bounds of a pack's file: bytes, nesting, YAML events, rules.
SIZE, DEPTH, EVENTS, RULES = 256 << 10, 16, 50_000, 200
#: The furthest that a rule may keep away, in kilometres.
FURTHEST = 100.0
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")


class _Loader(yaml.SafeLoader):
    """The safe loader, with keys that stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a word", key.start_mark)
            if key.value in seen or key.value == "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value[:60]!r} is there twice, or merges", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _bounded(text: str, name: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader), 1):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise InputError(f"pack {name}: line {line}: anchors and aliases are not read")
        if depth > DEPTH or count > EVENTS:
            raise InputError(f"pack {name}: more than {DEPTH} levels or {EVENTS:,} parts")


def _data(text: str, name: str) -> dict[str, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > SIZE:
        raise InputError(f"pack {name}: larger than {SIZE >> 10} KiB")
    try:
        _bounded(text, name)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, OverflowError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        said = getattr(problem, "problem", None) or str(problem).partition("\n")[0]
        raise InputError(f"pack {name}: {where}{said[:200]}") from problem
    if not isinstance(data, dict):
        raise InputError(f"pack {name}: is no mapping")
    return data


def _convert(data: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as problem:
        text = str(problem)
        said, _, key = text.rpartition(" - at `$")
        place = f"key {key.rstrip('`').lstrip('.')}: {said}" if said else text
        raise InputError(f"{where}: {place[:300]}") from problem


def _rule(raw: Any, where: str, position: int) -> Any:
    if not isinstance(raw, dict):
        raise InputError(f"{where}, rule {position}: is no mapping")
    here = f"{where}, rule {str(raw.get('id', position))[:60]}"
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in model.KINDS:
        raise InputError(f"{here}: key kind: {str(kind)[:60]!r} is none of {', '.join(model.KINDS)}")
    return _convert(raw, model.KINDS[kind], here)


def parse(text: str, name: str) -> Pack:
    """The pack in ``text``. Raises :class:`InputError`, which names the pack, the rule and the key."""
    data = _data(text, name)
    where = f"pack {str(data.get('id', name))[:60]}"
    raw = data.get("rules")
    if not isinstance(raw, list) or not 0 < len(raw) <= RULES:
        raise InputError(f"{where}: key rules: a list of 1 to {RULES} rules")
    rules = [_rule(rule, where, i) for i, rule in enumerate(raw, 1)]
    found = _convert({**data, "rules": raw}, Pack, where)
    assert isinstance(found, Pack)
    _check(found, rules, where)
    return found


def _among(values: tuple[str, ...], known: Any, where: str, key: str) -> None:
    for value in values:
        if value not in known:
            raise InputError(f"{where}: key {key}: {value[:60]!r} is not known")


def _check(pack: Pack, rules: list[Any], where: str) -> None:
    if not _ID.fullmatch(pack.id):
        raise InputError(f"{where}: key id: small letters, digits and hyphens")
    a = pack.applies
    chosen = bool(a.vendor_class or a.names or a.jurisdictions)
    if a.everyone is chosen:
        raise InputError(f"{where}: key applies: either everyone, or vendors by class, name or jurisdiction")
    for word in a.names:
        if not _NAME.fullmatch(word):
            raise InputError(f"{where}: key applies.names: {word[:60]!r} is not words in small letters")
    for country in a.jurisdictions:
        if not re.fullmatch("[A-Z]{2}", country):
            raise InputError(f"{where}: key applies.jurisdictions: {country[:60]!r}")
    if pack.dates.until is not None and pack.dates.until <= pack.dates.in_force:
        raise InputError(f"{where}: key dates.until: not after in_force")
    _definitions(pack, where)
    seen: set[str] = set()
    for rule in rules:
        here = f"{where}, rule {rule.id[:60]}"
        if not _ID.fullmatch(rule.id) or rule.id in seen:
            raise InputError(f"{here}: key id: there twice, or not of small letters, digits and hyphens")
        seen.add(rule.id)
        _check_rule(pack, rule, here)
    for trial in pack.tests:
        for expected in trial.expect:
            _among((expected.rule,), seen, f"{where}, test {trial.name[:60]}", "expect.rule")


def _definitions(pack: Pack, where: str) -> None:
    sensitive = tables()["sensitive"].columns["class"].values
    for name, f in pack.definitions.function_class.items():
        here = f"{where}, function_class {name[:60]}"
        _among(f.class_gb, GB, here, "class_gb")
        _among(f.class_eu, EU, here, "class_eu")
        _among(f.layer, LAYERS, here, "layer")
        _among(f.functions, functions(), here, "functions")
        _among(f.without, functions(), here, "without")
        if not chosen(f):
            raise InputError(f"{here}: no function is in it")
    for name, s in pack.definitions.site_class.items():
        here = f"{where}, site_class {name[:60]}"
        _among(s.site, tables()["sites"].columns["class"].values, here, "site")
        _among(s.sensitive, sensitive, here, "sensitive")
        if not s.site and not s.sensitive:
            raise InputError(f"{here}: no site is in it")


def chosen(f: model.FunctionClass) -> list[str]:
    """The functions of a class, sorted."""
    return sorted(
        i
        for i, row in functions().items()
        if i not in f.without
        and (i in f.functions or row.class_gb in f.class_gb or row.class_eu in f.class_eu or row.layer in f.layer)
    )


def _check_rule(pack: Pack, rule: Any, here: str) -> None:
    _among((rule.source.ref,), pack.sources, here, "source.ref")
    for key, name, known in (
        ("where.functions", rule.where.functions, pack.definitions.function_class),
        ("where.sites", rule.where.sites, pack.definitions.site_class),
    ):
        if name:
            _among((name,), known, here, key)
    _among(rule.where.tech, tables()["elements"].columns["tech"].values, here, "where.tech")
    if not rule.counts:
        raise InputError(f"{here}: key counts: empty")
    check = _OF_KIND.get(type(rule))
    if check is not None:
        check(pack, rule, here)


def _share_cap(pack: Pack, rule: model.ShareCap, here: str) -> None:
    _among((rule.network,), tables()["shares"].columns["network"].values, here, "network")
    if not (math.isfinite(rule.max) and 0 <= rule.max <= 1):
        raise InputError(f"{here}: key max: a fraction from 0 to 1")
    if rule.where.sites or rule.where.tech:
        raise InputError(f"{here}: key where: a cap is on a whole network; only functions can be given")
    _group(rule.group, here)


def _group(group: tuple[str, ...], here: str) -> None:
    if group not in {("operator",), ("operator", "region")}:
        raise InputError(f"{here}: key group: [operator] or [operator, region]")


def _keep_away(pack: Pack, rule: model.KeepAway, here: str) -> None:
    _among(rule.classes, tables()["sensitive"].columns["class"].values, here, "classes")
    if not rule.classes or (rule.km is not None and not 0 <= rule.km <= FURTHEST):
        raise InputError(f"{here}: key classes or km: at least one class; 0 to {FURTHEST:g} km")


def _diversity(pack: Pack, rule: model.Diversity, here: str) -> None:
    _group(rule.group, here)
    if min(rule.min_vendors, rule.min_trusted, rule.max_covered or 0) < 0 or rule.min_vendors > 1000:
        raise InputError(f"{here}: key min_vendors, min_trusted or max_covered: not below 0")


def _dated(pack: Pack, rule: Any, here: str) -> None:
    if rule.due is None:
        raise InputError(f"{here}: key due: missing")


def _support(pack: Pack, rule: model.SupportRestriction, here: str) -> None:
    if not rule.by_them and not rule.access:
        raise InputError(f"{here}: key access: a rule that forbids nothing")


def _requires(pack: Pack, rule: model.Requires, here: str) -> None:
    if not rule.evidence or (rule.max_age_days is not None and not 0 <= rule.max_age_days <= 36525):
        raise InputError(f"{here}: key evidence or max_age_days")


_OF_KIND: dict[type[Any], Any] = {
    model.ShareCap: _share_cap,
    model.KeepAway: _keep_away,
    model.Diversity: _diversity,
    model.RemoveBy: _dated,
    model.ReplaceManagerBy: _dated,
    model.SupportRestriction: _support,
    model.Requires: _requires,
}


@cache
def shipped() -> dict[str, Pack]:
    """The packs that come with the laboratory, by id."""
    folder = files("banbury.decide") / "packs"
    found = [parse(p.read_text("utf-8"), p.name) for p in folder.iterdir() if p.name.endswith(".yaml")]
    return {pack.id: pack for pack in sorted(found, key=lambda p: p.id)}


def load(name: str) -> Pack:
    """The shipped pack of this id, else the one in the file of this name. Raises :class:`InputError`."""
    if name in shipped():
        return shipped()[name]
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        raise InputError(f"no policy {name[:100]!r}", hint=f"there are {', '.join(shipped())}, or give a .yaml file")
    try:
        if path.stat().st_size > SIZE:
            raise InputError(f"pack {path.name}: larger than {SIZE >> 10} KiB")
        found = parse(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"pack {path.name}: {problem}") from problem
    if found.id in shipped():
        # Else a changed copy would speak under the name of what it was copied from.
        raise InputError(
            f"pack {path.name}: key id: {found.id!r} is a shipped pack's", hint="give a changed copy another"
        )
    return found
