"""Functions that go on in another section of code: what registers hold is followed within one.

Linkers keep sections of code apart where their script says so, or where they are told to (lld's
``-z keep-text-section-prefix``): a function's cold part may then lie in another one. What leads there is no call, and
nobody follows it. Such a file is refused where its layout moved. Calls of functions in another section, and jumps to
their beginnings, are what compilers make of calls.

Sources: GCC manual, -freorder-blocks-and-partition; lld manual, -z keep-text-section-prefix.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.called import is_stub
from banbury.compare.equivalence.machines.contract import Sides
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.formats import _elf_types as t

#: Sections of code that linkers and C libraries write, which hold no part of a compiled function.
_LINKAGE: Final = (".plt", ".iplt", ".MIPS.stubs")
_START: Final = (".init", ".fini")


def compiled(sides: Sides) -> list[Part]:
    """The sections of the rebuilt file's code that compilers write."""
    return [one for one, _, _ in sides.code if not one.name.startswith(_LINKAGE) and one.name not in _START]


def check_apart(sides: Sides, objects: Objects) -> None:
    """Raises :class:`Refused` where code leads into another section of code, but to where a function begins."""
    own = compiled(sides)
    if len(own) < 2:
        return
    odd = 1 if sides.a.header.machine == t.EM_ARM else 0
    begins = np.setdiff1d(objects.functions[0], np.array(sorted(objects.parts), np.int64)) if objects.known else _NONE
    names = {one.name for one in own}
    for where, old, _ in sides.refs.groups():
        for one in own if where in names else ():
            inside = (old >= one.addr) & (old < one.addr + one.size) & (where != one.name)
            led = old[inside] & ~odd
            bad = led[~np.isin(led, begins)] - one.addr
            bad = bad if sides.a.header.machine != t.EM_PPC else _no_stubs(sides, one, bad)
            if len(bad):
                ranges = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in bad[:16]]
                raise Refused(one.name, f"a function of {where} may go on in this section of code", ranges)


def _no_stubs(sides: Sides, one: Part, places: Ints) -> Ints:
    raw = sides.raw[one.index][0].tobytes()
    order: Literal["big", "little"] = "big" if sides.big else "little"
    words = ([int.from_bytes(raw[x + k : x + k + 4], order) for k in (0, 4, 8, 12)] for x in places.tolist())
    return places[[not is_stub(found) for found in words]]


_NONE: Final[Ints] = np.zeros(0, np.int64)
