"""The projects that publish a list of their own vulnerabilities, and what it means where that leaves a version out.

curl's list states for each vulnerability the first and the last release that it is in, of all that there ever were
(curl.se/docs/security.html). OpenSSL's states ranges for the branches that were supported when it was written
(openssl.org/policies/releasestrat.html): a branch that had ended is left out, affected or not. The kernel's CNA states
for each vulnerability the version that brought it and, for every branch, the one that mended it (kernel.org,
process/cve); its records are those that name source files (``programFiles``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from banbury.supply import versions
from banbury.supply.feeds.query import Leaf

#: By product, the source whose records are the project's own: where it speaks of a version, it is preferred.
VENDORS: Final = {"openssl": "openssl", "curl": "curl", "linux": "cve"}
#: By product, the names under which that source speaks of it.
NAMES: Final = {"openssl": "cna:openssl:openssl", "curl": "curl:curl", "linux": "cna:linux:linux"}
#: How the list is called where its source holds others' records too.
TITLES: Final = {"linux": "the list of the kernel's CNA"}
_NUMBERS: Final = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")


def speaks_of(product: str, version: str, leaves: Sequence[Leaf]) -> bool:
    """Whether a list that does not count a version as affected says so of it, rather than nothing: its branch is among
    those that the list has ranges in, or is newer than all of them."""
    if product != "openssl":
        return True
    bounds = _branch(version)
    if bounds is None:
        return False
    low, high = bounds
    return low >= max(leaf.high for leaf in leaves) or any(leaf.low < high and low < leaf.high for leaf in leaves)


def _branch(version: str) -> tuple[bytes, bytes] | None:
    """The keys between which the releases of a version's branch lie: three numbers until 1.1.1, two since 3.0."""
    found = _NUMBERS.match(version)
    if found is None:
        return None
    numbers = [int(part or 0) for part in found.groups()]
    numbers = numbers[:2] if numbers[0] >= 3 else numbers
    after = [*numbers[:-1], numbers[-1] + 1]
    scheme = versions.scheme_of(NAMES["openssl"])
    low, high = (versions.key(".".join(map(str, each)), scheme) for each in (numbers, after))
    return low, high
