"""The decision for one pair of single files: what is called from outside."""

from __future__ import annotations

import msgspec

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.elf_lent import lendable, lent
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.elf_places import placements
from banbury.compare.equivalence.elf_same import compare_same, same_layout
from banbury.compare.equivalence.functional import changed_functions
from banbury.compare.equivalence.literals import Declared, differences, runs
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Range, Verdict, substitutions
from banbury.compare.equivalence.objects import compare_objects
from banbury.compare.equivalence.relayout import compare_moved
from banbury.compare.equivalence.signature import Signature, unsigned
from banbury.formats import _elf_types as t
from banbury.formats.view import View


def compare_leaf(
    kind: str, a: View, b: View, record_a: BuildRecord | None = None, record_b: BuildRecord | None = None
) -> FileVerdict:
    """The verdict on two files of one kind (``elf``, or anything else: then equal bytes or none)."""
    if kind == "elf":
        return compare_elf(a, b, record_a, record_b)
    if equal(a, b):
        return FileVerdict(verdict=Verdict.IDENTICAL)
    account = Account()
    account.refuse("file", "no rule knows this kind of file", *_differing(a, b))
    return account.verdict(Verdict.UNEXPLAINED)


def compare_elf(
    a: View,
    b: View,
    record_a: BuildRecord | None = None,
    record_b: BuildRecord | None = None,
    *,
    locate: bool = True,
) -> FileVerdict:
    """The verdict on two ELF files (executables, shared objects, objects, kernel modules with their signatures).

    ``a`` is what the reviewed source builds and ``b`` what was shipped (a few rules hold only that way round, see the
    package). Without ``locate``, what differs is not attributed to functions: quicker, and then never ``functional``.
    Never raises for what a file holds: what cannot be read is unexplained.
    """
    if equal(a, b):
        return FileVerdict(verdict=Verdict.IDENTICAL)
    observed = {rule for record in (record_a, record_b) if record for rule in record.observes}
    account = Account(frozenset(observed))
    best = Verdict.METADATA
    code = 0
    pair: Pair | None = None
    try:
        (inner_a, sign_a), (inner_b, sign_b) = unsigned(a), unsigned(b)
        if sign_a or sign_b:
            keys = [record.keys if record else [] for record in (record_a, record_b)]
            _signatures(account, (a, b), (sign_a, sign_b), keys)
        if not equal(inner_a, inner_b):
            pair = Pair(
                a=OwnedElf(inner_a),
                b=OwnedElf(inner_b),
                record_a=record_a,
                record_b=record_b,
                declared=Declared(substitutions(record_a, record_b)),
                account=account,
            )
            code = pair.b.code_bytes
            if lendable(pair.a, pair.b):
                pair, best = _decide_lent(pair)
                code = pair.b.code_bytes
            else:
                best = _decide(pair)
    except Refused as answer:
        account.refused(answer)
        if not (answer.a or answer.b):
            account.refuse("file", "differs", *_differing(a, b))
    if not account.open and not account.uses:
        account.refuse("file", "the bytes differ and nothing accounts for it", *_differing(a, b))
    verdict = account.verdict(best)
    if locate:
        verdict = _located(verdict, pair)
    return msgspec.structs.replace(verdict, code=code, proved_code=code if verdict.verdict.equivalent else 0)


def _located(verdict: FileVerdict, pair: Pair | None) -> FileVerdict:
    """The verdict with the functions that differ, where code does: then it is ``functional``."""
    if pair is None or verdict.verdict is not Verdict.UNEXPLAINED:
        return verdict
    changed, note = changed_functions(pair.a, pair.b)
    kind = Verdict.FUNCTIONAL if changed else Verdict.UNEXPLAINED
    return msgspec.structs.replace(verdict, verdict=kind, functions=changed, notes=[*verdict.notes, note])


def _signatures(
    account: Account, sides: tuple[View, View], found: tuple[Signature | None, Signature | None], keys: list[list[str]]
) -> None:
    """Enter a difference of signatures, where each one there is verifies with a key that its side declares. One that is
    the same over contents that differ is not right on both sides."""
    a, b = found
    here, there = ([s.where] if s else [] for s in found)
    if a and b and sides[0].take(*_place(a.where)) == sides[1].take(*_place(b.where)):
        account.refuse("module signature", "the same over what is not: a kernel takes one of the two", here, there)
        return
    for side, signature, declared in zip(sides, found, keys, strict=True):
        if signature and not signature.verified_by(side.take(0, signature.where.start), declared):
            account.refuse("module signature", "no key that its build record declares verifies it", here, there)
            return
    account.explain("module.signature", here, there, "" if a and b else "only one of the two is signed")


def _place(where: Range) -> tuple[int, int]:
    return where.start, where.end - where.start


def _decide(pair: Pair) -> Verdict:
    a, b = pair.a.header, pair.b.header
    if (a.bits, a.big, a.machine, a.type, a.flags) != (b.bits, b.big, b.machine, b.type, b.flags):
        raise Refused("ELF header", "built for another machine, interface or kind of file")
    if a.type == t.ET_REL:
        return Verdict.RELAYOUT if compare_objects(pair) else Verdict.METADATA
    if same_layout(pair.a, pair.b):
        first = Account(pair.account.observed)
        compare_same(msgspec.structs.replace(pair, account=first))
        if not first.open or not _may_have_moved(pair):
            pair.account.take(first)
            return Verdict.METADATA
    second = Account(pair.account.observed)
    try:
        compare_moved(msgspec.structs.replace(pair, account=second))
    except Refused as answer:
        if not same_layout(pair.a, pair.b):
            raise
        pair.account.refuse(
            answer.where, f"nothing moved in a way that could be shown: {answer.why}", answer.a, answer.b
        )
        pair.account.take(first)
        return Verdict.METADATA
    pair.account.take(second)
    return Verdict.RELAYOUT


def _decide_lent(pair: Pair) -> tuple[Pair, Verdict]:
    """The same with a section table lent to the shipped file: first with that of the rebuilt file as it is, then with
    sections where a linker may have put them. Raises :class:`Refused`."""
    first: Refused | None = None
    tried: tuple[Pair, Verdict] | None = None
    same = pair.a.segments == pair.b.segments
    for places in [*([None] if same else []), *(placements(pair.a, pair.b) if pair.declared.differ else [])]:
        account = Account(pair.account.observed)
        try:
            made = lent(msgspec.structs.replace(pair, account=account), places)
            found = made, _decide(made)
        except Refused as answer:
            first = first or answer
            continue
        if not account.open:
            pair.account.take(account)
            return found
        tried = tried or found
    if tried is None:
        raise first or Refused("layout", "it moved, and where the sections stand cannot be told")
    pair.account.take(tried[0].account)
    return tried


def _may_have_moved(pair: Pair) -> bool:
    """Whether the sections stand at the same places although something within them may have moved: a declared text
    of another length, whose shift padding took up."""
    return pair.declared.differ and pair.a.header.type in (t.ET_DYN, t.ET_EXEC)


def equal(a: View, b: View) -> bool:
    """Whether two files have the same bytes."""
    return len(a) == len(b) and a.mem(0, len(a)) == b.mem(0, len(b))


def _differing(a: View, b: View) -> tuple[list[Range], list[Range]]:
    size = min(len(a), len(b))
    found = runs(differences(a.mem(0, size), b.mem(0, size))[:100_000])
    tails = [[Range(size, len(x))] if len(x) > size else [] for x in (a, b)]
    return found + tails[0], found + tails[1]
