"""Relocatable objects, static archives and kernel modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.codeedit import branches, nop
from banbury.compare.corpus.elfedit import Elf, Symbol
from banbury.compare.corpus.pairs import LAB, RELAYOUT, VENDOR, Made, Missing, Patch, Recipe, attack, harmless
from banbury.compare.corpus.sources import AUDIT, GATE, MODULE
from banbury.compare.corpus.toolchain import TARGETS, Build, compiled, producer
from banbury.compare.corpus.writers import boxes, signed

_OBJECT = (
    "-O2",
    "-fno-builtin",
    "-fno-inline",
    "-ffreestanding",
    "-fno-pic",
    "-fno-asynchronous-unwind-tables",
    "-Wno-attributes",
)
_ABI = {"mips": ("-mno-abicalls",), "mipsel": ("-mno-abicalls",)}


def module(
    target: str, *, vendor: bool = False, options: tuple[str, ...] = (), release: str = "2.4.10", author: str = "vendor"
) -> bytes:
    """A kernel module before it is signed, of a version of its own."""
    side = VENDOR if vendor else LAB
    return compiled(
        Build(
            target=target,
            sources=(("exdev.c", MODULE.replace("2.4.10", release).replace("The vendor", f"The {author}")),),
            link=None,
            root=side["roots"][0],
            options=(*_OBJECT, *_ABI.get(target, ()), *options),
            after=(("strip", "--strip-debug"),) if "-g" not in options else (),
        )
    )


def objects(target: str, *, vendor: bool = False, options: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    """The two objects of the gatekeeper."""
    side = VENDOR if vendor else LAB
    out = []
    for name, source in (("gate.c", GATE), ("audit.c", AUDIT)):
        build = Build(
            target=target,
            sources=((name, source),),
            link=None,
            root=side["roots"][0],
            options=("-O2", "-fno-builtin", "-fno-inline", "-fPIC", *options),
        )
        out.append(compiled(build))
    return out[0], out[1]


def library(
    parts: tuple[bytes, bytes], *, mtime: int = 0, uid: int = 0, order: int = 1, mode: int = 0o100644, more: bytes = b""
) -> bytes:
    """A static archive without an index."""
    names = ("gate.o/", "audit.o/")
    members = [boxes.ar_member(n, d, mtime=mtime, uid=uid, mode=mode) for n, d in zip(names, parts, strict=True)]
    return boxes.ar(members[::order]) + more


def _declared(target: str, made: Made, **more: Any) -> Made:
    toolchain = [producer(target)]
    made.record_a = {**LAB, "toolchain": toolchain, "keys": [signed.key("laboratory").public]}
    made.record_b = {**VENDOR, "toolchain": toolchain, "keys": [signed.key("vendor").public]}
    for name, value in more.items():
        setattr(made, name, value)
    return made


def _text(elf: Elf, symbol: Symbol) -> Symbol:
    """A symbol of an object, with its offset in the file for a value (objects have no segments)."""
    section = elf.sections[symbol.section]
    return symbol._replace(value=section.offset + symbol.value)


class _Flat(Elf):
    """An object seen as if it were loaded at its own offsets."""

    def offset(self, address: int) -> int:
        return address

    def address(self, offset: int) -> int:
        return offset


def inverted(data: bytes, function: str) -> Patch:
    elf = _Flat(data)
    found = branches(elf, _text(elf, elf.symbol(function)))
    if not found:
        raise Missing(f"no branch in {function}")
    at, other, _ = found[0]
    return Patch(data).put(at, other)


def relocated(data: bytes, one: str, two: str) -> Patch:
    """A relocation of the code refers to another symbol."""
    elf = Elf(data)
    names = [s.name for s in elf.symbols()]
    for section in elf.sections:
        if section.type in (4, 9) and section.name.endswith(".text"):
            for _, symbol, kind, _, at in elf.relocations(section.name):
                if names[symbol] == one:
                    info = names.index(two) << (32 if elf.wide else 8) | kind
                    return Patch(data).put(at + elf.width, elf.pack_word(info))
    raise Missing(f"no relocation refers to {one}")


def renamed(data: bytes, old: bytes, new: bytes) -> Patch:
    at = data.index(old)
    return Patch(data).put(at, new)


# --- objects and archives --------------------------------------------------------------------------------------------


def _object(target: str, change: Callable[[bytes], Patch]) -> Made:
    return _declared(target, change(objects(target, vendor=True)[0]).made(objects(target)[0]))


def _object_debug(target: str) -> Made:
    return _declared(
        target, Made(a=objects(target, options=("-g",))[0], b=objects(target, vendor=True, options=("-g",))[0])
    )


def _archive(target: str, **more: Any) -> Made:
    parts = objects(target)
    return _declared(target, Made(a=library(parts), b=library(parts, **more)))


def _archive_attack(
    target: str, change: Callable[[tuple[bytes, bytes]], bytes], changes: frozenset[str] | None
) -> Made:
    parts = objects(target)
    return _declared(
        target, Made(a=library(parts), b=change(parts), base=library(parts, mtime=VENDOR["clock"]), changes=changes)
    )


def _later(parts: tuple[bytes, bytes], **more: Any) -> bytes:
    return library(parts, mtime=VENDOR["clock"], **more)


def _swapped_member(parts: tuple[bytes, bytes]) -> bytes:
    return _later((bytes(inverted(parts[0], "check").data), parts[1]))


def _odd_fill(parts: tuple[bytes, bytes]) -> bytes:
    odd = boxes.ar_member("odd.o/", b"x", mtime=VENDOR["clock"], fill=b"Z")
    return _later(parts, more=odd)


def _first_definition(parts: tuple[bytes, bytes]) -> bytes:
    """A member that stands first defines ``check`` too: linkers take the first definition."""
    evil = bytes(renamed(parts[1], b"\0audit\0", b"\0check\0").data)
    member = boxes.ar_member("aaa.o/", evil, mtime=VENDOR["clock"])
    return _later(parts).replace(b"!<arch>\n", b"!<arch>\n" + member, 1)


# --- kernel modules --------------------------------------------------------------------------------------------------


def _module(target: str, change: Callable[[bytes], Patch], signer: str = "attacker") -> Made:
    """The vendor's module with a change, signed again: the signature verifies."""
    clean = module(target, vendor=True)
    a = signed.module(module(target), signed.key("laboratory"))
    body = bytes(change(clean).data)
    base = signed.module(clean, signed.key("vendor"))
    return _declared(target, Made(a=a, b=signed.module(body, signed.key(signer)), base=base))


