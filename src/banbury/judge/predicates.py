"""Conditions on one field of a fact.

A plain value must be equal; a list holds the values that are accepted; a table names operators, all of which must hold:

- ``not``: another value, or none of a list
- ``lt``, ``le``, ``gt``, ``ge``: numbers
- ``matches``: a regular expression is found (for a list, in any of its items); ``lacks``: it is not
- ``contains``: an item of a list, or part of a text; ``any_of``: a list shares an item with this one
- ``bits``: all these bits are set
- ``before``: the field is a date earlier than this ISO date, or than the reference date (``"as-of"``)
- ``within_days``: the field is a date not later than that many days after the reference date
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from banbury.model.errors import BanburyError
from banbury.model.evaluation import Fact


class RuleError(BanburyError):
    """A rule file is wrong: an unknown fact, field or operator, or a sample that its rule does not judge as stated."""


Operator = Callable[[object, object, dt.date], bool]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _compare(test: Callable[[float, float], bool]) -> Operator:
    def check(value: object, limit: object, _: dt.date) -> bool:
        left, right = _number(value), _number(limit)
        return left is not None and right is not None and test(left, right)

    return check


def _date(value: object) -> dt.date | None:
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _before(value: object, limit: object, as_of: dt.date) -> bool:
    left, right = _date(value), as_of if limit == "as-of" else _date(limit)
    return left is not None and right is not None and left < right


def _within(value: object, days: object, as_of: dt.date) -> bool:
    found, span = _date(value), _number(days)
    return found is not None and span is not None and found <= as_of + dt.timedelta(days=span)


def _found(pattern: object, value: object) -> bool:
    """Whether the expression is found. Values are hostile and expressions run outside the sandbox: only the first
    characters of each are looked at."""
    items = value if isinstance(value, list) else [value]
    return any(re.search(str(pattern), str(item)[:_LONGEST]) is not None for item in items)


def _contains(value: object, item: object, _: dt.date) -> bool:
    if isinstance(value, str):
        return str(item) in value
    return isinstance(value, (list, dict)) and item in value


def _any_of(value: object, items: object, _: dt.date) -> bool:
    return isinstance(value, list) and isinstance(items, list) and any(i in value for i in items)


def _bits(value: object, mask: object, _: dt.date) -> bool:
    return isinstance(value, int) and isinstance(mask, int) and value >= 0 and value & mask == mask


ANY = "@any"
_LONGEST = 4096

OPERATORS: dict[str, Operator] = {
    "not": lambda value, other, _: value not in other if isinstance(other, list) else value != other,
    "lt": _compare(lambda a, b: a < b),
    "le": _compare(lambda a, b: a <= b),
    "gt": _compare(lambda a, b: a > b),
    "ge": _compare(lambda a, b: a >= b),
    "matches": lambda value, pattern, _: _found(pattern, value),
    "lacks": lambda value, pattern, _: not _found(pattern, value),
    "contains": _contains,
    "any_of": _any_of,
    "bits": _bits,
    "before": _before,
    "within_days": _within,
}


def check_condition(rule: str, name: str, condition: object) -> None:
    """Raise :class:`RuleError` for an operator or an expression that does not exist."""
    if not isinstance(condition, dict):
        return
    for operator, argument in condition.items():
        if operator not in OPERATORS:
            raise RuleError(f"{rule}: {name}: no operator {operator!r}")
        if operator in ("matches", "lacks"):
            try:
                re.compile(str(argument))
            except re.error as problem:
                raise RuleError(f"{rule}: {name}: {problem}") from problem


def holds(when: dict[str, object], fact: Fact, as_of: dt.date) -> bool:
    """Whether every condition holds for the fact, whose fields are all filled in. ``@any`` holds a list of further
    tables of conditions, one of which must hold."""
    for name, condition in when.items():
        if name == ANY:
            if not any(holds(branch, fact, as_of) for branch in branches(condition)):
                return False
        elif not _holds(condition, fact.get(name), as_of):
            return False
    return True


def branches(condition: object) -> list[dict[str, object]]:
    """The alternatives of an ``@any``; raises :class:`RuleError` where it is not a list of tables."""
    if not isinstance(condition, list) or not condition or not all(isinstance(b, dict) for b in condition):
        raise RuleError(f"{ANY} needs a list of tables of conditions")
    return condition


def _holds(condition: object, value: object, as_of: dt.date) -> bool:
    if isinstance(condition, dict):
        return all(OPERATORS[name](value, argument, as_of) for name, argument in condition.items())
    return value in condition if isinstance(condition, list) else value == condition
