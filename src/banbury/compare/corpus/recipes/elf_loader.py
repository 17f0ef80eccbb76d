"""Attacks on what the loader reads: symbols, relocations, dynamic tags, program headers, notes (gABI, chapter 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from banbury.compare.corpus.elfedit import Elf, Symbol
from banbury.compare.corpus.pairs import Missing, Patch, Recipe, attack
from banbury.compare.corpus.recipes._gate import Subject, tampered, tampered_library
from banbury.compare.corpus.recipes.elf_code import repoint
from banbury.compare.corpus.toolchain import TARGETS

_NEEDED, _HASH, _STRTAB, _SONAME, _RPATH, _DEBUG, _FLAGS, _FLAGS_1, _INIT = 1, 4, 5, 14, 15, 21, 30, 0x6FFFFFFB, 12
_RUNPATH = 29


def imports_swapped(s: Subject) -> Patch:
    """The names of two imports are exchanged: what compared exactly now ignores case."""
    one, two = s.elf.symbol("strcmp", ".dynsym"), s.elf.symbol("strcasecmp", ".dynsym")
    return s.patch.swap(one.at, two.at, 4)


def slots_swapped(s: Subject) -> Patch:
    """The relocations of two slots are exchanged."""
    names = [symbol.name for symbol in s.elf.symbols(".dynsym")]
    for section in (".rela.plt", ".rel.plt"):
        if s.elf.has(section):
            at = {names[symbol]: row for _, symbol, _, _, row in s.elf.relocations(section)}
            width = s.elf.width
            return s.patch.swap(at["strcmp"] + width, at["strcasecmp"] + width, width)
    raise Missing("no relocations of slots on this architecture")


def constructor(s: Subject) -> Patch:
    """The constructor that locks is replaced by a function that unlocks."""
    patch = s.patch
    lock, unlock = s.full.symbol("lock_all").value, s.full.symbol("unlock_all").value
    array = s.elf.section(".init_array")
    for name in (".rela.dyn",):
        if s.elf.has(name):
            for where, _, _, addend, at in s.elf.relocations(name):
                if addend == lock and array.address <= where < array.address + array.size:
                    return patch.put(at + 2 * s.elf.width, s.elf.pack_word(unlock))
    for at in range(array.offset, array.offset + array.size, s.elf.width):
        if s.elf.word(at) == lock:
            return patch.put(at, s.elf.pack_word(unlock))
    raise Missing("the constructor is in no table")


def handler(s: Subject) -> Patch:
    return repoint(s.patch, s.elf, s.full, "commands", 4, "do_shell")


def needed(s: Subject) -> Patch:
    at = s.elf.section(".dynstr").offset + s.elf.content(".dynstr").index(b"\0libc.so.6\0") + 1
    return s.patch.put(at, b"libx")


def interpreter(s: Subject) -> Patch:
    seg = s.elf.segment(3)
    return s.patch.put(seg.offset, b"/tmp")


def bind_now(s: Subject) -> Patch:
    patch = s.patch
    value, at = s.elf.tag(_FLAGS)
    patch.put(at, s.elf.pack_word(value & ~8))
    value, at = s.elf.tag(_FLAGS_1)
    return patch.put(at, s.elf.pack_word(value & ~1))


def run_path(s: Subject) -> Patch:
    """The tag that debuggers use becomes a search path for libraries, taken from a string of the file."""
    _, at = s.elf.tag(_DEBUG)
    names = s.elf.content(".dynstr")
    return s.patch.put(at - s.elf.width, s.elf.pack_word(_RUNPATH) + s.elf.pack_word(names.index(b"libc.so.6")))


def entry(s: Subject) -> Patch:
    return s.patch.put(24, s.elf.pack_word(s.full.symbol("do_shell").value))


def stack(s: Subject) -> Patch:
    seg = s.elf.segment(0x6474E551)
    return s.patch.put(s.elf.field(seg, "flags"), s.elf.pack("I", seg.flags | 1))


def relro(s: Subject) -> Patch:
    seg = s.elf.segment(0x6474E552)
    return s.patch.put(s.elf.field(seg, "type"), s.elf.pack("I", 0))


def writable(s: Subject) -> Patch:
    """The segment of the code is writable too."""
    for seg in s.elf.segments:
        if seg.type == 1 and seg.flags & 1:
            return s.patch.put(s.elf.field(seg, "flags"), s.elf.pack("I", seg.flags | 2))
    raise Missing("no segment of code")


def memory(s: Subject) -> Patch:
    """The data segment is larger in memory: room that is writable and not in any section."""
    for seg in s.elf.segments:
        if seg.type == 1 and seg.flags & 2:
            word = s.elf.pack_word(seg.memory + 0x800)
            return s.patch.put(s.elf.field(seg, "memory"), word)
    raise Missing("no data segment")


def property_note(s: Subject) -> Patch:
    section = s.elf.section(".note.gnu.property")
    # GNU_PROPERTY_X86_FEATURE_1_AND (0xc0000002) with IBT and SHSTK becomes one without (x86-64 psABI, 4.1)
    at = s.elf.data.index(s.elf.pack("III", 0xC0000002, 4, 3), section.offset)
    return s.patch.put(at + 8, s.elf.pack("I", 0))


def unwind(s: Subject) -> Patch:
    """The unwind table's first entry covers another range of code."""
    section = s.elf.section(".eh_frame")
    at = section.offset + 4 + s.elf.unpack("I", section.offset)[0]
    return s.patch.put(at + 12, s.elf.pack("I", s.elf.unpack("I", at + 12)[0] ^ 0x10))


