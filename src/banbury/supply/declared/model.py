"""What a vendor's bill of materials says, whatever its format; and how texts of it are bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

#: Longer texts are cut, and it is said: no name of software is as long.
LONGEST: Final = 1000
_KEPT: Final = 200
#: Remarks that are kept; the rest is counted.
_REMARKS: Final = 100
#: More components than any bill lists; what stands behind them is counted, not kept.
MOST: Final = 200_000


class Declared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One component as it is declared. ``type`` is the format's own word; ``cpes`` are CPE names, 2.2 or 2.3; ``ref``
    is what the bill calls it."""

    name: str
    version: str = ""
    type: str = ""
    purl: str = ""
    cpes: list[str] = []
    supplier: str = ""
    license: str = ""
    ref: str = ""


class Bill(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bill of materials. ``refused``: why nothing was read, ``""`` where it was. ``subject`` is what the bill is
    about; ``files`` counts components that are single files, which are not compared. ``remarks``: what is odd, each a
    line; ``unlisted`` counts components beyond :data:`MOST`."""

    format: str = ""
    spec: str = ""
    subject: str = ""
    components: list[Declared] = []
    files: int = 0
    dependencies: int = 0
    remarks: list[str] = []
    unlisted: int = 0
    refused: str = ""


class Refused(Exception):  # noqa: N818 - it is an answer: why a bill is not read
    """Raised by a reader that cannot rely on a bill: one line that says why."""


class Draft:
    """A bill while it is read: bounded, whatever comes."""

    def __init__(self, form: str, spec: str) -> None:
        self._remarks: list[str] = []
        self._more = 0
        self.form, self.spec = form, self.text(spec, "the version of the format")
        self.subject = ""
        self.components: list[Declared] = []
        self.files = self.unlisted = 0
        self.needs: dict[str, list[str]] = {}
        self._refs: set[str] = set()
        self._twice: dict[str, int] = {}

    def remark(self, text: str) -> None:
        """Note what is odd."""
        if len(self._remarks) < _REMARKS:
            self._remarks.append(text)
        else:
            self._more += 1

    def text(self, value: object, what: str) -> str:
        """A text of the bill, cut where it is too long; ``""`` for anything else than a text."""
        if not isinstance(value, str):
            if value is not None:
                self.remark(f"{what} is no text")
            return ""
        if len(value) <= LONGEST:
            return value
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        self.remark(f"{what} has {len(value)} characters (sha256:{digest}): cut")
        return f"{value[:_KEPT]}…[{len(value)} characters]"

    def add(self, component: Declared) -> None:
        """Keep a component; a file is only counted."""
        if component.type.lower() == "file":
            self.files += 1
            return
        if not component.name:
            self.remark(f"a component without a name ({component.ref or component.purl or 'no reference'})")
        if component.ref:
            if component.ref in self._refs:
                self._twice[component.ref] = self._twice.get(component.ref, 1) + 1
            self._refs.add(component.ref)
        if len(self.components) >= MOST:
            self.unlisted += 1
            return
        self.components.append(component)

    def depends(self, ref: str, others: Iterable[str]) -> None:
        """Note that one component needs others."""
        self.needs.setdefault(ref, []).extend(others)

    def bill(self) -> Bill:
        """The bill as read."""
        for ref, count in list(self._twice.items())[:_REMARKS]:
            self.remark(f"the reference {ref!r} stands {count} times; each component is kept")
        if members := sum(1 for _ in cyclic(self.needs)):
            self.remark(f"the dependencies are cyclic: {members} components need themselves in the end, or need such")
        more = [f"and {self._more} more remarks"] if self._more else []
        return Bill(
            format=self.form,
            spec=self.spec,
            subject=self.subject,
            components=self.components,
            files=self.files,
            dependencies=sum(len(others) for others in self.needs.values()),
            remarks=[*self._remarks, *more],
            unlisted=self.unlisted,
        )


def cyclic(needs: dict[str, list[str]]) -> Iterator[str]:
    """Those that are in a cycle or lead into one: what is left when all that need nothing are taken away, in turn."""
    users: dict[str, list[str]] = {}
    left = {ref: len(others) for ref, others in needs.items()}
    for ref, others in needs.items():
        for other in others:
            users.setdefault(other, []).append(ref)
    free = [ref for ref in users if not left.get(ref)]
    free += [ref for ref, count in left.items() if not count and ref not in users]
    while free:
        ref = free.pop()
        left.pop(ref, None)
        for user in users.pop(ref, ()):
            left[user] -= 1
            if not left[user]:
                free.append(user)
    yield from left
