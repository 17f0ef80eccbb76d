"""From what a recipe names to one source tree and one root file system. Archives are unpacked in the sandbox."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.model.errors import InputError
from banbury.rebuild import box
from banbury.rebuild.model import Root, Source
from banbury.rebuild.recipe import BuildLimits, Kind, Recipe
from banbury.rebuild.tree import copy_tree, digest_file, digest_tree

_LIMITS: Final = BuildLimits(time=900, memory=2048, disk=16384, file=8192, log=4)
_PACKED: Final = ((b"\x1f\x8b", "-z"), (b"\xfd7zXZ\0", "-J"), (b"\x28\xb5\x2f\xfd", "--zstd"), (b"BZh", "-j"))
_FILE: Final = re.compile(r"^ ([0-9a-f]{64}) +([0-9]{1,15}) +([A-Za-z0-9][A-Za-z0-9.+~_-]{0,200})$", re.MULTILINE)
_TREE: Final = "source"


class Prepared(Struct, frozen=True):
    """The source as data and the folder that is copied for every build."""

    source: Source
    tree: Path


def root(recipe: Recipe, base: Path, work: Path) -> tuple[str, Root]:
    """The root file system's folder (or ``host``) and its description. Raises ``InputError``."""
    given = recipe.environment
    if given.root == "host":
        status = Path("/var/lib/dpkg/status")
        digest = digest_file(status) if status.is_file() else ""
        return "host", Root(
            kind="host", sha256=digest, covers="the list of installed packages" if digest else "nothing"
        )
    path = base / given.root
    if path.is_dir():
        box.reachable(path)
        digest, _, _ = digest_tree(path)
        _pinned(given.sha256, digest, path)
        return str(path.resolve()), Root(kind="folder", sha256=digest, covers="names, kinds and contents of all files")
    if not path.is_file():
        raise InputError(f"{path}: there is no such root file system")
    digest = digest_file(path.resolve())
    _pinned(given.sha256, digest, path)
    target = work / "root"
    unpack(path, target, work, options="--exclude=./dev/* --exclude=dev/*")
    if not (target / "usr").is_dir():
        raise InputError(f"{path}: there is no /usr in it")
    return str(target), Root(kind="tarball", sha256=digest, covers="the tarball")


def _pinned(wanted: str, found: str, path: Path) -> None:
    if wanted and wanted != found:
        raise InputError(f"{path}: its SHA-256 is {found}, the recipe wants {wanted}")


def unpack(archive: Path, target: Path, work: Path, *, options: str = "") -> None:
    """Unpack a tarball in the sandbox, with this machine's tar. Raises ``InputError``."""
    with open(archive, "rb") as file:
        head = file.read(8)
    flag = next((f for magic, f in _PACKED if head.startswith(magic)), "")
    target.mkdir()
    box.own(target)
    script = f"umask 0022; tar -x {flag} --no-same-owner {shlex.join(options.split())} -f - -C /out"
    job = box.Job(
        root="host", script=script, work=work, log=work / "unpack.log", stdin=archive, limits=_LIMITS, place="/out",
        mounts=[box.Mount(str(target), "/out", True)],
    )  # fmt: skip
    ended = box.run(job)
    if not ended.good:
        raise InputError(f"{archive}: it cannot be unpacked ({ended.limit or last(job.log)})")


def last(log: Path) -> str:
    """The last line of a log."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def prepare(recipe: Recipe, base: Path, work: Path, system: str) -> Prepared:
    """The source tree of a recipe, unpacked once. Raises ``InputError``."""
    if recipe.kind is Kind.DEBIAN:
        return _debian(recipe, base, work, system)
    path = base / recipe.source
    tree = work / "pristine"
    if path.is_dir():
        copy_tree(path, tree)
        digest = digest_tree(path)[0]
    elif path.is_file():
        digest = digest_file(path.resolve())
        unpack(path, tree, work)
        only = sorted(tree.iterdir())
        if len(only) == 1 and only[0].is_dir() and not only[0].is_symlink():
            tree = only[0]
    else:
        raise InputError(f"{path}: there is no such source")
    return Prepared(_described(recipe.source, digest, tree), tree)


def _described(given: str, digest: str, tree: Path, package: str = "", version: str = "") -> Source:
    whole, files, size = digest_tree(tree)
    return Source(given=given, sha256=digest, tree=whole, files=files, size=size, package=package, version=version)


def _debian(recipe: Recipe, base: Path, work: Path, system: str) -> Prepared:
    dsc = _dsc(recipe, base)
    with open(dsc, "rb") as file:
        text = file.read(1 << 20).decode("utf-8", "replace")
    fields = dict(re.findall(r"^(Source|Version): ([!-~]{1,200})$", text, re.MULTILINE))
    if set(fields) != {"Source", "Version"}:
        raise InputError(f"{dsc}: it states no Source and Version")
    box_in, out = work / "given", work / "pristine"
    box_in.mkdir()
    out.mkdir()
    counted = hashlib.sha256(dsc.read_bytes())
    shutil.copyfile(dsc, box_in / "source.dsc")
    for digest, _, name in _FILE.findall(text):
        if not (dsc.parent / name).is_file() or digest_file((dsc.parent / name).resolve()) != digest:
            raise InputError(f"{dsc}: {name} is not there, or is not what the .dsc says")
        shutil.copyfile(dsc.parent / name, box_in / name)
        counted.update(digest.encode())
    box.own(box_in)
    box.own(out)
    job = box.Job(
        root=system, work=work, log=work / "unpack.log", limits=_LIMITS, place="/out",
        script=f"umask 0022; dpkg-source --no-check -x /in/source.dsc /out/{_TREE}",
        mounts=[box.Mount(str(box_in), "/in"), box.Mount(str(out), "/out", True), *scratch(work)],
        environment=[("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/tmp"), ("TZ", "UTC0")],  # noqa: S108
    )  # fmt: skip
    ended = box.run(job)
    if not ended.good:
        raise InputError(f"{dsc}: dpkg-source cannot unpack it ({ended.limit or last(job.log)})")
    described = _described(dsc.name, counted.hexdigest(), out, fields["Source"], fields["Version"])
    return Prepared(described, out)


def scratch(work: Path) -> list[box.Mount]:
    """A /tmp of its own for one job."""
    path = work / "tmp-of-job"
    path.mkdir(exist_ok=True)
    box.own(path)
    return [box.Mount(str(path), "/tmp", True)]  # noqa: S108


def _dsc(recipe: Recipe, base: Path) -> Path:
    path = base / recipe.source
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"{path}: there is no such source")
    found = sorted(path.glob(f"{recipe.package or recipe.name}_*.dsc"))
    if len(found) != 1:
        raise InputError(f"{path}: {len(found)} source packages of that name; give the .dsc itself")
    return found[0]
