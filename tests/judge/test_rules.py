"""Every rule takes its own samples and leaves the others; the judge's findings are the same in the next release."""

from __future__ import annotations

import datetime as dt

import pytest

from banbury.judge.engine import fingerprint, printable
from banbury.judge.predicates import RuleError, holds
from banbury.judge.rules import Rule, check_rule, fact_defaults, rules
from banbury.model.evaluation import Fact
from banbury.model.places import stable_place

AS_OF = dt.date(2026, 1, 1)
PLACE: Fact = {"@name": "", "@where": "image", "@mode": -1, "@kind": "", "@payload": False}


def taken(rule: Rule, samples: list[Fact]) -> list[bool]:
    """For each sample whether the rule makes a finding of it (a rule with a group judges them together)."""
    filled = [{**fact_defaults()[str(s["fact"])], **PLACE, **s} for s in samples]
    hits = [s["fact"] == rule.fact and holds(rule.when, s, AS_OF) for s in filled]
    if rule.group is None:
        return hits
    keys = [s.get(rule.group.by) for s, hit in zip(filled, hits, strict=True) if hit]
    return [any(keys.count(k) >= rule.group.places for k in keys)]


@pytest.mark.parametrize("name", sorted(rules()))
def test_a_rule_takes_what_it_should_and_nothing_else(name: str) -> None:
    rule = rules()[name]

    assert all(taken(rule, rule.matches))
    assert not any(taken(rule, rule.passes))


@pytest.mark.parametrize("name", sorted(rules()))
def test_a_rule_survives_facts_with_nothing_in_them(name: str) -> None:
    rule = rules()[name]
    empty: Fact = dict.fromkeys(fact_defaults()[rule.fact])
    holds(rule.when, {**empty, "fact": rule.fact}, AS_OF)


@pytest.mark.parametrize("name", sorted(rules()))
def test_the_samples_of_a_rule_are_facts_that_exist(name: str) -> None:
    for sample in rules()[name].matches + rules()[name].passes:
        known = fact_defaults()[str(sample["fact"])]
        assert {k for k in sample if not k.startswith("@")} <= {*known, "fact", "text"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"fact": "no.such-fact"},
        {"when": {"nosuch": 1}},
        {"when": {"name": {"resembles": "x"}}},
        {"when": {"name": {"matches": "("}}},
        {"message": "{nosuch}"},
        {"touches": "the soul"},
        {"matches": []},
        {"misses": []},
    ],
)
def test_a_wrong_rule_is_refused(wrong: dict[str, object]) -> None:
    import msgspec

    good = rules()["account.extra-root"]
    check_rule(good)
    with pytest.raises(RuleError):
        check_rule(msgspec.structs.replace(good, **wrong))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image!squashfs!lib/modules/3.10.36/ath9k.ko", "image!squashfs!lib/modules/3.10.49/ath9k.ko"),
        ("image!squashfs!usr/lib/libssl.so.1.0.0", "image!squashfs!usr/lib/libssl.so.3"),
        ("image!squashfs!lib/libuClibc-0.9.33.2.so", "image!squashfs!lib/libuClibc-0.9.34.so"),
    ],
)
def test_a_place_outlives_a_version(before: str, after: str) -> None:
    assert stable_place(before) == stable_place(after)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("image!squashfs!usr/lib/libssl.so", "image!squashfs!usr/lib/libcrypto.so"),
        ("image!squashfs!etc/passwd", "image!squashfs#2!etc/passwd"),
        ("image!a.so.d/x", "image!a.d/x"),
    ],
)
def test_different_places_stay_different(one: str, other: str) -> None:
    assert stable_place(one) != stable_place(other)


def test_a_fingerprint_depends_on_rule_place_and_fields() -> None:
    first, second = rules()["account.extra-root"], rules()["account.empty-password"]
    prints = {
        fingerprint(first, "image!etc/passwd", ["admin"]),
        fingerprint(first, "image!etc/passwd", ["guest"]),
        fingerprint(first, "image!etc/shadow", ["admin"]),
        fingerprint(second, "image!etc/passwd", ["admin"]),
    }

    assert len(prints) == 4
    assert fingerprint(first, "image!etc/passwd", ["admin"]) in prints


def test_hostile_values_are_one_printable_line() -> None:
    text = printable("a\x1b[2J\u202eb\nc" + "x" * 500)

    assert text.isprintable()
    assert len(text) == 200