def flags(s: Subject) -> Patch:
    """e_flags, which kernels read to choose an ABI."""
    at = 48 if s.elf.wide else 36
    return s.patch.put(at, s.elf.pack("I", s.elf.unpack("I", at)[0] ^ 0x400))


def abi(s: Subject) -> Patch:
    """The note that names the least kernel version names another."""
    section = s.elf.section(".note.ABI-tag")
    return s.patch.put(section.offset + 20, s.elf.pack("I", 9))


def first_function(s: Subject) -> Patch:
    """DT_INIT leads to another function."""
    _, at = s.elf.tag(_INIT)
    return s.patch.put(at, s.elf.pack_word(s.full.symbol("unlock_all").value))


#: key, note, change, whether a run shows it, whether the architecture's name must be one of these.
EVERY: tuple[tuple[str, str, Callable[[Subject], Patch], bool], ...] = (
    (
        "imports-swapped",
        "Two imported functions have exchanged names: passwords compare without regard to case.",
        imports_swapped,
        True,
    ),
    ("constructor", "The constructor's pointer leads to a function that unlocks.", constructor, True),
    ("handler", "A pointer in the table of commands leads to the maintenance shell.", handler, True),
    ("needed", "Another library is loaded.", needed, False),
    ("interpreter", "Another loader is started.", interpreter, False),
    ("bind-now", "Symbols are bound late, so that the table of addresses stays writable.", bind_now, False),
    ("run-path", "Libraries are searched in a folder next to the working directory.", run_path, False),
    ("entry", "Execution starts in another function.", entry, False),
    ("stack", "The stack is executable.", stack, False),
    ("relro", "Relocated data stay writable.", relro, False),
    ("writable", "Code is writable.", writable, False),
    ("memory", "The data segment has more room in memory.", memory, False),
    ("abi-note", "The note with the least kernel version is changed.", abi, False),
    ("flags", "The header's flags, by which a kernel chooses an ABI, are changed.", flags, False),
)

SOME: tuple[tuple[str, str, Callable[[Subject], Patch], bool, tuple[str, ...]], ...] = (
    (
        "slots-swapped",
        "The relocations of two slots are exchanged.",
        slots_swapped,
        True,
        ("x86-64", "arm", "aarch64", "powerpc"),
    ),
    ("property", "The note that asks for control-flow enforcement asks for none.", property_note, False, ("x86-64",)),
    ("unwind", "An unwind entry covers another range of code.", unwind, False, ("x86-64", "aarch64")),
    ("init", "The initialisation function is another.", first_function, True, ("x86-64", "arm", "aarch64")),
)


# --- the shared library ----------------------------------------------------------------------------------------------


def _symbol(s: Subject, name: str) -> Symbol:
    return s.elf.symbol(name, ".dynsym")


def _info(elf: Elf, symbol: Symbol) -> int:
    return symbol.at + (4 if elf.wide else 12)


