"""Password hashing as ``crypt(3)`` does it, to try well-known default passwords against a stored hash.

MD5-crypt and Apache's variant follow Poul-Henning Kamp's algorithm (FreeBSD ``crypt-md5.c``, 1994); SHA-crypt follows
Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512" (version 0.6, 2016). DES crypt is in ``_descrypt``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

from banbury.inspect.inspectors._descrypt import des_crypt
from banbury.model.facts import Tri

_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Most hash computations that one account may cost, so that a hostile ``rounds=`` cannot stall the laboratory.
ITERATIONS: Final = 300_000
_DES_COST: Final = 1500  # one DES crypt costs about as much as this many digests

_Hash = Callable[[bytes], bytes]

#: Order in which the digest's bytes are written (least significant sextet first), from the specifications above.
_MD5_ORDER: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,))
_SHA256_ORDER: Final = (
    *((0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14), (15, 25, 5), (6, 16, 26), (27, 7, 17)),
    *((18, 28, 8), (9, 19, 29), (31, 30)),
)
_SHA512_ORDER: Final = (
    *((0, 21, 42), (22, 43, 1), (44, 2, 23), (3, 24, 45), (25, 46, 4), (47, 5, 26), (6, 27, 48), (28, 49, 7)),
    *((50, 8, 29), (9, 30, 51), (31, 52, 10), (53, 11, 32), (12, 33, 54), (34, 55, 13), (56, 14, 35)),
    *((15, 36, 57), (37, 58, 16), (59, 17, 38), (18, 39, 60), (40, 61, 19), (62, 20, 41), (63,)),
)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _encode(digest: bytes, order: Sequence[tuple[int, ...]]) -> str:
    out = bytearray()
    for group in order:
        value = 0
        for index in group:
            value = value << 8 | digest[index]
        for _ in range(len(group) + 1):
            out.append(_ALPHABET[value & 63])
            value >>= 6
    return out.decode()


def _stretch(hash_: _Hash, digest: bytes, password: bytes, salt: bytes, rounds: int) -> bytes:
    """The loop common to MD5-crypt and SHA-crypt. What each round adds to the digest repeats after 2·3·7 rounds."""
    tails, heads = [], []
    for i in range(0, 42, 2):
        tails.append((salt if i % 3 else b"") + (password if i % 7 else b"") + password)
        odd = i + 1
        heads.append(password + (salt if odd % 3 else b"") + (password if odd % 7 else b""))
    pairs = list(zip(tails, heads, strict=True))
    for done in range(0, rounds - 1, 42):
        for tail, head in pairs[: (rounds - done) // 2]:
            digest = hash_(head + hash_(digest + tail))
    return hash_(digest + tails[(rounds // 2) % 21]) if rounds % 2 else digest


def md5_crypt(password: bytes, salt: bytes, magic: bytes = b"$1$") -> str:
    """The 22 characters after the salt of ``$1$`` (or ``$apr1$``) for ``password``; ``salt`` has at most 8 bytes."""
    inner = _md5(password + salt + password)
    start = password + magic + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        start += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    return _encode(_stretch(_md5, _md5(start), password, salt, 1000), _MD5_ORDER)


def sha_crypt(password: bytes, salt: bytes, rounds: int, bits: int) -> str:
    """The characters after the salt of ``$5$`` (``bits`` 256) or ``$6$`` (512); ``salt`` has at most 16 bytes."""
    hash_, size, order = (_sha256, 32, _SHA256_ORDER) if bits == 256 else (_sha512, 64, _SHA512_ORDER)
    inner = hash_(password + salt + password)
    start = password + salt + (inner * (len(password) // size + 1))[: len(password)]
    count = len(password)
    while count:
        start += inner if count & 1 else password
        count >>= 1
    digest = hash_(start)
    p = (hash_(password * len(password)) * (len(password) // size + 1))[: len(password)]
    s = (hash_(salt * (16 + digest[0])) * (len(salt) // size + 1))[: len(salt)]
    return _encode(_stretch(hash_, digest, p, s, rounds), order)


_ALGORITHMS: Final = (
    ("MD5-crypt", r"\$1\$[^$:]{0,8}\$[./0-9A-Za-z]{22}"),
    ("Apache MD5-crypt", r"\$apr1\$[^$:]{0,8}\$[./0-9A-Za-z]{22}"),
    ("SHA-256-crypt", r"\$5\$(?:rounds=\d{1,9}\$)?[^$:]{0,16}\$[./0-9A-Za-z]{43}"),
    ("SHA-512-crypt", r"\$6\$(?:rounds=\d{1,9}\$)?[^$:]{0,16}\$[./0-9A-Za-z]{86}"),
    ("bcrypt", r"\$2[abxy]?\$\d\d\$[./0-9A-Za-z]{53}"),
    ("yescrypt", r"\$y\$[./0-9A-Za-z]{1,20}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}"),
    ("gost-yescrypt", r"\$gy\$[./0-9A-Za-z]{1,20}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}"),
    ("scrypt", r"\$7\$[./0-9A-Za-z]{11,200}\$[./0-9A-Za-z]{43}"),
    ("NT hash", r"\$3\$\$[0-9a-f]{32}"),
    ("Sun MD5", r"\$md5[$,][^:]{1,200}"),
    ("SHA-1 (unsalted)", r"\{SHA\}[+/0-9A-Za-z]{27}="),
    ("SHA-1 (salted)", r"\{SSHA\}[+/0-9A-Za-z]{28,80}={0,2}"),
    ("BSDi DES crypt", r"_[./0-9A-Za-z]{19}"),
    ("DES crypt", r"[./0-9A-Za-z]{13}"),
)
_COMPILED: Final = tuple((name, re.compile(pattern)) for name, pattern in _ALGORITHMS)


def algorithm_of(stored: str) -> str:
    """The name of the algorithm that wrote ``stored``, or ``"unknown"``."""
    return next((name for name, pattern in _COMPILED if pattern.fullmatch(stored)), "unknown")


def salted(algorithm: str, stored: str) -> Tri:
    """Whether the stored hash holds a salt."""
    if algorithm == "unknown":
        return Tri.UNKNOWN
    if algorithm in {"NT hash", "SHA-1 (unsalted)"}:
        return Tri.NO
    return Tri.NO if stored.startswith(("$1$$", "$5$$", "$6$$", "$apr1$$")) else Tri.YES


def _check(algorithm: str, stored: str) -> tuple[Callable[[bytes], bool], int] | None:
    """A function that tests one password against ``stored`` and what a call costs, in digests."""
    fields = stored.split("$")
    if algorithm in {"MD5-crypt", "Apache MD5-crypt"}:
        magic, salt = f"${fields[1]}$".encode(), fields[2].encode()
        return (lambda p: md5_crypt(p, salt, magic) == fields[3]), 1000
    if algorithm in {"SHA-256-crypt", "SHA-512-crypt"}:
        rounds = int(fields[2][7:]) if len(fields) == 5 else 5000
        rounds = min(max(rounds, 1000), 999_999_999)
        bits, salt = (256 if fields[1] == "5" else 512), fields[-2].encode()
        return (lambda p: sha_crypt(p, salt, rounds, bits) == fields[-1]), rounds
    if algorithm == "DES crypt":
        return (lambda p: des_crypt(p, stored[:2]) == stored), _DES_COST
    if algorithm == "SHA-1 (unsalted)":
        return (lambda p: base64.b64encode(hashlib.sha1(p, usedforsecurity=False).digest()).decode() == stored[5:]), 1
    return None


def try_defaults(stored: str, candidates: Sequence[str]) -> tuple[Tri, str, int]:
    """Whether one of ``candidates`` (most likely first) is the password, which, and how many were tried.

    "No" means none of those tried; "cannot tell" means that the algorithm is not implemented here, or that its
    stated rounds would cost more than :data:`ITERATIONS` digests for a single candidate.
    """
    prepared = _check(algorithm_of(stored), stored)
    if prepared is None:
        return Tri.UNKNOWN, "", 0
    check, cost = prepared
    tried = candidates[: ITERATIONS // cost]
    for count, candidate in enumerate(tried, 1):
        if check(candidate.encode()):
            return Tri.YES, candidate, count
    return (Tri.NO if tried else Tri.UNKNOWN), "", len(tried)
