"""Attributes of a file that vouch for its content. Where one is the same over contents that differ, it is wrong on one
side, and whoever checks it refuses the file there. (What other files say of it: :mod:`.vouchers`.)

Sources: Linux ``security/integrity/ima`` (``security.ima``: a digest or signature of the content); RPM, tag 5090
(FILESIGNATURES, which become ``security.ima``); Alpine's apk, ``APK-TOOLS.checksum.SHA1`` in pax headers.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.formats.view import Buffer

_LEAST: Final = 8  # bytes of a digest, which may be cut short
_LETTERS: Final = 16  # of base 64
#: What digests are looked for, beside BLAKE2b of 32 bytes.
DIGESTS: Final = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512",
    "blake2b", "blake2s",
)  # fmt: skip
#: What has room for one: so many letters of base 64, bytes that are no text, or hexadecimal digits.
_DIGEST: Final = re.compile(rb"[0-9A-Za-z+/_-]{16}|[^\t\n\r -~]")
_HEX: Final = re.compile(rb"[0-9a-f]{16}")
_PARTING: Final = re.compile(rb"[ :\-\t\n]")
#: What an attribute that is a signature of the content is called in any container (the end of its name).
_SIGNED: Final = ("security.ima", "file signature")
#: Before an extended attribute's name in a tree (two blanks: their order), and those that say nothing of a content. A
#: pax record is like one, whatever its name: vendors have their own.
_EXTENDED: Final = re.compile(r"xattr (?! )|pax (?:SCHILY|LIBARCHIVE)\.xattr\.|pax (?!header's )")
_ASIDE: Final = re.compile(
    r"security\.(?:selinux|capability|SMACK64(?:EXEC|MMAP|TRANSMUTE|IPIN|IPOUT)?)|system\.posix_acl_(?:access|default)"
    r"|RHT\.security\.selinux|SCHILY\.acl\.(?:access|default|ace)"
)
#: Records whose form is known: of pax (the character set) and of star, GNU tar and libarchive (numbers).
_KNOWN: Final = (
    (
        re.compile(r"(?:hdr)?charset"),
        re.compile(rb"BINARY|ISO-IR (?:646 1990|8859 [0-9]{1,2} [0-9]{4}|10646 [0-9]{4}(?: UTF-8)?)"),
    ),
    (
        re.compile(r"SCHILY\.(?:dev|ino|nlink|devmajor|devminor)|LIBARCHIVE\.creationtime"),
        re.compile(rb"-?[0-9]{1,10}(?:\.[0-9]{1,9})?"),
    ),
)
#: Said behind an attribute of a file that may be a digest of its content, in some form (:func:`doubted`).
VOUCHES: Final = " (which may vouch for the content)"
#: A text of words and a few figures, in which no digest is, however it is written.
_WORDS: Final = re.compile(rb"(?:(?:[A-Z]{2,8}+(?![a-z])|[A-Z]?+[a-z]{0,15}+)[0-9]{0,2}+(?:[ ,;:./=_()+-]|\0?\Z))*+")
_FIGURES: Final = 4
#: The digests of a file's content, as they are written (:func:`forms`), when they are asked for.
Forms = Callable[[], list[bytes]]


def stale(a: Mapping[str, object], b: Mapping[str, object], contents: Iterable[Forms]) -> list[Change]:
    """What is to be said of attributes that two files have in common though their ``contents`` differ, and that are a
    digest or a signature of one of them."""
    both = {name: value for name, value in a.items() if value and b.get(name) == value}
    out = [name for name in both if name.endswith(_SIGNED)]
    texts = {n: _bytes(v) for n, v in both.items() if isinstance(v, (bytes, str)) and n not in out}
    found = digests(texts, contents)
    doubts = [n for n, v in texts.items() if n not in found and doubted(n, v)]
    return [*(wrong(name) for name in (*out, *found)), *map(doubtful, doubts)]


def may_vouch(name: str, value: bytes) -> bool:
    """Whether an extended attribute, by its ``name`` and value, may be a digest or signature of its file's content in
    some form: all but those of which it is known what they say, short ones, and words."""
    if _ASIDE.fullmatch(name) or len(value) < _LEAST:
        return False
    if any(names.fullmatch(name) and values.fullmatch(value) for names, values in _KNOWN):
        return False
    return _WORDS.fullmatch(value) is None or sum(48 <= c < 58 for c in value) > _FIGURES


def doubted(name: str, value: bytes) -> bool:
    """Whether what a tree states of a file under a ``name`` is an attribute that may vouch (:func:`may_vouch`)."""
    bare = _bare(name)
    return bool(bare) and may_vouch(bare, value)


def _bare(name: str) -> str:
    """An extended attribute's own name, of what a tree calls it; none if it is no such attribute."""
    prefix = _EXTENDED.match(name)
    return name[prefix.end() :] if prefix else ""


def digests(values: Mapping[str, bytes], contents: Iterable[Forms]) -> list[str]:
    """The names of the values in which a digest of one of some contents stands."""
    likely = {name: _spellings(value) for name, value in values.items() if len(value) >= _LEAST and _room(value)}
    known = {form for content in contents for form in content()} if likely else set()
    return [name for name, spelt in likely.items() if any(form in one for one in spelt for form in known)]


def _spellings(value: bytes) -> tuple[bytes, bytes]:
    """A value as it is, and as hexadecimal digits may be written: in either case, and parted."""
    return value, _PARTING.sub(b"", value).lower()


def _room(value: bytes) -> bool:
    return _DIGEST.search(value) is not None or _HEX.search(_spellings(value)[1]) is not None


def wrong(name: str) -> Change:
    """What is to be said of such an attribute."""
    return Change(what=name, a="over this content", b="the same, over another: it is wrong on one side")


def doubtful(name: str) -> Change:
    """What is to be said of an attribute that may be one."""
    return Change(what=name, a="over this content", b="the same, over another: wrong on one side if it vouches for it")


def is_signature(name: str) -> bool:
    """Whether an attribute is a digest or signature of the content by its name."""
    return name.endswith(_SIGNED)


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def forms(pieces: Iterable[Buffer]) -> list[bytes]:
    """The digests of a content in some pieces, as they are written."""
    counted = [hashlib.new(name, usedforsecurity=False) for name in DIGESTS]
    short = hashlib.blake2b(digest_size=32)
    for piece in pieces:
        short.update(piece)
        for one in counted:
            one.update(piece)
    raw = [*(one.digest() for one in counted), short.digest()]
    coded = [form(d)[:_LETTERS] for form in (base64.b64encode, base64.urlsafe_b64encode) for d in raw]
    return [*(d[:_LEAST] for d in raw), *(d.hex().encode()[: 2 * _LEAST] for d in raw), *coded]
