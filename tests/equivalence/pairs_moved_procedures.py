"""Labelled pairs of MIPS programs whose code stands elsewhere and whose descriptors of procedures (.pdr) go with it."""

from __future__ import annotations

import struct

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

_FLAGS = "-fPIC", "-shared", "-Wl,-soname,aaaaaaaaaaaaa"  # a library has its notes in front of its code
_SOURCE = """
static int seen;
int one(int k) { return seen += k; }
int two(int k) { char room[200]; __builtin_memset(room, one(k), sizeof room); __asm__("" : : "r"(room) : "memory");
    return room[k]; }
int three(int k) { return two(k) + one(k); }
"""


def _built(arch: str, kind: str) -> bytes:
    return build.program(arch, *_FLAGS, f"-Wl,--build-id={kind}", source=_SOURCE)


for _arch in ("mips", "mipsel"):

    @harmless(f"moved-procedures-{_arch}")
    def _(arch: str = _arch) -> Sample:
        made = _built(arch, "sha1"), _built(arch, "0xabcdef0123456789")
        assert _words(made[0]) != _words(made[1])
        return Sample(*made)


def _words(raw: bytes) -> bytes:
    at, size = build.place(raw, ".pdr")
    return raw[at : at + size]


def _with(change: bytes, record: int, word: int) -> Sample:
    """The second file with a word of one descriptor as another says."""
    made = _built("mips", "sha1"), _built("mips", "0xabcdef0123456789")
    return Sample(made[0], build.put(made[1], build.place(made[1], ".pdr")[0] + 32 * record + 4 * word, change))


@tampered("moved-procedures-left-behind")
def _() -> Sample:
    """The address of one function is as it was."""
    return _with(_words(_built("mips", "sha1"))[32:36], 1, 0)


@tampered("moved-procedures-frame")
def _() -> Sample:
    return _with(struct.pack(">I", 24), 1, 5)


@tampered("moved-procedures-fewer")
def _() -> Sample:
    """One function has no descriptor any more."""
    return _with(bytes(4), 2, 0)
