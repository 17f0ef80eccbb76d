"""What a rebuild has and the shipped image does not: a file left out can matter as much as one that was put in.

The sort of such a file goes by its path, its kind and its mode. It says how much its absence may matter, not that it
does: an image is often built from more than it holds. Paths after the Filesystem Hierarchy Standard 3.0, hier(7),
OpenWrt's base-files, systemd.unit(5), sysvinit and BusyBox (init, runsv).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from banbury.compare.rebuilds.matching import Unit
from banbury.model.evaluation import File
from banbury.model.rebuild import LeftOut
from banbury.model.tree import Kind

_SHIPPED_WITH: Final = re.compile(r"(?:^|/)usr/(?:share/(?:doc|man|info|licenses|locale|i18n)|include)/")
_START: Final = re.compile(
    r"(?:^|/)(?:(?:init|linuxrc|sbin/init|sbin/procd|etc/preinit|etc/inittab|etc/crontab|etc/rc(?:\.local)?)$"
    r"|etc/(?:init\.d|rc\.d|rc[0-9Ss]\.d|init|cron\.[^/]*|crontabs|profile\.d|hotplug\.d|uci-defaults|board\.d|sv|service"
    r"|runit|s6|s6-rc|xinetd\.d|modules-load\.d|modules\.d|modules-boot\.d|network/if-[^/]*\.d|systemd/[^/]+)/"
    r"|(?:usr/)?lib/(?:systemd/system|preinit|udev/rules\.d|modules-load\.d)/|etc/udev/rules\.d/|var/spool/cron/)"
)
_PROTECTION: Final = re.compile(
    r"(?:^|/)(?:[^/]*(?:firewall|iptables|ip6tables|nftables|ebtables|ipset|fail2ban|apparmor|selinux)[^/]*(?:/|$)"
    r"|etc/(?:hosts\.(?:allow|deny)|shadow|passwd|group|securetty|sudoers|doas\.conf|sysctl\.conf|login\.defs)$"
    r"|etc/(?:sudoers\.d|pam\.d|security|ssh|dropbear|audit|ssl|sysctl\.d|modprobe\.d|rsyslog\.d|opkg/keys|apk/keys"
    r"|apt/trusted\.gpg\.d|capabilities|acl\.d|swanctl|ipsec\.d|openvpn|wireguard)/"
    r"|etc/(?:rsyslog|syslog|syslog-ng|auditd|logrotate|nftables|sshd)[^/]*\.conf$|usr/share/(?:acl\.d|nftables\.d)/)"
)
_CONFIGURATION: Final = re.compile(r"(?:^|/)etc/|\.(?:conf|cfg|ini|rules|toml)$")
_PROGRAM: Final = re.compile(r"(?:^|/)s?bin/|\.(?:so(?:\.[0-9.]+)?|ko|py|pyc|lua|pl|sh|php|cgi|jar|js)$")
_PROGRAM_KINDS: Final = frozenset(("elf", "pe", "script", "php", "pyc", "java-class", "dex", "lua-bytecode", "wasm"))
_DEVELOPMENT: Final = re.compile(r"\.(?:a|la|o|h|pc|map|debug)$|/\.build-id/|(?:^|/)usr/lib/debug/")


def unmissed(path: str) -> bool:
    """Whether nothing runs or reads a file of this path in a device: documents, files for development."""
    return bool(_SHIPPED_WITH.search(path) or _DEVELOPMENT.search(path))


def sort_of(unit: Unit, files: Mapping[str, File]) -> str:
    """``start``, ``protection``, ``configuration``, ``program`` or ``other``."""
    node = unit.node
    folder = node.kind is Kind.DIR
    path = f"{unit.path}/" if folder else unit.path
    if unmissed(path):
        return "other"
    for sort, wanted in (("protection", _PROTECTION), ("start", _START), ("configuration", _CONFIGURATION)):
        if wanted.search(path):
            return sort
    if folder:
        return "other"
    known = files.get(node.sha256)
    runs = node.mode >= 0 and bool(node.mode & 0o111) and node.kind is not Kind.SYMLINK
    return "program" if runs or _PROGRAM.search(path) or (known and known.kind in _PROGRAM_KINDS) else "other"


class Missing(Struct, frozen=True):
    """A unit of a rebuild that an image has not: ``elsewhere`` is a path of its content, ``lacks`` the place of the
    file system that lacks it, where the image has more than one."""

    unit: Unit
    elsewhere: str = ""
    lacks: str = ""


def left_out(missing: Iterable[Missing], files: Mapping[str, File]) -> list[LeftOut]:
    """A row for each unit of a rebuild that the image has not, with where its content is instead. The gravest sort
    first, then by path."""
    order = ("start", "protection", "configuration", "program", "other")
    rows = [
        LeftOut(
            node=gone.unit.node.id,
            path=gone.unit.path,
            sort=sort_of(gone.unit, files),
            elsewhere=gone.elsewhere,
            lacks=gone.lacks,
        )
        for gone in missing
    ]
    return sorted(rows, key=lambda row: (order.index(row.sort), row.path, row.lacks, row.node))
