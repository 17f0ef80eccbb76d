"""The facts about what a system starts."""

from __future__ import annotations

from msgspec import field

from banbury.model.facts import Fact, Tri


class Service(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.service"):
    """Something that a start-up file runs. ``mechanism`` is openwrt-init, sysv-init, rc-script, inittab, systemd,
    xinetd or inetd. ``commands`` are the command lines, with variables replaced where the file assigns them once.
    ``enabled`` is what this file alone tells; ``startup.enablement`` tells what the links say. ``start`` and ``stop``
    are the order numbers, -1 where there are none."""

    mechanism: str
    name: str
    commands: list[str] = field(default_factory=list)
    user: str = ""
    enabled: Tri = Tri.UNKNOWN
    start: int = -1
    stop: int = -1
    runlevels: str = ""
    supervised: bool = False


class Enablement(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.enablement"):
    """Whether links (or names) make a service start at boot. ``path`` is the first link or the script itself,
    ``order`` its number, ``level`` the run level or target."""

    mechanism: str
    name: str
    path: str
    target: str = ""
    enabled: Tri
    order: int = -1
    level: str = ""


class Console(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.console"):
    """A shell or login on a terminal. ``login`` says whether a password is asked for."""

    tty: str
    action: str
    process: str
    login: Tri


class Cron(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.cron"):
    """A command that runs at set times."""

    mechanism: str
    schedule: str
    user: str = ""
    command: str


class Listener(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.network-listener"):
    """A network service that a start-up file starts. ``port`` is -1 and ``address`` "" where the line does not state
    them; ``login`` says whether it asks who is there (known for telnetd and shells, else "cannot tell")."""

    mechanism: str
    program: str
    command: str
    protocol: str = ""
    address: str = ""
    port: int = -1
    service: str = ""
    user: str = ""
    login: Tri = Tri.UNKNOWN
    enabled: Tri = Tri.UNKNOWN


class Hook(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.hook"):
    """Something that runs on an event, or is loaded into every program: ``mechanism`` is udev, mdev, hotplug, button,
    first-boot, preinit, profile, ppp, interface, dhcp, modprobe or ld.so.preload."""

    mechanism: str
    event: str = ""
    command: str = ""


class BootModules(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="startup.modules"):
    """Kernel modules that a file has loaded at boot."""

    modules: list[str]
