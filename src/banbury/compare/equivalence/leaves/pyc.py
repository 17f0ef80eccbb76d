"""Compiled Python modules: header and code objects.

Equal code objects may come with another time, size or hash of their source in the header, and with file names in the
two declared roots. The header's flags are exact: they say whether the source is looked at at all. Line tables are
exact. Another order in which objects are shared, or strings marked as interned, is let go under an assumption.

Source: PEP 552; CPython, ``Lib/importlib/_bootstrap_external.py`` (``_classify_pyc``, ``_validate_*_pyc``, magic
numbers) and ``Python/marshal.c``.
"""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.leaves._marshal import LAYOUTS, Found, Reader, Values
from banbury.compare.equivalence.leaves.contract import Leaf, Pair
from banbury.compare.equivalence.model import ChangedFunction, FileVerdict, Range
from banbury.formats.contract import clean_name
from banbury.formats.view import View

#: Magic number of each release series: (layout of code objects, bytes of the header).
MAGIC: Final = {
    62211: ("2.7", 8), 3379: ("3.6", 12), 3394: ("3.6", 16), 3413: ("3.8", 16), 3425: ("3.8", 16), 3439: ("3.8", 16),
    3495: ("3.11", 16), 3531: ("3.11", 16), 3571: ("3.11", 16),
}  # fmt: skip
_LARGEST: Final = 64 << 20
_LINES: Final = ("line", "lines")
_MOST: Final = 20_000  # code objects that are named
_LONGEST: Final = 400  # characters of a path of names
_CONSTANTS: Final = 2_000_000  # constants that are looked through for code


def _claims(view: View) -> bool:
    known = MAGIC.get(view.u16(0))
    return known is not None and view.take(2, 2) == b"\r\n" and view.u8(known[1]) & 0x7F == 0x63


def _compare(pair: Pair) -> FileVerdict:
    magic = pair.a.u16(0)
    if pair.b.u16(0) != magic:
        raise Refused("magic number", "compiled for another version of Python", [Range(0, 2)], [Range(0, 2)])
    if max(len(pair.a), len(pair.b)) > _LARGEST:
        raise Refused("file", f"more than {_LARGEST >> 20} MiB")
    layout, start = MAGIC[magic]
    if not _header(pair, start):
        return pair.changed([], "the header says otherwise whether the source is looked at")
    values = Values()
    b = Reader(pair.b, start, layout, values, bytes)
    module_b = b.module()

    def renamed(path: bytes) -> bytes:
        """A file name by which ``a`` is compared: in the other root where the other file has that name."""
        made = pair.rooted(path)[0]
        return made if made in b.files else path

    a = Reader(pair.a, start, layout, values, renamed)
    module_a = a.module()
    if module_a != module_b:
        return _changed(pair, layout, values, (a, module_a), (b, module_b))
    for path, where in a.files.items():
        if renamed(path) != path:
            there = b.files[renamed(path)]
            pair.account.explain("pyc.file-name", where, there, pair.rooted(path)[1])
    whole = [Range(start, len(pair.a))], [Range(start, len(pair.b))]
    if a.orders != b.orders:
        pair.account.explain("pyc.set-order", *whole)
    if a.marks != b.marks:
        pair.account.explain("pyc.sharing", *whole)
    return pair.proved()


def _header(pair: Pair, start: int) -> bool:
    """Account for the header; whether its flags are the same."""
    flags = [view.u32(4) if start == 16 else 0 for view in (pair.a, pair.b)]
    if any(f not in (0, 1, 3) for f in flags):
        raise Refused("flags", "none that the import system knows", [Range(4, 8)], [Range(4, 8)])
    first = 8 if start == 16 else 4
    if flags[0] == flags[1] and pair.a.take(first, start - first) != pair.b.take(first, start - first):
        where = [Range(first, start)]
        pair.account.explain("pyc.source-hash" if flags[0] else "pyc.source-time", where, where)
    return flags[0] == flags[1]


def _changed(pair: Pair, layout: str, values: Values, a: tuple[Reader, int], b: tuple[Reader, int]) -> FileVerdict:
    """The verdict on modules whose code differs, by the names of the code objects."""
    fields = [name for name, _ in LAYOUTS[layout]]
    sides = [_named(values, fields, *side) for side in (a, b)]
    out: list[ChangedFunction] = []
    moved: list[ChangedFunction] = []
    for path in [*sides[0], *(p for p in sides[1] if p not in sides[0])]:
        one, other = (side.get(path, []) for side in sides)
        if [flat for _, flat in one] == [flat for _, flat in other]:
            continue
        only_lines = [_plain(fields, f) for _, f in one] == [_plain(fields, f) for _, f in other]
        (here, _), (there, _) = (one or [(None, ())])[0], (other or [(None, ())])[0]
        (moved if only_lines else out).append(
            ChangedFunction(
                name=path, a=here.at if here else 0, b=there.at if there else 0,
                size_a=here.end - here.at if here else 0, size_b=there.end - there.at if there else 0,
            )
        )  # fmt: skip
    if moved and not out:
        return pair.changed(moved, "only line numbers differ: tracebacks show them, and so can the program")
    return pair.changed(out, "code objects differ")


def _plain(fields: list[str], flat: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(v for name, v in zip(fields, flat, strict=True) if name not in _LINES)


_Named = dict[str, list[tuple[Found | None, tuple[object, ...]]]]


def _named(values: Values, fields: list[str], reader: Reader, module: int) -> _Named:
    """Code objects by path, each with its fields; a code object among the constants is only there by its name."""
    places = {found.value: found for found in reversed(reader.codes)}
    out: _Named = {}
    waiting = [(module, "")]
    seen: set[tuple[int, str]] = set()
    left = _CONSTANTS
    while waiting and len(seen) < _MOST and left > 0:
        value, path = waiting.pop()
        if (value, path) in seen:
            continue
        seen.add((value, path))
        row = dict(zip(fields, values.rows[value][1:], strict=True))
        below = _constants(values, row["consts"])
        left -= len(below)
        row["consts"] = tuple(_name(values, fields, n) or n for n in below)
        out.setdefault(path or "<module>", []).append((places.get(value), tuple(row[f] for f in fields)))
        for number in reversed(below):
            name = _name(values, fields, number)
            if name is not None:
                waiting.append((number, f"{path}.{name}"[-_LONGEST:] if path else name))
    return out


def _constants(values: Values, consts: object) -> tuple[int, ...]:
    assert isinstance(consts, int)
    return values.rows[consts][1:]  # type: ignore[return-value]  # a tuple's row holds numbers


def _name(values: Values, fields: list[str], number: int) -> str | None:
    """The name of a code object; ``None`` for any other value."""
    row = values.rows[number]
    if row[0] != "code":
        return None
    text = row[1 + fields.index("name")]
    raw = values.rows[text][1] if isinstance(text, int) else b""
    assert isinstance(raw, bytes)
    return clean_name(raw[:_LONGEST])[0]


LEAVES: Final = [Leaf(name="pyc", claims=_claims, compare=_compare)]
