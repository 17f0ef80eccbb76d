"""Values in a JSON text: what two such texts hold is compared, and where they differ the members' names must say what
the value is.

Source: RFC 8259.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.text_phrase import LONGEST, worded
from banbury.compare.equivalence.text_uses import Used
from banbury.compare.equivalence.text_words import acts, beside_chooses, chooses, holds_choice, is_switch

_DEEPEST: Final = 64


def objects_state(ours: bytes, theirs: bytes, declared: Declared, names: frozenset[bytes]) -> bool | None:
    """Whether two JSON texts differ in stated values alone; None where they are none."""
    try:
        one = _read(ours)
        shown = json.dumps(one, ensure_ascii=False).encode("utf-8", "replace")  # without escapes of letters
        used = Used(shown, _texts(one))
        return not acts(shown) and _differ_stated(one, _read(theirs), declared, names, used)
    except ValueError:
        return None
    except RecursionError:
        return False


def _texts(held: Any) -> list[bytes]:
    """All texts that a value holds, names of members left aside."""
    todo, found = [held], list[bytes]()
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            found.append(value.encode("utf-8", "replace"))
        elif isinstance(value, dict | list):
            todo += value.values() if isinstance(value, dict) else value
    return found


def _switches(members: dict[str, Any]) -> bool:
    """Whether a member that is on, off, empty or a number speaks by its name of a choice."""
    names = (
        key
        for key, value in members.items()
        if not value or value is True or (isinstance(value, str) and is_switch(value.encode("utf-8", "replace")))
    )
    return any(chooses(name.encode("utf-8", "replace")) for name in names)


def _speaks(beside: Iterable[Any]) -> bool:
    """Whether one of the short texts beside a value, by themselves or in a list, speaks of a choice."""
    every = (part for value in beside for part in (value if isinstance(value, list) else [value]))
    texts = (value.encode("utf-8", "replace") for value in every if isinstance(value, str))
    return any(map(beside_chooses, texts))


def _differ_stated(one: Any, other: Any, declared: Declared, names: frozenset[bytes], used: Used) -> bool:
    todo: list[tuple[Any, Any, bytes, int]] = [(one, other, b"", 0)]
    while todo:
        mine, its, name, depth = todo.pop()
        if type(mine) is not type(its) or depth > _DEEPEST or holds_choice(name):
            return False
        if not isinstance(mine, dict | list):
            if (
                not isinstance(mine, str)
                or used.by(name)
                or not _stated(mine.encode("utf-8", "replace"), declared, name, names)
            ):
                return False
            continue
        held = mine.values() if isinstance(mine, dict) else mine
        if len(mine) != len(its) or _speaks(held) or (isinstance(mine, dict) and mine.keys() != its.keys()):
            return False
        if used.by(name) or (isinstance(mine, dict) and _switches(mine)):
            return False
        if isinstance(mine, dict):
            parts = [(mine[key], its[key], key.encode("utf-8", "replace")) for key in mine]
        else:  # One of several values is no statement; what an object among them holds has its own name.
            parts = [(a, b, b"") for a, b in zip(mine, its, strict=True)]
        todo += [(a, b, called, depth + 1) for a, b, called in parts if a != b]
    return True


def _stated(value: bytes, declared: Declared, name: bytes, names: frozenset[bytes]) -> bool:
    places = declared.places(value) if len(value) <= LONGEST else []
    return bool(places) and all(worded(name, value[:s], value[e:], names) for s, e in places)


def _read(text: bytes) -> Any:
    """A JSON text; numbers as they are written. Two members of one name are refused: readers differ in which counts."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("two members of one name")
        return found

    def constant(name: str) -> NoReturn:
        raise ValueError(f"no JSON: {name}")

    return json.loads(text, object_pairs_hook=members, parse_int=str, parse_float=str, parse_constant=constant)
