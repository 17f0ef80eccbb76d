"""What an ELF file says about itself: machine, type, linkage, C library, compilers, tables present."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._elf_names import OS_ABIS, machine_flags, machine_name
from banbury.inspect.inspectors._elf_program import ElfType, Libc, elf_type, is_static, libc_of
from banbury.model.facts import Fact, Tri

_MOST = 256


class ElfIdentity(Fact, frozen=True, kw_only=True, tag="elf.identity"):
    """The identity of an ELF file. ``flags`` is ``e_flags``; ``float_abi`` is ``hard``, ``soft``, ``single``, ``quad``
    or ``""``; ``linkage`` is ``dynamic``, ``static`` or ``not applicable``; ``section_headers`` is ``present``,
    ``absent`` or ``broken``; ``appended`` is the number of bytes after the last structure of the file."""

    bits: int
    endian: str
    machine: str
    isa: str = ""
    abi: str = ""
    float_abi: str = ""
    flags: int = 0
    type: ElfType
    os_abi: str
    linkage: str
    interpreter: str = ""
    libc: Libc
    libc_why: str
    needed: list[str] = field(default_factory=list)
    soname: str = ""
    stripped: Tri
    section_headers: str
    build_id: str = ""
    compilers: list[str] = field(default_factory=list)
    dynamic_symbols: int = 0
    dynamic_symbols_complete: bool = True
    entry: int = 0
    appended: int = 0
    truncated: bool = False


class ElfIdentityInspector(FileInspector):
    name = "elf-identity"
    title = "Identity of ELF files"
    question = "For which machine, C library and kind of use was this ELF file built?"
    version = 1
    blind_spots = (
        "A statically linked musl or uClibc program without symbols may show no C library.",
        "Compilers are known only from .comment, which many firmware builds remove.",
        "Old 32-bit ARM files do not state their floating-point convention in the header.",
    )
    references = ("System V ABI, gABI draft of 2013, chapters 4 and 5",)
    facts = (ElfIdentity,)

    def applies(self, file: FileView) -> bool:
        return file.kind == "elf"

    def inspect(self, file: FileView) -> Iterator[Fact]:
        elf = file.elf
        header = elf.header
        isa, abi, float_abi = machine_flags(elf)
        kind = elf_type(elf)
        libc, why = libc_of(elf)
        end = elf.end_of_file()
        yield ElfIdentity(
            bits=header.bits,
            endian="big" if header.big else "little",
            machine=machine_name(header.machine),
            isa=isa,
            abi=abi,
            float_abi=float_abi,
            flags=header.flags,
            type=kind,
            os_abi=OS_ABIS.get(header.os_abi, f"OS ABI {header.os_abi}"),
            linkage=_linkage(elf, kind),
            interpreter=_clean(elf.interpreter),
            libc=libc,
            libc_why=_clean(why),
            needed=[_clean(n) for n in elf.needed[:_MOST]],
            soname=_clean(elf.soname),
            stripped=_stripped(elf),
            section_headers=elf.section_state,
            build_id=elf.build_id,
            compilers=list(dict.fromkeys(_clean(c) for c in elf.comments[:_MOST])),
            dynamic_symbols=elf.symbol_count.count,
            dynamic_symbols_complete=elf.symbols_complete,
            entry=header.entry,
            appended=max(len(file.view) - end, 0),
            truncated=end > len(file.view),
        )


def _linkage(elf: ElfFile, kind: ElfType) -> str:
    if kind not in (ElfType.EXECUTABLE, ElfType.PIE, ElfType.SHARED, ElfType.EITHER):
        return "not applicable"
    return "static" if is_static(elf) and kind is not ElfType.SHARED else "dynamic"


def _stripped(elf: ElfFile) -> Tri:
    if elf.section_state == "broken":
        return Tri.UNKNOWN
    return Tri.NO if any(s.type == t.SHT_SYMTAB for s in elf.sections) else Tri.YES


def _clean(text: str) -> str:
    """At most 160 characters, none of them a control character."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:160])


INSPECTORS = (ElfIdentityInspector(),)
