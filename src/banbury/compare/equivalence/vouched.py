"""What vouches for a file's content: attributes of it, and lists of digests beside it. Where that is the same over
contents that differ, it is wrong on one side, and whoever checks it refuses the file there.

Sources: Linux ``security/integrity/ima`` (``security.ima``: a digest or signature of the content); RPM, tag 5090
(FILESIGNATURES, which become ``security.ima``); Alpine's apk, ``APK-TOOLS.checksum.SHA1`` in pax headers; SWUpdate,
``doc/source/sw-description.rst`` (sha256); RAUC, manifest; md5sum(1) and others of its kind.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from banbury.compare.equivalence.containers.contract import Change, Place
from banbury.formats.view import Buffer

_LEAST: Final = 16  # bytes of a digest
_DIGESTS: Final = ("md5", "sha1", "sha256", "sha384", "sha512")
#: What an attribute that is a signature of the content is called in any container (the end of its name).
_SIGNED: Final = ("security.ima", "file signature")
#: What lists of digests are called, and how they write one: in hexadecimal, or in base 64.
_LISTS: Final = re.compile(
    rb"(?:^|/)(?:sw-description|manifest[^/]*|record|index|metadata[^/]*|[^/]*(?:sums?|checksums?|hashes|digests?)"
    rb"|[^/]*(?:md5|sha-?\d+)[^/]*|[^/]*\.(?:sum|hash|mf|json|xml|raucm))$",
    re.IGNORECASE,
)
#: Signatures in files of their own: of the file whose name they have, or (debsigs) of the package that they lie in.
_DETACHED: Final = re.compile(rb"(.+)\.(?:sig|sign|asc|gpg|p7s|cms|minisig|sha256sig)|(?:.*/)?_gpg\w+", re.IGNORECASE)
_WRITTEN: Final = re.compile(rb"[0-9a-z+/_-]{22,128}")
_LARGEST: Final = 1 << 20  # bytes of a list
_WORK: Final = 1 << 30  # bytes that are counted
#: The pieces of a file's content, each time that they are asked for.
Pieces = Callable[[], Iterable[Buffer]]


def stale(a: Mapping[str, object], b: Mapping[str, object], contents: Iterable[Pieces]) -> list[Change]:
    """What is to be said of attributes that two files have in common though their ``contents`` differ, and that are a
    digest or a signature of one of them."""
    both = {name: value for name, value in a.items() if value and b.get(name) == value}
    out = [name for name in both if name.endswith(_SIGNED)]
    likely = {n: _bytes(v) for n, v in both.items() if isinstance(v, (bytes, str)) and len(v) >= _LEAST}
    if likely:
        forms = [form for pieces in contents for form in _forms(pieces())]
        out += [name for name, value in likely.items() if name not in out and any(form in value for form in forms)]
    return [wrong(name) for name in out]


def wrong(name: str) -> Change:
    """What is to be said of such an attribute."""
    return Change(what=name, a="over this content", b="the same, over another: it is wrong on one side")


class Listed:
    """The files of a tree that differ, and those that are the same on both sides and by their names list digests."""

    def __init__(self, read: Callable[[Place | None], Pieces]) -> None:
        self._read = read
        self._differ: list[tuple[bytes, tuple[Place | None, Place | None]]] = []
        self._lists: list[tuple[bytes, Place]] = []
        self._signatures: list[tuple[bytes, bytes | None]] = []  # with what each is of, where its name says that

    def add(self, name: bytes, places: tuple[Place | None, Place | None], *, equal: bool) -> None:
        """Enter a member of both sides."""
        if not equal:
            self._differ.append((name, places))
        elif places[0] and places[0].length <= _LARGEST and _LISTS.search(name):
            self._lists.append((name, places[0]))
        if equal and (of := _DETACHED.fullmatch(name)):
            self._signatures.append((name, of[1]))

    def _stated(self, place: Place) -> set[bytes]:
        """What may be digests in a list; lines of a manifest of Java go on behind a blank."""
        text = b"".join(self._read(place)()).lower()
        return set(_WRITTEN.findall(re.sub(rb"\r?\n ", b"", text)))

    def stale(self) -> Iterator[tuple[bytes, bytes]]:
        """The lists that state a digest of a file that differs, and the signatures of one, each with the first such
        file."""
        differ = [name for name, _ in self._differ]
        for name, of in self._signatures if differ else []:
            if of is None or of in differ:
                yield name, of or differ[0]
        left = _WORK
        stated = {name: self._stated(place) for name, place in self._lists}
        if not any(stated.values()):
            return
        found: dict[bytes, bytes] = {}
        for name, places in self._differ:
            left -= sum(place.length for place in places if place)
            if left < 0:
                break
            digests = {d.lower() for place in places for d in _forms(self._read(place)())[len(_DIGESTS) :]}
            for listing, texts in stated.items():
                if not texts.isdisjoint(digests):
                    found.setdefault(listing, name)
        yield from found.items()


def is_signature(name: str) -> bool:
    """Whether an attribute is a digest or signature of the content by its name."""
    return name.endswith(_SIGNED)


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _forms(pieces: Iterable[Buffer]) -> list[bytes]:
    """The digests of a content, as they are written."""
    counted = [hashlib.new(name, usedforsecurity=False) for name in _DIGESTS]
    for piece in pieces:
        for one in counted:
            one.update(piece)
    raw = [one.digest() for one in counted]
    texts = [digest.hex().encode() for digest in raw]
    coded = [form(d).rstrip(b"=") for form in (base64.b64encode, base64.urlsafe_b64encode) for d in raw]
    return [*raw, *texts, *(t.upper() for t in texts), *coded]
