"""Compiled Python modules in a tree, each with its source: which of the two the interpreter runs.

Times are let go in archives and in a module's header, and either one decides. So both sides must decide alike: the
header's time and size are those of the source on both, or on neither. Where that cannot be told, they must be equal.

Source: PEP 3147; PEP 552; CPython, ``Lib/importlib/_bootstrap_external.py`` (``_validate_timestamp_pyc``).
"""

from __future__ import annotations

import re
import struct
from typing import Final

from banbury.compare.equivalence.containers.contract import Place, Work
from banbury.compare.equivalence.leaves.pyc import MAGIC
from banbury.formats.contract import clean_name

_MODULE: Final = re.compile(rb"(?P<above>.*/)?(?:__pycache__/(?P<cached>[^/.]+)\.[^/]*|(?P<plain>[^/.]+))\.py[co]")


def source_of(name: bytes) -> bytes | None:
    """The name of the source that a compiled module of this name is of; ``None`` for another name."""
    found = _MODULE.fullmatch(name)
    if found is None:
        return None
    return (found["above"] or b"") + (found["cached"] or found["plain"]) + b".py"


def same_choice(work: Work, sides: list[tuple[Place | None, Place | None, object]], name: bytes) -> None:
    """Refuse a module of which one side runs the code and the other compiles the source again. ``sides``: of each, the
    module's and the source's content, and the source's time (seconds since 1970, or anything that only compares)."""
    made = [_choice(work, *side) for side in sides]
    if made[0] != made[1]:
        work.account.refuse(
            clean_name(name)[0], "which of it and its source is run is decided by times or hashes that differ"
        )


def _choice(work: Work, module: Place | None, source: Place | None, time: object) -> object:
    """What :func:`choice` says of a module and its source in one tree; ``neither`` where one has no content."""
    if module is None or source is None:
        return "neither"
    return choice(work.read(module, 0, 16), source.length, time)


def choice(head: bytes, length: int, time: object) -> object:
    """Whether the code is run, by a module's first 16 bytes and its source's length and time; where that cannot be
    told, all that decides it."""
    known = MAGIC.get(int.from_bytes(head[:2], "little"))
    if known is None or len(head) < known[1]:
        return head
    rest = head[4 : known[1]]
    if isinstance(time, int) and (known[1] != 16 or rest[:4] == bytes(4)):
        stated = struct.pack("<I", time & 0xFFFFFFFF)
        if known[1] > 8:
            stated += struct.pack("<I", length & 0xFFFFFFFF)
        return rest[-len(stated) :] == stated
    return rest, time if rest[:4] == bytes(4) else None
