"""What vouches for contents, in one comparison: digests of a file that differ stand in a file that does not, or a
signature is the same though what it lies beside is not. Then it is wrong on one side, and whoever checks it refuses the
file there: a difference that is harmless by itself is none there.

This process keeps the books: what differs and was accepted (its digests), and what is the same on both sides (a copy).
Workers look through the copies (:mod:`.vouching`), at the end, where everything else was shown to be equivalent.

Sources: md5sum(1), sha1sum(1), SHA-2 (RFC 6234), SHA-3 (FIPS 202), BLAKE2 (RFC 7693), POSIX.1-2017 cksum; SWUpdate,
``doc/source/sw-description.rst``; RAUC and Mender, manifests; OCI image specification, descriptors.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import IO, Final, Protocol

from msgspec import structs

from banbury.compare.equivalence.asking import looked
from banbury.compare.equivalence.containers.contract import Change, Place
from banbury.compare.equivalence.model import Verdict
from banbury.compare.equivalence.outcome import Outcome, flatten
from banbury.compare.equivalence.protocol import KEY, PROGRAM, SIGNATURE, SIGNATURES, TEXT, Looked, Wanted
from banbury.compare.equivalence.vouched import DIGESTS
from banbury.formats.view import Buffer
from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Supervisor

_REVERSED: Final = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))
_STEP: Final = 1 << 20
_BATCH: Final = 1 << 12  # contents in one request
_BATCH_BYTES: Final = 64 << 20
_LEAST: Final = 8  # bytes of what vouches for anything
_DIGITS: Final = 3  # of a size that tells one file from others
_HEX: Final = re.compile(r"[0-9a-f]{32,128}")
#: What is a signature, a certificate, or neither: it is asked of the file whose name it has.
_PERHAPS: Final = re.compile(r"(?i)(.+)\.(?:pem|crt|cer|der|rsa)")
#: What holds members and says nothing of its own: those are looked through.
_ARCHIVES: Final = frozenset((
    "ar", "bzip2", "cpio", "cramfs", "deb", "ext", "gzip", "ipk", "jffs2", "lz4", "lzma", "lzop", "romfs", "rpm",
    "squashfs", "tar", "ubi", "ubifs", "xz", "zip", "zstd",
))  # fmt: skip
_NAMESAKES: Final = 8
_SUM: Final = 8  # digits of a checksum
_SHORT: Final = 16  # bytes: less is no signature
#: Files of a folder of signatures: each is one of the file whose name it has, if it is one at all.
_GATHERED: Final = re.compile(r"(?is)(?:.*/)?(?:sigs?|signatures?)/(?!(?:[^/]*/)*(?:\.?sig|signature)(?:\.[^/]*)?$).*")
_SMALL: Final = 4096  # bytes of a signature


class _Sum(Protocol):
    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...


def counted(name: str, sides: Iterable[Iterable[Buffer]]) -> Wanted:
    """What tells of a content, from its name and the pieces of both sides."""
    digests: list[list[bytes]] = []
    numbers: list[set[bytes]] = []
    for pieces in sides:
        sums: list[_Sum] = [hashlib.new(kind, usedforsecurity=False) for kind in DIGESTS]
        sums.append(hashlib.blake2b(digest_size=32, usedforsecurity=False))
        crc, mirrored, size = 0, 0xFFFFFFFF, 0
        for piece in pieces:
            size += len(piece)
            crc, mirrored = zlib.crc32(piece, crc), zlib.crc32(bytes(piece).translate(_REVERSED), mirrored)
            for one in sums:
                one.update(piece)
        digests.append([one.digest() for one in sums])
        numbers.append({*_numbers(crc), *_numbers(_cksum(mirrored, size)), b"%d" % size})
    told = numbers[0] ^ numbers[1]  # what both have is wrong on neither
    listed = sorted(n for n in told if len(n) >= _DIGITS)
    return Wanted(name=_last(name), digests=(digests[0], digests[1]), numbers=listed)


def _last(name: str) -> bytes:
    return name.rpartition("/")[2].encode("utf-8", "surrogateescape")


def _cksum(mirrored: int, size: int) -> int:
    """POSIX's, whose bits run the other way from zlib's: over the bytes reversed, and the length behind them."""
    tail = size.to_bytes((size.bit_length() + 7) // 8, "little")
    return int(f"{zlib.crc32(tail.translate(_REVERSED), mirrored):032b}"[::-1], 2)


def _numbers(crc: int) -> Iterator[bytes]:
    text = b"%08x" % crc
    yield from (text, text.upper(), b"0x" + text, b"0x" + text.upper(), b"%d" % crc)


class Vouchers:
    """The books of one comparison. ``room``: bytes that a worker may unpack to look through what is the same."""

    def __init__(self, supervisor: Supervisor, limits: Limits, room: int) -> None:
        self._supervisor, self._limits, self._room = supervisor, limits, room
        self._copies: IO[bytes] | None = None
        self._end = 0
        self._kept: dict[int, tuple[Outcome, list[Place]]] = {}  # of what differs both sides
        self._wanted: dict[int, tuple[Outcome, Wanted]] = {}
        self._known: dict[tuple[str, str], Wanted] = {}

    def keep(self, outcome: Outcome, source: int, place: Place) -> None:
        """Copy a content that is the same on both sides, or one side of one that differs, from an open file."""
        if place.length < _LEAST:
            return
        if self._copies is None:
            self._copies = tempfile.TemporaryFile(prefix="banbury-", buffering=0)  # noqa: SIM115 - closed by clear
        _copy(source, place, self._copies.fileno(), self._end)
        self._kept.setdefault(id(outcome), (outcome, []))[1].append(Place(self._end, place.length))
        self._end += place.length

    def differs(self, outcome: Outcome, source: int, a: Place, b: Place, *, alone: bool = False) -> None:
        """Note a content that was shown to be equivalent, though it differs. ``alone``: what is in it was not noted."""
        if not (a.length and b.length):
            return
        key = outcome.sha256_a, outcome.sha256_b
        found = self._known.get(key)
        if found is None:
            found = counted(outcome.name, (_pieces(source, place) for place in (a, b)))
            if all(key):
                self._known[key] = found
        named = Wanted(name=_last(outcome.name), digests=found.digests, numbers=found.numbers)
        self._wanted[id(outcome)] = outcome, named
        for _, inner, _ in flatten(outcome)[1:] if alone else []:
            sides = inner.sha256_a, inner.sha256_b
            if all(sides) and sides[0] != sides[1]:
                one, other = ([bytes.fromhex(side)] for side in sides)
                self._wanted[id(inner)] = inner, Wanted(name=_last(inner.name), digests=(one, other))
        content = outcome.content
        own = content is not None and (alone or not content.members or states(content.format))
        if own and min(a.length, b.length) >= _LEAST:
            self.keep(outcome, source, a)
            self.keep(outcome, source, b)

    def stands(self, one: Outcome, other: Outcome) -> None:
        """What was noted of one outcome is another's, which stands in the tree."""
        if id(one) in self._wanted:
            self._wanted[id(other)] = other, self._wanted.pop(id(one))[1]
        if id(one) in self._kept:
            self._kept[id(other)] = other, self._kept.pop(id(one))[1]

    def settle(self, top: Outcome, beside: Iterable[tuple[Outcome, Callable[[], IO[bytes]]]] = ()) -> None:
        """Say of everything below ``top`` that vouches for what differs that it does. ``beside``: what else is the same
        on both sides, and how it is opened."""
        rows = flatten(top)
        own = {id(outcome) for _, outcome, _ in rows}
        noted = [item for number, item in self._wanted.items() if number in own]
        if not rows[0][2].equivalent or not noted:
            return
        _named(rows, noted)
        kept = [(o, place) for number, (o, places) in self._kept.items() if number in own for place in places]
        looks: dict[int, tuple[Outcome, list[Looked]]] = {}
        for outcome, look in self._looked(_telling(noted), kept, beside):
            looks.setdefault(id(outcome), (outcome, []))[1].append(look)
        differing = {id(outcome): outcome for outcome, _ in noted}
        for outcome, found in looks.values():
            outcome.changes += _changes(outcome, found, noted)
        _signed(top, {number: found for number, (_, found) in looks.items()}, differing)

    def clear(self) -> None:
        """Forget what was noted."""
        self._kept.clear()
        self._wanted.clear()
        self._end = 0
        if self._copies is not None:
            self._copies.close()
            self._copies = None

    def _looked(
        self, wanted: list[Wanted], kept: list[tuple[Outcome, Place]],
        beside: Iterable[tuple[Outcome, Callable[[], IO[bytes]]]],
    ) -> Iterator[tuple[Outcome, Looked]]:  # fmt: skip
        if self._copies is not None:
            yield from self._ask(self._copies.fileno(), kept, wanted)
        with tempfile.TemporaryFile(prefix="banbury-", buffering=0) as copies:
            waiting: list[tuple[Outcome, Place]] = []
            end = 0
            for outcome, opened in beside:
                with opened() as file:
                    size = os.fstat(file.fileno()).st_size
                    if size < _LEAST:
                        continue
                    _copy(file.fileno(), Place(0, size), copies.fileno(), end)
                waiting.append((outcome, Place(end, size)))
                end += size
                if end >= _BATCH_BYTES or len(waiting) >= _BATCH:
                    yield from self._ask(copies.fileno(), waiting, wanted)
                    waiting, end = [], 0
                    os.ftruncate(copies.fileno(), 0)
            yield from self._ask(copies.fileno(), waiting, wanted)

    def _ask(
        self, source: int, things: list[tuple[Outcome, Place]], wanted: list[Wanted]
    ) -> Iterator[tuple[Outcome, Looked]]:
        at = 0
        while at < len(things):
            batch: list[tuple[Outcome, Place]] = []
            size = 0
            while at < len(things) and len(batch) < _BATCH and (not batch or size < _BATCH_BYTES):
                batch.append(things[at])
                size += things[at][1].length
                at += 1
            with tempfile.TemporaryFile(prefix="banbury-", buffering=0) as spool:
                places = [place for _, place in batch]
                found = looked(
                    self._supervisor, self._limits, source, spool.fileno(), places, wanted, self._room
                )  # fmt: skip
            yield from zip((outcome for outcome, _ in batch), found, strict=True)


