"""Traditional ``crypt(3)``: twenty-five DES encryptions of a zero block, with the expansion changed by a salt.

The tables are those of FIPS 46-3 (1999), appendix 1; the salt and the encoding follow Morris and Thompson,
"Password Security: A Case History" (CACM 22(11), 1979) and the Unix manual's ``crypt(3)``.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

#: Substitution boxes S1 to S8: four rows each, one hexadecimal digit an entry.
_BOXES: Final = (
    ("e4d12fb83a6c5907", "0f74e2d1a6cb9538", "41e8d62bfc973a50", "fc8249175b3ea06d"),
    ("f18e6b34972dc05a", "3d47f28ec01a69b5", "0e7ba4d158c6932f", "d8a13f42b67c05e9"),
    ("a09e63f51dc7b428", "d709346a285ecbf1", "d6498f30b12c5ae7", "1ad069874fe3b52c"),
    ("7de3069a1285bc4f", "d8b56f03472c1ae9", "a690cb7df13e5284", "3f06a1d8945bc72e"),
    ("2c417ab6853fd0e9", "eb2c47d150fa3986", "421bad78f9c5630e", "b8c71e2d6f09a453"),
    ("c1af92680d34e75b", "af427c9561de0b38", "9ef528c3704a1db6", "432c95fabe17608d"),
    ("4b2ef08d3c975a61", "d0b7491ae35c2f86", "14bdc37eaf680592", "6bd814a7950fe23c"),
    ("d2846fb1a93e50c7", "1fd8a374c56b0e92", "7b419ce206adf358", "21e74a8dfc90356b"),
)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split())


_P: Final = _numbers(
    "16 7 20 21 29 12 28 17 1 15 23 26 5 18 31 10 2 8 24 14 32 27 3 9 19 13 30 6 22 11 4 25",
)
_PC1: Final = _numbers(
    "57 49 41 33 25 17 9 1 58 50 42 34 26 18 10 2 59 51 43 35 27 19 11 3 60 52 44 36 "
    "63 55 47 39 31 23 15 7 62 54 46 38 30 22 14 6 61 53 45 37 29 21 13 5 28 20 12 4"
)
_PC2: Final = _numbers(
    "14 17 11 24 1 5 3 28 15 6 21 10 23 19 12 4 26 8 16 7 27 20 13 2 "
    "41 52 31 37 47 55 30 40 51 45 33 48 44 49 39 56 34 53 46 42 50 36 29 32"
)
_FINAL: Final = _numbers(
    "40 8 48 16 56 24 64 32 39 7 47 15 55 23 63 31 38 6 46 14 54 22 62 30 37 5 45 13 53 21 61 29 "
    "36 4 44 12 52 20 60 28 35 3 43 11 51 19 59 27 34 2 42 10 50 18 58 26 33 1 41 9 49 17 57 25"
)
_SHIFTS: Final = _numbers("1 1 2 2 2 2 2 2 1 2 2 2 2 2 2 1")


def _permute(value: int, width: int, table: tuple[int, ...]) -> int:
    """Bit ``table[i]`` of ``value`` (1 is the most significant of ``width``) becomes bit ``i`` of the result."""
    out = 0
    for source in table:
        out = out << 1 | (value >> (width - source) & 1)
    return out


@cache
def _substitution() -> tuple[tuple[int, ...], ...]:
    """For each box and each of its 64 inputs, the output already permuted by P."""
    boxes = []
    for index, rows in enumerate(_BOXES):
        entries = []
        for i in range(64):
            digit = int(rows[i >> 4 & 2 | i & 1][i >> 1 & 15], 16)
            entries.append(_permute(digit << (28 - 4 * index), 32, _P))
        boxes.append(tuple(entries))
    return tuple(boxes)


def _schedule(password: bytes) -> list[tuple[int, int]]:
    """The sixteen round keys, each as two halves of 24 bits."""
    key = int.from_bytes(bytes((b << 1) & 0xFF for b in password[:8]).ljust(8, b"\0"), "big")
    both = _permute(key, 64, _PC1)
    left, right = both >> 28, both & 0xFFFFFFF
    keys = []
    for shift in _SHIFTS:
        left = (left << shift | left >> (28 - shift)) & 0xFFFFFFF
        right = (right << shift | right >> (28 - shift)) & 0xFFFFFFF
        key48 = _permute(left << 28 | right, 56, _PC2)
        keys.append((key48 >> 24, key48 & 0xFFFFFF))
    return keys


def _salt_mask(salt: str) -> int:
    bits = sum(_ALPHABET.index(c) << (6 * i) for i, c in enumerate(salt))
    return sum(1 << (23 - i) for i in range(12) if bits >> i & 1)


def des_crypt(password: bytes, salt: str) -> str:
    """The 13 characters that ``crypt(password, salt)`` yields; ``salt`` is two characters of ``[./0-9A-Za-z]``.
    Bytes of the password after the eighth do not count."""
    s1, s2, s3, s4, s5, s6, s7, s8 = _substitution()
    keys = _schedule(password)
    swap = _salt_mask(salt)
    left = right = 0
    for _ in range(25):
        for key_high, key_low in keys:
            # The expansion E: eight groups of six bits that overlap by two, taken from a ring of 32 bits.
            ring = (right & 1) << 33 | right << 1 | right >> 31
            high = (ring >> 28 & 63) << 18 | (ring >> 24 & 63) << 12 | (ring >> 20 & 63) << 6 | ring >> 16 & 63
            low = (ring >> 12 & 63) << 18 | (ring >> 8 & 63) << 12 | (ring >> 4 & 63) << 6 | ring & 63
            mixed = (high ^ low) & swap
            high ^= mixed ^ key_high
            low ^= mixed ^ key_low
            left, right = (
                right,
                left
                ^ (s1[high >> 18] ^ s2[high >> 12 & 63] ^ s3[high >> 6 & 63] ^ s4[high & 63])
                ^ (s5[low >> 18] ^ s6[low >> 12 & 63] ^ s7[low >> 6 & 63] ^ s8[low & 63]),
            )
        left, right = right, left
    block = _permute(left << 32 | right, 64, _FINAL) << 2
    return salt + "".join(_ALPHABET[block >> shift & 63] for shift in range(60, -1, -6))
