"""Samples of start-up files and of the links that enable services."""

from __future__ import annotations

from banbury.model.tree import Entry, Kind
from tests.inspect.case import Case

PROCD = b"""#!/bin/sh /etc/rc.common
START=50
STOP=10
USE_PROCD=1
PROG=/usr/sbin/telnetd
start_service() {
\tprocd_open_instance
\tprocd_set_param command "$PROG" -F \\
\t\t-l /bin/sh -p 2323
\t[ -n "$X" ] && procd_append_param command -k
\tprocd_close_instance
}
stop_service() {
\t/sbin/never_started
}
"""
SYSV = b"""#!/bin/sh
# chkconfig: 345 85 15
DAEMON=/usr/sbin/utelnetd
case "$1" in
start) ;;
esac
start-stop-daemon -S -b -x $DAEMON -- -l /bin/login -p 192.168.1.1:23
start-stop-daemon -K -x /usr/sbin/stopped
"""
INITTAB = b"""# table
::sysinit:/etc/init.d/rcS S boot
ttyS0::askfirst:-/bin/sh
tty1::respawn:/sbin/getty 38400 tty1
ttyS1::respawn:/sbin/getty -n -l /bin/ash 115200 ttyS1
::respawn:/usr/sbin/telnetd -F
"""
UNIT = b"""[Unit]
Description=x
[Service]
ExecStartPre=-/bin/mkdir -p /run/x
ExecStart=/usr/sbin/dropbear -F -p 2222
User=nobody
[Install]
WantedBy=multi-user.target
"""

