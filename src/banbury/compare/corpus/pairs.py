"""What the corpus is made of: labelled pairs of a rebuild and a shipped file, and the recipes that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypedDict

from msgspec import Struct

#: Verdicts, best first. The order is the lattice's.
VERDICTS: Final = (
    "identical",
    "equivalent/metadata",
    "equivalent/relayout",
    "equivalent/by-rebuild",
    "functional",
    "unexplained",
)
#: Verdicts that say "the same program".
ACCEPTED: Final = frozenset(VERDICTS[:4])
REFUSED: Final = frozenset(VERDICTS[4:])

METADATA: Final = frozenset({"equivalent/metadata"})
RELAYOUT: Final = frozenset({"equivalent/metadata", "equivalent/relayout"})
BY_REBUILD: Final = frozenset({"equivalent/by-rebuild", "functional", "unexplained"})


class BuildRecord(TypedDict):
    """What one side declares about its build. Nothing else may be normalised.

    ``roots``: folders that the sources lay in; ``clock``: seconds since 1970 UTC; ``versions``: package or program to
    version; ``toolchain``: producer strings, as the tools write them; ``host`` and ``user``: names, not addresses;
    ``keys``: the public keys that signed (SubjectPublicKeyInfo, DER in hexadecimal).
    """

    roots: list[str]
    clock: int
    versions: dict[str, str]
    toolchain: list[str]
    host: str
    user: str
    keys: list[str]


class Made(Struct, kw_only=True):
    """What a recipe's function returns; the fields are those of :class:`Pair`."""

    a: bytes
    b: bytes
    record_a: BuildRecord | None = None
    record_b: BuildRecord | None = None
    base: bytes | None = None
    touched: tuple[tuple[int, int], ...] = ()
    changes: frozenset[str] | None = None
    trials: tuple[tuple[str, ...], ...] = ()
    behaviour: str = ""
    well_formed: bool = True


class Pair(Struct, frozen=True, kw_only=True):
    """A rebuild (``a``) and what was shipped (``b``), with the verdicts that a sound and able decider may give.

    ``group``: the attack's group or the cause of the variance, a key of :data:`~.groups.GROUPS`. ``note``: why the
    difference is harmless, or what the attack does. ``base``: for a tampered pair, the honest file that was tampered
    with (it may differ from ``a`` harmlessly); ``touched``: the byte ranges of ``b`` that may differ from ``base``
    (empty where the whole was written anew). ``changes``: for a container, the exact differences of its tree as
    ``path:field`` or ``path:+``/``path:-`` (``None``: no tree to compare; empty: the trees are equal, which is what
    makes a hiding place one). ``trials``: arguments to run both with, where the machine can run them, and
    ``behaviour``: whether the runs must then be ``same`` or must ``differ``. ``well_formed``: whether the format's
    usual tools read ``b``.
    """

    id: str
    format: str
    architecture: str
    a: bytes
    b: bytes
    record_a: BuildRecord
    record_b: BuildRecord
    expected: frozenset[str]
    tampered: bool
    group: str
    note: str
    base: bytes | None = None
    touched: tuple[tuple[int, int], ...] = ()
    changes: frozenset[str] | None = None
    trials: tuple[tuple[str, ...], ...] = ()
    behaviour: str = ""
    well_formed: bool = True

    @property
    def kind(self) -> str:
        """``tampered``, ``harmless`` (must be accepted) or ``honest`` (differs for a reason that bytes cannot show)."""
        return _kind(self.tampered, self.expected)


class Unavailable(Struct, frozen=True, kw_only=True):
    """A pair that this machine cannot make, and why."""

    id: str
    format: str
    architecture: str
    group: str
    tampered: bool
    reason: str


class Recipe(Struct, frozen=True, kw_only=True):
    """How to make a pair. ``pure``: without any tool but Python (fast, everywhere)."""

    id: str
    format: str
    architecture: str
    group: str
    expected: frozenset[str]
    tampered: bool
    note: str
    make: Callable[[], Made]
    pure: bool = True

    @property
    def kind(self) -> str:
        return _kind(self.tampered, self.expected)


