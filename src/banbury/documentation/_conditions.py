"""The conditions of a rule in words."""

from __future__ import annotations

from collections.abc import Iterator

from banbury.documentation._markdown import toml
from banbury.judge.predicates import ANY, OPERATORS, branches

_PLACE = {
    "@name": "the name in its container",
    "@where": "the place",
    "@mode": "the mode of the place",
    "@kind": "the kind of the file",
    "@payload": "whether it is part of an image rather than a file of a tree",
}
_WORDS = {
    "lt": "is less than {}",
    "le": "is {} at most",
    "gt": "is more than {}",
    "ge": "is {} at least",
    "matches": "matches {}",
    "lacks": "does not match {}",
    "contains": "contains {}",
    "any_of": "shares an item with {}",
    "bits": "has all the bits {} set",
    "before": "is a date before {}",
    "within_days": "is a date no later than {} days after the reference date",
}
assert {*_WORDS, "not"} == {*OPERATORS}, "an operator is not described"


def conditions(when: dict[str, object]) -> Iterator[str]:
    """A sentence for each condition; alternatives make one sentence."""
    for name, condition in when.items():
        if name == ANY:
            yield "one of these: " + "; or ".join(" and ".join(conditions(branch)) for branch in branches(condition))
        else:
            yield f"{_PLACE.get(name, f'`{name}`')} {_condition(condition)}"


def _condition(condition: object) -> str:
    if not isinstance(condition, dict):
        return _is("is", condition)
    return " and ".join(_operator(name, argument) for name, argument in condition.items())


def _operator(name: str, argument: object) -> str:
    if name == "not":
        return _is("is not", argument)
    if name == "before" and argument == "as-of":
        return "is a date before the reference date"
    if name == "bits" and isinstance(argument, int):
        return _WORDS[name].format(f"`{argument:#o}`")
    return _WORDS[name].format(f"`{toml(argument)}`")


def _is(verb: str, value: object) -> str:
    if isinstance(value, list):
        return f"{verb} one of {', '.join(f'`{toml(v)}`' for v in value)}"
    return f"{verb} `{toml(value)}`"
