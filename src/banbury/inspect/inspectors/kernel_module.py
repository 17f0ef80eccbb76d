"""What a Linux kernel module says about itself."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._module_signature import module_signature
from banbury.model.facts import Fact, Tri

_MOST = 256
_THIS_MODULE = ".gnu.linkonce.this_module"


class KernelModule(Fact, frozen=True, kw_only=True, tag="kernel.module"):
    """The module information of one module, as it states it. ``kernel`` is the release in ``vermagic``; ``signed`` says
    whether a signature is appended, which is not verified; ``retpoline`` and ``intree`` are ``yes`` where marked, else
    ``cannot tell`` where kernels of its time had no such mark. ``parameters`` maps a name to its description."""

    name: str
    kernel: str = ""
    vermagic: str = ""
    license: str = ""
    version: str = ""
    author: str = ""
    description: str = ""
    srcversion: str = ""
    depends: list[str] = field(default_factory=list)
    aliases: int = 0
    firmware: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    intree: Tri = Tri.UNKNOWN
    staging: bool = False
    retpoline: Tri = Tri.UNKNOWN
    signed: bool
    signer: str = ""
    signer_serial: str = ""
    signature_hash: str = ""
    signature_note: str = ""


class KernelModuleInspector(FileInspector):
    name = "kernel-module"
    title = "Linux kernel modules"
    question = "Which kernel was this module built for, under which licence, and is a signature appended to it?"
    version = 1
    blind_spots = (
        "The signature is not verified: that needs the kernel's key.",
        "A module whose .modinfo was stripped is not known as one.",
        "Everything here is what the module says of itself.",
    )
    references = (
        "Linux include/linux/module.h, include/linux/module_signature.h, scripts/mod/modpost.c",
        "RFC 5652, section 5",
    )
    facts = (KernelModule,)

    def applies(self, file: FileView) -> bool:
        return file.kind == "elf" and (file.view.startswith(b"\x01\0", 16) or file.view.startswith(b"\0\x01", 16))

    def inspect(self, file: FileView) -> Iterator[Fact]:
        elf = file.elf
        if elf.header.type == t.ET_REL and elf.modinfo:
            yield _module(elf)


def _module(elf: ElfFile) -> KernelModule:
    first: dict[str, str] = {}
    for key, value in elf.modinfo:
        first.setdefault(key, value)
    signature = module_signature(elf.view)
    vermagic = first.get("vermagic", "")
    return KernelModule(
        name=_clean(first.get("name") or _embedded_name(elf)),
        kernel=_clean(vermagic.partition(" ")[0] or first.get("kernel_version", "")),
        vermagic=_clean(vermagic.strip()),
        license=_clean(first.get("license", "")),
        version=_clean(first.get("version", "")),
        author=_clean(first.get("author", "")),
        description=_clean(first.get("description", "")),
        srcversion=_clean(first.get("srcversion", "")),
        depends=[_clean(d) for d in first.get("depends", "").split(",")[:_MOST] if d],
        aliases=sum(key == "alias" for key, _ in elf.modinfo),
        firmware=[_clean(v) for k, v in elf.modinfo if k == "firmware"][:_MOST],
        parameters=_parameters(elf.modinfo),
        intree=_marked(first, "intree", vermagic),
        staging=first.get("staging") == "Y",
        retpoline=_marked(first, "retpoline", vermagic)
        if elf.header.machine in (t.EM_386, t.EM_X86_64)
        else Tri.UNKNOWN,
        signed=signature is not None,
        signer=_clean(signature.signer) if signature else "",
        signer_serial=signature.serial[:80] if signature else "",
        signature_hash=signature.hash if signature else "",
        signature_note=_clean(signature.note) if signature else "",
    )


#: The first release whose build marks modules so: intree in 3.2, retpoline in 4.16 (and earlier stable releases).
_SINCE = {"intree": (3, 2), "retpoline": (4, 16)}


def _marked(info: dict[str, str], key: str, vermagic: str) -> Tri:
    if info.get(key) == "Y":
        return Tri.YES
    numbers = vermagic.split(" ", 1)[0].split(".")[:2]
    if len(numbers) == 2 and all(n.isdecimal() and len(n) < 5 for n in numbers):
        return Tri.NO if (int(numbers[0]), int(numbers[1])) >= _SINCE[key] else Tri.UNKNOWN
    return Tri.UNKNOWN


def _parameters(info: list[tuple[str, str]]) -> dict[str, str]:
    """Name to description; the type stands in brackets where only that is given."""
    out: dict[str, str] = {}
    for key, value in info:
        name, _, text = value.partition(":")
        if key == "parmtype":
            out.setdefault(_clean(name), f"({_clean(text.strip())})")
        elif key == "parm":
            out[_clean(name)] = _clean(text.strip())
        if len(out) >= _MOST:
            break
    return out


def _embedded_name(elf: ElfFile) -> str:
    """The name in ``struct module``, after its state and a list head (all kernels since 2.6)."""
    raw = elf.section_data(_THIS_MODULE)
    at = 24 if elf.is64 else 12
    return raw[at : at + 56].split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def _clean(text: str) -> str:
    """At most 200 characters, none of them a control character."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:200])


INSPECTORS = (KernelModuleInspector(),)
