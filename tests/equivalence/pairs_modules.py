"""Labelled pairs of kernel modules, signed ones and such that carry a version: see :mod:`tests.equivalence.pairs`."""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from banbury.compare.corpus.writers import signed
from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, roots, tampered
from tests.inspect import elf_builder

# --- signed ----------------------------------------------------------------------------------------------------------


def _module() -> bytes:
    return elf_builder.Relocatable(
        functions={"init": ("printk",), "exit": ("printk", "kfree")}, modinfo=["license=GPL", "vermagic=6.1"]
    ).build()


KEYS = {name: signed.key(name) for name in ("vendor", "laboratory", "attacker")}


def _spki(name: str) -> str:
    key = KEYS[name]
    return (
        rsa.RSAPublicNumbers(65537, key.n)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        .hex()
    )


def _signing(a: bytes, b: bytes) -> Sample:
    return Sample(a, b, BuildRecord(keys=[_spki("laboratory")]), BuildRecord(keys=[_spki("vendor")]))


def _signed(body: bytes, name: str, **more: bytes) -> bytes:
    return signed.module(body, KEYS[name], **more)


@harmless("module-signed")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor"))


@harmless("module-unsigned")
def _() -> Sample:
    return _signing(_module(), _signed(_module(), "vendor"))


@tampered("module-body")
def _() -> Sample:
    """Signed again after the change: the signature verifies."""
    return _signing(_signed(_module(), "laboratory"), _signed(build.flip(_module(), 70), "vendor"))


@tampered("module-stale")
def _() -> Sample:
    """Another module under the honest one's signature."""
    shipped = _signed(_module(), "vendor")
    return _signing(_signed(_module(), "laboratory"), build.flip(shipped, 70))


@tampered("module-same-signature")
def _() -> Sample:
    """The honest one's signature behind another build-id: a kernel that asks for signatures takes one of the two."""
    one = build.program("x86_64", "-nostdlib", "-r", "-Wl,--build-id=sha1", source="int init(void) { return 1; }\n")
    whole = _signed(one, "vendor")
    record = BuildRecord(keys=[_spki("vendor")])
    return Sample(whole, build.other_build_id(one) + whole[len(one) :], record, record)


@tampered("module-between")
def _() -> Sample:
    """Bytes between the module and its signature."""
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", between=b"payload!"))


@tampered("module-trailer")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", padding=b"evl"))


@tampered("module-attribute")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", extra=b"payload" * 40))


@tampered("module-undeclared-key")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "attacker"))


# --- a version in them -----------------------------------------------------------------------------------------------

_KO = r"""
extern int _printk(const char *, ...);
#define INFO(tag, text) \
  static const char info_##tag[] __attribute__((section(".modinfo"), used, aligned(1))) = #tag "=" text
INFO(license, "GPL"); INFO(version, VERSION); INFO(vermagic, "6.1.0 SMP mod_unload ");
const char *banner = "driver " VERSION;
int init_module(void) { return _printk("loading %s") + _printk("driver " VERSION " is up") + _printk("done"); }
void cleanup_module(void) { _printk("gone"); }
"""


def _driver(version: str, source: str = _KO) -> bytes:
    flags = "-c", "-fno-pic", "-mcmodel=kernel", "-fno-asynchronous-unwind-tables"
    return build.program("x86_64", *flags, f'-DVERSION="{version}"', source=source)


