"""Programs built for the tests of equivalence, once per run: gcc and the cross compilers of Debian where present."""

from __future__ import annotations

import atexit
import io
import itertools
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

PREFIX = {
    "x86_64": "", "arm": "arm-linux-gnueabihf-", "aarch64": "aarch64-linux-gnu-", "mipsel": "mipsel-linux-gnu-",
    "mips": "mips-linux-gnu-", "powerpc": "powerpc-linux-gnu-", "armel": "arm-linux-gnueabi-",
}  # fmt: skip

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef VERSION
#define VERSION "1.2.3"
#endif
#ifndef WORK
#define WORK ""
#endif
const char *stamp = "gadget " VERSION " is ready for all that it may be asked to do";
const char *motto = "a text of more than thirty-two bytes that follows";
static const char *const names[] = {"alpha", "beta", "gamma", "delta", "epsilon"};
static const int table[48] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
static const double factors[4] = {1.5, 2.5, 3.25, 4.125};
static int counter = 7;
int (*hook)(const char *) = puts;
__attribute__((noinline)) int choose(int x) {
  switch (x) {
  case 0: return puts("zero"); case 1: return puts("one of them"); case 2: return printf("%d\n", counter);
  case 3: return putchar('3'); case 4: return puts("four"); case 5: return (int)strlen(names[counter % 5]);
  case 6: return puts("six"); case 7: return table[counter & 31]; case 8: return puts(stamp);
  }
  return 9;
}
__attribute__((noinline)) int allowed(const char *user, const char *word) {
  if (strcmp(user, "admin")) return 0;
  return !strcmp(word, "correct horse");
}
__attribute__((noinline)) int denied(void) { return puts("denied"); }
__attribute__((noinline)) int granted(void) { counter++; return puts("granted"); }
__attribute__((constructor)) static void start(void) { counter += 1; }
int main(int argc, char **argv) {
  puts(stamp); puts(motto); puts("a " VERSION); puts("b " VERSION); puts("c " VERSION);
  if (argc > 2 && allowed(argv[1], argv[2])) granted(); else denied();
  printf("%s %d %f\n", names[argc % 5], choose(argc), factors[argc & 3]);
  return hook(WORK "/src/gadget.c") < 0 ? abort(), 1 : 0;
}
"""


@cache
def folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="equivalence-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


_NUMBERS = itertools.count()


def fresh(stem: str, ending: str = "") -> Path:
    """A path in the folder that nothing else has."""
    return folder() / f"{stem}{next(_NUMBERS)}{ending}"


def compiled(compiler: str, source: Path, *flags: str) -> bytes:
    """What a compiler makes of a file in the folder, with these options."""
    need(compiler)
    out = fresh("out")
    command = [compiler, "-pipe", *flags, "-o", out.name, source.name]
    subprocess.run(command, cwd=folder(), check=True, capture_output=True)
    return out.read_bytes()


def need(*tools: str) -> None:
    """Skip, saying so, where a tool is absent."""
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"NOT TESTED: {tool} is not installed")


@cache
def program(arch: str = "x86_64", *flags: str, source: str = SOURCE) -> bytes:
    """The program of ``source``, linked for ``arch`` with more options of gcc."""
    if "-lstdc++" in flags:
        need(PREFIX[arch] + "g++")
    text = folder() / "gadget.c"  # the name is in the program
    text.write_text(source)
    return compiled(PREFIX[arch] + "gcc", text, "-O2", "-Wno-builtin-macro-redefined", *flags)


@cache
def tool(raw: bytes, arch: str, name: str, *options: str) -> bytes:
    """``raw`` after binutils' ``strip`` or ``objcopy``."""
    need(PREFIX[arch] + name)
    path = fresh("tool")
    path.write_bytes(raw)
    subprocess.run([PREFIX[arch] + name, *options, path.name], cwd=folder(), check=True, capture_output=True)
    return path.read_bytes()


@cache
def clang(*flags: str, source: str) -> bytes:
    """A program of this machine, by LLVM's compiler."""
    tool = next((t for t in ("clang", *(f"clang-{n}" for n in range(20, 12, -1))) if shutil.which(t)), "clang")
    text = fresh("clang", ".c")
    text.write_text(source)
    return compiled(tool, text, "-O2", *flags)


@cache
def linked(raw: bytes, arch: str = "x86_64", *flags: str) -> bytes:
    """An object file, linked."""
    path = fresh("object", ".o")
    path.write_bytes(raw)
    return compiled(PREFIX[arch] + "gcc", path, *flags)


@cache
def assembled(text: str, arch: str = "x86_64", *flags: str) -> bytes:
    """What assembly makes: a program, or an object where the options ask for one."""
    path = fresh("text", ".s")
    path.write_text(text)
    return compiled(PREFIX[arch] + "gcc", path, *flags)


def strip(raw: bytes, arch: str = "x86_64") -> bytes:
    return tool(raw, arch, "strip")


def with_section(raw: bytes, name: str, content: bytes, arch: str = "x86_64") -> bytes:
    """``raw`` with a section that is not loaded."""
    path = folder() / f"content{abs(hash(content))}"
    path.write_bytes(content)
    return tool(raw, arch, "objcopy", "--add-section", f"{name}={path.name}")


def elf(raw: bytes) -> ELFFile:
    return ELFFile(io.BytesIO(raw))


def place(raw: bytes, name: str) -> tuple[int, int]:
    """(offset in the file, size) of a section."""
    section = elf(raw).get_section_by_name(name)
    return section["sh_offset"], section["sh_size"]


def build_id(raw: bytes) -> bytes:
    at, size = place(raw, ".note.gnu.build-id")
    return raw[at + 16 : at + size]


def put(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def flip(raw: bytes, at: int, bits: int = 1) -> bytes:
    return put(raw, at, bytes([raw[at] ^ bits]))


def symbol(raw: bytes, name: str) -> tuple[int, int]:
    """(offset in the file, size) of a symbol of the static table."""
    file = elf(raw)
    found = file.get_section_by_name(".symtab").get_symbol_by_name(name)[0]
    section = file.get_section(found["st_shndx"])
    return found["st_value"] - section["sh_addr"] + section["sh_offset"], found["st_size"]


def address(raw: bytes, name: str) -> int:
    """The address of a symbol of the static table."""
    value: int = elf(raw).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"]
    return value


def header_field(raw: bytes, index: int, at: int, layout: str, value: int) -> bytes:
    """A field of section header ``index`` of a 64-bit little-endian file, replaced."""
    where = elf(raw)["e_shoff"] + 64 * index + at
    return put(raw, where, struct.pack(layout, value))


def other_build_id(raw: bytes) -> bytes:
    """``raw`` with another build-id, as another build of the same would have."""
    at, size = place(raw, ".note.gnu.build-id")
    return put(raw, at + 16, bytes(b ^ 0x5A for b in raw[at + 16 : at + size]))
