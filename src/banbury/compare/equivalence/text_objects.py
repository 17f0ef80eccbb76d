"""Values in a JSON text: what two such texts hold is compared, and where they differ the members' names must say what
the value is.

Source: RFC 8259.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.text_phrase import LONGEST, worded
from banbury.compare.equivalence.text_words import acts, holds_choice

_DEEPEST: Final = 64


def objects_state(ours: bytes, theirs: bytes, declared: Declared, names: frozenset[bytes]) -> bool | None:
    """Whether two JSON texts differ in stated values alone; None where they are none."""
    try:
        one = _read(ours)
        shown = json.dumps(one, ensure_ascii=False).encode("utf-8", "replace")  # without escapes of letters
        return not acts(shown) and _differ_stated(one, _read(theirs), declared, names)
    except ValueError:
        return None
    except RecursionError:
        return False


def _differ_stated(one: Any, other: Any, declared: Declared, names: frozenset[bytes]) -> bool:
    todo: list[tuple[Any, Any, bytes, int]] = [(one, other, b"", 0)]
    while todo:
        mine, its, name, depth = todo.pop()
        if type(mine) is not type(its) or depth > _DEEPEST:
            return False
        if isinstance(mine, dict):
            if mine.keys() != its.keys():
                return False
            differ = [key for key in mine if mine[key] != its[key]]
            todo += [(mine[key], its[key], key.encode("utf-8", "replace"), depth + 1) for key in differ]
        elif isinstance(mine, list):
            if len(mine) != len(its):
                return False
            # One of several values is no statement; what an object among them holds has its own name.
            todo += [(a, b, b"", depth + 1) for a, b in zip(mine, its, strict=True) if a != b]
        elif mine != its and not _stated(mine.encode("utf-8", "replace"), declared, name, names):
            return False
        if mine != its and holds_choice(name):
            return False
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
