"""Arm's processors: what the decoders say against objdump, and addresses followed through registers and frames."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.leaf import compare_elf
from banbury.compare.equivalence.machines import a32, a64, t32
from banbury.compare.equivalence.machines.arm_attributes import attributes
from banbury.compare.equivalence.machines.flow import MIXED, Graph, follow, unproved
from banbury.formats.view import View
from tests.equivalence import build, pairs_moved_arm

_LINE = re.compile(r"^ *([0-9a-f]+):\t[0-9a-f]{8} *\t(\S+)(?:\s+(.*))?$")
_REGISTER = re.compile(r"\b[wx](\d+)\b")
_LEADS = re.compile(r"(?:^|, )(?:0x)?([0-9a-f]+) <|(?:^|, )([0-9a-f]+)$")
_RELATIVE = re.compile(r"^(b|bl|b\.\w+|cbn?z|tbn?z|adr)$")


def disassembled(raw: bytes, folder: Path) -> list[tuple[int, str, str]]:
    """(address, name, operands) of all instructions, by objdump."""
    build.need("aarch64-linux-gnu-objdump")
    path = folder / "program"
    path.write_bytes(raw)
    command = ["aarch64-linux-gnu-objdump", "-d", "-z", "-j", ".text", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(int(m[1], 16), m[2], (m[3] or "").partition("//")[0].strip()) for m in map(_LINE.match, lines) if m]


@pytest.mark.parametrize("flags", [(), ("-O0",), ("-Os", "-march=armv8.1-a+lse"), ("-O3",)])
def test_a64_operands_are_those_of_objdump(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Relative operands lead where objdump says, and every register that objdump names is read or written."""
    raw = pairs_moved_arm.built("aarch64", "1.2.3", *flags)
    section = build.elf(raw).get_section_by_name(".text")
    code = np.frombuffer(section.data(), "<u4").astype(np.uint32)
    decoded, step = a64.decode(code), a64.displacement(code)
    lines = disassembled(raw, tmp_path)
    assert len(lines) == len(code)
    leads = 0
    for index, (at, name, rest) in enumerate(lines):
        if _RELATIVE.match(name) and (found := _LEADS.search(rest)):
            assert at + step[index] == int(found[1] or found[2], 16), (hex(at), name, rest)
            assert decoded.relative[index]
            leads += 1
        if name == "adrp":
            assert (at // 4096 + step[index]) * 4096 == int(rest.split()[1], 16)
        if name in (".word", "udf", "ret", "nop", "sys", "svc") or rest.startswith("p"):
            continue
        named = {int(n) for n in _REGISTER.findall(rest)} - {31}
        base = int(decoded.base[index])
        ours = int(decoded.reads[index] | decoded.writes[index]) | (1 << base if base != a64.NONE else 0)
        missing = {n for n in named if not ours >> n & 1}
        assert not missing, (hex(at), name, rest)
        if name not in ("bl", "blr"):  # a call writes the link register
            assert ours == sum(1 << n for n in named), (hex(at), name, rest, hex(ours))
    assert leads > 20


_ARM_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f ]+?) *\t([^.\s]\S*)\s*([^@;]*)")
_ARM_BRANCH = re.compile(r"^(?:b|bl|blx|cbn?z|b(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le))(?:\.[nw])?$")
_NAMES = {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15, **{f"r{i}": i for i in range(16)}}
_SPAN = re.compile(r"\b(r\d+|sl|fp|ip)-(r\d+|sl|fp|ip|lr)\b")


