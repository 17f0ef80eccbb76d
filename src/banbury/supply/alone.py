"""Versions that stand alone: products that are in a content and put no version beside their name.

A version that stands alone is the product's own where it is one that the product is known to have had, or continues
those (:mod:`banbury.supply.plausible`), and nothing speaks against it: no other such version in the file, no library
that leaves its version in the programs that call it, no symbols that bound the product's version otherwise.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.model.evaluation import Fact
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.plausible import ahead, as_newest, continues, far_newer, is_address, is_branch, newer, plausible
from banbury.supply.versions import key

#: Versions that stand in many programs as those of a protocol or a format (HTTP, TLS, XML): alone they assert nothing.
COMMON: Final = frozenset({"1.0", "1.1", "2.0"})
#: Libraries whose headers put their version into every program that calls them (zlib.h: ``inflateInit`` passes
#: ``ZLIB_VERSION``; png.h: ``png_create_read_struct`` is passed ``PNG_LIBPNG_VER_STRING``), or whose manuals have them
#: ask for the version that they were built with (``gcry_check_version (GCRYPT_VERSION)``).
LEFT_BEHIND: Final = {
    "zlib": "libz.so", "libpng": "libpng", "libgcrypt": "libgcrypt.so", "gnutls": "libgnutls.so",
    "libgpg-error": "libgpg-error.so", "libmicrohttpd": "libmicrohttpd.so",
}  # fmt: skip
_FILE_NAME: Final = re.compile(r"([\w.+-]{1,80}?)(?:\.so\.|-)(\d{1,4}(?:\.\d{1,6}){1,3}[a-z]?)(?:\.so)?$")
#: libtool's manual, "Release numbers": the option puts the package's release into the name, before ``.so``.
_RELEASE: Final = re.compile(r"-(\d{1,4}(?:\.\d{1,6}){2,3})\.so(?:$|\.)")
#: A file with more versions that stand alone has a table of them.
_TABLE: Final = 12
#: Words that name nothing: what stands behind them stands alone. ``%s`` may be any name.
_WORDS: Final = frozenset({"version", "release", "%s"})


class Alone(Struct, frozen=True, kw_only=True):
    """What versions that stand alone say of a product: those in the list, those that continue it, and those that are
    far newer. ``places``: where each stands."""

    known: list[str]
    new: list[str]
    far: list[str]
    places: Mapping[str, int]

    @property
    def every(self) -> list[str]:
        """Every version there is, addresses and protocols aside."""
        return [v for v in self.places if v not in COMMON and not is_address(v)]

    def sole(self, knowledge: Knowledge, product: str) -> str:
        """The one version in the content, addresses and protocols aside, if it is newer than all that are known, and in
        full or of the newest one's form: two numbers may be anything."""
        every = self.every
        if len(every) != 1 or every != self.far:
            return ""
        return every[0] if ahead(knowledge, product, every[0]) or as_newest(knowledge, product, every[0]) else ""


def named(by_tag: Mapping[str, list[Fact]]) -> dict[tuple[str, str], int]:
    """(word, version) for every version behind a word, with its offset."""
    out: dict[tuple[str, str], int] = {}
    for fact in by_tag.get("component.named-versions", []):
        names, versions, offsets = (_list(fact.get(field)) for field in ("names", "versions", "offsets"))
        for name, version, at in zip(names, versions, offsets, strict=False):
            out[str(name), str(version)] = at if isinstance(at, int) else 0
    return out


