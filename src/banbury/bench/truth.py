"""Where a package's control record is not the whole truth about the version of its programs, by rule.

Figures are given twice: strict, against the record alone; and with these corrections, for every tool alike.

* A row of ``data/components.toml``: the release's own sources state another version, since their makers forgot to raise
  it (right is what the sources state).
* A patch release that the package's changelog says was taken in (Debian's stable updates keep the old number).
* A snapshot between two releases, or a package whose version is that of another product's source: no record says which
  version the program should state. What it states is counted neither as right nor as wrong.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Final

from banbury.bench.pools import data
from banbury.supply.products import by_package

#: Marks of a snapshot in a Debian version: ``5.2+20240610-1``, ``0.7.91~git20230705.8eabf68-4``, ``2.1.0+openresty…``.
_SNAPSHOT: Final = re.compile(r"[+~.](?:git|svn|bzr|hg|cvs|r\d)|[+~.][a-z]*(?:19|20)\d{6}")
_CHANGELOG: Final = re.compile(r"data/usr/share/doc/[^/]{1,100}/changelog\.Debian(?:\.[a-z0-9]+)?\.gz$")
_LOOKED_AT: Final = 64 << 10


def also(product: str, version: str, held: Mapping[str, bytes]) -> list[str]:
    """The versions that are right beside the record's."""
    rows = [row.stated for row in data().truth if (row.product, row.version) == (product, version)]
    text = next((_text(content) for where, content in held.items() if _CHANGELOG.match(where)), "")
    later = re.findall(rf"(?<![\d.]){re.escape(version)}\.\d{{1,3}}(?![\d.]*\d)", text)
    return list(dict.fromkeys([*rows, *later]))


def unclear(product: str, package: str, whole: str, source: str) -> bool:
    """Whether the record does not say which version of the product its programs are of."""
    origin = source.partition(" ")[0]
    of_source = by_package("dpkg", origin, whole) if origin else ""
    return bool(_SNAPSHOT.search(whole)) or (of_source not in ("", product) and origin != package)


def _text(content: bytes) -> str:
    try:
        return zlib.decompressobj(31).decompress(content, _LOOKED_AT).decode("utf-8", "replace")
    except zlib.error:
        return ""