def binding(s: Subject) -> Patch:
    symbol = _symbol(s, "policy")
    return s.patch.put(_info(s.elf, symbol), bytes([0x10 | symbol.info & 15]))


def weakened(s: Subject) -> Patch:
    symbol = _symbol(s, "rate")
    return s.patch.put(_info(s.elf, symbol), bytes([0x20 | symbol.info & 15]))


def hidden(s: Subject) -> Patch:
    symbol = _symbol(s, "rate")
    return s.patch.put(_info(s.elf, symbol) + 1, b"\2")


def value(s: Subject) -> Patch:
    """One exported function is another: the policy answers with the rate."""
    policy, rate = _symbol(s, "policy"), _symbol(s, "rate")
    at = policy.at + (8 if s.elf.wide else 4)
    return s.patch.put(at, s.elf.pack_word(rate.value))


def size(s: Subject) -> Patch:
    """An exported variable is larger: a program that copies it at start gets its neighbour too."""
    symbol = _symbol(s, "open_all")
    at = symbol.at + (16 if s.elf.wide else 8)
    return s.patch.put(at, s.elf.pack_word(symbol.size + 4))


def version(s: Subject) -> Patch:
    """The default version of a symbol becomes hidden."""
    table = s.elf.section(".gnu.version")
    indices = [s.elf.unpack("H", table.offset + 2 * i)[0] for i in range(table.size // 2)]
    for i, symbol in enumerate(s.elf.symbols(".dynsym")):
        if symbol.name == "login":
            return s.patch.put(table.offset + 2 * i, s.elf.pack("H", indices[i] ^ 0x8000))
    raise Missing("no versioned symbol")


def hashed(s: Subject) -> Patch:
    """The chain that leads to a symbol is cut: another library's symbol is found instead."""
    section = s.elf.section(".hash")
    count = s.elf.unpack("I", section.offset)[0]
    for i in range(count):
        at = section.offset + 8 + 4 * i
        if s.elf.unpack("I", at)[0]:
            return s.patch.put(at, s.elf.pack("I", 0))
    raise Missing("an empty hash table")


def bloom(s: Subject) -> Patch:
    """The GNU hash table's filter says that nothing is defined here."""
    section = s.elf.section(".gnu.hash")
    words = s.elf.unpack("I", section.offset + 8)[0]
    return s.patch.put(section.offset + 16, bytes(words * s.elf.width))


def soname(s: Subject) -> Patch:
    at = s.elf.section(".dynstr").offset + s.elf.content(".dynstr").index(b"libgate.so.2")
    return s.patch.put(at + 11, b"1")


def data(s: Subject) -> Patch:
    """A variable that asks for strictness is off from the start."""
    return s.patch.put(s.elf.offset(_symbol(s, "strict").value), bytes(4))


LIBRARY: tuple[tuple[str, str, Callable[[Subject], Patch]], ...] = (
    ("binding", "A weak symbol became strong: what programs define themselves is no longer preferred.", binding),
    ("weakened", "A strong symbol became weak.", weakened),
    ("hidden", "An exported symbol is hidden: the program finds another library's.", hidden),
    ("value", "An exported function is another one.", value),
    ("size", "An exported variable is larger.", size),
    ("version", "The default version of a symbol is no longer the default.", version),
    ("hash", "A symbol is no longer found by its hash.", hashed),
    ("soname", "The library answers to another name.", soname),
    ("data", "A variable starts with another value.", data),
)


def recipes() -> Iterator[Recipe]:
    for target in TARGETS:
        make = partial(attack, architecture=target, pure=False)
        for key, note, change, differ in EVERY:
            yield make(
                f"elf-{target}-{key}", "elf-executable", "loader-data", note, tampered(target, change, differ=differ)
            )
        for key, note, change, differ, only in SOME:
            if target in only:
                yield make(
                    f"elf-{target}-{key}",
                    "elf-executable",
                    "loader-data",
                    note,
                    tampered(target, change, differ=differ),
                )
        for key, note, change in LIBRARY:
            yield make(f"so-{target}-{key}", "elf-shared", "loader-data", note, tampered_library(target, change))
        if not target.startswith("mips"):
            yield make(
                f"so-{target}-bloom",
                "elf-shared",
                "loader-data",
                "The hash table's filter hides every symbol.",
                tampered_library(target, bloom),
            )
