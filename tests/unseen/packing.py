"""Packages of built files, packed at another time, in another order, with another level. Owners and modes stay."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tests.unseen.make import run


class Packing(Struct, frozen=True):
    """How one side packs. ``late``: another clock, order and level than the other side's."""

    late: bool
    clock: int


def lay(files: list[Path], place: Path, name: str, clock: int) -> Path:
    """A package's tree: programs, a configuration, a document; its times are the clock's."""
    tree = place / "tree"
    for file in files:
        inside = tree / ("usr/lib" if ".so" in file.name or file.suffix == ".a" else "usr/sbin") / file.name
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, inside)
        inside.chmod(0o755)
    for path, text in (
        (f"etc/{name}.conf", "enabled = yes\n"),
        (f"usr/share/doc/{name}/README", f"{name}: see its site.\n"),
    ):
        inside = tree / path
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(text)
        inside.chmod(0o644)
    control = tree / "DEBIAN"
    control.mkdir()
    sums = [(hashlib.md5(p.read_bytes()).hexdigest(), p.relative_to(tree)) for p in _files(tree)]
    (control / "md5sums").write_text("".join(f"{digest}  {path}\n" for digest, path in sums))
    (control / "control").write_text(
        f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        f"Description: {name}\n"
    )
    (control / "conffiles").write_text(f"/etc/{name}.conf\n")
    for inside in (tree, *tree.rglob("*")):
        if inside.is_dir():
            inside.chmod(0o755)
        os.utime(inside, (clock, clock))
    return tree


def _files(tree: Path) -> list[Path]:
    return sorted(p for p in tree.rglob("*") if p.is_file() and p.parent.name != "DEBIAN")


def _names(tree: Path, late: bool) -> str:
    """All paths, folders first; files in another order where packed late."""
    inside = [p for p in tree.rglob("*") if "DEBIAN" not in p.parts]
    folders = sorted(p for p in inside if p.is_dir())
    files = sorted((p for p in inside if p.is_file()), reverse=late)
    return "".join(f"./{p.relative_to(tree)}\n" for p in (*folders, *files))


def _tar(tree: Path, out: Path, how: Packing, names: str) -> None:
    listed = out.with_suffix(".names")
    listed.write_text(names)
    run(
        ["tar", "--no-recursion", "--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{how.clock}", "-cf", str(out),
         "-C", str(tree), "-T", str(listed)], tree,
    )  # fmt: skip
    listed.unlink()


def _targz(tree: Path, out: Path, how: Packing, names: str = "") -> None:
    plain = out.with_suffix(".plain")
    _tar(tree, plain, how, names or _names(tree, how.late))
    level = "-1" if how.late else "-9"
    run(["/bin/sh", "-c", f'gzip -n {level} < "$0" > "$1"', str(plain), str(out)], tree)
    plain.unlink()


def _tarxz(tree: Path, out: Path, how: Packing) -> None:
    plain = out.with_suffix(".plain")
    _tar(tree, plain, how, _names(tree, how.late))
    level = "-1" if how.late else "-6"
    run(["/bin/sh", "-c", f'xz {level} < "$0" > "$1"', str(plain), str(out)], tree)
    plain.unlink()


def _cpio(tree: Path, out: Path, how: Packing) -> None:
    listed = out.with_suffix(".names")
    listed.write_text(_names(tree, how.late))
    numbers = [] if how.late else ["--reproducible"]
    script = 'cpio --quiet -o -H newc -R 0:0 "$@" < "$NAMES" > "$OUT"'
    run(["/bin/sh", "-c", script, "cpio", *numbers], tree, NAMES=str(listed), OUT=str(out))
    listed.unlink()


def _squashfs(tree: Path, out: Path, how: Packing) -> None:
    size = "262144" if how.late else "131072"
    run(
        ["mksquashfs", str(tree), str(out), "-noappend", "-all-root", "-no-progress", "-quiet", "-comp", "xz",
         "-b", size, "-mkfs-time", str(how.clock), "-processors", "1", "-wildcards", "-e", "DEBIAN"], tree,
    )  # fmt: skip


def _deb(tree: Path, out: Path, how: Packing) -> None:
    kind = ["-Zgzip", "-z9"] if how.late else ["-Zxz"]
    run(["dpkg-deb", "--root-owner-group", *kind, "-b", str(tree), str(out)], tree, SOURCE_DATE_EPOCH=str(how.clock))


def _ipk(tree: Path, out: Path, how: Packing) -> None:
    inner = out.with_suffix(".d")
    inner.mkdir()
    (inner / "debian-binary").write_text("2.0\n")
    _targz(tree, inner / "data.tar.gz", how)
    _targz(tree / "DEBIAN", inner / "control.tar.gz", how, "./control\n./conffiles\n")
    _targz(inner, out, how, "./debian-binary\n./data.tar.gz\n./control.tar.gz\n")
    shutil.rmtree(inner)


def _zip(tree: Path, out: Path, how: Packing) -> None:
    level = "-1" if how.late else "-9"
    script = 'zip -q -X "$LEVEL" "$OUT" -@ < "$NAMES"'
    listed = out.with_suffix(".names")
    listed.write_text(_names(tree, how.late))
    run(["/bin/sh", "-c", script], tree, LEVEL=level, OUT=str(out), NAMES=str(listed))
    listed.unlink()


FORMATS: dict[str, Callable[[Path, Path, Packing], None]] = {
    "tar.gz": _targz, "tar.xz": _tarxz, "cpio": _cpio, "squashfs": _squashfs, "deb": _deb, "ipk": _ipk, "zip": _zip,
}  # fmt: skip


def pack(kind: str, files: list[Path], place: Path, name: str, how: Packing) -> Path:
    """A package of the files in the folder ``place``, in a format of ``FORMATS``."""
    place.mkdir(parents=True, exist_ok=True)
    tree = lay(files, place, name, how.clock)
    out = place / f"{name}.{kind}"
    FORMATS[kind](tree, out, how)
    shutil.rmtree(tree)
    return out