CASES = [
    Case(
        "startup",
        "positive",
        "procd",
        lambda: PROCD,
        path="etc/init.d/telnet",
        expect=[
            {
                "fact": "startup.service",
                "mechanism": "openwrt-init",
                "name": "telnet",
                "commands": ["/usr/sbin/telnetd -F -l /bin/sh -p 2323 [-k]"],
                "start": 50,
                "stop": 10,
                "enabled": "cannot tell",
                "supervised": True,
            },
            {"fact": "startup.network-listener", "program": "telnetd", "port": 2323, "login": "no"},
        ],
    ),
    Case(
        "startup",
        "positive",
        "commands on a case's line",
        lambda: b'#!/bin/sh\ncase "$1" in\n start) telnetd -p 2323 -l /bin/sh ;;\n stop) killall telnetd;; esac\n',
        path="etc/init.d/S50telnet",
        expect=[
            {"fact": "startup.network-listener", "program": "telnetd", "port": 2323, "login": "no"},
            {"fact": "startup.service", "commands": ["telnetd -p 2323 -l /bin/sh"]},
        ],
        never=[{"command": "killall telnetd"}],
    ),
    Case(
        "startup",
        "positive",
        "sysv",
        lambda: SYSV,
        path="etc/rc.d/init.d/utelnetd",
        expect=[
            {"mechanism": "sysv-init", "commands": ["/usr/sbin/utelnetd -l /bin/login -p 192.168.1.1:23"], "start": 85},
            {"program": "utelnetd", "address": "192.168.1.1", "port": 23, "login": "yes"},
        ],
    ),
    Case(
        "startup",
        "positive",
        "inittab",
        lambda: INITTAB,
        path="etc/inittab",
        expect=[
            {"fact": "startup.console", "tty": "ttyS0", "action": "askfirst", "login": "no"},
            {"fact": "startup.console", "tty": "tty1", "login": "yes"},
            {"fact": "startup.console", "tty": "ttyS1", "login": "no"},
            {"fact": "startup.service", "name": "telnetd", "enabled": "yes"},
            {"fact": "startup.network-listener", "program": "telnetd", "login": "yes", "enabled": "yes"},
        ],
        never=[{"fact": "startup.console", "tty": ""}],
    ),
    Case(
        "startup",
        "positive",
        "rc.local",
        lambda: b"#!/bin/sh\n# telnetd -l /bin/sh\n/usr/bin/shellback &\nnc -l -p 5515 -e /bin/sh\nexit 0\n",
        path="etc/rc.local",
        expect=[
            {"mechanism": "rc-script", "commands": ["/usr/bin/shellback &", "nc -l -p 5515 -e /bin/sh"]},
            {"fact": "startup.network-listener", "program": "nc", "port": 5515, "enabled": "yes"},
        ],
        never=[{"program": "telnetd"}],
    ),
    Case(
        "startup",
        "positive",
        "cron",
        lambda: b"# m h\nMAILTO=x\n*/5 * * * * /usr/bin/call-home\n@reboot /bin/x\n",
        path="etc/crontabs/root",
        expect=[
            {"fact": "startup.cron", "schedule": "*/5 * * * *", "user": "root", "command": "/usr/bin/call-home"},
            {"schedule": "@reboot"},
        ],
        never=[{"command": "MAILTO=x"}],
    ),
    Case(
        "startup",
        "positive",
        "cron.d",
        lambda: b"0 3 * * 1 nobody /bin/x -a\n",
        path="etc/cron.d/job",
        expect=[{"user": "nobody", "command": "/bin/x -a"}],
    ),
    Case(
        "startup",
        "positive",
        "inetd",
        lambda: (
            b"telnet stream tcp nowait root /usr/sbin/telnetd telnetd -l /bin/sh\n#ftp stream tcp nowait root x x\n"
        ),
        path="etc/inetd.conf",
        expect=[{"mechanism": "inetd", "service": "telnet", "program": "telnetd", "user": "root", "login": "no"}],
        never=[{"service": "ftp"}],
    ),
    Case(
        "startup",
        "positive",
        "xinetd",
        lambda: b"service tftp\n{\n disable = yes\n server = /usr/sbin/in.tftpd\n port = 69\n}\n",
        path="etc/xinetd.d/tftp",
        expect=[{"mechanism": "xinetd", "service": "tftp", "port": 69, "enabled": "no"}],
    ),
    Case(
        "startup",
        "positive",
        "systemd service",
        lambda: UNIT,
        path="lib/systemd/system/dropbear.service",
        expect=[
            {"mechanism": "systemd", "name": "dropbear", "user": "nobody", "runlevels": "multi-user.target"},
            {"program": "dropbear", "port": 2222},
        ],
    ),
    Case(
        "startup",
        "positive",
        "systemd socket",
        lambda: b"[Socket]\nListenStream=0.0.0.0:8080\nListenStream=/run/x\nListenDatagram=69\n",
        path="etc/systemd/system/x.socket",
        expect=[{"port": 8080, "protocol": "tcp", "address": "0.0.0.0"}, {"port": 69, "protocol": "udp"}],
    ),
    Case(
        "startup",
        "positive",
        "hooks",
        lambda: b'# RUN+="/no"\nACTION=="add", SUBSYSTEM=="usb", RUN+="/sbin/usb.sh %k"\n',
        path="lib/udev/rules.d/50-usb.rules",
        expect=[{"fact": "startup.hook", "mechanism": "udev", "command": "/sbin/usb.sh %k"}],
        never=[{"command": "/no"}],
    ),
    Case(
        "startup",
        "positive",
        "preloaded library",
        lambda: b"/lib/libhide.so\n",
        path="etc/ld.so.preload",
        expect=[{"mechanism": "ld.so.preload", "command": "/lib/libhide.so"}],
    ),
    Case(
        "startup",
        "positive",
        "failsafe login",
        lambda: b"#!/bin/sh\nlogin() {\n\ttelnetd -l /bin/login.sh <> /dev/null 2>&1\n}\n",
        path="lib/preinit/99_10_failsafe_login",
        expect=[
            {"fact": "startup.hook", "mechanism": "preinit"},
            {"fact": "startup.network-listener", "mechanism": "preinit", "program": "telnetd", "login": "cannot tell"},
        ],
    ),
    Case("startup", "negative", "a script elsewhere", lambda: PROCD, path="usr/bin/telnet.sh"),
    Case("startup", "negative", "empty rc.local", lambda: b"# nothing\nexit 0\n", path="etc/rc.local"),
    Case("startup", "malformed", "noise", lambda: bytes(range(256)) * 20, path="etc/inittab"),
    Case("startup", "malformed", "no end of line", lambda: b"\\\n" * 5000, path="etc/init.d/x"),
    Case(
        "startup-links",
        "positive",
        "OpenWrt",
        entries=[
            Entry(path="etc/init.d/dropbear", kind=Kind.FILE),
            Entry(path="etc/init.d/uhttpd", kind=Kind.FILE),
            Entry(path="etc/rc.d/S50dropbear", kind=Kind.SYMLINK, link="../init.d/dropbear"),
            Entry(path="etc/rc.d/K50dropbear", kind=Kind.SYMLINK, link="../init.d/dropbear"),
            Entry(path="etc/rc.d/K50uhttpd", kind=Kind.SYMLINK, link="../init.d/uhttpd"),
        ],
        expect=[
            {"name": "dropbear", "enabled": "yes", "order": 50, "path": "etc/rc.d/S50dropbear"},
            {"name": "uhttpd", "enabled": "no"},
        ],
    ),
    Case(
        "startup-links",
        "positive",
        "Buildroot and systemd",
        entries=[
            Entry(path="etc/init.d/S40network", kind=Kind.FILE),
            Entry(path="etc/init.d/rcS", kind=Kind.FILE),
            Entry(path="etc/init.d/telnet", kind=Kind.FILE),
            Entry(
                path="etc/systemd/system/multi-user.target.wants/ssh.service",
                kind=Kind.SYMLINK,
                link="/lib/systemd/system/ssh.service",
            ),
            Entry(path="etc/systemd/system/x.service", kind=Kind.SYMLINK, link="/dev/null"),
        ],
        expect=[
            {"name": "network", "enabled": "yes", "order": 40},
            {"name": "telnet", "enabled": "cannot tell"},
            {"name": "ssh.service", "enabled": "yes", "level": "multi-user.target"},
            {"name": "x.service", "enabled": "no", "level": "masked"},
        ],
        never=[{"name": "rcS"}],
    ),
    Case("startup-links", "negative", "no services", entries=[Entry(path="bin/sh", kind=Kind.FILE)]),
    Case(
        "startup-links",
        "malformed",
        "link without a target",
        entries=[
            Entry(path="etc/rc.d/S", kind=Kind.SYMLINK),
            Entry(path="etc/rc.d/S5x", kind=Kind.DIR),
            Entry(path="etc/rc6.d/S90halt", kind=Kind.SYMLINK, link="../init.d/halt"),
        ],
        never=[{"enabled": "yes"}],
    ),
]
