"""What a sandboxed worker does with pairs of files: one level of each, members named and left to the next request.

The functions here run inside the sandbox. Whatever they return is data from a process that hostile bytes may have taken
over; :mod:`banbury.compare.equivalence.recurse` checks its form and its bounds, and takes a worker's death for
``unexplained``.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from banbury.compare.equivalence.accounting import Refused, Undecided
from banbury.compare.equivalence.containers import kernel
from banbury.compare.equivalence.containers._polyglot import directory_behind
from banbury.compare.equivalence.containers.banners import kernel_banner
from banbury.compare.equivalence.containers.contract import (
    ANY_STREAM,
    BYTES,
    KERNEL,
    Comparator,
    Member,
    Place,
    Spool,
    Work,
)
from banbury.compare.equivalence.containers.image import compare_image
from banbury.compare.equivalence.containers.registry import claimed, comparators, ended
from banbury.compare.equivalence.containers.streams import ANY
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.explain import explain
from banbury.compare.equivalence.leaf import compare_elf
from banbury.compare.equivalence.leaves import registry as leaves
from banbury.compare.equivalence.model import (
    BuildRecord,
    FileVerdict,
    Range,
    Unexplained,
    Verdict,
)
from banbury.compare.equivalence.protocol import Answer, Asked, Read, Request
from banbury.compare.equivalence.rules import rules
from banbury.compare.equivalence.stated import stated
from banbury.compare.equivalence.text import compare_text, differing, is_text
from banbury.compare.equivalence.vouching import Patterns, look
from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.formats.registry import readers
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed

_ELF: Final = b"\x7fELF"
_LOOKED_AT: Final = 256 << 20  # bytes of unknown files in which the first and last difference are found
_PADDED: Final = 4096  # mksquashfs(1), -nopad


def prepare() -> None:
    """Import everything a worker may need, in the process that workers are forked from."""
    import capstone  # noqa: F401
    import lz4.frame  # noqa: F401
    import zstandard  # noqa: F401

    comparators()
    leaves.leaves()
    readers()
    rules()


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task of :class:`banbury.lab.supervisor.Supervisor`: a request in, answers out (both MessagePack)."""
    request = msgspec.msgpack.decode(payload, type=Request)
    out = Spool(spool, request.room)
    answers: list[object] = []
    patterns = Patterns(request.wanted)
    for number, asked in enumerate(request.pairs):
        step(f"pair {number}")
        work = Work(
            data, asked.a, asked.b, out, hints=asked.hints, record_a=request.record_a, record_b=request.record_b,
            path=asked.path,
        )  # fmt: skip
        answers.append(_TASKS[request.task](work, asked, patterns))
    step("answer")
    return msgspec.msgpack.encode(answers)


_TASKS: Final[dict[str, Callable[[Work, Asked, Patterns], object]]] = {
    "compare": lambda work, asked, patterns: compare(work),
    "explain": lambda work, asked, patterns: explain(work, asked.functions),
    "measure": lambda work, asked, patterns: _executable(work, work.place_b),
    "read": lambda work, asked, patterns: read(work),
    "look": lambda work, asked, patterns: look(work, patterns, _opened),
}


def compare(work: Work) -> Answer:
    """One pair, at one level. Raises nothing that a file can cause, but ``MemoryError``."""
    if work.same(work.place_a, work.place_b):
        return Answer(format="", verdict=FileVerdict(verdict=Verdict.IDENTICAL))
    if BYTES in work.hints:
        return Answer(format="", verdict=_by_bytes(work, "must be the same byte for byte", Verdict.FUNCTIONAL))
    elf = work.a.startswith(_ELF) and work.b.startswith(_ELF)
    if elf and KERNEL not in work.hints:
        return Answer(format="elf", verdict=_with_size(work, _leaf(work, compare_elf)))
    one, other = claimed(work.a), claimed(work.b)
    if one is not other and ANY_STREAM in work.hints and ANY.claims(work.a) and ANY.claims(work.b):
        one = other = ANY
    if one is not None and one is other:
        return _container(work, one)
    if KERNEL in work.hints and (elf or (one is None and other is None and kernel_banner(work.a))):
        return _container(work, kernel.KERNEL)
    return _without_format(work, one, other)


def _without_format(work: Work, one: Comparator | None, other: Comparator | None) -> Answer:
    """A pair that is no container that is decided: files of one format, texts, images of several parts, or nothing."""
    if one is None and other is None and (leaf := leaves.claimed_leaf(work.a, work.b)):
        return Answer(format=leaf.name, verdict=_leaf(work, partial(leaves.decide, leaf)))
    texts = is_text(work.a), is_text(work.b)
    if all(texts):
        return Answer(format="text", verdict=_leaf(work, compare_text))
    if one is None and other is None and not any(texts):
        return _container(work, None)
    sorts = [
        c.name if c else "text" if text else "no format that is decided"
        for c, text in zip((one, other), texts, strict=True)
    ]
    return Answer(format="", verdict=_by_bytes(work, f"is {sorts[0]} against {sorts[1]}", Verdict.UNEXPLAINED))


def _leaf(
    work: Work, decide: Callable[[View, View, BuildRecord | None, BuildRecord | None], FileVerdict]
) -> FileVerdict:
    try:
        return decide(work.a, work.b, work.record_a, work.record_b)
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001 - a fault of the method costs this file its verdict, not the run
        why = f"could not be compared: {type(problem).__name__}: {problem}"
        return msgspec.structs.replace(_by_bytes(work, why, Verdict.UNEXPLAINED), code=_code(work, work.place_b))


