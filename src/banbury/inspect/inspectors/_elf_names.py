"""Names for the numbers of ELF headers.

Sources: gABI chapter 4; e_machine assignments as registered with the gABI; the processor supplements of MIPS, ARM,
RISC-V, PowerPC and LoongArch for ``e_flags``; "MIPS O32 ABI - FR0 and FR1 Interlinking" for the ABI flags.
"""

from __future__ import annotations

from typing import Final

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.model.errors import Malformed

MACHINES: Final[dict[int, str]] = {
    2: "SPARC",
    3: "x86",
    4: "m68k",
    8: "MIPS",
    10: "MIPS (R3000 little-endian)",
    15: "PA-RISC",
    18: "SPARC 32+",
    20: "PowerPC",
    21: "PowerPC64",
    22: "S/390",
    36: "V800",
    40: "ARM",
    42: "SuperH",
    43: "SPARC V9",
    45: "ARC",
    47: "H8/300H",
    50: "IA-64",
    62: "x86-64",
    76: "CRIS",
    83: "AVR",
    87: "V850",
    88: "M32R",
    92: "OpenRISC",
    93: "ARCompact",
    94: "Xtensa",
    106: "Blackfin",
    113: "Nios II",
    164: "Hexagon",
    183: "AArch64",
    185: "AVR32",
    187: "TILE64",
    188: "TILEPro",
    189: "MicroBlaze",
    191: "TILE-Gx",
    195: "ARCv2",
    243: "RISC-V",
    247: "eBPF",
    252: "C-SKY",
    258: "LoongArch",
    0x9026: "Alpha",
    0x9041: "M32R",
}

OS_ABIS: Final[dict[int, str]] = {
    0: "System V",
    1: "HP-UX",
    2: "NetBSD",
    3: "GNU/Linux",
    6: "Solaris",
    7: "AIX",
    8: "IRIX",
    9: "FreeBSD",
    12: "OpenBSD",
    64: "ARM EABI",
    97: "ARM",
    255: "standalone",
}

_MIPS_ISA: Final = (
    "MIPS I",
    "MIPS II",
    "MIPS III",
    "MIPS IV",
    "MIPS V",
    "MIPS32",
    "MIPS64",
    "MIPS32r2",
    "MIPS64r2",
    "MIPS32r6",
    "MIPS64r6",
)
_MIPS_ABI: Final = {0x1000: "o32", 0x2000: "o64", 0x3000: "EABI32", 0x4000: "EABI64"}
_MIPS_MACH: Final = {
    0x8A: "SB-1",
    0x8B: "Octeon",
    0x8C: "XLR",
    0x8D: "Octeon 2",
    0x8E: "Octeon 3",
    0x92: "5900",
    0xA0: "Loongson 2E",
    0xA1: "Loongson 2F",
    0xA2: "Loongson 3A",
}
_MIPS_FP: Final = {1: "hard", 2: "single", 3: "soft", 4: "hard", 5: "hard", 6: "hard", 7: "hard"}


def machine_name(number: int) -> str:
    return MACHINES.get(number, f"machine {number}")


def machine_flags(elf: ElfFile) -> tuple[str, str, str]:
    """(instruction set, ABI, floating point: ``hard``, ``soft``, ``single``, ``quad`` or ``""``) as the header states
    them; each ``""`` where it does not."""
    read = _FLAGS.get(elf.header.machine)
    return read(elf, elf.header.flags) if read else ("", "", "")


def _arm(_elf: ElfFile, flags: int) -> tuple[str, str, str]:
    version = flags >> 24
    notes = [f"EABI{version}" if version else "", "BE8" if flags & 0x00800000 else ""]
    return "", " ".join(filter(None, notes)), "hard" if flags & 0x400 else "soft" if flags & 0x200 else ""


def _riscv(elf: ElfFile, flags: int) -> tuple[str, str, str]:
    isa = ("RV64" if elf.is64 else "RV32") + ("E" if flags & 8 else "") + ("C" if flags & 1 else "")
    return isa, "", ("soft", "single", "hard", "quad")[flags >> 1 & 3]


def _ppc64(_elf: ElfFile, flags: int) -> tuple[str, str, str]:
    return "", f"ELFv{flags & 3}" if flags & 3 else "", ""


def _loongarch(_elf: ElfFile, flags: int) -> tuple[str, str, str]:
    return "", "", {1: "soft", 2: "single", 3: "hard"}.get(flags & 7, "")


def _x86_64(elf: ElfFile, _flags: int) -> tuple[str, str, str]:
    return "", "LP64" if elf.is64 else "x32", ""


def _mips(elf: ElfFile, flags: int) -> tuple[str, str, str]:
    level = flags >> 28
    isa = _MIPS_ISA[level] if level < len(_MIPS_ISA) else ""
    extras = [_MIPS_MACH.get(flags >> 16 & 0xFF, "")]
    extras += [name for bit, name in ((0x02000000, "microMIPS"), (0x04000000, "MIPS16")) if flags & bit]
    if elf.is64:
        abi = "n64"
    elif flags & 0x20:
        abi = "n32"
    else:
        abi = _MIPS_ABI.get(flags & 0xF000, "")
    if flags & 0x400:
        abi = f"{abi} NaN2008".strip()
    return " ".join([isa, *filter(None, extras)]).strip(), abi, _mips_float(elf)


def _mips_float(elf: ElfFile) -> str:
    """The fp_abi byte of PT_MIPS_ABIFLAGS, 0-based byte 7."""
    try:
        segment = elf.segment(t.PT_MIPS_ABIFLAGS)
        return _MIPS_FP.get(elf.view.u8(segment.offset + 7), "") if segment else ""
    except Malformed:
        return ""


_FLAGS: Final = {
    t.EM_MIPS: _mips,
    t.EM_ARM: _arm,
    t.EM_RISCV: _riscv,
    t.EM_PPC64: _ppc64,
    t.EM_LOONGARCH: _loongarch,
    t.EM_X86_64: _x86_64,
}
