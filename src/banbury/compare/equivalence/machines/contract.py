"""What a processor gives to the proof that two ELF files of different layout are the same.

A machine decodes a section of code into references (of one instruction or of several), says which relocations hold
addresses, and reads the tables that only its processor has. One object serves one proof, so that it may keep what it
found in one section for the next. Everything it cannot enumerate it refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.machines.resized import Held, Resized
from banbury.compare.equivalence.relayout_map import AddressMap, References
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
#: Bytes below the image that an index may make up for: compilers let indices begin elsewhere than at 0.
BELOW = 1 << 16
#: Sections of code that linkers and C libraries write, which hold no part of a compiled function if no symbol says so.
LINKAGE = (".plt", ".plt.got", ".plt.sec", ".plt.bnd", ".iplt", ".MIPS.stubs")
_START = (".init", ".fini")
_FUNCTIONS = (2, 10)  # kinds of symbols: a function, and one that resolves another


class Words:
    """Words of data that the dynamic linker relocates: (address in the first file, in the second), by kind."""

    def __init__(self) -> None:
        self.plain: list[tuple[int, int]] = []  # the stored word is ignored, or equal
        self.held: list[tuple[int, int]] = []  # the stored word is a reference where it is not zero


class Kinds(Struct, frozen=True, kw_only=True):
    """Dynamic relocation types. ``relative``: the load address and an addend; ``resolver``: the same, through a
    function that is called; ``lazy``: the stored word leads to the lazy binder; ``symbolic``: against a symbol or the
    module, with no address of this file."""

    relative: frozenset[int]
    resolver: frozenset[int] = frozenset()
    lazy: frozenset[int] = frozenset()
    symbolic: frozenset[int] = frozenset()


@dataclass(frozen=True)
class CodePair:
    """One section of code in both files. ``old`` and ``new``: what each reference means in the first and in the second
    file. ``bits``: for each byte the bits that belong to references; all others must be equal. ``entries``: for each
    offset (and the end) whether a reference may lead there."""

    old: Ints
    new: Ints
    bits: U8
    entries: Mask


@dataclass(frozen=True)
class Spread:
    """Numbers of code of a file for a fixed address, each of which may be an address, that stand in several fields:
    the offsets of their bytes and the bits of these, each with the number of the number that it belongs to."""

    one: Part
    other: Part
    places: Ints
    bits: U8
    owner: Ints
    first: Ints
    second: Ints


@dataclass
class Sides:
    """Both files, section by section, and what the proof has found so far.

    ``raw`` and ``masks`` (which bytes of data are references) are by the index of the first file's section. ``code``
    holds the sections of code that are decoded: parts, and where references may lead.
    """

    pair: Pair
    pairs: list[tuple[Part, Part]]
    raw: dict[int, tuple[U8, U8]]
    refs: References = field(default_factory=References)
    words: Words = field(default_factory=Words)
    masks: dict[int, Mask] = field(default_factory=dict)
    code: list[tuple[Part, Part, Mask]] = field(default_factory=list)
    #: Of code of a file for a fixed address: section, places, width in bytes, and the numbers of both files, each of
    #: which may be an address.
    immediates: list[tuple[Part, Part, Ints, int, Ints, Ints]] = field(default_factory=list)
    spread: list[Spread] = field(default_factory=list)

    #: Of code: where instructions that make an address stand (offsets), the addresses of the first file, and which of
    #: them read or write there at once.
    at: list[tuple[Part, Ints, Ints, Mask]] = field(default_factory=list)
    #: Of these, the addresses that an instruction reads or writes by itself, without a register that is added.
    straight: list[tuple[Part, Ints]] = field(default_factory=list)
    #: Of code whose compilers find several objects from the address of one: what says which addresses of the first file
    #: it adds a distance to, what it makes of them, and whether it reads or writes there.
    added: list[Callable[[], tuple[Ints, Ints, Mask]]] = field(default_factory=list)
    #: Of 32-bit Arm code: what gives the function that has some stretches (offsets), by the number of the section.
    functions: dict[int, Callable[[Sequence[tuple[int, int]], Resized], Held]] = field(default_factory=dict)
    #: Of x86-64 code: its instructions, by the number of the section.
    instructions: dict[int, Code] = field(default_factory=dict)

    #: Of data: places that hold an address, and the addresses, of the first file.
    pointers: list[tuple[int, int]] = field(default_factory=list)

    #: Of code: what says which instructions of a section (offsets) have a number only as the size of an element.
    strides: Callable[[Part, int], Ints] | None = None

    #: Of tables of unwinding: addresses of the first file at which an entry or the table of one begins.
    records: list[int] = field(default_factory=list)

    #: Call sites and landing pads of exceptions: addresses of the first file (start, end, pad).
    pads: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def image(self) -> tuple[int, int] | None:
        """The first and the last address of the first file's image, if it is for a fixed address."""
        loads = self.a.elf.loads
        if self.a.header.type != t.ET_EXEC or not loads:
            return None
        return loads[0].vaddr, max(load.vaddr + load.memsz for load in loads)

    def is_number(self, values: Ints) -> Mask:
        """Which numbers made by code of whole words are no address of the first file: those well outside the image, for
        an address may lie somewhat before its object, and those in code that begin no word."""
        low, high = self.image or (0, 0)
        out: Mask = (values < low - BELOW) | (values > high)
        for part, _ in self.pairs:
            if part.code:
                out |= (values >= part.addr) & (values < part.addr + part.size) & (values % 4 != 0)
        return out

    @property
    def a(self) -> OwnedElf:
        return self.pair.a

    @property
    def b(self) -> OwnedElf:
        return self.pair.b

    @property
    def compiled(self) -> list[Part]:
        """The first file's sections of code that compilers write."""
        found = [one for one, _ in self.pairs if one.code and one.size]
        if any(one.name in (*LINKAGE, *_START) for one in found):
            named = {s.section for s in self.a.elf.symbols if s.info & 15 in _FUNCTIONS and s.size}
            found = [one for one in found if one.index in named or one.name not in (*LINKAGE, *_START)]
        return found

    def apart(self, one: Part) -> list[tuple[int, int]]:
        """From and to where addresses of the first file are of compiled code in another section than one: all of that,
        and what C libraries write behind its beginning, which is where they call it."""
        out = [(part.addr, part.addr + part.size) for part in self.compiled if part is not one]
        start = (part for part, _ in self.pairs if part.name in _START and part.code and part is not one)
        return out + [(part.addr + 1, part.addr + part.size) for part in start]

    @property
    def big(self) -> bool:
        return self.a.elf.big

    @property
    def word(self) -> int:
        """Bytes of an address."""
        return 8 if self.a.elf.is64 else 4

    def named(self, name: str) -> tuple[Part, Part] | None:
        """The loaded section of that name in both files."""
        return next(((x, y) for x, y in self.pairs if x.name == name), None)


