"""Decides how one blob is taken apart, and has it done.

The rule: nothing is silently skipped and every byte keeps exactly one owner. In this order:

1. Every reader whose magic stands at the start is asked; the strongest claim wins (sure before weak, then the longest).
   Readers without magics are asked only where none of those claims the blob.
2. The winner covers the blob: its dissection is the result. Fill behind it is padding. Where ``carve`` is set, gaps of
   64 bytes or more that it left unowned are searched for other formats: what is found there becomes a chunk (an entry
   with a ``format`` of its own beside the container's members), what is fill becomes padding, the rest stays unread.
3. The winner is followed by something else: the blob is an ``image``, the winner its first chunk (dissected in its turn
   as a blob of its own), and what follows is carved.
4. Nobody claims the blob and ``carve`` is set: it is searched. An ``image`` if a chunk turns up. An ELF file, a
   picture, a font and the like are searched only behind their computed end; that makes the blob an ``image`` with the
   file as a named structure, not a chunk, since the whole blob is still inspected as what it begins with. Text is not
   searched where it is text throughout.
5. Otherwise the blob is a leaf: format ``""``, no regions. Where ``carve`` was set and the leaf is no type known here,
   the property ``content`` says what the bytes look like.

Without ``carve``, bytes behind the winner are one unread region, noted as ``hidden``.
"""

from __future__ import annotations

from msgspec.structs import replace

from banbury.formats._leaves import leaf_end
from banbury.formats._stretch import describe, is_text
from banbury.formats.carve import Claim, Found, chunk, claims, place, probe
from banbury.formats.carve import carve as carve_stretch
from banbury.formats.contract import Reader
from banbury.formats.registry import readers
from banbury.formats.sink import Budget, SpoolSink
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Dissection, Note, Region, Role

#: The format of a blob that is a row of chunks.
IMAGE = "image"
#: The property of a leaf that was followed to its end: text throughout, or a structure that reaches to the last byte.
#: (A leaf without it is known by its first bytes alone.)
LEAF = "leaf"
_GAP = 64  # bytes
_GAPS = 2000
_HEAD = 1 << 16
_MODULE_SIGNATURE = b"~Module signature appended~\n"  # Linux, include/linux/module_signature.h

#: Sorts of files that are not searched although their end is not known.
_LEAVES = (b"wOF2", b"ID3", b"\x1bLua", b"\xca\xfe\xba\xbe", b"TZif")


class _Sink(SpoolSink):
    """A sink that can say what nobody owns yet."""

    @property
    def untouched(self) -> bool:
        return not (self._regions or self._entries or self._notes or self._checks)

    def shut(self) -> list[tuple[int, int]]:
        """Stretches of at least 64 bytes that the reader owns as unread, in order; of more than 2,000 the largest."""
        found = [k for k, r in self._regions.items() if r.role is Role.UNREAD and r.end - r.start >= _GAP]
        return sorted(sorted(found, key=lambda g: g[0] - g[1])[:_GAPS])

    def disown(self, start: int, end: int) -> None:
        """Forget who owns exactly this stretch."""
        del self._regions[start, end]

    def gaps(self) -> list[tuple[int, int]]:
        """Stretches of at least 64 bytes without an owner, ascending; of more than 2,000, the largest."""
        found: list[tuple[int, int]] = []
        position = 0
        for start, end in sorted(self._regions):
            if start - position >= _GAP:
                found.append((position, start))
            position = max(position, end)
        if len(self._view) - position >= _GAP:
            found.append((position, len(self._view)))
        return sorted(sorted(found, key=lambda g: g[0] - g[1])[:_GAPS])


def dissect(view: View, spool: int, budget: Budget, *, carve: bool) -> Dissection:
    """Take one blob apart. ``spool`` is an open, empty file descriptor for decoded content. See the module.

    ``Malformed`` and ``BudgetExceeded`` end the reading: what was read stands, ``error`` says why. Any other exception
    is a fault of a reader and passes through.
    """
    if not len(view):
        return _leaf(view)
    for claim in _claims(view):
        if claim.end < len(view) and view.run(claim.end) < len(view) - claim.end:
            if carve:
                return _image(view, spool, budget, claim)
            result = _read(view, spool, budget, claim, carve=False)
        else:
            result = _read(view, spool, budget, claim, carve=carve)
        if result is not None:
            return _with_tail(result, view, claim.end)
    if carve:
        return _search(view, spool, budget)
    return _leaf(view)


def _claims(view: View) -> list[Claim]:
    """Claims on the start of the blob, strongest first; readers without magics are asked only where no other claims."""
    head = view.take(0, min(len(view), _HEAD))
    found: list[Claim] = []
    for reader in readers().values():
        weight = max((len(m.pattern) for m in reader.magics if _stands(view, head, m.pattern, m.at)), default=0)
        if weight and (claim := probe(reader, view, 0, weight)):
            found.append(claim)
    if not found:
        bare: list[Reader] = [r for r in readers().values() if not r.magics]
        found = [c for c in (probe(r, view, 0, 0) for r in bare) if c]
    found.sort(key=lambda c: c.rank, reverse=True)
    return found


def _stands(view: View, head: bytes, pattern: bytes, at: int) -> bool:
    return head.startswith(pattern, at) if at + len(pattern) <= len(head) else view.startswith(pattern, at)


