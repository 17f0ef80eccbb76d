"""The mutation gate of boot images, vendors' headers and packages: accepted single-byte mutants are the declared ones.

As in test_container_mutation.py; checksums are put right after each change, so that it is not a checksum that refuses.
The content of every part is of no format, so that a change in it can only be refused. A second run packs the same
content in two ways, so that the sides differ already: else bytes that nobody reads would not show.
"""

from __future__ import annotations

import gzip
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator

import pytest

from banbury.compare.corpus.recipes import boot, kernels, vendors
from banbury.compare.corpus.writers.boxes import fdt
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Place, Spool, Work
from banbury.compare.equivalence.containers.kernel import KERNEL
from banbury.compare.equivalence.outcome import flatten
from tests.equivalence.container_pairs import ar, tar
from tests.equivalence.decider import decided
from tests.equivalence.test_container_mutation import EVERY, Case, accepted, chosen, within

_PART = bytes(random.Random(11).randbytes(400))
_KERNEL = b"\x11" + _PART + b"\xee"


def _none(mutant: bytes, at: int, value: int) -> bool:
    return False


def _rewritten(sum_of: Callable[[bytes], list[tuple[int, bytes]]]) -> Callable[[bytearray], None]:
    """A repair that puts each (place, bytes) in turn, computed from what is there."""

    def repair(raw: bytearray) -> None:
        for number in range(len(sum_of(bytes(raw)))):
            at, value = sum_of(bytes(raw))[number]
            raw[at : at + len(value)] = value

    return repair


def _tplink() -> Case:
    sample = vendors.tplink(_KERNEL)
    head = sample[:512] + sample[512 : 512 + 600]
    size = len(_KERNEL) + -len(_KERNEL) % 4
    raw = bytearray(head[:124] + struct.pack(">I", len(head)) + head[128:])
    sums = _rewritten(lambda b: [(76, vendors._md5(b[:76], vendors._SALT, b[92:]))])
    raw[144:148] = bytes(4)
    sums(raw)
    assert struct.unpack_from(">I", raw, 132)[0] == size
    return Case(name="tplink", sample=bytes(raw), free=_none, repair=sums, values=2)


def _fit() -> Case:
    sample = boot.fit(_KERNEL)
    time = sample.index(struct.pack(">I", 1_600_000_000))

    def free(mutant: bytes, at: int, value: int) -> bool:
        return within(at, (time, time + 4))

    return Case(name="fit", sample=sample, free=free, values=2)


def _outside() -> Case:
    sample = boot.fit(_KERNEL, gap=b"")
    time = sample.index(struct.pack(">I", 1_600_000_000))
    return Case(name="fit, outside", sample=sample, free=lambda m, at, v: within(at, (time, time + 4)), values=2)


def _deb() -> Case:
    control = tar(("./control", b"Package: x\n"))[:2560]
    data = tar(("./usr/share/x", b"content"))[:2560]
    sample = ar(("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", data), mtime=1_700_000_000)
    heads = [8, 72, 72 + 60 + len(control)]

    def free(mutant: bytes, at: int, value: int) -> bool:
        """Digits, with spaces behind them, of each outer member's time, owner, group and mode: dpkg reads none."""
        for start in heads:
            for first, last, most in ((16, 28, 10), (28, 34, 10), (34, 40, 10), (40, 48, 8)):
                if start + first <= at < start + last:
                    return all(0x30 <= d < 0x30 + most for d in mutant[start + first : start + last].rstrip(b" "))
        return False

    return Case(name="deb", sample=sample, free=free, values=2)


def _image() -> Case:
    """A header that nobody knows, then a device tree and fill: what image.py takes."""
    tree = fdt({"model": "x", "data": _PART})
    sample = (b"BOARD-42" * 8).ljust(256, b"\xff") + tree
    return Case(name="image", sample=sample.ljust(1536, b"\xff"), free=_none, values=2)


def cases() -> Iterator[Case]:
    yield _tplink()
    yield _fit()
    yield _outside()
    yield _deb()
    yield _image()
    yield Case(
        name="trx", sample=_trx(), free=_none, values=2,
        repair=_rewritten(lambda b: [(8, struct.pack("<I", zlib.crc32(b[12:]) ^ 0xFFFFFFFF))]),
    )  # fmt: skip
    yield Case(
        name="seama", sample=vendors.seama(_KERNEL), free=_none, values=2,
        repair=_rewritten(lambda b: [(b.rindex(_SEAMA) + 12, vendors._md5(b[-len(_KERNEL) :]))] if _SEAMA in b else []),
    )  # fmt: skip
    yield Case(name="dni", sample=vendors.dni(_KERNEL), free=_none, values=2, repair=_dni)
    yield Case(name="chk", sample=vendors.chk(_KERNEL), free=_none, values=2)
    yield Case(name="dns", sample=vendors.dns(_KERNEL), free=_none, values=2)
    yield Case(name="ubiquiti", sample=vendors.ubiquiti(_KERNEL), free=_none, values=2, repair=_ubiquiti)
    yield Case(name="sysupgrade", sample=vendors.sysupgrade(_KERNEL), free=_none, values=2, repair=_sysupgrade)
    yield Case(name="android", sample=vendors.android(_KERNEL), free=_none, values=2)