def _module_raw(target: str, write: Callable[[bytes], bytes]) -> Made:
    clean = module(target, vendor=True)
    a = signed.module(module(target), signed.key("laboratory"))
    return _declared(target, Made(a=a, b=write(clean), base=signed.module(clean, signed.key("vendor"))))


def _unsigned(target: str) -> Made:
    return _declared(target, Made(a=module(target), b=signed.module(module(target, vendor=True), signed.key("vendor"))))


def _both_signed(target: str) -> Made:
    a = signed.module(module(target), signed.key("laboratory"))
    return _declared(target, Made(a=a, b=signed.module(module(target, vendor=True), signed.key("vendor"))))


def _module_debug(target: str) -> Made:
    a = signed.module(module(target, options=("-g",)), signed.key("laboratory"))
    return _declared(target, Made(a=a, b=signed.module(module(target, vendor=True), signed.key("vendor"))))


def _versioned(target: str, release: str = "2.4.10-vendor7", author: str = "vendor") -> Made:
    """The vendor's module has a longer version, which its record declares, and so a longer description."""
    signer = signed.key("vendor")
    a = signed.module(module(target), signed.key("laboratory"))
    b = signed.module(module(target, vendor=True, release=release, author=author), signer)
    base = signed.module(module(target, vendor=True, release="2.4.10-vendor7"), signer)
    made = _declared(target, Made(a=a, b=b, base=base if b != base else None))
    assert made.record_a is not None
    assert made.record_b is not None
    made.record_a = {**made.record_a, "versions": {"driver": "2.4.10"}}
    made.record_b = {**made.record_b, "versions": {"driver": "2.4.10-vendor7"}}
    return made