def _said(what: str, name: str) -> Change:
    """What is to be said of what vouches for something."""
    return Change(what="vouches", a=f"{what} of {name}", b="the same, though that differs: it is wrong on one side")


def _telling(noted: list[tuple[Outcome, Wanted]]) -> list[Wanted]:
    """What is looked for. A size tells nothing of one file where many have its name."""
    names = Counter(one.name for _, one in noted)
    sums = (
        [n for n in one.numbers if len(n) >= _SUM] if names[one.name] > _NAMESAKES else one.numbers for _, one in noted
    )
    return [structs.replace(one, numbers=found) for (_, one), found in zip(noted, sums, strict=True)]


def _changes(outcome: Outcome, found: list[Looked], noted: list[tuple[Outcome, Wanted]]) -> Iterator[Change]:
    """What is to be said of a content: of one that differs, by what both sides state; of none that states digests of
    both."""
    for look in found:
        if look.why:
            yield Change(what="vouches", a=f"could not be looked through: {look.why}")
            return
    stated = set(found[0].found).intersection(*(look.found for look in found[1:]))
    told = {number // 2 for number in stated}
    if len(found) == 1:
        told.update(found[0].named)
    for number in sorted(n for n in told if noted[n][0] is not outcome)[:1]:
        yield _said("states a digest, checksum or size", noted[number][0].name)


def states(form: str) -> bool:
    """Whether what holds something may say of it more than where it is: its own bytes are looked through, then."""
    return form not in _ARCHIVES


def digest_like(name: str) -> bool:
    """Whether a name may be a digest."""
    return _HEX.search(name.lower()) is not None


def _named(rows: list[tuple[str, Outcome, Verdict]], noted: list[tuple[Outcome, Wanted]]) -> None:
    """Names that are a digest (of a layer of an OCI image) of what differs."""
    of = {digest.hex(): outcome for outcome, one in noted for side in one.digests for digest in side}
    for _, outcome, _ in rows:
        for text in _HEX.findall(outcome.name.lower()):
            if text in of and not any(c.what == "vouches" for c in outcome.changes):
                outcome.changes.append(_said("has a name that is a digest", of[text].name))


def _signed(top: Outcome, looks: Mapping[int, list[Looked]], differing: Mapping[int, Outcome]) -> None:
    """Signatures that are the same on both sides, of what differs: of a file whose name one has, or else, where they
    are named for nothing that is the same, of what lies beside or below the folder that they are in."""
    named: dict[str, Outcome] = {}
    for outcome in differing.values():
        for part in _parts(outcome.name):
            named.setdefault(part, outcome)
    for holder in _holders(top):
        members = holder.content.members if holder.content else []
        same = [o for o in members if o.content and o.content.own.verdict is Verdict.IDENTICAL and not o.changes]
        sorts = {id(o): looks[id(o)][0] if id(o) in looks else Looked(sort=TEXT) for o in same}
        signatures = [(o, of) for o in same if (of := _of(o, sorts[id(o)].sort)) is not None]
        others = {id(o) for o, _ in signatures}
        known = {part for o in same if id(o) not in others for part in _parts(o.name)}
        below = _below(holder, differing) if signatures else {}
        solid = {_folder(o.name) for o in same if o.size_b > _SMALL and id(o) not in others} if signatures else set()
        for outcome, of in signatures:
            own = next((named[part] for part in sorted(_parts(of)) if part in named), None)
            plain = sorts[id(outcome)].sort != TEXT and not _GATHERED.fullmatch(outcome.name)
            if own is None and plain and _parts(of).isdisjoint(known):
                own = _near(outcome.name, below, solid)
            if own is not None:
                outcome.changes.append(_said("is a signature", own.name))
        beside = [o.name for o in members if id(o) in differing]
        stems = {stem: name for name in reversed(beside) for stem in (name.rpartition(".")[0], name)}
        exact = set(beside)
        for outcome in same:
            inner = [part for name in sorts[id(outcome)].signatures for part in _parts(_stem(name))]
            own = next((named[part] for part in inner if part in named), None)
            if own is not None:
                outcome.changes.append(_said("holds a signature", own.name))
            elif id(outcome) not in others and (of := _perhaps(outcome, exact, stems, sorts[id(outcome)].sort)):
                outcome.changes.append(_said("may be a signature", of))


def _below(holder: Outcome, differing: Mapping[int, Outcome]) -> dict[str, Outcome]:
    """Of each folder of a holder (``""``: the holder), the first thing below it that differs."""
    out: dict[str, Outcome] = {}
    for member in holder.content.members if holder.content else []:
        first = next((o for _, o, _ in flatten(member) if id(o) in differing), None)
        folder = member.name
        while first is not None and folder:
            folder = folder.rpartition("/")[0]
            out.setdefault(folder, first)
    return out


def _near(name: str, below: Mapping[str, Outcome], solid: set[str]) -> Outcome | None:
    """What differs below the folder of a signature without a name of its own, or below one that this lies in, up to
    the first in which stands what the signature may be of and that is the same (``solid``)."""
    folder = name
    while folder:
        folder = _folder(folder)
        if folder in below or folder in solid:
            return below.get(folder)
    return None


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _perhaps(outcome: Outcome, beside: set[str], stems: Mapping[str, str], sort: str) -> str:
    """The name of what differs and has this one's name but for its end, where this may be a signature of it. ``stems``:
    what differs by its name, and by its name without its end."""
    match = _PERHAPS.fullmatch(outcome.name)
    if match:
        return stems.get(match[1]) or stems.get(match[1].rpartition("/")[2], "")
    stem = outcome.name.rpartition(".")[0]
    small = 0 < outcome.size_b <= _SMALL and not sort
    return stem if small and stem in beside else ""


def _of(outcome: Outcome, sort: str) -> str | None:
    """The name of what a signature is of, ``""`` where its name says nothing; ``None`` of what is none."""
    if sort in (KEY, PROGRAM) or 0 <= outcome.size_b < _SHORT:
        return None
    if SIGNATURES.fullmatch(outcome.name) or sort == SIGNATURE:
        return _stem(outcome.name)
    return None


def _stem(name: str) -> str:
    match = SIGNATURES.fullmatch(name)
    if match is None:
        return name.rpartition(".")[0]
    return next((part for part in match.groups() if part), "")


def _parts(name: str) -> set[str]:
    """The last part of a path, with its suffix and without."""
    last = name.rpartition("/")[2].lstrip(".")
    return {last, last.rpartition(".")[0]} - {""}


def _holders(top: Outcome) -> Iterator[Outcome]:
    """Everything that holds something."""
    waiting = [top]
    while waiting:
        holder = waiting.pop()
        members = holder.content.members if holder.content else []
        if members:
            yield holder
            waiting += members


def _pieces(source: int, place: Place) -> Iterator[bytes]:
    at, end = place.start, place.start + place.length
    while at < end:
        piece = os.pread(source, min(_STEP, end - at), at)
        if not piece:
            return
        yield piece
        at += len(piece)


def _copy(source: int, place: Place, target: int, at: int) -> None:
    """Copy a place of an open file into another; by the kernel alone where it can."""
    done = 0
    with suppress(OSError):
        while done < place.length:
            more = os.copy_file_range(source, target, place.length - done, place.start + done, at + done)
            if not more:
                break
            done += more
    for piece in _pieces(source, Place(place.start + done, place.length - done)):
        done += os.pwrite(target, piece, at + done)
