"""ELF pairs that need no compiler: small programs for every machine, with the attacks on code, tables and space."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.codeedit import payload
from banbury.compare.corpus.elfedit import Elf
from banbury.compare.corpus.pairs import (
    LAB,
    REFUSED,
    RELAYOUT,
    VENDOR,
    BuildRecord,
    Made,
    Patch,
    Recipe,
    attack,
    harmless,
)
from banbury.compare.corpus.recipes import elf_hiding, elf_loader
from banbury.compare.corpus.recipes._gate import Subject
from banbury.compare.corpus.writers.elf import MACHINES, Program, code, write

_IDENTITY = b"\x7e" * 20
_LONGER = "2.4.1+b1-vendor"
_TOOL = "GCC: (GNU) 12.2.0"


def _records(version: str = "2.4.1", tool: str = _TOOL) -> tuple[BuildRecord, BuildRecord]:
    return {**LAB, "toolchain": [_TOOL]}, {**VENDOR, "toolchain": [tool], "versions": {"gate": version}}


def _base(machine: str, **more: Any) -> bytes:
    fields: dict[str, Any] = {"machine": machine, "identity": _IDENTITY}
    return write(Program(**{**fields, **more}))


def _tampered(machine: str, change: Callable[[Subject], Patch]) -> Made:
    subject = Subject(Elf(_base(machine)), Elf(_base(machine, symbols=True)))
    one, two = _records()
    return change(subject).made(write(Program(machine=machine)), record_a=one, record_b=two)


def _rewritten(machine: str, version: str = "2.4.1", **more: Any) -> Made:
    """Both sides are written anew; the base has the declared version alone."""
    one, two = _records(version)
    b = _base(machine, version=version, **more)
    return Made(
        a=write(Program(machine=machine)), b=b, base=_base(machine, version=version), record_a=one, record_b=two
    )


def _same(machine: str, version: str = "2.4.1", tool: str = _TOOL, **more: Any) -> Made:
    one, two = _records(version, tool)
    b = _base(machine, version=version, comment=tool, **more)
    return Made(a=write(Program(machine=machine)), b=b, record_a=one, record_b=two)


def _debug(machine: str) -> Made:
    one, two = _records()
    a = write(Program(machine=machine, symbols=True))
    return Made(a=a, b=_base(machine), record_a=one, record_b=two)


def branch(s: Subject, machine: str) -> Patch:
    """The branch of the first function is inverted."""
    m = MACHINES[machine]
    raw = m.inverted if isinstance(m.inverted, bytes) else s.elf.pack("I", m.inverted)
    return s.patch.put(s.elf.section(".text").offset + m.branch, raw)


def fill(s: Subject, machine: str) -> Patch:
    """The fill behind a function is something else."""
    at = s.elf.section(".text").offset + len(code(machine)) - 3
    return s.patch.put(at, b"\xcc\xcc\xcc")


def limit(s: Subject) -> Patch:
    at = s.elf.data.index(s.elf.pack("I", 100), s.elf.section(".rodata").offset)
    return s.patch.put(at, s.elf.pack("I", 101))


def pointer(s: Subject) -> Patch:
    """The first pointer leads to the third function."""
    size = (s.elf.section(".text").size) // 3
    target = s.elf.pack_word(s.elf.section(".text").address + 2 * size)
    name = ".rela.dyn" if s.elf.has(".rela.dyn") else ".rel.dyn"
    where, _, _, _, at = s.elf.relocations(name)[0]
    return (
        s.patch.put(at + 2 * s.elf.width, target) if name == ".rela.dyn" else s.patch.put(s.elf.offset(where), target)
    )


def split(s: Subject, machine: str) -> Patch:
    """The section header of the code leads to a clean copy behind the end."""
    text = s.elf.section(".text")
    patch = branch(s, machine)
    at = patch.append(s.elf.content(".text"), 16)
    return patch.put(text.header + (24 if s.elf.wide else 16), s.elf.pack_word(at))


def tail_entry(s: Subject) -> Patch:
    """Code in the rest of the last page is where it starts."""
    at = elf_hiding._slack(s.elf, len(payload(s.elf)))
    return s.patch.put(at, payload(s.elf)).put(24, s.elf.pack_word(at))


def hash_chain(s: Subject) -> Patch:
    """The only chain of the hash table ends before its last symbol."""
    at = s.elf.section(".hash").offset + 8
    return s.patch.put(at, struct.pack(s.elf.order + "I", 0))


_BY_MACHINE = (
    ("branch", "code", "A branch is inverted.", branch),
    ("fill", "code", "The fill behind a function is something else.", fill),
    ("split", "split", "The section table shows clean code; the loaded code is tampered with.", split),
)

_PATCHES = (
    ("limit", "data", "A limit of 100 became 101.", limit),
    ("pointer", "loader-data", "A pointer leads to another function.", pointer),
    ("imports", "loader-data", "Two imports have exchanged names.", elf_loader.imports_swapped),
    ("needed", "loader-data", "Another library is loaded.", elf_loader.needed),
    ("interpreter", "loader-data", "Another loader is started.", elf_loader.interpreter),
    ("bind-now", "loader-data", "Symbols are bound late.", elf_loader.bind_now),
    ("run-path", "loader-data", "Libraries are searched elsewhere.", elf_loader.run_path),
    ("hash", "loader-data", "Symbols are no longer found.", hash_chain),
    ("stack", "loader-data", "The stack is executable.", elf_loader.stack),
    ("relro", "loader-data", "Relocated data stay writable.", elf_loader.relro),
    ("writable", "loader-data", "Code is writable.", elf_loader.writable),
    ("memory", "loader-data", "The data segment has more room in memory.", elf_loader.memory),
    ("overlay", "hiding-place", "Bytes stand behind the end.", elf_hiding.overlay),
    ("slack", "hiding-place", "The rest of the code's last page is not empty.", elf_hiding.slack),
    ("slack-entry", "hiding-place", "Code in the last page's rest is where it starts.", tail_entry),
    ("note-to-load", "hiding-place", "A note's header loads code from behind the end.", elf_hiding.note_to_load),
    ("comment", "hiding-place", "The producer's string holds something else.", elf_hiding.comment),
    (
        "short-note",
        "hiding-place",
        "The build-id is shorter, and the rest holds something else.",
        elf_hiding.short_note,
    ),
    ("note-type", "hiding-place", "The build-id's note is of an unknown type.", elf_hiding.note_type),
    ("identification", "hiding-place", "Unused bytes of the identification hold something.", elf_hiding.identification),
    ("loaded-gap", "hiding-place", "Alignment between loaded sections holds something.", elf_hiding.loaded_gap),
    ("extra-section", "hiding-place", "One more section, behind the end.", elf_hiding.extra_section),
)


def recipes() -> Iterator[Recipe]:
    for machine in MACHINES:
        make = partial(attack, architecture=machine)
        for key, group, note, by_machine in _BY_MACHINE:
            yield make(
                f"made-{machine}-{key}",
                "elf-made",
                group,
                note,
                partial(_tampered, machine, partial(by_machine, machine=machine)),
            )
        for key, group, note, change in _PATCHES:
            yield make(f"made-{machine}-{key}", "elf-made", group, note, partial(_tampered, machine, change))
        texts = ("status", "/etc/gate/shadow", "correct mouse")
        rows = (
            (
                "shift-pointer",
                "redirect",
                "The declared version shifts strings; one pointer leads to another function.",
                partial(_rewritten, machine, _LONGER, handlers=(0, 1, 1)),
            ),
            (
                "shift-text",
                "redirect",
                "The declared version shifts strings; one of them is another.",
                partial(_rewritten, machine, _LONGER, texts=texts),
            ),
            (
                "shift-swap",
                "redirect",
                "The declared version shifts strings; two pointers to strings are exchanged.",
                partial(_rewritten, machine, _LONGER, texts=("status", "correct horse", "/etc/gate/shadow")),
            ),
            (
                "shift-constant",
                "redirect",
                "The declared version shifts strings; a constant is another.",
                partial(_rewritten, machine, _LONGER, number=101),
            ),
            (
                "version-lookalike",
                "declared-lookalike",
                "The version is not the declared one.",
                partial(_undeclared, machine),
            ),
        )
        for key, group, note, function in rows:
            yield make(f"made-{machine}-{key}", "elf-made", group, note, function)
        same = partial(harmless, architecture=machine)
        yield same(
            f"made-{machine}-same-build-id",
            "elf-made",
            "identity",
            "Only the build-id differs.",
            partial(_same, machine),
        )
        yield same(
            f"made-{machine}-same-producer",
            "elf-made",
            "producer",
            "The declared compiler has another name.",
            partial(_same, machine, tool="GCC: (Vendor SDK) 12.2.0"),
        )
        yield same(
            f"made-{machine}-same-stripped",
            "elf-made",
            "debug",
            "Symbols are stripped on one side.",
            partial(_debug, machine),
        )
        yield same(
            f"made-{machine}-same-version",
            "elf-made",
            "version",
            "The declared version is longer and shifts a number that nothing refers to: who finds it?",
            partial(_same, machine, version=_LONGER),
            expected=RELAYOUT | REFUSED,
        )


def _undeclared(machine: str) -> Made:
    made = _rewritten(machine, "9.9.9")
    made.record_a, made.record_b = _records()
    made.base = _base(machine)
    return made