def _read(view: View, spool: int, budget: Budget, claim: Claim, *, carve: bool) -> Dissection | None:
    """Let the reader read its extent. ``None`` where it gave up before it stated anything: another may do better."""
    extent = view if claim.end == len(view) else view.sub(0, claim.end)
    sink = _Sink(extent, spool, budget)
    error = ""
    try:
        claim.reader.read(extent, sink)
    except (Malformed, BudgetExceeded) as problem:
        error = str(problem) or type(problem).__name__
        if isinstance(problem, Malformed) and sink.untouched:
            return None
    if carve:
        error = _fill_gaps(extent, sink, claim.reader) or error
    return sink.finish(claim.reader.name, error)


def _fill_gaps(view: View, sink: _Sink, reader: Reader) -> str:
    """Search what the reader left unowned, and what it says it cannot read: sixteen bytes that promise something
    encrypted to the end of the image must not shut what stands there. The reader itself is not asked again."""
    try:
        for start, end in sink.shut():
            starved = Found({})
            found = list(claims(view, start, end, starved, accept=lambda c: c.sure, without=reader))
            starved.report(sink)
            if found:
                sink.disown(start, end)
                place(view, sink, start, end, found)
        for start, end in sink.gaps():
            if view.run(start, end) < end - start:
                carve_stretch(view, sink, start, end, accept=lambda c: c.sure, without=reader)
    except BudgetExceeded as problem:
        return str(problem)
    return ""


def _with_tail(result: Dissection, view: View, end: int) -> Dissection:
    """The dissection of the first ``end`` bytes, made one of the whole blob."""
    if end == len(view):
        return result
    if view.run(end) == len(view) - end:
        tail = Region(end, len(view), Role.PADDING, f"fill {view.u8(end):#04x}")
        notes = result.notes
    else:
        tail = Region(end, len(view), Role.UNREAD, "bytes behind the end")
        notes = [*result.notes, _hidden(end, len(view))]
    return replace(result, size=len(view), regions=[*result.regions, tail], notes=notes)


def _hidden(start: int, end: int) -> Note:
    return Note(code="hidden", detail=f"{end - start} bytes behind the format's end", start=start, end=end)


def _image(view: View, spool: int, budget: Budget, first: Claim) -> Dissection:
    """The blob as a row of chunks: ``first``, then whatever is found behind it."""
    sink = _Sink(view, spool, budget)
    error = ""
    try:
        chunk(sink, first)
        carve_stretch(view, sink, first.end, len(view))
    except BudgetExceeded as problem:
        error = str(problem)
    return sink.finish(IMAGE, error)


def _search(view: View, spool: int, budget: Budget) -> Dissection:
    """A blob that nobody claims: an image if it holds something, else a leaf."""
    sink = _Sink(view, spool, budget)
    start, what = 0, ""
    if view.startswith(b"\x7fELF"):
        start = _elf_end(view)
        if len(view) - start < _GAP or view.run(start) == len(view) - start or _is_signed_module(view):
            return replace(_leaf(view), properties={LEAF: "to its end"})
        what = "ELF file"
        sink.own(0, start, Role.TABLE, what)
    elif is_text(view, 0, len(view)):
        return replace(_leaf(view), properties={LEAF: "text"})
    elif start := leaf_end(view):
        if len(view) - start < _GAP or view.run(start) == len(view) - start:
            return replace(_leaf(view), properties={LEAF: "to its end"})
        what = "file"
        sink.own(0, start, Role.TABLE, "file of a known sort")
    elif any(view.startswith(m) for m in _LEAVES):
        return _leaf(view)
    starved = Found({})
    found = list(claims(view, start, len(view), starved))
    starved.report(sink)
    if not (found or start):
        notes = sink.finish("").notes
        return replace(_leaf(view), properties={"content": describe(view, 0, len(view))}, notes=notes)
    error = ""
    try:
        place(view, sink, start, len(view), found)
    except BudgetExceeded as problem:
        error = str(problem)
    if start:
        sink.note("hidden", f"{len(view) - start} bytes behind the {what}'s end", start=start, end=len(view))
    return sink.finish(IMAGE, error)


def _leaf(view: View) -> Dissection:
    return Dissection(
        format="", size=len(view), regions=[], entries=[], contents=[], notes=[], checks=[], properties={}
    )


def _is_signed_module(view: View) -> bool:
    return len(view) > len(_MODULE_SIGNATURE) and view.startswith(_MODULE_SIGNATURE, len(view) - len(_MODULE_SIGNATURE))


def _elf_end(view: View) -> int:
    """Where an ELF file ends: the last byte of any header, table, segment or section (System V ABI, chapters 4 and 5).

    The whole blob where the headers cannot be read, so that nothing is called an overlay without reason.
    """
    try:
        wide, big = view.u8(4) == 2, view.u8(5) == 2
        word = view.u64 if wide else view.u32
        size = 8 if wide else 4
        phoff, shoff = word(24 + size, big), word(24 + 2 * size, big)
        counts = 28 + 3 * size
        ehsize, phentsize, phnum, shentsize, shnum = (view.u16(counts + 2 * i, big) for i in range(5))
        end = max(ehsize, phoff + phentsize * phnum)
        for i in range(phnum):
            at = phoff + i * phentsize
            end = max(end, word(at + (8 if wide else 4), big) + word(at + (32 if wide else 16), big))
        if shoff + shentsize * shnum <= len(view):
            end = max(end, shoff + shentsize * shnum)
            for i in range(shnum):
                at = shoff + i * shentsize
                if view.u32(at + 4, big) not in (0, 8):  # SHT_NULL, SHT_NOBITS
                    end = max(end, word(at + (24 if wide else 16), big) + word(at + (32 if wide else 20), big))
    except Malformed:
        return len(view)
    return min(end, len(view))