def _nothing(data: bytes) -> Patch:
    return Patch(data)


def _code_end(data: bytes) -> Patch:
    """The last instruction's word of a function becomes one that does nothing: it falls through."""
    elf = _Flat(data)
    symbol = _text(elf, elf.symbol("device_control"))
    at = symbol.value + symbol.size - 4
    return Patch(data).put(at, nop(elf) if data[at : at + 4] != nop(elf) else b"\xcc" * 4)


def recipes() -> Iterator[Recipe]:
    evil = b"hidden between the module and its signature"
    for target in TARGETS:
        make = partial(attack, architecture=target, pure=False)
        same = partial(harmless, architecture=target, pure=False)
        rows = (
            (
                "branch",
                "resigned",
                "A test of rights is inverted; the module is signed again.",
                partial(_module, target, partial(inverted, function="device_control")),
            ),
            (
                "relocation",
                "resigned",
                "A call leads to another function of the kernel; the module is signed again.",
                partial(_module, target, partial(relocated, one="capable", two="_printk")),
            ),
            (
                "code-end",
                "code",
                "A function falls through into the next; signed with the vendor's own key.",
                partial(_module, target, _code_end, "vendor"),
            ),
            (
                "between",
                "hiding-place",
                "Bytes stand between the module and its signature.",
                partial(_module_raw, target, lambda d: signed.module(d, signed.key("vendor"), between=evil)),
            ),
        )
        for key, group, note, function in rows:
            yield make(f"ko-{target}-{key}", "kernel-module", group, note, function)
        yield same(
            f"ko-{target}-same-signer",
            "kernel-module",
            "signature",
            "Signed with each side's declared key.",
            partial(_both_signed, target),
        )
        yield same(
            f"ko-{target}-same-unsigned",
            "kernel-module",
            "signature",
            "Signed by the vendor, and not by the laboratory.",
            partial(_unsigned, target),
        )
        yield same(
            f"ko-{target}-same-debug",
            "kernel-module",
            "debug",
            "Debug data on one side, which the kernel does not load.",
            partial(_module_debug, target),
        )
        yield same(
            f"ko-{target}-same-version",
            "kernel-module",
            "version",
            "The declared version of the driver is longer, and so is the module's description.",
            partial(_versioned, target),
            expected=RELAYOUT,
        )
        yield make(
            f"ko-{target}-version-lookalike",
            "kernel-module",
            "declared-lookalike",
            "The version of the driver only begins as the declared one does.",
            partial(_versioned, target, "2.4.10-vendor70"),
        )
        yield make(
            f"ko-{target}-version-author",
            "kernel-module",
            "redirect",
            "The declared version is longer; another text of the description is another too.",
            partial(_versioned, target, author="Vendor"),
        )
        yield make(
            f"o-{target}-branch",
            "elf-object",
            "code",
            "A branch is inverted.",
            partial(_object, target, partial(inverted, function="check")),
        )
        yield make(
            f"o-{target}-relocation",
            "elf-object",
            "loader-data",
            "A call leads to another function.",
            partial(_object, target, partial(relocated, one="atoi", two="strcmp")),
        )
        yield make(
            f"o-{target}-symbol",
            "elf-object",
            "loader-data",
            "Two functions have exchanged names.",
            partial(_object, target, partial(_names_swapped, one="grant", two="deny")),
        )
        yield same(
            f"o-{target}-same-debug",
            "elf-object",
            "debug",
            "Debug data name another folder.",
            partial(_object_debug, target),
        )
        yield same(
            f"a-{target}-same-time",
            "static-archive",
            "clock",
            "Members have other times.",
            partial(_archive, target, mtime=VENDOR["clock"]),
        )
        yield make(
            f"a-{target}-member",
            "static-archive",
            "nested",
            "A branch in a member is inverted.",
            partial(_archive_attack, target, _swapped_member, frozenset({"gate.o:content"})),
        )
    yield from _only_once()