def plain(name: str) -> str:
    """A name without case, marks and a library's ``lib``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("lib")


def bare(by_tag: Mapping[str, list[Fact]]) -> dict[str, int]:
    """Versions that stand alone, or behind nothing but the word version, with their offsets."""
    out: dict[str, int] = {}
    for fact in by_tag.get("component.bare-versions", []):
        versions, offsets = fact.get("versions"), fact.get("offsets")
        if isinstance(versions, list) and isinstance(offsets, list):
            out |= {str(v): int(at) for v, at in zip(versions, offsets, strict=False)}
    return out | {v: at for (word, v), at in named(by_tag).items() if word.lower() in _WORDS and v not in out}


def fitting(by_tag: Mapping[str, list[Fact]], product: str, knowledge: Knowledge, low: str) -> Alone:
    """The versions that stand alone and may be the product's. Those that are in no list are not older than ``low``.
    What also stands behind the name of something else (``Windows 8.1``) speaks against none."""
    places = bare(by_tag)
    callers = left_behind(by_tag, product)
    others = {v for word, v in named(by_tag) if word.lower() not in _WORDS and plain(word) != plain(product)}
    known: list[str] = []
    new: list[str] = []
    far: list[str] = []
    for text in places:
        version = text.removeprefix("v")
        if any(knowledge.knows(c, version) or newer(knowledge, c, version) for c in callers):
            continue
        if knowledge.knows(product, version):
            known.append(text)
        elif version in COMMON or version in others:
            continue
        elif within(version, (low, "")) and continues(knowledge, product, version):
            new.append(text)
        elif far_newer(knowledge, product, version):
            far.append(text)
    if len(places) > _TABLE:
        new, far = [], [*new, *far]
    return Alone(known=[v for v in known if v not in COMMON] or known, new=new, far=far, places=places)


def _of(product: str, version: str, knowledge: Knowledge) -> bool:
    return knowledge.knows(product, version) or continues(knowledge, product, version)


def behind_names(
    by_tag: Mapping[str, list[Fact]], own: Iterable[str], product: str, knowledge: Knowledge, low: str
) -> dict[str, int]:
    """The versions behind one of the names ``own`` that may be the product's,
    with their offsets: neither a branch's name, nor older than ``low``; of those in no list, one with three numbers may
    be any newer one."""
    names = set(map(plain, own)) - {""}
    found = {
        version: at
        for (word, version), at in reversed(named(by_tag).items())
        if plain(word) in names
        and version not in COMMON
        and not is_branch(knowledge, product, version)
        and (_of(product, version, knowledge) or ahead(knowledge, product, version))
        and within(version, (low, ""))
    }
    return {v: at for v, at in found.items() if not any(o.startswith(f"{v}.") for o in found)}


def left_behind(by_tag: Mapping[str, list[Fact]], product: str) -> list[str]:
    """The libraries that a file needs whose versions may be in it."""
    needed = [str(n) for fact in by_tag.get("elf.identity", []) for n in _list(fact.get("needed"))]
    return [p for p, stem in LEFT_BEHIND.items() if p != product and any(n.startswith(stem) for n in needed)]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def within(version: str, bounds: tuple[str, str]) -> bool:
    """Whether a version is in the bracket (``""``: no bound on that side); one that cannot be ordered is not."""
    low, high = bounds
    try:
        at = key(version)
        return (not low or key(low) <= at) and (not high or at < key(high))
    except ValueError:
        return not (low or high)


def bracket(by_tag: Mapping[str, list[Fact]], product: str, knowledge: Knowledge) -> tuple[str, str]:
    """From which version on (inclusive) all that the library exports was there, and before which one (exclusive) it
    is, for lack of all that came then. ``""`` where the table does not bound it, contradicts itself, or counts in
    another numbering than the product's releases."""
    for fact in by_tag.get("component.exports", []):
        table = knowledge.symbols.get(str(fact.get("soname")))
        if table is None or not plausible(knowledge, product, table.versions[-1]):
            continue
        try:
            raw = base64.b64decode(str(fact.get("digests")), validate=True)
        except (binascii.Error, ValueError):
            continue
        exported = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4")
        there = [np.isin(np.frombuffer(d, dtype="<u4"), exported) for d in table.digests]
        last = max((n for n, those in enumerate(there) if those.all()), default=-1)
        if last < 0 or fact.get("complete") is False:
            continue
        # Some of what came later: left out of this build, or a version that Debian raised. It bounds nothing.
        high = next((table.versions[n] for n in range(last + 1, len(there)) if not there[n].any()), "")
        return table.versions[last], high
    return "", ""


def built_with(by_tag: Mapping[str, list[Fact]], product: str) -> str:
    """The newest of the versions of its own interface that a file of the product names (``JSONC_0.16``): it is no
    older. ``""`` where it names none."""
    found = [
        str(fact.get("version"))
        for fact in by_tag.get("component.statement", [])
        if fact.get("product") == product and fact.get("evidence") == "interface"
    ]
    try:
        return max(found, key=key, default="")
    except ValueError:
        return ""


def from_soname(soname: str, product: str, knowledge: Knowledge) -> str:
    """The release that a soname was made with by libtool's option ``-release`` (``libgsoap-2.8.124.so``), if it is
    known or continues the known ones. One of two numbers may be a branch: it is none."""
    found = _RELEASE.search(soname)
    return found[1] if found and _of(product, found[1], knowledge) else ""


def from_names(names: Iterable[str], soname: str, product: str, knowledge: Knowledge) -> set[str]:
    """Releases in a library's file names: of one that was always numbered by its releases; of one of which that is not
    known, where the product has had such a release. What only repeats the soname, with noughts or without, is the
    number of its interface."""
    bases = {base for name in names if (base := name.rpartition("/")[2]) != soname}
    out: set[str] = set()
    for base in bases:
        found = _FILE_NAME.match(base)
        if found is None or found[2].endswith(".0.0"):
            continue
        numbered = knowledge.numbered.get(found[1])
        if (
            plausible(knowledge, product, found[2])
            if numbered
            else numbered is None and knowledge.knows(product, found[2])
        ):
            out.add(found[2])
    return out
