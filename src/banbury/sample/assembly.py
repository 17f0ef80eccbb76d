"""Assembles the sample: two releases of a fictional router, their manifests and their labels."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from banbury.lab.progress import Progress, Silent
from banbury.model.errors import InputError
from banbury.sample import packages as debian
from banbury.sample.image import firmware
from banbury.sample.labels import shipped_labels
from banbury.sample.packages import Package
from banbury.sample.rootfs import root_tree

#: Not mipsel, though routers are: Debian's mipsel programs all ask for an executable stack, which would hide ours.
ARCHITECTURE = "armhf"
RELEASES = ("1.0", "1.1")

#: Debian packages of both releases.
COMMON = [
    "busybox",
    "dnsmasq-base",
    "dropbear-bin",
    "iptables",
    "kmod",
    "libc6",
    "libcap2",
    "libcrypt1",
    "libdbus-1-3",
    "libgcc-s1",
    "libgcrypt20",
    "libgmp10",
    "libgpg-error0",
    "libhogweed6",
    "libidn2-0",
    "libip4tc2",
    "libip6tc2",
    "libjansson4",
    "libkmod2",
    "liblz4-1",
    "liblzma5",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnettle8",
    "libnfnetlink0",
    "libnftables1",
    "libnftnl11",
    "libpcre2-8-0",
    "libssl3",
    "libsystemd0",
    "libtomcrypt1",
    "libtommath1",
    "libunistring2",
    "libxtables12",
    "libxxhash0",
    "libzstd1",
    "lighttpd",
    "media-types",
    "netbase",
    "openssl",
    "zlib1g",
]
#: Those of one release only.
OWN = {"1.0": ["ethtool"], "1.1": ["iputils-ping"]}

_DELIVERED = {"1.0": "2026-01-15", "1.1": "2026-05-18"}


class SampleRelease(Struct, frozen=True, kw_only=True):
    """One release of the sample. Paths are relative to the sample's folder; ``size`` is in bytes."""

    version: str
    folder: str
    manifest: str
    image: str
    sha256: str
    size: int
    packages: list[str]


class SampleInfo(Struct, frozen=True, kw_only=True):
    """What the sample is made of. ``recipe`` is a hash of how, ``root`` the folder it stands in."""

    recipe: str
    architecture: str
    tools: dict[str, str]
    packages: list[Package]
    releases: list[SampleRelease]
    labels: str
    root: str = ""

    def manifest(self, version: str) -> Path:
        """The manifest of a release: what ``banbury evaluate`` is given."""
        return Path(self.root) / next(r.manifest for r in self.releases if r.version == version)


def build(out: Path, cache: Path, progress: Progress | None = None) -> SampleInfo:
    """Assemble the sample in ``out`` (or find it there as it should be), with packages kept in ``cache``.

    Raises InputError, in one line, where packages or tools are missing and where ``out`` holds something else.
    """
    out, cache = out.resolve(), cache.resolve()
    recipe = _recipe()
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out.parent / f".{out.name}.lock"):
        if (ready := _ready(out, recipe)) is not None:
            return ready
        if out.exists() and any(out.iterdir()) and not (out / "sample.json").is_file():
            raise InputError(f"{out} holds something else than a sample", hint="Name an empty or a new folder.")
        fresh = out.with_name(f".{out.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            info = _assemble(fresh, cache, recipe, progress or Silent())
            shutil.rmtree(out, ignore_errors=True)
            fresh.rename(out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return msgspec.structs.replace(info, root=str(out))


def _assemble(out: Path, cache: Path, recipe: str, progress: Progress) -> SampleInfo:
    names = sorted({*COMMON, *(name for own in OWN.values() for name in own)})
    found = {p.name: p for p in debian.fetch(names, ARCHITECTURE, cache, progress)}
    progress.stage("read the packages")
    progress.found(len(found), sum(package.size for package in found.values()))
    contents, stanzas = {}, {}
    for name, package in found.items():
        contents[name], stanzas[name] = debian.content(package, cache), debian.stanza(package, cache)
        progress.finished(package.file, package.size)
    releases = []
    for version in RELEASES:
        progress.stage(f"make EX-100 firmware {version}")
        chosen = [*COMMON, *OWN[version]]
        root = root_tree(version, {n: contents[n] for n in chosen}, {n: stanzas[n] for n in chosen})
        releases.append(_write_release(out, version, firmware(version, root), sorted(chosen)))
    labels = shipped_labels()
    (out / "labels.json").write_bytes(msgspec.json.format(msgspec.json.encode(labels)) + b"\n")
    info = SampleInfo(
        recipe=recipe,
        architecture=ARCHITECTURE,
        tools={"sqfstar": _tool_version()},
        packages=[found[name] for name in names],
        releases=releases,
        labels="labels.json",
    )
    (out / "sample.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)) + b"\n")
    return info


def _write_release(out: Path, version: str, image: bytes, packages: list[str]) -> SampleRelease:
    folder, name = f"ex100-{version}", f"ex100-{version}.bin"
    (out / folder).mkdir()
    (out / folder / name).write_bytes(image)
    (out / folder / "release.toml").write_text(_manifest(version, name))
    return SampleRelease(
        version=version,
        folder=folder,
        manifest=f"{folder}/release.toml",
        image=f"{folder}/{name}",
        sha256=hashlib.sha256(image).hexdigest(),
        size=len(image),
        packages=packages,
    )


def _manifest(version: str, image: str) -> str:
    return f"""# A submission: who handed over what, when, under which terms.
[release]
vendor = "Example Networks"
product = "EX-100"
version = "{version}"
delivered_by = "Example Networks, release desk"
delivered = "{_DELIVERED[version]}"
terms = "A made sample; free to use, copy and change."

[[artefact]]
path = "{image}"
role = "image"
"""


def _recipe() -> str:
    """A hash of everything in this package: the sample is made anew whenever its making has changed."""
    base = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in base.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{path.relative_to(base).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _ready(out: Path, recipe: str) -> SampleInfo | None:
    """The sample that stands in ``out``, if it was made by this recipe and its images are whole."""
    try:
        info = msgspec.json.decode((out / "sample.json").read_bytes(), type=SampleInfo)
        whole = all(
            hashlib.sha256((out / release.image).read_bytes()).hexdigest() == release.sha256
            and (out / release.manifest).is_file()
            for release in info.releases
        )
    except (OSError, msgspec.DecodeError):
        return None
    current = info.recipe == recipe and whole and (out / info.labels).is_file()
    return msgspec.structs.replace(info, root=str(out)) if current else None


def _tool_version() -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    program = shutil.which("sqfstar", path=path)
    if program is None:
        return ""
    shown = subprocess.run([program, "-version"], capture_output=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    return shown.stdout.decode(errors="replace").partition("\n")[0].strip()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One build at a time: a second one waits, then finds the first one's."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
