"""Where a content vouches for another: states a digest of it, in whatever form, or is a signature by its own bytes.

A worker looks through contents that are the same on both sides, for digests of contents that differ: each is wrong on
one side, and whoever checks it refuses the file there. Contents are told by what they hold, not by their names;
archives and streams are opened by the strict readers that compare them. What no reader opens is searched as it is.

Sources: base 64 (RFC 4648); signatures: RFC 4880 section 6.2 (armour), RFC 5652 (CMS), RFC 7468, minisign and OpenWrt's
usign; cryptsetup, docs/on-disk-format of dm-verity; Android Verified Boot, vbmeta. Those two hold digests with a salt.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

from banbury.compare.equivalence.containers.contract import Comparator, Place, Work
from banbury.compare.equivalence.containers.registry import claimed
from banbury.compare.equivalence.protocol import KEY, PROGRAM, SIGNATURE, SIGNATURES, TEXT, Looked, Wanted

_STEP: Final = 4 << 20
_HEAD: Final = 8  # bytes of a form that it is found by
_LENGTHS: Final = (8, 12, 16)  # of the forms: bytes, base 64, hexadecimal
_SHORT: Final = 4096  # bytes of a text that may be a signature with a word to it
_SMALL: Final = 1 << 16  # bytes of what is told by what it begins with
_MOST: Final = 64  # places and names that are looked at
_DEPTH: Final = 6  # containers in one another
_LARGEST: Final = 256 << 20  # bytes of what came out of a container and is opened in its turn
_LISTED: Final = 4 << 20  # bytes of a text in which a file may be named
_WORDS: Final = re.compile(rb"[\w.+~-]+")
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_LONG: Final = "of output in one step"  # what a reader says that has no more room
_SORTS: Final = (
    (PROGRAM, re.compile(rb"\x7fELF")),
    (SIGNATURE, re.compile(rb"verity\0\0|AVB0")),
    (KEY, re.compile(rb"\s*-----BEGIN (?:PGP )?(?:PUBLIC|PRIVATE) KEY")),
    (SIGNATURE, re.compile(rb"\s*-----BEGIN (?:PGP SIGNATURE|PKCS ?#?7|CMS|SIGNED)")),
    (SIGNATURE, re.compile(rb"\x30[\x80-\x84].{0,4}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", re.DOTALL)),
)
#: What usign, signify and minisign write: a comment, which says nothing for certain, and a value in base 64.
_COMMENTED: Final = re.compile(rb"untrusted comment: [^\n]*\n([A-Za-z0-9+/=]+)")
_KEY_SIZES: Final = (42, 104, 158)  # bytes of public and secret keys; signatures have 74
_KEY_TAGS: Final = (5, 6, 7, 14)
_TOKEN: Final = re.compile(rb"\s*(?:[A-Za-z0-9+/=_.-]{20,}(?:\s+|\Z))+")  # each word in one way: no backtracking
_CODED: Final = re.compile(rb"[A-Za-z0-9+/_-]{40,}")
_BETWEEN: Final = b" \t\r\n,.:;-_{}()[]\"'\\"  # between groups of hexadecimal digits
_SUM: Final = 8  # digits of a checksum
_YEAR: Final = re.compile(rb"19[7-9]\d|20\d\d")
_NEAR: Final = 256  # bytes between a file's name and a number that is said of it


def _forms(digest: bytes) -> Iterator[bytes]:
    """How a digest is written, or begins: 64 bits of it are met nowhere by chance, and some lists cut them short."""
    text = binascii.hexlify(digest[:_HEAD])
    coded = binascii.b2a_base64(digest[:9])[:12]
    yield from (digest[:_HEAD], text, text.upper(), coded)
    if b"+" in coded or b"/" in coded:
        yield coded.replace(b"+", b"-").replace(b"/", b"_")


def _sort(content: bytes) -> str:
    """Of what sort a content is, by its first bytes and whether it is a text."""
    if commented := _COMMENTED.match(content):
        return KEY if len(commented[1]) * 3 // 4 - commented[1].count(b"=") in _KEY_SIZES else SIGNATURE
    if _is_key(content):
        return KEY
    found = next((sort for sort, form in _SORTS if form.match(content)), "")
    value = _TOKEN.fullmatch(content) or (len(content) <= _SHORT and _CODED.search(content))
    return found or (TEXT if _wordy(content) and not value else "")


def _is_key(content: bytes) -> bool:
    """Whether a content begins with a whole packet of OpenPGP that is a key (RFC 4880, 4.2 and 5.5), and goes on with
    another or ends."""
    if len(content) < 8 or content[0] < 0x80:
        return False
    if content[0] & 0x40:
        tag, size, head = content[0] & 63, content[1], 2
        if size >= 192:
            size, head = (size - 192 << 8) + content[2] + 192, 3
    else:
        tag, head = content[0] >> 2 & 15, 2 + (content[0] & 1)
        size = int.from_bytes(content[1:head], "big")
    end = head + size
    whole = end == len(content) or (end < len(content) and content[end] >= 0x80)
    return tag in _KEY_TAGS and content[head] in range(2, 7) and whole


def _wordy(content: bytes) -> bool:
    """Whether a content is a text, or begins with one: nearly all of its first bytes are printed, most in ASCII."""
    head = content[:4096]
    plain = len(head.translate(None, bytes([*range(9), *range(14, 32), *range(127, 256)])))
    others = len(head.translate(None, bytes(range(128))))
    return plain > 0.6 * len(head) > 0 and plain + others > 0.9 * len(head)


def _readings(content: bytes) -> Iterator[bytes]:
    """What digests may stand in once more: without what parts digits, and decoded from base 64."""
    yield content.replace(b"0x", b"").replace(b"\\x", b"").translate(None, _BETWEEN).lower()
    runs = [r.translate(bytes.maketrans(b"-_", b"+/")) for r in _CODED.findall(content.translate(None, b"\r\n"))]
    for start in range(4):  # a word before may have joined it
        yield b" ".join(binascii.a2b_base64(r[start:] + b"A" * (-len(r[start:]) % 4)) for r in runs)


_Words = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Patterns:
    """The forms of what is wanted, found in one pass: a table of what their first bytes are, which nearly no place of a
    content meets, and then the whole form."""

    def __init__(self, things: list[Wanted]) -> None:
        self._forms: dict[bytes, int] = {}
        self._names: dict[bytes, list[tuple[int, frozenset[bytes]]]] = {}
        for number, one in enumerate(things):
            for side, digests in enumerate(one.digests):
                for digest in digests:
                    for form in _forms(digest):
                        self._forms.setdefault(form, 2 * number + side)
            if one.name and one.numbers:
                self._names.setdefault(one.name, []).append((number, frozenset(one.numbers)))
        self._odd = [name for name in self._names if not _WORDS.fullmatch(name)]
        heads = np.frombuffer(b"".join(form[:_HEAD] for form in self._forms), "<u8")
        bits = 16 if len(heads) < 1 << 10 else 24
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self._places(heads)] = True

    def _places(self, words: _Words) -> _Words:
        return (words * _MIX) >> self._shift

    def within(self, read: Callable[[int, int], bytes], size: int) -> set[int]:
        """The numbers of what is told of in a content of ``size`` bytes; ``read`` gives its bytes from one place, so
        many, or fewer at its end."""
        found: set[int] = set()
        for at in range(0, size, _STEP):
            piece = read(at, _STEP + _LENGTHS[-1])
            for shift in range(min(_HEAD, len(piece) - _HEAD + 1)):
                words = np.frombuffer(piece, "<u8", (len(piece) - shift) // _HEAD, shift)
                for place in (np.flatnonzero(self._table[self._places(words)]) * _HEAD + shift).tolist():
                    forms = (self._forms.get(piece[place : place + length]) for length in _LENGTHS)
                    found.update(number for number in forms if number is not None)
        return found

    def named(self, text: bytes) -> set[int]:
        """The numbers of what a text names, with a checksum or size of it near by."""
        if not self._names:
            return set()
        words = set(_WORDS.findall(text))
        names = [*(words & self._names.keys()), *(name for name in self._odd if name in text)]
        known = [(name, n, said) for name in names for n, numbers in self._names[name] if (said := numbers & words)]
        told = {n for _, n, said in known if any(_alone(text, number) for number in said)}
        left = [(name, n, said) for name, n, said in known if n not in told]
        places = _places(text, {word for name, _, said in left for word in (name, *said)}) if left else {}
        return told | {n for name, n, said in left if any(_near(places, name, number) for number in said)}


def _alone(text: bytes, number: bytes) -> bool:
    """Whether a number says something of a file that a text names, wherever it stands: a checksum, and in a short text
    a size too, but for years."""
    return len(number) >= _SUM or (len(text) <= _SMALL and len(number) > 3 and not _YEAR.fullmatch(number))


def _places(text: bytes, words: set[bytes]) -> dict[bytes, list[int]]:
    """Where words stand in a text: the first places of each."""
    out: dict[bytes, list[int]] = {word: [] for word in words}
    for match in _WORDS.finditer(text):
        found = out.get(match[0])
        if found is not None and len(found) < _MOST:
            found.append(match.start())
    for word in (word for word in words if not _WORDS.fullmatch(word)):
        out[word] = [m.start() for m, _ in zip(re.finditer(re.escape(word), text), range(_MOST), strict=False)]
    return out


def _near(places: dict[bytes, list[int]], name: bytes, number: bytes) -> bool:
    return any(abs(at - place) <= _NEAR + len(name) for at in places[number] for place in places[name])


def look(work: Work, patterns: Patterns, opened: Callable[[Work, Comparator], object]) -> Looked:
    """Look through the content that both sides of ``work`` are; ``opened`` reads a container into its books."""
    inside = _Inside(patterns, opened)
    place = work.place_b
    inside.found |= patterns.within(partial(work.read, place), place.length)
    sort = inside.look(work, _DEPTH)
    return Looked(
        found=sorted(inside.found),
        named=sorted(inside.named),
        sort=sort,
        signatures=sorted(inside.signatures)[:_MOST],
        why=inside.why,
    )


class _Inside:
    """What is told of within a content that was searched as it is."""

    def __init__(self, patterns: Patterns, opened: Callable[[Work, Comparator], object]) -> None:
        self._patterns, self._opened = patterns, opened
        self.found: set[int] = set()
        self.named: set[int] = set()
        self.signatures: set[str] = set()
        self.why = ""

    def look(self, work: Work, depth: int) -> str:
        """In a text what it names, in a container what it holds; of what sort it is."""
        place = work.place_b
        sort = _sort(work.read(place, 0, _SMALL))
        comparator = claimed(work.b) if sort != PROGRAM else None
        if comparator is None:
            if sort != PROGRAM and place.length <= _LISTED:
                self._read(work.read(place, 0, place.length))
            return sort
        if not depth:
            self.why = f"more than {_DEPTH} containers in one another"
            return sort
        self._opened(work, comparator)
        self.why = next((u.why for u in work.account.open if _LONG in u.why), self.why)
        self.signatures |= {m.path for m in work.members if SIGNATURES.fullmatch(m.path)}
        for place in dict.fromkeys(m.b for m in work.members if m.b is not None and m.b.length):
            if not place.spool:
                self.look(Work(work.data, place, place, work.spool), depth - 1)
                continue
            self.found |= self._patterns.within(partial(work.read, place), place.length)
            if place.length > _LARGEST:
                self.why = f"more than {_LARGEST >> 20} MiB in a container"
                continue
            whole = Place(0, place.length)
            self.look(Work(work.read(place, 0, place.length), whole, whole, work.spool), depth - 1)
        return sort

    def _read(self, content: bytes) -> None:
        """A text, in one byte or two for each letter."""
        if content[:512].count(0) > len(content[:512]) // 3:
            content = content.replace(b"\0", b"")
        if not _wordy(content):
            return
        self.named |= self._patterns.named(content)
        for reading in _readings(content):
            self.found |= self._patterns.within(lambda at, n, r=reading: r[at : at + n], len(reading))  # type: ignore[misc]
