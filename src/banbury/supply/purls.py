"""Package URLs of installed packages. Source: the package-url specification, PURL-SPECIFICATION and PURL-TYPES."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

#: purl types of the package managers. opkg has none: it gets no purl.
_TYPES: Final = {"dpkg": "deb", "apk": "apk", "rpm": "rpm", "python": "pypi", "npm": "npm", "luarocks": "luarocks"}
#: Alpine Linux's architectures.
_ALPINE: Final = frozenset(
    ["aarch64", "armhf", "armv7", "loongarch64", "ppc64le", "riscv64", "s390x", "x86", "x86_64", "mips64"]
)


def package_url(manager: str, name: str, version: str, architecture: str = "") -> str:
    """The package URL of an installed package in its canonical form.

    "" where its manager has no purl type, where the name is empty, and for apk where the architecture is none of
    Alpine's: OpenWrt has apk packages too, and whose they are decides the namespace.
    """
    kind = _TYPES.get(manager)
    if kind is None or not name or (kind == "apk" and architecture not in _ALPINE):
        return ""
    if kind == "pypi":
        name = name.lower().replace("_", "-")
    namespace = {"deb": "ubuntu/" if "ubuntu" in version else "debian/", "apk": "alpine/"}.get(kind, "")
    if kind == "npm" and name.startswith("@") and "/" in name:
        scope, _, name = name.partition("/")
        namespace = f"{quote(scope, safe='')}/"
    qualifier = f"?arch={_quoted(architecture)}" if architecture and kind in ("deb", "apk", "rpm") else ""
    return f"pkg:{kind}/{namespace}{_quoted(name)}{'@' + _quoted(version) if version else ''}{qualifier}"


def _quoted(text: str) -> str:
    """Percent-encoded as the specification says: the colon stays."""
    return quote(text, safe=":")
