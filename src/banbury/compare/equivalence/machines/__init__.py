"""The processors whose code the relayout proof can read, one module each."""

from __future__ import annotations

from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.machines.contract import Machine
from banbury.formats import _elf_types as t


def machine_of(elf: OwnedElf) -> type[Machine] | None:
    """The machine of a file; ``None`` where its code's references are not enumerated."""
    header = elf.header
    match header.machine, header.bits, elf.elf.big:
        case t.EM_X86_64, 64, False:
            from banbury.compare.equivalence.machines.x86_64 import X86

            return X86
        case t.EM_ARM, 32, False:
            from banbury.compare.equivalence.machines.arm import Arm

            return Arm
        case t.EM_AARCH64, 64, False:
            from banbury.compare.equivalence.machines.aarch64 import AArch64

            return AArch64
        case t.EM_MIPS, 32, _:
            from banbury.compare.equivalence.machines.mips import Mips

            return Mips
        case t.EM_PPC, 32, True:
            from banbury.compare.equivalence.machines.powerpc import PowerPc

            return PowerPc
    return None