class Missing(Exception):  # noqa: N818 - not an error: a tool is not there
    """Raised by a recipe's function where the machine lacks what it needs; the text is the reason."""


def _kind(tampered: bool, expected: frozenset[str]) -> str:
    if tampered:
        return "tampered"
    return "harmless" if expected <= ACCEPTED else "honest"


def record(side: str, **more: Any) -> BuildRecord:
    """The build record of a ``side`` ("lab" or "vendor"), with fields replaced."""
    vendor = side == "vendor"
    fields: BuildRecord = {
        "roots": ["/srv/vendor/build" if vendor else "/build/laboratory"],
        "clock": 1_700_000_000 if vendor else 1_600_000_000,
        "versions": {"gate": "2.4.1"},
        "toolchain": [],
        "host": "buildserver" if vendor else "laboratory",
        "user": "jenkins" if vendor else "evaluator",
        "keys": [],
    }
    fields.update(more)  # type: ignore[typeddict-item]  # callers name fields of the record
    return fields


LAB: Final = record("lab")
VENDOR: Final = record("vendor")


class Patch:
    """A tampering of ``base``, which notes each range that it touches."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.data = bytearray(base)
        self.touched: list[tuple[int, int]] = []

    def put(self, at: int, raw: bytes) -> Patch:
        """Overwrite ``raw`` at ``at``, within the file."""
        if not 0 <= at <= at + len(raw) <= len(self.data):
            raise ValueError(f"patch at {at:#x} lies outside the file")
        self.data[at : at + len(raw)] = raw
        self.touched.append((at, at + len(raw)))
        return self

    def swap(self, one: int, two: int, size: int) -> Patch:
        """Exchange ``size`` bytes at two places."""
        first, second = bytes(self.data[one : one + size]), bytes(self.data[two : two + size])
        return self.put(one, second).put(two, first)

    def append(self, raw: bytes, align: int = 1) -> int:
        """Put ``raw`` behind the file's end; returns where."""
        start = len(self.data)
        self.data += bytes(-start % align)
        at = len(self.data)
        self.data += raw
        self.touched.append((start, len(self.data)))
        return at

    def made(self, a: bytes, **more: Any) -> Made:
        """The pair's content: ``a`` beside what was tampered with."""
        out = Made(a=a, b=bytes(self.data), base=self.base, touched=tuple(sorted(self.touched)))
        for name, value in more.items():
            setattr(out, name, value)
        return out


def stray(pair: Pair) -> list[int]:
    """Offsets (at most 10) at which a tampered pair differs from its base outside the ranges it means to touch."""
    if pair.base is None or not pair.touched:
        return []
    out: list[int] = []
    position = 0
    for start, end in [*sorted(pair.touched), (len(pair.b), len(pair.b))]:
        if position < start and pair.base[position:start] != pair.b[position:start]:
            out += [i for i in range(position, start) if pair.base[i : i + 1] != pair.b[i : i + 1]]
        position = max(position, end)
    return out[:10]


def harmless(
    name: str,
    form: str,
    group: str,
    note: str,
    make: Callable[[], Made],
    *,
    expected: Iterable[str] = METADATA,
    architecture: str = "-",
    pure: bool = True,
) -> Recipe:
    """A recipe for a difference that must be accepted or, where ``expected`` says so, need not be."""
    return Recipe(
        id=name,
        format=form,
        architecture=architecture,
        group=group,
        expected=frozenset(expected),
        tampered=False,
        note=note,
        make=make,
        pure=pure,
    )


def attack(
    name: str,
    form: str,
    group: str,
    note: str,
    make: Callable[[], Made],
    *,
    expected: Iterable[str] = REFUSED,
    architecture: str = "-",
    pure: bool = True,
) -> Recipe:
    """A recipe for a tampering, which must be refused."""
    return Recipe(
        id=name,
        format=form,
        architecture=architecture,
        group=group,
        expected=frozenset(expected),
        tampered=True,
        note=note,
        make=make,
        pure=pure,
    )
