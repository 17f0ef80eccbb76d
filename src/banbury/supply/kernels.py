"""The version of a kernel whose builder counts in a way of its own.

A kernel calls itself by its *release*, which is also the name of its folder of modules. Debian and Ubuntu put the
number of the binary interface there (``6.1.0-50-marvell``), Red Hat and SUSE that of their own build
(``5.14.0-362.el9``): the third number is 0 whatever the source is. Debian adds the source's version behind the build
number (``#1 Debian 6.1.176-1``); then that is the version, of the kernel and of every module that is built for it. A
kernel's configuration states it too, in its head. Without either only the branch is known.

Sources: Debian kernel handbook, chapter 2 (ABI names); Linux, init/version.c; Ubuntu, /proc/version_signature.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import structs

from banbury.model.supply import Component, Identity, Standing, Technique
from banbury.supply.stated import Claim, Stated

PRODUCT: Final = "linux"
#: Where a kernel's release stands in what was matched.
_RELEASE: Final = re.compile(r"(?:Linux version |vermagic=|lib/modules/)(\d[^\s/(]{2,79})")
#: A release whose third number counts nothing of the source: 6.1.0-50-marvell, 5.14.0-362.el9.x86_64, 2.6.32-5-686.
_COUNTED: Final = re.compile(r"(?:(\d{1,2})\.(\d{1,3})\.0|2\.6\.(\d{1,2}))-\d{1,6}(?:\.\d{1,6}){0,4}[.-]\w")
_LINE: Final = re.compile(r"\d{1,2}\.\d{1,3}|2\.6\.\d{1,2}")
#: Debian's statement of its source: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)".
_SOURCE: Final = re.compile(r"# ?\d{0,4}(?: [A-Z_]{2,20}){0,4} Debian (\d{1,2}\.\d{1,3}(?:\.\d{1,4}){0,2})(?=[-~+])")
#: What a distribution's kernel calls itself, or who built it.
_DISTRIBUTION: Final = re.compile(
    r"Linux version \S*(?:\.el\d|\.fc\d|\.amzn\d|\+deb\d|\+rpt|-generic\b|-default\b)"
    r"|Linux version \S{1,80} \((?:debian-kernel|buildd|mockbuild|geeko|bui?ld-?user)@"
    r"|vermagic=\S*(?:\.el\d|\.fc\d|\.amzn\d|\+deb\d|\+rpt|-generic\b|-default\b)"
)


def sources(banners: Iterable[Stated], configurations: Iterable[Stated] = ()) -> dict[str, str]:
    """The source's version by release, from the banners that state both; and by branch (``6.1``), from the only
    configuration of that branch."""
    found: dict[str, str] = {}
    stated = {tuple(item.text("version").rpartition(".")[::2]) for item in configurations}
    lines = Counter(line for line, _ in stated)
    for line, last in stated:
        if lines[line] == 1 and _LINE.fullmatch(line) and last.isdigit() and last != "0":
            found[line] = f"{line}.{last}"
    for item in banners:
        release = item.text("version")
        branch = _COUNTED.match(release)
        said = _SOURCE.search(f"{item.text('compiler')} {item.text('build')}")
        if branch and said and said[1].startswith(_branch(branch)[0] + "."):
            found.setdefault(release, said[1])
    return found


def counted(claims: Iterable[Claim], known: Mapping[str, str]) -> Iterator[Claim]:
    """The claims, with what is right put for a kernel's version that is its builder's count: the source's version where
    ``known`` has it, else the branch."""
    for claim in claims:
        yield structs.replace(claim, identity=_settled(claim.identity, known))


def _settled(identity: Identity, known: Mapping[str, str]) -> Identity:
    if identity.product != PRODUCT or identity.package or not identity.version:
        return identity
    release = _RELEASE.search(identity.matched)
    branch = _COUNTED.match(release[1]) if release else None
    if release is None or branch is None:
        return identity
    low, high = _branch(branch)
    if version := known.get(release[1]) or known.get(low):
        return structs.replace(identity, version=version)
    return structs.replace(identity, version="", standing=Standing.CANDIDATE, low=low, high=high)


def _branch(found: re.Match[str]) -> tuple[str, str]:
    """The first version of a branch and of the next: ``6.1`` and ``6.2``."""
    if found[3]:
        return f"2.6.{found[3]}", f"2.6.{int(found[3]) + 1}"
    return f"{found[1]}.{found[2]}", f"{found[1]}.{int(found[2]) + 1}"


def of_distribution(component: Component) -> bool:
    """Whether a kernel says of itself that a distribution built it: such hold patches that no version shows. Who counts
    an interface or builds of his own is one."""
    if component.product != PRODUCT:
        return False
    said = [i.matched for i in component.identities if i.technique in (Technique.BANNER, Technique.METADATA)]
    releases = (found[1] for text in said if (found := _RELEASE.search(text)))
    return any(_DISTRIBUTION.match(text) for text in said) or any(_COUNTED.match(release) for release in releases)
