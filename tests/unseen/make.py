"""Builds: a tree prepared once for a target, copied to folders of several names, compiled as a plain list, linked."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from tests.unseen.plan import Build, Made, Output, Package, Target, macro


class BuildError(Exception):
    """A command that failed, with the end of what it said."""


def run(command: list[str], cwd: Path, **more: str) -> str:
    """Standard output of a command. ``more``: environment."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)[:200]}: {done.stderr[-800:]}")
    return done.stdout


class Shop:
    """Where one package is built for one target: ``folder``/SIDE/PACKAGE-TARGET is a build's root."""

    def __init__(self, source: Path, folder: Path, package: Package, name: str, target: Target) -> None:
        self.folder, self.package, self.target = folder, package, target
        self.leaf = f"{package.name}-{name}"
        self.linked: dict[tuple[str, Build, tuple[str, ...]], Path] = {}
        self.first = self.folder / Build().side / self.leaf
        shutil.rmtree(self.first, ignore_errors=True)
        self.first.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, self.first, symlinks=True)
        host = run([target.cc, "-dumpmachine"], self.first).strip()
        for line in package.prepare:
            run(["/bin/sh", "-c", line], self.first, CC=target.cc, HOST=host, LC_ALL="C")
        for path, old, new in package.edits:
            file = self.first / path
            text = file.read_text(errors="surrogateescape")
            if old not in text:
                raise BuildError(f"{path} does not have {old!r}")
            file.write_text(text.replace(old, new), errors="surrogateescape")

    def root(self, build: Build) -> Path:
        """The folder that a build is made in."""
        path = self.folder / build.side / self.leaf
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(self.first, path, symlinks=True, ignore=shutil.ignore_patterns(".unseen"))
        return path

    def objects(self, output: Output, build: Build) -> list[Path]:
        """The object files of a build, compiled where they are not there yet."""
        root = self.root(build)
        place = root / ".unseen" / f"{output.name}-{abs(hash(build))}"
        pairs = [(source, place / f"{str(source).replace('/', '_')[:-2]}.o") for source in self.sources(output)]
        if place.exists():
            return [made for _, made in pairs]
        place.mkdir(parents=True)
        flags = [*self.target.flags, *self.package.flags, *output.flags, "-w", "-pipe"]
        flags += ["-fPIC"] * (output.kind != "program") + ["-g"] * build.debug
        flags.append(f"-DUNSEEN_VERSION={macro(self.package, build)}")
        for source, made in pairs:
            named = str(root / source) if self.package.absolute else str(source)
            run(
                [self.target.cc, *flags, "-c", named, "-o", str(made)], root,
                SOURCE_DATE_EPOCH=str(build.clock), LC_ALL=build.locale,
            )  # fmt: skip
        return [made for _, made in pairs]

    def sources(self, output: Output) -> Iterator[Path]:
        """The C files of an output, as paths below the root, in one order."""
        left = {path for pattern in output.exclude for path in self.first.glob(pattern)}
        for pattern in output.sources:
            found = sorted(path for path in self.first.glob(pattern) if path not in left)
            if not found:
                raise BuildError(f"no file is {pattern}")
            yield from (path.relative_to(self.first) for path in found)

    def link(self, output: Output, made: Made) -> Path:
        """The linked file, before anything is done to it."""
        key = output.name, made.build, made.link
        if key in self.linked:
            return self.linked[key]
        objects = self.objects(output, made.build)
        out = objects[0].parent / f"linked-{abs(hash(made.link))}" / output.name
        out.parent.mkdir(exist_ok=True)
        if output.kind == "archive":
            run([f"{self.target.binutils}ar", "rcs", str(out), *map(str, objects)], out.parent)
        else:
            kind = ["-shared", f"-Wl,-soname,{output.name}"] if output.kind == "shared" else self.target.link
            kind = [*kind, *["-static"] * self.target.static, "-Wl,--build-id=sha1", *made.link]
            run([self.target.cc, *kind, "-o", str(out), *map(str, objects), *output.libs], out.parent)
        self.linked[key] = out
        return out

    def make(self, output: Output, made: Made, place: Path) -> Path:
        """The file as it is delivered, in the folder ``place``."""
        place.mkdir(parents=True, exist_ok=True)
        out = place / output.name
        shutil.copyfile(self.link(output, made), out)
        if made.post in ("strip", "debug"):
            run([f"{self.target.binutils}strip", *["-g"] * (made.post == "debug"), output.name], place)
        elif made.post == "bare":
            out.write_bytes(bare(out.read_bytes()))
        return out

    def close(self) -> None:
        """Delete every root."""
        for path in self.folder.glob(f"*/{self.leaf}"):
            shutil.rmtree(path)


def bare(raw: bytes) -> bytes:
    """An ELF file as ``sstrip`` leaves it: without a section table and what only that describes."""
    file = ELFFile(io.BytesIO(raw))
    end = max(s["p_offset"] + s["p_filesz"] for s in file.iter_segments())
    wide = file.elfclass == 64
    at, last, width = (0x28, 0x3A, 8) if wide else (0x20, 0x2E, 4)
    head = bytearray(raw[:end])
    head[at : at + width] = bytes(width)  # e_shoff
    head[last : last + 6] = (64 if wide else 40).to_bytes(2, "little" if file.little_endian else "big") + bytes(4)
    return bytes(head)


def producers(path: Path) -> list[str]:
    """What ``.comment`` says."""
    raw = path.read_bytes()
    if raw[:4] != b"\x7fELF":
        return []
    section = ELFFile(io.BytesIO(raw)).get_section_by_name(".comment")
    return [text.decode() for text in section.data().split(b"\0") if text] if section else []


_ALLOC, _EXEC = 2, 4


def layout(path: Path) -> list[tuple[str, int, int]]:
    """(name, address, size) of what is loaded, but for the build-id; nothing of other files than ELF."""
    raw = path.read_bytes()
    if raw[:4] != b"\x7fELF":
        return []
    sections = ELFFile(io.BytesIO(raw)).iter_sections()
    return [
        (s.name, s["sh_addr"], s["sh_size"])
        for s in sections
        if s["sh_flags"] & _ALLOC and s.name != ".note.gnu.build-id"
    ]


def code(path: Path) -> dict[str, bytes]:
    """The code of an object file by section, with what the linker fills in taken out: differs only where the compiler
    made other instructions."""
    file = ELFFile(io.BytesIO(path.read_bytes()))
    risc = file["e_machine"] in ("EM_PPC", "EM_MIPS")
    found = {}
    for index, section in enumerate(file.iter_sections()):
        if section["sh_flags"] & _EXEC and section["sh_type"] == "SHT_PROGBITS":
            found[index] = (section.name, bytearray(section.data()))
    for section in file.iter_sections():
        if isinstance(section, RelocationSection) and section["sh_info"] in found:
            body = found[section["sh_info"]][1]
            for number in range(section["sh_size"] // section["sh_entsize"]):
                at = section.get_relocation(number)["r_offset"]
                at &= ~3 if risc else -1  # PowerPC's are of half words
                body[at : at + 4] = bytes(len(body[at : at + 4]))
    return {name: bytes(body) for name, body in found.values()}


def other_code(shop: Shop, output: Output, a: Build, b: Build) -> list[str]:
    """The C files of which two builds have other instructions: the text or its length is in the code."""
    one, other = shop.objects(output, a), shop.objects(output, b)
    return [x.stem for x, y in zip(one, other, strict=True) if code(x) != code(y)]
