"""What is known of the support for a build's tools: the laboratory's own table, asked for each package."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from banbury.model.supply import Claim, Component, Support
from banbury.supply.support.claims import support

#: Debian's names of the packages that tools are in, and the products that they are of.
_PRODUCTS: Final = (
    (re.compile(r"(?:gcc|g\+\+|cpp|gcc-[0-9]+-base)(?:-[0-9]+)?(?:-[a-z0-9-]+)?"), "gcc"),
    (re.compile(r"binutils(?:-[a-z0-9-]+)?"), "binutils"),
    (re.compile(r"(?:clang|llvm|lld)(?:-[0-9]+)?(?:-[a-z]+)?"), "llvm"),
    (re.compile(r"libc6(?:-[a-z0-9]+)?|libc-bin"), "glibc"),
)
_UPSTREAM: Final = re.compile(r"(?:[0-9]+:)?([0-9][0-9A-Za-z.]*)")
_SYSTEM: Final = re.compile(r"([a-z][a-z0-9-]{1,30}) ([0-9]{1,3}(?:\.[0-9]{1,3})?)")


def state(package: str, version: str, system: str) -> str:
    """One line on the support for a package (its name and version as the package manager has them) of a system (such as
    ``debian 12``), as of today; ``not known`` where no source says anything."""
    upstream = _UPSTREAM.match(version)
    if not package or not upstream:
        return "not known"
    product = next((p for wanted, p in _PRODUCTS if wanted.fullmatch(package)), package)
    host = _SYSTEM.fullmatch(system)
    tool = Component(
        id=product, product=product, version=upstream[1], package_version=version,
        purl=f"pkg:deb/{host[1]}/{package}@{version}" if host else "",
    )  # fmt: skip
    found = [tool] + ([Component(id="the system", product=host[1], version=host[2])] if host else [])
    claims = support(found, dt.datetime.now(dt.UTC).date().isoformat())
    lines = [_line(claim, system) for claim in claims if claim.component == product]
    return "; ".join(dict.fromkeys(lines)) or "not known"


def _line(claim: Support, system: str) -> str:
    host = system.strip() or "its distribution"
    who = {Claim.DISTRIBUTION: host, Claim.CONTRACT: f"{host}, by contract"}.get(claim.claim, "the project")
    if claim.ended is None:
        said = f"until {claim.end}, whether for this one is not known" if claim.end else "not known"
    elif claim.ended:
        said = f"ended {claim.end}" if claim.end else "ended"
    else:
        said = f"supported until {claim.end}" if claim.end else "supported"
    return f"{who}: {said}"