@pytest.mark.parametrize("flags", [(), ("-marm",), ("-Os",), ("-O0",), ("-O0", "-marm")])
def test_a32_and_t32_operands_are_those_of_objdump(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Direct branches lead where objdump says, and no register that objdump names is overlooked."""
    raw = pairs_moved_arm.built("arm", "1.2.3", *flags)
    section = build.elf(raw).get_section_by_name(".text")
    data, base = section.data() + bytes(8), section["sh_addr"]
    t32s = t32.decode_t32(np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.uint32))
    a32s = a32.decode_a32(np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32))
    path = tmp_path / "program"
    path.write_bytes(raw)
    build.need("arm-linux-gnueabihf-objdump")
    command = ["arm-linux-gnueabihf-objdump", "-d", "-j", ".text", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    leads = 0
    for match in filter(None, map(_ARM_LINE.match, lines)):
        at, digits, name, rest = int(match[1], 16) - base, match[2], match[3], match[4]
        short = len(digits.replace(" ", "")) == 4 or " " in digits
        ours, index = (t32s, at // 2) if short else (a32s, at // 4)
        if _ARM_BRANCH.match(name) and (found := re.search(r"\b([0-9a-f]+) <", rest)):
            assert ours.target[index] + base == int(found[1], 16), match[0]
            leads += 1
            continue
        if ours.conditional[index]:  # not certainly written
            continue
        listed = _SPAN.sub(lambda m: ",".join(f"r{n}" for n in range(_NAMES[m[1]], _NAMES[m[2]] + 1)), rest)
        named = {_NAMES[n] for n in re.findall(r"\b(r\d+|sl|fp|ip|lr)\b", listed)} - {13, 15}
        known = int(ours.reads[index] | ours.writes[index])
        assert ours.calls[index] or all(known >> n & 1 or ours.joins[index] == n for n in named), match[0]
    assert leads > 20


def graph(writes: dict[int, int], reads: dict[int, int], uses: dict[int, int], edges: list[tuple[int, int]]) -> Graph:
    size = 12
    out = [np.zeros(size, np.uint32), np.zeros(size, np.uint32), np.full(size, 255, np.uint8)]
    for array, given in zip(out, (reads, writes, uses), strict=True):
        for at, value in given.items():
            array[at] = value
    falls = np.ones(size, bool)
    falls[-1] = False
    pairs = np.array(sorted(edges) or np.zeros((0, 2)), np.int64).reshape(-1, 2)
    return Graph(out[0], out[1], out[2], falls, pairs[:, 0], pairs[:, 1])


def one(*values: int) -> Ints:
    return np.array(values, np.int64)


def test_a_value_is_followed_to_its_users_until_it_is_overwritten() -> None:
    """Over a branch too; behind the write, and in other registers, nothing is a user."""
    code = graph({6: 1 << 3}, {}, {2: 3, 4: 5, 8: 3, 10: 3}, [(1, 10)])
    found = follow(code, one(1), one(3), one(7))
    assert found.users.tolist() == [2, 10]
    assert found.labels.tolist() == [7, 7]
    assert not len(found.escaped)


def test_two_values_in_one_register_are_mixed_and_a_read_escapes() -> None:
    code = graph({3: 2}, {8: 2}, {6: 1}, [(2, 5)])
    found = follow(code, one(1, 4), one(1, 1), one(0, 9))
    assert found.users.tolist() == [6]
    assert found.labels.tolist() == [MIXED]
    assert found.escapes.tolist() == [8, 8] or MIXED in found.escaped.tolist()


def test_a_user_that_another_path_reaches_is_not_proved() -> None:
    """Where a path goes around the definition, or comes from where nothing is known."""
    defines = np.full(12, -1, np.int64)
    defines[2] = 4
    nowhere = np.zeros(13, bool)
    straight = graph({2: 1}, {}, {5: 0}, [])
    assert not len(unproved(straight, one(5), one(0), one(4), defines, nowhere))
    around = graph({2: 1}, {}, {5: 0}, [(1, 4)])
    assert len(unproved(around, one(5), one(0), one(4), defines, nowhere))
    entered = nowhere.copy()
    entered[4] = True
    assert len(unproved(straight, one(5), one(0), one(4), defines, entered))
    other = graph({2: 1, 4: 1}, {}, {5: 0}, [])
    assert len(unproved(other, one(5), one(0), one(4), defines, nowhere))


def test_following_anything_ends() -> None:
    """Random graphs are followed to an end, and random words are decoded to something."""
    rnd = random.Random(5)
    for _ in range(200):
        edges = [(rnd.randrange(12), rnd.randrange(12)) for _ in range(rnd.randrange(20))]
        masks = [{rnd.randrange(12): 1 << rnd.randrange(4) for _ in range(4)} for _ in range(3)]
        code = graph(masks[0], masks[1], {k: v.bit_length() - 1 for k, v in masks[2].items()}, edges)
        try:
            follow(code, one(*range(4)), one(0, 1, 2, 3), one(0, 1, 0, 2))
        except Refused:
            continue
    a64.decode(np.frombuffer(rnd.randbytes(40000), "<u4").astype(np.uint32))


@pytest.mark.parametrize(
    ("attribute", "why"),
    [(b"\x0f\2", "a static base"), (b"\x0e\1", "a static base"), (b"\6\x0c", "byte by byte"), (b"\x0f\0", "")],
)
def test_code_that_makes_addresses_in_other_ways_is_not_decided(attribute: bytes, why: str) -> None:
    """As the build attributes of the file say."""
    made = []
    for version in (pairs_moved_arm.SHORT, pairs_moved_arm.LONG):
        raw = pairs_moved_arm.built("arm", version)
        at, size = build.place(raw, ".ARM.attributes")
        old = b"\6\x0a" if attribute[0] == 6 else b"\x18\1"
        made.append(build.put(raw, raw.index(old, at, at + size), attribute))
    found = compare_elf(View(made[0]), View(build.strip(made[1], "arm")), *pairs_moved_arm.RECORDS)

    assert found.verdict.equivalent is not bool(why)
    assert not why or any(why in u.why for u in found.unexplained)


def test_build_attributes_are_read() -> None:
    raw = build.program("arm")
    at, size = build.place(raw, ".ARM.attributes")
    whole = raw[at : at + size]

    assert attributes(whole, False)[6] == 10  # Armv7
    for cut in range(size):
        attributes(whole[:cut], False)
