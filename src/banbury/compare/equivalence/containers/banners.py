"""The texts by which kernels and boot loaders name their build, compared by what both build records declare.

A kernel's banner is taken apart; its release is exact (modules are looked up by it), host and user are each side's
declared ones, the compiler is the same or each side's declared producer, and the rest is the other side's with declared
dates and versions replaced. The other texts that hold the same values are then derived from the banner, not searched.

Sources: Linux, init/version.c and init/version-timestamp.c (linux_banner, linux_proc_banner, init_uts_ns);
arch/x86/boot/version.c; U-Boot, include/version.h and cmd/version.c.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.model import BuildRecord, Substitution, substitutions
from banbury.formats.view import View

_MARK: Final = b"Linux version "
_LINUX: Final = re.compile(
    rb"Linux version ([!-~]{3,64}) \(([\w.+-]{1,64})@([\w.-]{1,255})\) "
    rb"\(([ -$&-~]{3,400})\) (#\d{1,9} [ -$&-~]{3,64})\n\0"  # no %: one of the texts is a format
)
_SETUP: Final = re.compile(rb"([!-~]{3,64}) \(([\w.+-]{1,64})@([\w.-]{1,255})\) (#\d{1,9} [ -~]{3,64})\0")
_NUMBER: Final = re.compile(rb"#\d+")
_LONGEST: Final = 1024
_KINDS: Final = ("date ", "version ", "clock ")
_BANNERS: Final = 64
_UBOOT: Final = re.compile(rb"U-Boot (?:SPL |TPL )?\d[ -~]{6,400}")
#: How U-Boot's makefiles write the clock; older ones use the compiler's own date.
_LOADER: Final = ("%b %d %Y - %H:%M:%S", "%b %e %Y - %H:%M:%S")


class Banner(Struct, frozen=True, kw_only=True):
    """A kernel's banner taken apart. ``compiler`` is empty in the short form of x86's set-up code."""

    release: bytes
    user: bytes
    host: bytes
    compiler: bytes
    build: bytes

    def texts(self) -> list[bytes]:
        """Every text of a kernel that holds these values, with the NUL at its end. Since Linux 6.1 there are two sets:
        the first link's, without the number of the build, and the last one's."""
        by = b" (%b@%b) " % (self.user, self.host)
        out = [b"%s version %s" + by + b"(%b) %%s\n\0" % self.compiler]
        for build in (self.build, _NUMBER.sub(b"#", self.build, count=1)):
            out += [
                b"Linux version " + self.release + by + b"(%b) %b\n\0" % (self.compiler, build),
                self.release + by + build + b"\0",
                build + b"\0",
            ]
        return out


def kernel_banner(view: View) -> Banner | None:
    """The only banner of a kernel; ``None`` where there is none, or texts that differ."""
    found: set[bytes] = set()
    at = view.find(_MARK)
    for _ in range(_BANNERS):
        if at < 0:
            break
        match = _LINUX.match(view.take(at, min(_LONGEST, len(view) - at)))
        if match:
            found.add(match[0])
        at = view.find(_MARK, at + 1)
    if at >= 0 or len(found) != 1:
        return None
    match = _LINUX.fullmatch(found.pop())
    assert match is not None
    release, user, host, compiler, build = match.groups()
    return Banner(release=release, user=user, host=host, compiler=compiler, build=build)


def setup_banner(raw: bytes) -> Banner | None:
    """The text that x86's set-up code holds: no compiler."""
    match = _SETUP.match(raw)
    if match is None:
        return None
    return Banner(release=match[1], user=match[2], host=match[3], compiler=b"", build=match[4])


def declared(a: Banner, b: Banner, record_a: BuildRecord | None, record_b: BuildRecord | None) -> list[str]:
    """The names of the declared values in which two banners differ. Raises ``Refused`` where they differ by more."""
    names = []
    if a.release != b.release:
        raise Refused("banner", f"another release: {_shown(a.release)} against {_shown(b.release)}")
    records = record_a or BuildRecord(), record_b or BuildRecord()
    for name, one, other, own in (
        ("user", a.user, b.user, [{r.user} for r in records]),
        ("host", a.host, b.host, [{r.host} for r in records]),
        ("compiler", a.compiler, b.compiler, [set(r.producers) for r in records]),
    ):
        if one != other:
            if one.decode() not in own[0] or other.decode() not in own[1]:
                raise Refused("banner", f"a {name} that is not declared: {_shown(one)} against {_shown(other)}")
            names.append(name)
    if a.build != b.build:
        made, used = Declared([s for s in substitutions(record_a, record_b) if s.name.startswith(_KINDS)]).apply(
            a.build
        )
        if made != b.build:
            raise Refused("banner", f"differs by more than declared: {_shown(a.build)} against {_shown(b.build)}")
        names += used
    return sorted(set(names))


def _shown(raw: bytes) -> str:
    return raw[:120].decode("ascii", "replace")


def has_loader_banner(view: View) -> bool:
    """Whether U-Boot's text with its version stands anywhere."""
    at = view.find(b"U-Boot ")
    for _ in range(_BANNERS):
        if at < 0:
            return False
        if _UBOOT.match(view.take(at, min(_LONGEST, len(view) - at))):
            return True
        at = view.find(b"U-Boot ", at + 1)
    return False


def loader_texts(record_a: BuildRecord | None, record_b: BuildRecord | None) -> list[Declared]:
    """What may be replaced in U-Boot's texts, by each of the forms in which it writes the clock."""
    subs = [s for s in substitutions(record_a, record_b) if s.name.startswith(("date ", "version "))]
    return [Declared(sorted([*subs, *stamp], key=lambda s: -len(s.old))) for stamp in _stamps(record_a, record_b)]


def _stamps(record_a: BuildRecord | None, record_b: BuildRecord | None) -> Iterator[list[Substitution]]:
    clocks = [r.clock if r else None for r in (record_a, record_b)]
    if clocks[0] is None or clocks[1] is None or clocks[0] == clocks[1]:
        yield []
        return
    for form in _LOADER:
        old, new = (time.strftime(form, time.gmtime(clock)).encode() for clock in clocks)
        yield [Substitution("clock of U-Boot", old, new, False)]


def loader_text(raw: bytes, forms: list[Declared]) -> dict[bytes, list[str]]:
    """What may stand in place of one of U-Boot's texts (without NUL), with the names of the values replaced."""
    if not _UBOOT.fullmatch(raw):
        return {}
    out = {}
    for form in forms:
        made, names = form.apply(raw)
        if names and _UBOOT.fullmatch(made):
            out[made] = names
    return out
