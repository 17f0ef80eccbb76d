"""Samples of kernel banners, configurations, command lines and boot loader environments."""

from __future__ import annotations

import struct
import zlib

from tests.inspect.case import Case

BANNER = (
    b"\0\x01\x02Linux version 3.10.49 (builder@host.example) (gcc version 4.8.3 (OpenWrt/Linaro GCC 4.8-2014.04) ) "
    b"#3 SMP Wed Nov 26 20:27:09 UTC 2014\n\0Linux version %s (%s)\0"
)
CONFIG = (
    b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/mips 5.4.0 Kernel Configuration\n#\n"
    b"CONFIG_DEVMEM=y\n# CONFIG_MODULE_SIG is not set\nCONFIG_KALLSYMS=y\nCONFIG_MTD=m\n"
    b'CONFIG_CMDLINE="console=ttyS0,115200"\n'
)
VARIABLES = b"bootdelay=1\0bootcmd=bootm 0x9f020000\0bootargs=console=ttyS0,115200 root=31:02\0baudrate=115200\0\0"


def environment(size: int, flag: bool, big: bool) -> bytes:
    head = 5 if flag else 4
    data = VARIABLES.ljust(size - head, b"\xff")
    return struct.pack(">I" if big else "<I", zlib.crc32(data)) + (b"\x01" if flag else b"") + data


CASES = [
    Case(
        "kernel",
        "positive",
        "banner",
        lambda: BANNER,
        expect=[
            {
                "fact": "kernel.banner",
                "version": "3.10.49",
                "builder": "builder@host.example",
                "build": "#3 SMP",
                "date": "Wed Nov 26 20:27:09 UTC 2014",
                "compiler": "gcc version 4.8.3 (OpenWrt/Linaro GCC 4.8-2014.04)",
            }
        ],
    ),
    Case(
        "kernel",
        "positive",
        "configuration",
        lambda: CONFIG,
        expect=[
            {"fact": "kernel.config", "version": "5.4.0", "architecture": "mips", "built_in": 2, "modules": 1},
            {"fact": "kernel.option", "name": "DEVMEM", "value": "y"},
            {"fact": "kernel.option", "name": "MODULE_SIG", "value": "n"},
            {"fact": "kernel.option", "name": "SECCOMP", "value": "absent"},
            {"fact": "kernel.option", "name": "CMDLINE", "value": "console=ttyS0,115200"},
        ],
        never=[{"fact": "kernel.command-line"}],
    ),
    *(
        Case(
            "kernel",
            "positive",
            f"environment, flag {flag}, big-endian {big}",
            lambda flag=flag, big=big: b"\xff" * 512 + environment(4096, flag, big) + b"\xff" * 100,
            expect=[
                {
                    "fact": "kernel.environment",
                    "checksum": "yes",
                    "size": 4096 - (5 if flag else 4),
                    "bootdelay": "1",
                    "bootcmd": "bootm 0x9f020000",
                    "bootargs": "console=ttyS0,115200 root=31:02",
                }
            ],
        )
        for flag in (False, True)
        for big in (False, True)
    ),
    Case(
        "kernel",
        "positive",
        "boot loader with default environment",
        lambda: b"\0\0U-Boot 1.1.4 (Sep 21 2015 - 17:19:11)\0\0\0" + VARIABLES,
        expect=[
            {"fact": "kernel.boot-loader", "name": "U-Boot", "version": "1.1.4", "date": "Sep 21 2015 - 17:19:11"},
            {"fact": "kernel.environment", "checksum": "cannot tell", "bootdelay": "1"},
        ],
    ),
    Case(
        "kernel",
        "positive",
        "command line in a device tree",
        lambda: b"\xd0\x0d\xfe\xed\0\0\x09console=ttyS0,115200 root=/dev/mtdblock2 init=/etc/preinit rw\0\0",
        expect=[
            {
                "fact": "kernel.command-line",
                "console": ["ttyS0,115200"],
                "root": "/dev/mtdblock2",
                "init": "/etc/preinit",
            }
        ],
    ),
    Case(
        "kernel",
        "negative",
        "words about kernels",
        lambda: b"Linux version %s\0U-Boot \0console=\0set root=/dev/sda1 please\0CONFIG_DEVMEM=y\n",
    ),
    Case(
        "kernel",
        "malformed",
        "environment with a wrong checksum",
        lambda: b"\0\0\0\0" + VARIABLES.ljust(4092, b"\xff"),
        never=[{"checksum": "yes"}],
    ),
]