def _versions(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(versions={"driver": old}), BuildRecord(versions={"driver": new})


_NUMBERS = "6.1.55", "6.1.55-vendor7"


@harmless("module-version-longer")
def _() -> Sample:
    return Sample(_driver(_NUMBERS[0]), _driver(_NUMBERS[1]), *_versions(*_NUMBERS))


@tampered("module-for-another-kernel")
def _() -> Sample:
    """The kernel does not load a module of another vermagic."""
    other = _KO.replace('"6.1.0 SMP', 'VERSION " SMP')
    return Sample(_driver(_NUMBERS[0], other), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-other-firmware")
def _() -> Sample:
    """The driver's firmware is another file."""
    other = _KO.replace('INFO(license, "GPL")', 'INFO(license, "GPL"); INFO(firmware, "gate-" VERSION)')
    return Sample(_driver(_NUMBERS[0], other), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-version-undeclared")
def _() -> Sample:
    return Sample(_driver(_NUMBERS[0]), _driver("6.1.55-vendor8"), *_versions(*_NUMBERS))


@tampered("module-text-swapped")
def _() -> Sample:
    """Under the shift, two texts have exchanged their uses."""
    other = _KO.replace('"done"', '"x"').replace('"gone"', '"done"').replace('"x"', '"gone"')
    return Sample(_driver(_NUMBERS[0]), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-addend")
def _() -> Sample:
    """Under the shift, one reference leads to another text."""
    shipped = _driver(_NUMBERS[1])
    table = build.elf(shipped).get_section_by_name(".rela.text")
    rows = [n for n, r in enumerate(table.iter_relocations()) if r["r_info_type"] in (10, 11)]
    at = table["sh_offset"] + 24 * rows[-1] + 16
    other = table.get_relocation(rows[0])["r_addend"]
    return Sample(_driver(_NUMBERS[0]), build.put(shipped, at, struct.pack("<q", other)), *_versions(*_NUMBERS))


# --- where warnings were written, and debug information --------------------------------------------------------------

#: A driver whose warning shows the path of its source; ``TABLE`` is the section, ``LINE`` the line, ``MORE`` code,
#: ``BEHIND`` where the text behind the path begins.
_WARNS = """
.text
.globl init_module
.type init_module,@function
init_module: MORE
xor %eax,%eax
1: ud2
ret
.size init_module,.-init_module
.section .rodata.str1.1,"aMS",@progbits,1
first: .asciz "a driver"
.asciz "PATH/driver.c"
.asciz "what follows"
.section TABLE,"aw"
.balign 4
own: .long 1b-., first+9-.
.short LINE, 0
.long 1b-., first+BEHIND-.
.short 7, 0
"""
_PATHS = "/build/a", "/srv/vendor/release"
_PLACES = roots(*_PATHS)


def _warns(path: str, table: str = "__bug_table", line: int = 5, more: str = "") -> bytes:
    text = _WARNS.replace("TABLE", table).replace("PATH", path).replace("LINE", str(line)).replace("MORE", more)
    text = text.replace("BEHIND", str(9 + len(path) + len("/driver.c") + 1))
    return build.assembled(text, "x86_64", "-c")


@harmless("module-warning-longer")
def _() -> Sample:
    """Its line is a length of the path by chance."""
    return Sample(*(_warns(path, line=len(_PATHS[0]) + 9) for path in _PATHS), *_PLACES)


@tampered("module-warning-left-behind")
def _() -> Sample:
    """The file of a warning is where it was before the texts moved."""
    raws = [_warns(path) for path in _PATHS]
    tables = [build.elf(raw).get_section_by_name(".rela__bug_table") for raw in raws]
    old = tables[0].get_relocation(3)["r_addend"]
    assert old != tables[1].get_relocation(3)["r_addend"]
    at = tables[1]["sh_offset"] + 24 * 3 + 16
    return Sample(raws[0], build.put(raws[1], at, struct.pack("<q", old)), *_PLACES)


@tampered("module-warning-of-its-own")
def _() -> Sample:
    """A table of the driver's own: what its distances count from is not known."""
    return Sample(*(_warns(path, ".data.warnings") for path in _PATHS), *_PLACES)


@tampered("module-warning-read")
def _() -> Sample:
    """The driver itself reads the number beside the path's address."""
    line = len(_PATHS[0]) + len("/driver.c")
    return Sample(*(_warns(path, line=line, more="mov own+8,%ecx") for path in _PATHS), *_PLACES)


_SAID = """
extern int _printk(const char *, ...);
int init_module(void) { return _printk("loading") + _printk("driver " VERSION " is up") + _printk("done"); }
void cleanup_module(void) { _printk("gone"); }
"""


def _said(version: str) -> bytes:
    flags = "-c", "-fno-pic", "-mcmodel=kernel", "-g", "-gno-record-gcc-switches"
    return build.program("x86_64", *flags, f'-DVERSION="{version}"', source=_SAID)


@harmless("module-debug-texts")
def _() -> Sample:
    """What a call is given, debug information says by the text's address."""
    return Sample(*(_said(version) for version in _NUMBERS), *_versions(*_NUMBERS))


@tampered("module-debug-texts-left-behind")
def _() -> Sample:
    raws = [_said(version) for version in _NUMBERS]
    tables = [build.elf(raw).get_section_by_name(".rela.debug_info") for raw in raws]
    rows = zip(*(table.iter_relocations() for table in tables), strict=True)
    index, old = next(
        (n, x["r_addend"]) for n, (x, y) in enumerate(rows)
        if x["r_info_type"] == 1 and x["r_addend"] != y["r_addend"]
    )  # fmt: skip
    at = tables[1]["sh_offset"] + 24 * index + 16
    return Sample(raws[0], build.put(raws[1], at, struct.pack("<q", old)), *_versions(*_NUMBERS))