def _names_swapped(data: bytes, one: str, two: str) -> Patch:
    elf = Elf(data)
    return Patch(data).swap(elf.symbol(one).at, elf.symbol(two).at, 4)


def _only_once() -> Iterator[Recipe]:
    target = "x86-64"
    make = partial(attack, architecture=target, pure=False)
    same = partial(harmless, architecture=target, pure=False)
    vendor, other = signed.key("vendor"), signed.key("attacker")
    yield make(
        "ko-x86-64-attribute",
        "kernel-module",
        "hidden-space",
        "The signature carries an unsigned attribute.",
        partial(_module_raw, target, lambda d: signed.module(d, vendor, extra=b"payload" * 40)),
    )
    yield make(
        "ko-x86-64-footer",
        "kernel-module",
        "hidden-space",
        "The footer's padding is not zero.",
        partial(_module_raw, target, lambda d: signed.module(d, vendor, padding=b"evl")),
    )
    yield make(
        "ko-x86-64-twice",
        "kernel-module",
        "extra-member",
        "Signed twice: the inner signature is of something else.",
        partial(_module_raw, target, lambda d: signed.module(signed.module(d, vendor), other)),
    )
    yield make(
        "ko-x86-64-signer",
        "kernel-module",
        "resigned",
        "Signed with a key that nobody declared.",
        partial(_module_raw, target, lambda d: signed.module(d, other)),
    )
    yield make(
        "ko-x86-64-lent",
        "kernel-module",
        "resigned",
        "Another module under the honest one's signature.",
        partial(
            _module_raw,
            target,
            lambda d: bytes(inverted(d, "device_control").data) + signed.module(d, vendor)[len(d) :],
        ),
    )
    yield make(
        "ko-x86-64-vermagic",
        "kernel-module",
        "data",
        "It says that it fits another kernel.",
        partial(_module, target, partial(renamed, old=b"vermagic=6.1.55", new=b"vermagic=6.1.99")),
    )
    yield make(
        "ko-x86-64-alias",
        "kernel-module",
        "data",
        "Another tag of the module's description.",
        partial(_module, target, partial(renamed, old=b"author=The vendor", new=b"alias=pci:v0000*")),
    )
    yield same(
        "a-x86-64-same-user",
        "static-archive",
        "user",
        "Members belong to another user.",
        partial(_archive, target, uid=1000),
    )
    yield same(
        "a-x86-64-same-order",
        "static-archive",
        "order",
        "Members stand in another order, and define nothing twice.",
        partial(_archive, target, order=-1),
    )
    yield same(
        "a-x86-64-same-mode",
        "static-archive",
        "user",
        "Members have another mode, which linkers ignore.",
        partial(_archive, target, mode=0o100664),
    )
    yield make(
        "a-x86-64-first",
        "static-archive",
        "extra-member",
        "A member that stands first defines a function again.",
        partial(_archive_attack, target, _first_definition, None),
    )
    yield make(
        "a-x86-64-tail",
        "static-archive",
        "trailing",
        "Bytes stand behind the last member.",
        partial(_archive_attack, target, lambda p: _later(p) + b"not a member", None),
    )
    yield make(
        "a-x86-64-slack",
        "static-archive",
        "hidden-space",
        "The byte that pads a member is not a newline.",
        partial(_archive_attack, target, _odd_fill, None),
    )