def read(work: Work) -> Read:
    """How the strict reader of its format takes a container, given as both sides of a pair."""
    comparator = claimed(work.b)
    if comparator is None:
        name, end = ended(work.b)
        if not name:
            return Read(format="")
        if not _filled(work.b, end):
            return Read(format=name, why="what stands behind it is no fill")
        place = Place(work.place_b.start, end, work.place_b.spool)
        work = Work(work.data, place, place, work.spool)
        comparator = claimed(work.b)
    if comparator is None:
        return Read(format="")
    name, undecided = _opened(work, comparator)
    why = "; ".join(f"{u.where}: {u.why}" for u in work.account.open[:5])
    if why:
        return Read(format=name, why=why, undecided=undecided)
    members, odd = stated(work)
    return Read(format=name, members=members, odd=odd)


def _filled(view: View, end: int) -> bool:
    """Whether what stands behind ``end`` is fill: zeros, erased flash (0xFF), or zeros to a multiple of 4 KiB, as
    mksquashfs pads, and then erased flash."""
    if end >= len(view):
        return False
    zeros = 0 if view.u8(end) else view.run(end)
    start = end + zeros
    if start == len(view):
        return True
    return (not zeros or not start % _PADDED) and view.u8(start) == 0xFF and view.run(start) == len(view) - start


def _opened(work: Work, comparator: Comparator | None) -> tuple[str, bool]:
    """Compare two containers into the books of ``work``; the format's name, and whether it is never decided."""
    name, undecided = comparator.name if comparator else "", False
    try:
        if comparator is None:
            name = compare_image(work)
        else:
            comparator.compare(work)
            if comparator.name != "zip" and (odd := directory_behind(work)):
                work.account.refuse(name, odd)
    except Refused as answer:
        undecided = isinstance(answer, Undecided)
        work.account.refused(answer)
        work.members.clear()
    except (Malformed, BudgetExceeded) as problem:
        work.account.refuse(name or "file", str(problem))
        work.members.clear()
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001 - as above
        work.account.refuse(name or "file", f"could not be compared: {type(problem).__name__}: {problem}")
        work.members.clear()
    return name, undecided


def _container(work: Work, comparator: Comparator | None) -> Answer:
    """A pair of one format; without a comparator, images whose parts may be compared."""
    name, _ = _opened(work, comparator)
    account = work.account
    if not account.open and not account.uses and all(m.equal and not m.changes for m in work.members):
        account.refuse(name or "file", "the bytes differ and nothing accounts for it")
    if account.open and not any(u.a or u.b for u in account.open):
        verdict = _by_bytes(work, "; ".join(f"{u.where}: {u.why}" for u in account.open[:5]), Verdict.UNEXPLAINED)
        verdict = msgspec.structs.replace(verdict, rules=account.verdict(Verdict.METADATA).rules)
    else:
        verdict = account.verdict(Verdict.METADATA if account.uses else Verdict.IDENTICAL)
    members = [_with_code(work, m) for m in work.members]
    return Answer(format=name, verdict=verdict, members=members)


def _with_code(work: Work, member: Member) -> Member:
    """An equal member, or one that only the shipped side has, with the size of its code."""
    if member.b is None or not (member.equal or member.a is None):
        return member
    code = _code(work, member.b)
    return msgspec.structs.replace(member, code=code) if code else member


def _with_size(work: Work, verdict: FileVerdict) -> FileVerdict:
    """The verdict on a program with the size of its code, where it was decided before that was known."""
    code = verdict.code or _code(work, work.place_b)
    return msgspec.structs.replace(verdict, code=code, proved_code=code if verdict.verdict.equivalent else 0)


def _code(work: Work, place: Place) -> int:
    """Bytes of program code of a member, 0 where it is no ELF file. Of one that is not understood to the last byte,
    what its segments mark as executable: code that nothing was shown of is code."""
    view = _program(work, place)
    return _stated(view) if view is not None else 0


def _executable(work: Work, place: Place) -> int:
    """Bytes of program code of a file of which nothing may have been shown: what its segments mark, if that is more
    than its sections do, for what loads a program looks at no section."""
    view = _program(work, place)
    return max(_stated(view), _marked(view)) if view is not None else 0


def _stated(view: View) -> int:
    try:
        return OwnedElf(view).code_bytes
    except (Refused, Malformed):
        return _marked(view)


def _program(work: Work, place: Place) -> View | None:
    if work.read(place, 0, 4) != _ELF or place.length > 256 << 20:
        return None
    return View(work.all_of(place, 256 << 20))


def _marked(view: View) -> int:
    try:
        marked = sum(s.filesz for s in ElfFile(view).segments if s.type == t.PT_LOAD and s.flags & t.PF_X)
    except Malformed:
        return 0
    return min(marked, len(view))


def _by_bytes(work: Work, why: str, verdict: Verdict) -> FileVerdict:
    """A verdict on two files that are only known to differ, with the range within which they do."""
    if max(len(work.a), len(work.b)) <= _LOOKED_AT:
        one, other = differing(work.a.take(0, len(work.a)), work.b.take(0, len(work.b)))
    else:
        one, other = Range(0, len(work.a)), Range(0, len(work.b))
    return FileVerdict(verdict=verdict, unexplained=[Unexplained(where="file", why=why, a=[one], b=[other])])