_SEAMA = b"\x5e\xa3\xa4\x17"


def _trx(kernel: bytes = _KERNEL) -> bytes:
    tail = struct.pack("<HH3I", 0, 1, 28, 28 + len(kernel), 0) + kernel + _PART
    return struct.pack("<4sII", b"HDR0", 12 + len(tail), zlib.crc32(tail) ^ 0xFFFFFFFF) + tail


def _dni(raw: bytearray) -> None:
    raw[-1] = 0xFF - (sum(raw[:-1]) & 0xFF)


def _ubiquiti(raw: bytearray) -> None:
    raw[260:264] = struct.pack(">I", zlib.crc32(raw[:260]))
    raw[-20:-16] = struct.pack(">I", zlib.crc32(raw[268:-20]))
    raw[-8:-4] = struct.pack(">I", zlib.crc32(raw[:-12]))


def _sysupgrade(raw: bytearray) -> None:
    raw[-12:-8] = struct.pack(">I", zlib.crc32(raw[:-16]) ^ 0xFFFFFFFF)


@EVERY
@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases()])
def test_accepted_mutants_are_the_declared_ones(case: Case, every: bool) -> None:
    """The bytes (but of long runs), changed to some values: the verdict is what the format's document allows."""
    rng = random.Random(7)
    wrong = []
    for at in chosen(case.sample, range(len(case.sample)), every, _PART):
        was = case.sample[at]
        if at > 64 and case.sample[at - 32 : at + 32] == bytes([was]) * 64:
            continue
        values = {was ^ 1, was ^ 0x80, 0x30, *rng.sample(range(256), case.values)}
        for value in sorted(values - {was}):
            mutant = bytearray(case.sample)
            mutant[at] = value
            if case.repair is not None:
                case.repair(mutant)
            if bytes(mutant) == case.sample:
                continue
            if accepted(case.sample, bytes(mutant)) != case.free(bytes(mutant), at, value):
                wrong.append((at, was, value))
    assert not wrong, (len(wrong), wrong[:12])


_PACKED = [gzip.compress(b"\x11" + bytes(600) + b"\xee", level, mtime=0) for level in (1, 9)]
_LONG = max(map(len, _PACKED))


def _twins() -> Iterator[tuple[str, Callable[[bytes], bytes], Callable[[bytearray], None] | None]]:
    """Images around one part, by name, with what is put right behind a change."""
    yield "fit", boot.fit, None
    yield "fit, outside", lambda part: boot.fit(part, gap=b""), None
    yield "trx", _trx, _rewritten(lambda b: [(8, struct.pack("<I", zlib.crc32(b[12:]) ^ 0xFFFFFFFF))])
    yield "seama", vendors.seama, None
    yield "dni", vendors.dni, _dni
    yield "chk", vendors.chk, None
    yield "dns", vendors.dns, None
    yield "ubiquiti", vendors.ubiquiti, _ubiquiti
    yield "sysupgrade", vendors.sysupgrade, _sysupgrade
    yield "android", vendors.android, None
    yield "image", lambda part: (b"BOARD-42" * 8).ljust(256, b"\xff") + part.ljust(1024, b"\xff"), None


def _equivalent(a: bytes, b: bytes) -> bool:
    return all(verdict.equivalent for _, _, verdict in flatten(decided(a, b)))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "repair"), [pytest.param(*row[1:], id=row[0]) for row in _twins()])
def test_no_mutant_beside_another_packing_is_accepted(
    make: Callable[[bytes], bytes], repair: Callable[[bytearray], None] | None
) -> None:
    """Around a part that is packed in two ways, no byte may change (but a FIT image's time)."""
    a, b = map(make, _PACKED)
    assert _equivalent(a, b)
    start = b.index(_PACKED[1])
    time = b.find(struct.pack(">I", 1_600_000_000)) if b.startswith(b"\xd0\x0d\xfe\xed") else -9
    wrong = []
    for at in (*range(start), *range(start + len(_PACKED[1]), len(b))):
        if at > 64 and b[at - 32 : at + 32] == bytes([b[at]]) * 64:
            continue
        for value in (b[at] ^ 1, b[at] ^ 0x80):
            mutant = bytearray(b)
            mutant[at] = value
            if repair is not None:
                repair(mutant)
            if bytes(mutant) != b and not time <= at < time + 4 and _equivalent(a, bytes(mutant)):
                wrong.append((at, b[at], value))
    assert not wrong, (len(wrong), wrong[:12])


def test_accepted_mutants_of_a_kernel_are_its_build_id() -> None:
    """Around banner and note of a kernel, without records: only the note's twenty bytes may differ."""
    sample = kernels.kernel()[99_900:100_800]
    free = range(sample.index(b"GNU\0") + 4, sample.index(b"GNU\0") + 24)
    for at, was in enumerate(sample):
        for value in (was ^ 1, was ^ 0x80):
            mutant = sample[:at] + bytes([value]) + sample[at + 1 :]
            with tempfile.TemporaryFile() as spool:
                places = Place(0, len(sample)), Place(len(sample), len(mutant))
                work = Work(sample + mutant, *places, Spool(spool.fileno(), 1 << 20))
                try:
                    KERNEL.compare(work)
                except Refused as answer:
                    work.account.refused(answer)
            assert (not work.account.open) == (at in free), (at, was, value)
