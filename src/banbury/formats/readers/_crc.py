"""CRC-32C (RFC 3720, appendix B.4) and CRC-16/ANSI, over one buffer or over the rows of an array at once.

The standard library has neither. Rows are what file systems check: thousands of equal-sized inodes or descriptors,
so one pass goes over the columns, each step a few array operations on all rows.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]


@cache
def _table(polynomial: int) -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(polynomial), table >> 1).astype(np.uint32)
    return table


@cache
def _list(polynomial: int) -> list[int]:
    return [int(value) for value in _table(polynomial)]


def crc32c(crc: int, data: bytes) -> int:
    """CRC-32C of a short buffer, continued from ``crc``; neither the start nor the result is inverted."""
    return _crc(crc, data, 0x82F63B78)


def crc16(crc: int, data: bytes) -> int:
    """CRC-16 (polynomial 0x8005, reflected) of a short buffer, continued from ``crc``."""
    return _crc(crc, data, 0xA001)


def _crc(crc: int, data: bytes, polynomial: int) -> int:
    table = _list(polynomial)
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def crc32c_rows(crc: int | Words, rows: npt.NDArray[np.uint8]) -> Words:
    """CRC-32C of every row, continued from ``crc`` (one value, or one for each row)."""
    return _rows(crc, rows, 0x82F63B78)


def crc16_rows(crc: int | Words, rows: npt.NDArray[np.uint8]) -> Words:
    """CRC-16 of every row."""
    return _rows(crc, rows, 0xA001)


def _rows(crc: int | Words, rows: npt.NDArray[np.uint8], polynomial: int) -> Words:
    table = _table(polynomial)
    out = np.empty(len(rows), np.uint32)
    out[:] = crc
    for column in np.ascontiguousarray(rows.T):
        out = table[(out ^ column) & 0xFF] ^ (out >> 8)
    return out