class Machine(ABC):
    """What every processor has to say; the defaults say nothing. Methods raise :class:`accounting.Refused`."""

    kinds: ClassVar[Kinds]
    #: Dynamic tags of the processor whose value is an address, and those whose value is a number that may not change.
    addresses: ClassVar[frozenset[int]] = frozenset()
    numbers: ClassVar[frozenset[int]] = frozenset()
    #: Those whose value is a distance from the entry itself.
    distances: ClassVar[frozenset[int]] = frozenset()
    #: Whether the addresses of a program for a fixed place (ET_EXEC) are enumerated.
    fixed: ClassVar[bool] = False

    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    def section(self, one: Part, other: Part) -> Mask | None:
        """Read a loaded table that only this processor has (by name or type): enter what it refers to and return which
        of its bytes do. ``None``: it is an ordinary section. Called before any code is decoded."""
        return None

    def relative(self, types: Ints, symbols: Ints) -> Mask:
        """Which relocations are the load address and an addend (``resolver`` ones too)."""
        return np.isin(types, list(self.kinds.relative | self.kinds.resolver))

    def known(self, types: Ints, symbols: Ints) -> bool:
        """Whether all relocations of a table are of kinds that are known here."""
        kinds = self.kinds
        return set(types.tolist()) <= kinds.relative | kinds.resolver | kinds.lazy | kinds.symbolic

    @abstractmethod
    def code(self, one: Part, other: Part) -> CodePair:
        """Decode a section of code. Called after all tables were read, in order of address."""

    def entered(self, one: Part, offsets: Ints, entries: Mask) -> Mask:
        """Which references to ``offsets`` of a section of code lead to where an instruction may begin."""
        return entries[offsets]

    def tables(self, one: Part, other: Part, old: Ints, new: Ints) -> None:  # noqa: B027 - most have none
        """Find tables of code distances in a section of data with labels ``old`` and ``new``: enter them as references
        and in the section's mask."""

    def finish(self, the_map: AddressMap) -> None:  # noqa: B027 - most have nothing to add
        """What can be checked only under the address map."""
