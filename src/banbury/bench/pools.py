"""The sets of packages that identification by bytes is measured on: chosen by rule from a release's index, got by apt.

apt-get runs on a private state with the system's own Debian source, keys and proxy, for another suite and machine
(apt.conf(5), sources.list(5)); nothing of the system is changed. What was fetched stays in the work folder: a second
run needs no network.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError
from banbury.sample.apt import private_apt
from banbury.supply.products import by_package, products

_APT_SECONDS: Final = 1800
_AT_ONCE: Final = 100
_KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set. ``use`` is ``development`` or ``held out``; ``without``: the sources of knowledge that are left out;
    ``peer``: the peer is run on a part of it as well."""

    name: str
    suite: str
    architecture: str
    without: str
    use: str
    reason: str
    peer: bool = False


class _Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    largest: int
    reason: str
    sections: list[str]


class _Peer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    program: str
    checkers: list[str]


class Stated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release of a product whose own sources state another version."""

    product: str
    version: str
    stated: str
    reason: str


class _Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    set: list[Pool]
    rule: _Rule
    peer: _Peer
    truth: list[Stated]


class Chosen(Struct, frozen=True, kw_only=True):
    """A package that the rule chose, and whether it is the one that carries the product's code: the library of a
    product that is a library, the program of any other (where it has both)."""

    package: str
    product: str
    carrier: bool


Tell = Callable[[str], object]


def data() -> _Data:
    """The sets and the rule."""
    text = (files("banbury.bench") / "data" / "components.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Data)


@cache
def looked_for() -> frozenset[str]:
    """The products that the peer has a checker for: one that is called like the product, or like one of its names in
    feeds (``product`` or ``vendor:product``), case and marks aside."""
    checkers = {_bare(name) for name in data().peer.checkers}
    found = set()
    for row in products().values():
        names = {row.id, *row.cpes, *(pair.partition(":")[2] for pair in row.cpes)}
        if checkers & {_bare(name) for name in names}:
            found.add(row.id)
    return frozenset(found)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def choose(index: str, architecture: str) -> list[Chosen]:
    """Apply the rule to an index (deb822 stanzas, as ``apt-cache dumpavail`` prints them)."""
    rule = data().rule
    best: dict[tuple[str, bool], tuple[bool, int, str]] = {}
    for fields in _stanzas(index):
        name, source = fields.get("Package", ""), fields.get("Source", "")
        section = fields.get("Section", "").rpartition("/")[2]
        if fields.get("Architecture") != architecture or section not in rule.sections:
            continue
        if not fields.get("Size", "").isdigit() or int(fields["Size"]) > rule.largest:
            continue
        product = by_package("dpkg", name, fields.get("Version", ""), source)
        if product and product != "linux":
            mark = (name not in (product, source.partition(" ")[0] or name), len(name), name)
            key = (product, name.startswith("lib"))
            best[key] = min(best.get(key, mark), mark)
    return [_chosen(product, library, best) for product, library in sorted(best)]


def _chosen(product: str, library: bool, best: dict[tuple[str, bool], tuple[bool, int, str]]) -> Chosen:
    wants = products()[product].type == "library"
    return Chosen(
        package=best[product, library][2],
        product=product,
        carrier=library is wants or (product, not library) not in best,
    )


def _stanzas(index: str) -> Iterator[dict[str, str]]:
    for stanza in index.split("\n\n"):
        yield dict(re.findall(r"^([A-Za-z-]{1,40}): *(.*)$", stanza, re.MULTILINE))


def fetch(pool: Pool, folder: Path, tell: Tell) -> list[tuple[Chosen, Path]]:
    """The set's packages, in ``folder`` or fetched into it. Raises :class:`InputError` where they cannot be had."""
    here = folder / f"{pool.suite}-{pool.architecture}"
    here.mkdir(parents=True, exist_ok=True)
    options = _pool_apt(here.resolve(), pool)
    index = here / "index"
    if not index.is_file():
        tell(f"{pool.name}: the index")
        _apt(here, [*options, "update"])
        listed = _apt(here, [*options, "dumpavail"], program="apt-cache")
        chosen = choose(listed.decode("utf-8", "replace"), pool.architecture)
        if not chosen:
            raise _unreachable(pool)
        _write(index, listed)
    chosen = choose(index.read_text("utf-8", "replace"), pool.architecture)
    have = _have(here)
    missing = [c.package for c in chosen if c.package not in have]
    if missing:
        _apt(here, [*options, "update"])  # an old state may name files that the archive has replaced
    for at in range(0, len(missing), _AT_ONCE):
        tell(f"{pool.name}: packages {at + 1} to {min(at + _AT_ONCE, len(missing))} of {len(missing)}")
        _apt(here / "packages", [*options, "download", *missing[at : at + _AT_ONCE]])
    have = _have(here)
    absent = [c.package for c in chosen if c.package not in have]
    if absent:
        raise _unreachable(pool, f"; {len(absent)} packages are missing, {absent[0]} for one")
    return [(c, have[c.package]) for c in chosen]


def _have(here: Path) -> dict[str, Path]:
    (here / "packages").mkdir(exist_ok=True)
    return {path.name.partition("_")[0]: path for path in sorted((here / "packages").glob("*.deb"))}


def _unreachable(pool: Pool, more: str = "") -> InputError:
    return InputError(
        f"the packages of {pool.name} cannot be fetched{more}",
        hint="This measurement needs apt-get with a reachable Debian source, or the work folder of an earlier run.",
    )


def _pool_apt(here: Path, pool: Pool) -> list[str]:
    """Options for an apt with its own state below ``here``, with the pool's suite as its one source."""
    options = private_apt(here, pool.architecture)
    (here / "sources/one.list").write_text(f"deb [signed-by={_KEYS}] {_source(pool)} {pool.suite} main\n")
    return options


def _source(pool: Pool) -> str:
    """Where the system has Debian's main archive from."""
    system = Path("/etc/apt")
    lists = [system / "sources.list", *sorted((system / "sources.list.d").glob("*"))]
    texts = [p.read_text(errors="replace") for p in lists if p.suffix in {".list", ".sources"} and p.is_file()]
    found: list[str] = [address for text in texts for address in re.findall(r"https?://[^\s#]{1,300}", text)]
    for address in found:
        if re.fullmatch(r"debian/?", address.rpartition("/")[2] or address.split("/")[-2]):
            return address
    raise _unreachable(pool, ", since this system names no Debian source")


def _apt(folder: Path, arguments: Sequence[str], *, program: str = "apt-get") -> bytes:
    try:
        return subprocess.run(  # noqa: S603 - no shell, arguments are ours
            [program, "-q", *arguments],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_APT_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise InputError(f"{program} cannot be run here: {type(problem).__name__}") from None


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
