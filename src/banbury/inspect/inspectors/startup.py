"""What the system starts: at boot, on a terminal, at set times, for a connection, on an event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from banbury.inspect.contract import FileInspector, FileView, TreeInspector
from banbury.inspect.inspectors import _hooks as hooks
from banbury.inspect.inspectors import _tables as tables
from banbury.inspect.inspectors._initscripts import init_script, listeners
from banbury.inspect.inspectors._lines import at_most, within
from banbury.inspect.inspectors._startfacts import (
    BootModules,
    Console,
    Cron,
    Enablement,
    Hook,
    Listener,
    Service,
)
from banbury.inspect.inspectors._startlinks import enablements
from banbury.model.facts import Fact, Tri
from banbury.model.tree import Dissection

_CAP: Final = 2 << 20
_Parse = Callable[[FileView], Iterator[Fact]]

#: Files that each have a grammar of their own: (pattern of the path, parser). The first that matches counts.
_TABLES: Final[tuple[tuple[re.Pattern[str], _Parse], ...]] = tuple(
    (re.compile(pattern), parse)
    for pattern, parse in (
        (r"(?:^|/)etc/inittab$", tables.inittab),
        (
            r"(?:^|/)(?:etc/crontabs|var/spool/cron(?:/crontabs)?)/(?!cron\.update)[^/]+$",
            lambda f: tables.crontab(f, False),
        ),
        (r"(?:^|/)etc/(?:crontab|cron\.d/(?!\.)[^/]+)$", lambda f: tables.crontab(f, True)),
        (r"(?:^|/)etc/inetd\.conf$|(?:^|/)etc/inetd\.d/[^/]+$", tables.inetd),
        (r"(?:^|/)etc/xinetd\.(?:conf|d/[^/]+)$", tables.xinetd),
        (r"(?:^|/)systemd/system/(?:[^/]+/)?[^/]+\.(?:service|socket|timer)$", tables.unit),
        (r"(?:^|/)udev/rules\.d/[^/]+\.rules$", hooks.udev),
        (r"(?:^|/)etc/mdev\.conf$", hooks.mdev),
        (r"(?:^|/)etc/hotplug(?:-preinit)?\.json$", hooks.hotplug_json),
        (r"(?:^|/)(?:etc|lib)/modprobe\.d/[^/]+\.conf$|(?:^|/)etc/modprobe\.conf$", hooks.modprobe),
        (r"(?:^|/)etc/ld\.so\.preload$", hooks.preload),
        (
            r"(?:^|/)etc/modules$|(?:^|/)etc/modules(?:-boot|-load)?\.d/[^/]+$|(?:^|/)lib/modules-load\.d/[^/]+$",
            hooks.boot_modules,
        ),
    )
)
_RC: Final = re.compile(
    r"(?:^|/)(?:etc|etc_ro|usr/etc)/(?:init\.d/)?(?:rcS|rc\.local|rc\.sysinit|rc\.start|rc\.init|rc)$|(?:^|/)etc/rc\.d/rc[^/]*$"
)
_INIT: Final = re.compile(r"(?:^|/)etc(?:_ro)?/(?:rc\.d/)?init\.d/[^/]+$|(?:^|/)etc/rc\.d/[^/]+\.sh$")
_PERIODIC: Final = re.compile(r"(?:^|/)etc/cron\.(hourly|daily|weekly|monthly)/(?!\.)[^/]+$")


def _parser(path: str) -> _Parse | None:
    for pattern, parse in _TABLES:
        if pattern.search(path):
            return parse
    if _RC.search(path):
        return lambda f: init_script(f, "rc-script", True, Tri.YES)
    if _INIT.search(path):
        return lambda f: init_script(f, "sysv-init", True, Tri.UNKNOWN)
    if match := _PERIODIC.search(path):
        return _periodic(match[1])
    for pattern, mechanism in hooks.SCRIPTS:
        if match := pattern.search(path):
            return _hook(mechanism, match[1])
    return None


def _hook(mechanism: str, event: str) -> _Parse:
    def parse(file: FileView) -> Iterator[Fact]:
        yield from hooks.script_hook(file, mechanism, event)
        yield from listeners(file, mechanism)

    return parse


def _periodic(period: str) -> _Parse:
    def parse(file: FileView) -> Iterator[Fact]:
        yield Cron(mechanism="cron-directory", schedule=f"@{period}", user="root", command=f"/{file.path}"[:200])

    return parse


class Startup(FileInspector):
    name = "startup"
    title = "What the system starts"
    question = "Which services, consoles, timed jobs, listeners and hooks do the start-up files describe?"
    version = 2
    blind_spots = (
        "Shell is read line by line, not run: conditions, loops and computed commands are not followed.",
        "Programs that a vendor's own init or manager starts from its code are not seen.",
        "The port of a service is stated only where its command line does; most daemons have it elsewhere.",
        "That a start-up file names a program does not show that it starts: the condition may never hold.",
    )
    references = (
        "OpenWrt documentation, 'Create a sample procd init script'; BusyBox, examples/inittab and docs/mdev.txt",
        "inittab(5), crontab(5), inetd.conf(5), xinetd.conf(5), udev(7), modprobe.d(5), ld.so(8)",
        "systemd.service(5), systemd.socket(5), systemd.timer(5)",
    )
    facts = (Service, Console, Cron, Listener, Hook, BootModules)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return len(file.view) > 0 and _parser(file.path) is not None and file.kind != "elf"

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
        parse = _parser(file.path)
        assert parse is not None
        yield from at_most(parse(file))


class StartupLinks(TreeInspector):
    name = "startup-links"
    title = "Which services are enabled"
    question = "Which services do the tree's links and names make start at boot?"
    version = 1
    blind_spots = (
        "A service may be enabled or disabled at first boot; the tree shows the state as delivered.",
        "systemd units that another unit requires, or a generator makes, are started without a link.",
        "Where a tree has no run-level directories, nothing can be said about its init scripts.",
    )
    references = (
        "OpenWrt, package/base-files/files/etc/rc.common ('enable'); Buildroot manual, 'init system'",
        "systemd.unit(5), sections on .wants directories and masking",
    )
    facts = (Enablement,)

    def inspect(self, tree: Dissection) -> Iterator[Fact]:
        yield from enablements(tree.entries)


INSPECTORS = (Startup(), StartupLinks())
