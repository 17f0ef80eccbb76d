"""Pairs of files that the equivalence benchmark compares: made on the spot, each with what the verdict must be."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct, structs

from banbury.compare.corpus import BuildRecord, Choice, Pair, generate, recipes
from banbury.lab.progress import Progress, Silent
from banbury.model.errors import InputError
from banbury.sample import packages
from banbury.sample.archives import cpio_newc
from banbury.sample.assembly import COMMON, OWN
from banbury.sample.tree import NodeKind, Tree, with_parents

#: Two processors' packages make an archive of the size of an installer's initial file system.
_ARCHITECTURES = ("mipsel", "arm64")
_FUNCTIONS = 3000
_CORPUS = 60
_LIBRARY = 192 << 20  # bytes of read-only data in the large library


class TwoFiles(Struct, frozen=True, kw_only=True):
    """A pair on disk. ``size``: bytes of the larger side once unpacked; ``changed``: paths within it that were tampered
    with, and that a verdict must name and no others; ``records``: the build records' files (rebuilt, shipped);
    ``status``: the exit status of the right verdict."""

    rebuilt: Path
    shipped: Path
    size: int
    changed: tuple[str, ...] = ()
    records: tuple[Path, Path] | None = None
    status: int = 0


def library(folder: Path) -> TwoFiles:
    """A large shared library linked twice with another build-id. Raises InputError where there is no compiler."""
    _need("gcc")
    source, data = folder / "library.s", folder / "library.bin"
    data.write_bytes(random.Random(1).randbytes(1 << 20) * (_LIBRARY >> 20))  # noqa: S311 - filler
    text = f'.section .rodata\n.globl table\ntable: .incbin "{data}"\n.text\n.globl use\nuse: ret\n'
    source.write_text(text + '.section .note.GNU-stack,"",@progbits\n')
    out = []
    for name, mark in (("rebuilt", "11" * 20), ("shipped", "22" * 20)):
        path = folder / f"library-{name}.so"
        _run(["gcc", "-shared", "-nostdlib", f"-Wl,--build-id=0x{mark}", "-o", str(path), str(source)])
        out.append(path)
    return TwoFiles(rebuilt=out[0], shipped=out[1], size=out[0].stat().st_size)


def program(folder: Path) -> TwoFiles:
    """A program of thousands of functions, built twice with a version text of another length, so that all its
    parts moved. Raises InputError where there is no compiler."""
    _need("gcc")
    rnd = random.Random(2)  # noqa: S311 - filler
    lines = ["#include <stdio.h>", "#include <string.h>", 'const char *version = "tool " VERSION " for everyone";']
    for k in range(_FUNCTIONS):
        words = " ".join(rnd.choice(("open", "close", "read", "write", "no such", "bad", "line")) for _ in range(6))
        lines.append(f"int f{k}(int a, const char *b);")
        lines.append(
            f"__attribute__((noinline)) int f{k}(int a, const char *b) {{ if (a > {rnd.randrange(100, 900)}) "
            f'printf("%s: {words} {k}\\n", b); for (int i = 0; i < a; i++) a ^= i * {rnd.randrange(100, 199)}; '
            f"return {f'f{k - 1}(a - 1, b)' if k else 'a'} + (int)strlen(version); }}"
        )
    lines.append(f"int main(int c, char **v) {{ return f{_FUNCTIONS - 1}(c, v[0]); }}")
    source = folder / "program.c"
    source.write_text("\n".join(lines) + "\n")
    out, records = [], []
    for name, version in (("rebuilt", "1.35.0-4"), ("shipped", "1.35.0-4+b1")):
        path, record = folder / f"program-{name}", folder / f"program-{name}.toml"
        _run(["gcc", "-O2", "-s", "-pie", "-fPIE", f'-DVERSION="{version}"', "-o", str(path), str(source)])
        record.write_text(f'[versions]\npackage = "{version}"\n')
        out.append(path)
        records.append(record)
    return TwoFiles(rebuilt=out[0], shipped=out[1], size=out[0].stat().st_size, records=(records[0], records[1]))


def archive(folder: Path, cache: Path, progress: Progress | None = None) -> TwoFiles:
    """An initial file system (cpio in gzip) against a repacked one: other order, times, inode numbers and level, 25
    programs with another build-id, and three files tampered with."""
    tree: Tree = {}
    names = sorted({*COMMON, *(name for own in OWN.values() for name in own)})
    for architecture in _ARCHITECTURES:
        for package in packages.fetch(names, architecture, cache, progress or Silent()):
            tree |= {f"{architecture}/{path}": node for path, node in packages.content(package, cache).items()}
    whole = with_parents(tree)
    entries = list(whole.items())
    elves = [
        p for p, n in entries if n.kind is NodeKind.FILE and n.data[:4] == b"\x7fELF" and b"GNU\0" in n.data[:2048]
    ]
    scripts = [p for p, n in entries if n.kind is NodeKind.FILE and n.data[:2] == b"#!"]
    changed = (elves[3], elves[70], scripts[0])
    other = dict(entries)
    for path in elves[100:125]:
        other[path] = structs.replace(other[path], data=_other_id(other[path].data))
    body = bytearray(other[changed[0]].data)
    body[len(body) // 2] ^= 0x10
    other[changed[0]] = structs.replace(other[changed[0]], data=bytes(body))
    other[changed[1]] = structs.replace(other[changed[1]], mode=other[changed[1]].mode | 0o4000)
    other[changed[2]] = structs.replace(other[changed[2]], data=other[changed[2]].data + b"\n/bin/true\n")
    plain = cpio_newc(entries)
    again = cpio_newc(sorted(other.items(), key=lambda e: (e[1].kind is not NodeKind.DIR, e[0].count("/"), e[0][::-1])))
    out = []
    for name, raw, level in (("rebuilt", plain, 6), ("shipped", again, 9)):
        packed = folder / f"initrd-{name}.gz"
        packed.write_bytes(gzip.compress(raw, level, mtime=level))
        out.append(packed)
    return TwoFiles(rebuilt=out[0], shipped=out[1], size=len(again), changed=changed, status=1)


def corpus(folder: Path) -> tuple[TwoFiles, list[str]]:
    """Pairs of the corpus in two folders, evenly chosen over all formats, and their names."""
    pure = [name for name, recipe in recipes().items() if shutil.which("gcc") or recipe.pure]
    chosen = frozenset(pure[:: max(1, len(pure) // _CORPUS)])
    sides = folder / "corpus-rebuilt", folder / "corpus-shipped"
    for side in sides:
        shutil.rmtree(side, ignore_errors=True)
        side.mkdir()
    names, size = [], 0
    records: tuple[BuildRecord, BuildRecord] | None = None
    for pair in generate(only=Choice(ids=chosen)):
        if isinstance(pair, Pair):
            names.append(pair.id)
            for side, content in zip(sides, (pair.a, pair.b), strict=True):
                (side / pair.id).write_bytes(content)
            size += max(len(pair.a), len(pair.b))
            records = records or (pair.record_a, pair.record_b)
    files = folder / "corpus-a.toml", folder / "corpus-b.toml"
    for file, record in zip(files, records or (), strict=True):
        file.write_text(_toml(record))
    return TwoFiles(rebuilt=sides[0], shipped=sides[1], size=size, records=files, status=1), names


def _toml(record: BuildRecord) -> str:
    roots = {str(n): root for n, root in enumerate(record["roots"])}
    lines = [f"clock = {record['clock']}" if record["clock"] is not None else ""]
    lines += [f"{key} = {json.dumps(record[key])}" for key in ("host", "user")]
    lines += [f"producers = {json.dumps(record['toolchain'])}", f"keys = {json.dumps(record['keys'])}"]
    for title, table in (("roots", roots), ("versions", record["versions"])):
        lines += [f"[{title}]", *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _other_id(data: bytes) -> bytes:
    """A program with its GNU build-id's bytes inverted, where it has one."""
    at = data.find(b"\x14\0\0\0\x03\0\0\0GNU\0", 0, 4096)
    if at < 0:
        return data
    return data[: at + 12] + bytes(b ^ 0xFF for b in data[at + 12 : at + 32]) + data[at + 32 :]


def _need(tool: str) -> None:
    if not shutil.which(tool):
        raise InputError(f"{tool} is needed to make the benchmark's files")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our own words
    if done.returncode:
        raise InputError(f"{command[0]} failed: {done.stderr.strip()[:200]}")
