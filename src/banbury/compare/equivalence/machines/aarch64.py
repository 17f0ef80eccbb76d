"""AArch64 in the proof: relative operands of one instruction, and pages with the low twelve bits that belong to them.

``ADRP`` puts the address of a page into a register; later instructions add the low bits. The register is followed over
every path until it is written again; each instruction on the way that adds an immediate to it is a user, and page and
immediate together are one reference. A page that is read in any other way is refused, unless the page and all that is
on it stand at the same place in both files.

What is taken for granted of compilers (rule ``elf.moved-page``): a page's address is not handed from one function to
another, and a call by the procedure call standard leaves the registers alone that it must.

Sources: Arm ARM DDI 0487, C6; ELF for the Arm 64-bit Architecture (AAELF64) 5.7; AAPCS64 6.1.1.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_WRITE, SHT_NOBITS, Part
from banbury.compare.equivalence.machines import a64, returned
from banbury.compare.equivalence.machines.a64_frame import Frame, frame_of
from banbury.compare.equivalence.machines.a64_labels import Labels
from banbury.compare.equivalence.machines.a64_linkage import descriptor_calls, stubs
from banbury.compare.equivalence.machines.a64_spared import lost_by_calls, returning
from banbury.compare.equivalence.machines.a64_strides import Made, strides
from banbury.compare.equivalence.machines.a64_switch import Switches
from banbury.compare.equivalence.machines.a64_wide import left_behind, wide_numbers
from banbury.compare.equivalence.machines.calls import ALL, Paths, kept, never_slots
from banbury.compare.equivalence.machines.contract import LINKAGE, U8, CodePair, Kinds, Machine, Mask, Sides
from banbury.compare.equivalence.machines.displaced import a64 as added
from banbury.compare.equivalence.machines.displaced import distances
from banbury.compare.equivalence.machines.flow import MIXED, Found, Graph, follow, unproved
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_exceptions import PADS, rows_of_pads
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.compare.equivalence.relayout_tables import jump_tables

_PAGE = 4096
_FUNCTION = 2  # a symbol's kind
_ROUNDS = 8  # of labels whose addresses are made behind labels
_SOON = 24  # instructions behind an addition within which a copy of fixed length begins


class AArch64(Machine):
    """AArch64, little-endian, 64-bit addresses."""

    fixed = True
    kinds = Kinds(
        relative=frozenset({1027}),
        resolver=frozenset({1032}),
        lazy=frozenset({1026}),
        symbolic=frozenset({257, 1024, 1025, 1028, 1029, 1030, 1031}),
    )
    numbers = frozenset({0x70000001, 0x70000003, 0x70000005})  # BTI_PLT, PAC_PLT, VARIANT_PCS

    def __init__(self, sides: Sides) -> None:
        super().__init__(sides)
        self.fixed_pages: list[tuple[str, int]] = []
        self.literals: list[tuple[Part, Part, Ints]] = []
        self.returned: list[tuple[str, Ints, Ints]] = []  # places behind calls, and what words there may lead to
        self.stubs: set[int] = set()  # of functions that do not return
        self.wide: list[tuple[Part, Ints]] = []  # numbers that several moves make, in a file for a fixed address
        self.made: list[tuple[Part, Made | None]] = []
        sides.strides = self.strides
        self.unread = False  # whether some indirect branch was not understood
        self.understood = np.zeros(0, np.int64)  # tables of those that were

    @cached_property
    def never(self) -> set[int]:
        """The slots of the global offset table that hold functions that do not return."""
        return never_slots(self.sides.a.elf)

    def code(self, one: Part, other: Part) -> CodePair:
        if one.size % 4 or one.addr % 4 or other.addr % 4:
            raise Refused(one.name, "code that is not made of whole instructions")
        code = _Section(self.sides, one, other, self.stubs)
        if one.name in LINKAGE:
            self.stubs |= stubs(code.words, one.addr, self.never)
        self.fixed_pages += [(one.name, page) for page in code.fixed_pages]
        self.made.append((one, code.made))
        self.unread |= code.unread
        self.understood = np.union1d(self.understood, code.understood)
        self.literals.append((one, other, code.literal_words()))
        self.returned.append((one.name, *returned.a64(code.words, one.addr)))
        if self.sides.image is not None:
            self.wide.append((one, wide_numbers(code.words)))
        entries = np.zeros(one.size + 1, bool)
        entries[::4] = True
        if len(code.moved):
            self._explain(one, other, code.moved)
        return CodePair(code.old, code.new, code.bits.view(np.uint8), entries)

    def _explain(self, one: Part, other: Part, users: Ints) -> None:
        here, there = ([Range(4 * x + p.offset, 4 * x + p.offset + 4) for x in users.tolist()] for p in (one, other))
        self.sides.pair.account.explain("elf.moved-page", here, there, one.name)

    def strides(self, one: Part, number: int) -> Ints:
        """Offsets of the instructions of a section whose immediate is ``number`` as the size of an element."""
        pointers = np.array(sorted(place for place, _ in self.sides.pointers), np.int64)
        found = [strides(made, number, pointers) * 4 for part, made in self.made if part is one and made is not None]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def tables(self, one: Part, other: Part, old: Ints, new: Ints) -> None:
        """Tables relative to themselves, which only an indirect branch that was not understood can go by. (Those of GNU
        C library's memcpy for ThunderX2 have no first entry.)"""
        sides = self.sides
        if self.unread:
            left = ~np.isin(old, self.understood)
            mask = sides.masks[one.index]
            jump_tables(
                sides.pair, one, other, *sides.raw[one.index], old[left], new[left], sides.code, sides.refs, mask,
                unused=True,
            )  # fmt: skip

    def finish(self, the_map: AddressMap) -> None:
        """Pages that are used in ways that cannot be followed may not have moved, nor anything on them; literals may
        not be distances to what moved against the code."""
        for one, values in self.wide:
            if left_behind(the_map, values):
                raise Refused(one.name, "a number of several moves may be an address that moved")
        for name, page in self.fixed_pages:
            if any(p.shift and p.start < page + _PAGE and p.end > page for p in the_map.pieces):
                raise Refused(name, f"the page {page:#x} is used in a way that cannot be followed, and something moved")
        for name, base, total in self.returned:
            if returned.moved_apart(the_map, base, total):
                raise Refused(name, "a word behind a call may be the distance to something that moved against it")
        for one, other, values in self.literals:
            shift = other.addr - one.addr
            for piece in the_map.pieces:
                near = (values > piece.start - one.addr - one.size) & (values < piece.end - one.addr)
                if piece.shift != shift and near.any():
                    raise Refused(one.name, "a literal may be the distance to something that moved against the code")


class _Section:
    """One section of code in both files."""

    def __init__(self, sides: Sides, one: Part, other: Part, stubs: set[int]) -> None:
        self.sides, self.one, self.other, self.stubs = sides, one, other, stubs
        raw, raw_b = sides.raw[one.index]
        self.words, self.words_b = (np.frombuffer(r.tobytes(), "<u4").astype(np.uint32) for r in (raw, raw_b))
        self.all = a64.decode(self.words, descriptor_calls(self.words, one.addr, sides.a.elf))
        self.here = np.arange(len(self.words)) * 4
        self.bits = a64.relative_bits(self.words)
        self.fixed_pages: list[int] = []
        self.made: Made | None = None
        self.unread = bool(self.all.indirect.any())
        self.understood = np.zeros(0, np.int64)  # tables of indirect branches that were understood
        self.moved = np.zeros(0, np.int64)  # users whose bits differ
        self._single()
        self._pages()
        self._direct()

    # References of one instruction

    def _single(self) -> None:
        at = np.flatnonzero(self.all.relative)
        place = self.here[at]
        self.step = a64.displacement(self.words)
        self.old = place + self.step[at] + self.one.addr
        self.new = place + a64.displacement(self.words_b[at]) + self.other.addr

    def literal_words(self) -> Ints:
        """The values that literal loads read, as signed numbers of 4 and 8 bytes."""
        at = np.flatnonzero(self.all.literals)
        places = distinct((self.here[at] + self.step[at]) // 4)
        places = places[(places >= 0) & (places < len(self.words))]
        low = self.words[places].astype(np.int64)
        high = self.words[np.minimum(places + 1, len(self.words) - 1)].astype(np.int64)
        return np.concatenate((low.astype(np.uint32).astype(np.int32).astype(np.int64), low | high << 32))

    # References of several

    def _pages(self) -> None:
        if not (self.all.pages.any() or self.all.relative.any()):
            return
        self.graph, found = self._settled()
        if not self.all.pages.any():
            return
        label, kinds = self.labels
        at = np.flatnonzero(self.all.pages)
        self._check_mixed(found)
        self._references(found, kinds)
        lonely = np.ones(kinds.shape[1], bool)
        lonely[found.labels[found.labels >= 0]] = False
        lonely[found.escaped[found.escaped >= 0]] = True
        for index in np.flatnonzero(lonely).tolist():
            page, page_b = kinds[:, index].tolist()
            if page != page_b:
                where = [
                    Range(int(x) * 4 + self.one.offset, int(x) * 4 + self.one.offset + 4)
                    for x in at[label == index][:16]
                ]
                raise Refused(self.one.name, "the address of a page is used in a way that cannot be followed", where)
            self.fixed_pages.append(page)
        defines = np.full(len(self.words), -1, np.int64)
        defines[at] = label
        self._check_changed(found, defines)

    @cached_property
    def labels(self) -> tuple[Ints, Ints]:
        """The label of each ``ADRP``, and the two pages' addresses that each label stands for."""
        at = np.flatnonzero(self.all.pages)
        pages, pages_b = self._page(self.words, at, self.one), self._page(self.words_b, at, self.other)
        kinds, label = np.unique(np.stack((pages, pages_b)), axis=1, return_inverse=True)
        return label.reshape(-1).astype(np.int64), kinds

    @property
    def kinds(self) -> Ints:
        return self.labels[1]

    def _followed(self, graph: Graph) -> Found:
        """Every page's address followed."""
        at = np.flatnonzero(self.all.pages)
        return follow(graph, at + 1, a64.field(self.words[at], 0, 5).astype(np.int64), self.labels[0])

    def _page(self, words: a64.W, at: Ints, part: Part) -> Ints:
        return ((self.here[at] + part.addr) // _PAGE + a64.displacement(words[at])) * _PAGE

    def _check_mixed(self, found: Found) -> None:
        bad = np.concatenate((found.users[found.labels == MIXED], found.escapes[found.escaped == MIXED]))
        if len(bad):
            where = [Range(int(x) * 4 + self.one.offset, int(x) * 4 + self.one.offset + 4) for x in bad[:16]]
            raise Refused(self.one.name, "two pages' addresses meet in one register and are used", where)

    def _references(self, found: Found, kinds: Ints) -> None:
        at, scale = found.users, self.all.scale[found.users].astype(np.int64)
        low, low_b = (a64.field(w[at], 10, 12).astype(np.int64) << scale for w in (self.words, self.words_b))
        made = kinds[0, found.labels] + low
        reads = ~a64.is_(self.words[at], 0x7F800000, 0x11000000) | self._read_soon(at)
        self.sides.at.append((self.one, at * 4, made, reads))
        whole = a64.is_(self.words[at], 0x7F800000, 0x11000000)
        self.sides.straight.append((self.one, made[~whole]))
        rows, register = at[whole], a64.field(self.words[at[whole]], 0, 5).astype(np.int64)
        graph, words, there = self.graph, self.words, made[whole]
        self.sides.added.append(lambda: distances(graph, added(words), rows + 1, register, there))
        entered = np.append(self.functions if self.described else self.starts, False)
        self.made = Made(self.all, graph, rows, register, there, entered)
        self.old = np.concatenate((self.old, made))
        self.new = np.concatenate((self.new, kinds[1, found.labels] + low_b))
        self.bits[at] = 0x003FFC00
        self.bits[self.all.pages] = 0x60FFFFE0

    def _read_soon(self, at: Ints) -> Mask:
        """Which additions make an address that is read from or written to before the next branch."""
        out, going = np.zeros(len(at), bool), np.ones(len(at), bool)
        register = self.words[at] & 31
        for k in range(1, _SOON):
            word = self.words[np.minimum(at + k, len(self.words) - 1)]
            going &= ~a64.is_(word, 0x1C000000, 0x14000000)
            out |= going & a64.is_(word, 0x0A000000, 0x08000000) & ((word >> np.uint32(5)) & np.uint32(31) == register)
        return out

    def _check_changed(self, found: Found, defines: Ints) -> None:
        """Where a user's own bits differ, no path may bring anything but the page: else they might be a number."""
        some = self.words[found.users] != self.words_b[found.users]
        at = self.moved = found.users[some]
        unknown = np.append(self.functions if self.described else self.starts, False)
        way = at, self.all.base[at].astype(np.int64), found.labels[some], defines, unknown
        graph = replace(self.graph, falls=returning(self.graph, self.all.falls))
        lost = np.full(len(self.words), a64.CALLER_SAVED, np.uint32)
        bad = unproved(replace(graph, writes=np.where(self.all.calls, lost, self.writes)), *way)
        if len(bad) and (self.called >= 0).any():
            lost = lost_by_calls(self.all, self.called, self.edges, self.inside[1])
            bad = unproved(replace(graph, writes=np.where(self.all.calls, lost, self.writes)), *way)
        if len(bad):
            where = [Range(int(x) * 4 + self.one.offset, int(x) * 4 + self.one.offset + 4) for x in bad[:16]]
            raise Refused(self.one.name, "an immediate changed that may belong to another address", where)

    def _direct(self) -> None:
        """Addresses that one instruction makes (``ADR``), and literals."""
        here = self.here + self.step + self.one.addr
        literal = self.all.literals
        self.sides.at.append((self.one, self.here[literal], here[literal], np.ones(int(literal.sum()), bool)))
        self.sides.straight.append((self.one, here[literal]))
        rows = np.flatnonzero(a64.is_(self.words, 0x9F000000, 0x10000000))
        if not len(rows):
            return
        self.sides.at.append((self.one, self.here[rows], here[rows], self._read_soon(rows)))
        register, graph, words = a64.field(self.words[rows], 0, 5).astype(np.int64), self.graph, self.words
        self.sides.added.append(lambda: distances(graph, added(words), rows + 1, register, here[rows]))

    # The paths

    @cached_property
    def inside(self) -> tuple[Ints, Mask]:
        """Where each relative operand leads, by instruction of this section, and whether it does."""
        to = self.here + self.step
        return to // 4, (to >= 0) & (to < self.one.size) & self.all.relative

    @cached_property
    def taken(self) -> Mask:
        """Places to which tables of data refer; in a file for a fixed address, where nothing relocates these, all that
        words of data may mean."""
        groups = [old for where, old, _ in self.sides.refs.groups() if where != PADS]
        for part, _ in self.sides.pairs if self.sides.image is not None else ():
            raw = self.sides.raw[part.index][0][-part.addr % 8 :]
            if not part.code and part.type != SHT_NOBITS:
                words = raw[: len(raw) // 8 * 8].view("<i8")
                groups.append(words[words % 4 == 0])
        old = np.concatenate(groups) if groups else np.zeros(0, np.int64)
        old = old[(old >= self.one.addr) & (old < self.one.addr + self.one.size)] - self.one.addr
        out = np.zeros(len(self.words), bool)
        out[old // 4] = True
        return out

    @cached_property
    def starts(self) -> Mask:
        """Where functions start, or may be entered from elsewhere: called, or referred to by data."""
        to, good = self.inside
        out = self.taken.copy()
        out[to[good & self.all.calls]] = True
        return out

    @cached_property
    def called(self) -> Ints:
        """The instruction that a direct call within the section leads to; -1 for what is none."""
        to, good = self.inside
        return np.where(good & self.all.calls, to, -1)

    @cached_property
    def never(self) -> Mask:
        """Calls and branches to functions of libraries that do not return."""
        out = np.zeros(len(self.words), bool)
        if self.stubs:
            _, good = self.inside
            at = np.flatnonzero(self.all.relative & ~good)
            out[at] = np.isin(self.here[at] + self.step[at] + self.one.addr, list(self.stubs))
        return out

    @cached_property
    def kept(self) -> a64.W:
        """For each instruction that is called, which registers it may leave as they are (see :mod:`calls`)."""
        everything = np.uint32(ALL)
        _, good = self.inside
        external = self.all.calls & (self.called < 0)
        passing = np.where(self.elsewhere, everything, np.uint32(~a64.CALLER_SAVED & ALL))
        leaves = self.all.branches & ~good
        ends = np.where(a64.is_(self.words, 0xFE000000, 0xD6000000) & ~self.all.falls, everything, 0).astype(np.uint32)
        ends = np.where(leaves & ~self.never, passing, ends).astype(np.uint32)
        after = np.where(external, np.where(self.never, 0, passing), everything).astype(np.uint32)
        graph = self.edges
        return kept(Paths(self.all.writes, self.all.falls, graph[0], graph[1], self.called, after, ends))

    @cached_property
    def elsewhere(self) -> Mask:
        """Branches and calls to another section of the file's code: what is left there in registers is not known."""
        to = self.here + self.step + self.one.addr
        out = np.zeros(len(self.words), bool)
        for low, high in self.sides.apart(self.one):
            out |= self.all.relative & (to >= low) & (to < high)
        return out

    @cached_property
    def writes(self) -> a64.W:
        """What each instruction certainly writes; a call what its function never leaves as it was."""
        unknown = np.where(self.elsewhere, np.uint32(ALL), np.uint32(0))
        callee = np.where(self.called >= 0, self.kept[np.maximum(self.called, 0)], unknown)
        calls = ~callee & np.uint32(a64.CALLER_SAVED) | np.uint32(1 << 30)
        return np.where(self.all.calls, calls, self.all.writes).astype(np.uint32)

    @cached_property
    def falls(self) -> Mask:
        """Falling through; not from a call that does not return."""
        falls = self.all.falls & ~(self.all.calls & self.never)
        local = np.flatnonzero(self.called >= 0)
        falls[local[self.kept[self.called[local]] >> np.uint32(31) == 0]] = False
        return falls

    @cached_property
    def edges(self) -> tuple[Ints, Ints]:
        to, good = self.inside
        direct = np.flatnonzero(self.all.branches & good)
        thrown = rows_of_pads(self.sides, self.one, np.flatnonzero(self.all.calls))
        more, pads = np.array(thrown, np.int64).reshape(-1, 2).T
        sources, targets = np.concatenate((direct, more)), np.concatenate((to[direct], pads))
        order = np.argsort(sources, kind="stable")
        return sources[order], targets[order]

    @cached_property
    def lead(self) -> Mask:
        """Where paths meet: targets of direct branches, and what may be entered from elsewhere."""
        out = self.starts.copy()
        out[self.edges[1]] = True
        return out

    @cached_property
    def frame(self) -> Frame:
        return frame_of(self.words)

    def _settled(self) -> tuple[Graph, Found]:
        """All paths, and where pages' addresses went on them. A first graph without the paths of indirect branches
        finds the tables that these go by."""
        sources, targets = self.edges
        first = Graph(self.all.reads, self.writes, self.all.base, self.falls, sources, targets)
        graph, found = self.frame.settled(first, self._followed)
        if not self.all.indirect.any():
            return graph, found
        switches = Switches(self.all, self.lead, self.step)
        known: tuple[Ints, ...] = ()
        for _ in range(_ROUNDS):
            labels = self._made(found)
            if known and all(np.array_equal(*x) for x in zip(labels, known, strict=True)):
                return graph, found
            known = labels
            more, unknown = self._indirect(graph, found, switches, labels)
            into, to = (np.concatenate((x, *(m[k] for m in more))) for k, x in enumerate((sources, targets)))
            if len(into) == len(first.sources) and not len(unknown):
                return graph, found
            order = np.argsort(into, kind="stable")
            reads = self.all.reads.copy()
            reads[unknown] = 0x7FFFFFFF
            whole = replace(first, reads=reads, sources=into[order], targets=to[order])
            graph, found = self.frame.settled(whole, self._followed)
        raise Refused(self.one.name, "labels that lead to ever more labels")

    def _made(self, found: Found) -> tuple[Ints, Ints]:
        """Where code makes the address of a place within a function, and the instructions that stand there."""
        known = found.labels >= 0
        users, scale = found.users[known], self.all.scale[found.users[known]]
        low = a64.field(self.words[users], 10, 12).astype(np.int64) << scale
        at, to = self.places.made(users, self.kinds[0, found.labels[known]] + low - self.one.addr)
        symbols = self.sides.a.elf.symbols if len(to) else []
        values = (s.value - self.one.addr for s in symbols if s.info & 15 == _FUNCTION and s.section)
        inner = ~np.isin(4 * to, [x for x in values if 0 <= x < self.one.size])
        return at[inner], to[inner]

    @cached_property
    def places(self) -> Labels:
        return Labels(self.all, *self.inside, self.functions)

    def _indirect(
        self, graph: Graph, found: Found, switches: Switches, made: tuple[Ints, Ints]
    ) -> tuple[list[tuple[Ints, Ints]], Ints]:
        """The paths of indirect branches, and those branches that are not understood. ``made``: labels."""
        tables, labels = self._tables_of(graph, found, switches)
        begin = np.append(labels, 1 << 62)
        ends = begin[np.searchsorted(labels, tables, "right")]
        low, high = self._bounds(self.functions, switches.branches)
        self.understood, self.unread = tables[tables >= 0], bool(len(switches.left) or (tables < 0).any())
        plain = np.setdiff1d(np.flatnonzero(self.all.indirect), np.concatenate((switches.branches, switches.left)))
        inner = np.flatnonzero(self.taken & ~self.functions)
        to_labels = self.places.paths(plain, *(np.concatenate((x, inner)) for x in made))
        more = [switches.edges(tables, ends, self._constant, low, high), to_labels]
        return more, np.concatenate((switches.left, switches.branches[tables < 0]))

    def _tables_of(self, graph: Graph, found: Found, switches: Switches) -> tuple[Ints, Ints]:
        """The address of each switch's table (-1: not known), and all addresses that anything refers to, in order."""
        known = found.labels >= 0
        users, labels = found.users[known], found.labels[known]
        address = self.kinds[0, labels] + (
            a64.field(self.words[users], 10, 12).astype(np.int64) << self.all.scale[users]
        )
        registers = a64.field(self.words[users], 0, 5).astype(np.int64)
        adds = a64.is_(self.words[users], 0xFFC00000, 0x91000000) & (registers < 31)
        uses = np.full(len(self.words), a64.NONE, np.uint8)
        uses[switches.loads] = switches.registers
        bare = Graph(self.frame.saved(len(self.words)), graph.writes, uses, graph.falls, graph.sources, graph.targets)
        start = users[adds] + 1, registers[adds], address[adds]
        reached = self.frame.settled(bare, lambda g: follow(g, *start))[1]
        by_load = dict(zip(reached.users.tolist(), reached.labels.tolist(), strict=True))
        tables = np.array([by_load.get(x, -1) for x in switches.loads.tolist()], np.int64)
        return np.maximum(tables, -1), distinct(np.concatenate((address, self.sides.refs.old)))

    def _constant(self, address: int, size: int) -> U8:
        """Bytes of data that may not be written to."""
        part = self.sides.a.section_at(address)
        if part is None or part.type == SHT_NOBITS or part.flags & SHF_WRITE:
            return np.zeros(0, np.uint8)
        raw = self.sides.raw[part.index][0]
        return raw[address - part.addr : address - part.addr + max(size, 0)]

    @cached_property
    def described(self) -> bool:
        """Whether an unwinding table says where functions start: then other places that data refer to are labels."""
        return any(where == ".eh_frame" for where, _, _ in self.sides.refs.groups())

    @cached_property
    def functions(self) -> Mask:
        """Where functions start: called, or described by the unwinding table."""
        out = np.zeros(len(self.words), bool)
        out[self.called[self.called >= 0]] = True
        for where, old, _new in self.sides.refs.groups():
            if where == ".eh_frame":
                inside = old[(old >= self.one.addr) & (old < self.one.addr + self.one.size)] - self.one.addr
                out[inside // 4] = True
        return out

    def _bounds(self, starts: Mask, at: Ints) -> tuple[Ints, Ints]:
        """The function that each of ``at`` is in: its first place, and the next one's."""
        begin = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(starts)))
        index = np.searchsorted(begin, at, "right")
        return begin[index - 1], np.append(begin, len(self.words))[index]
