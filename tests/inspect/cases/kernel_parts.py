"""Samples for the inspector of what is built into a kernel."""

from __future__ import annotations

from banbury.inspect.names import pack
from tests.inspect.case import Case
from tests.inspect.kallsyms_builder import NAMES, table

NAME = "kernel-parts"
_FILL = bytes(1 << 18)
_FUNCTIONS = [name[1:] for name in NAMES if name[0] in "Tt"]
_WANT = {
    "fact": "kernel.symbols",
    "count": len(NAMES),
    "functions": len(_FUNCTIONS),
    "names": pack(_FUNCTIONS),
    "parts": ["fs/btrfs/", "net/ipv4/tcp.c"],
}
_CONFIG = (
    b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/mips 5.10.146 Kernel Configuration\n#\n"
    b"CONFIG_BTRFS_FS=m\nCONFIG_INET=y\n# CONFIG_SMB_SERVER is not set\nCONFIG_MODULES=y\n"
)

CASES = [
    *(
        Case(
            NAME,
            "positive",
            f"symbols, {'big' if big else 'little'}-endian, {width} bytes, aligned to {align}",
            lambda big=big, width=width, align=align: table(NAMES, big=big, width=width, align=align) + _FILL,  # type: ignore[misc]
            expect=[_WANT],
        )
        for big in (True, False)
        for width in (4, 8)
        for align in (4, 8, 16)
        if align >= width
    ),
    Case(
        NAME,
        "positive",
        "built-in modules",
        lambda: b"kernel/net/sched/sch_fifo.ko\nkernel/drivers/net/tun.ko\n",
        path="lib/modules/5.10/modules.builtin",
        expect=[{"sort": "builtin", "modules": ["net/sched/sch_fifo", "drivers/net/tun"], "complete": True}],
    ),
    Case(
        NAME,
        "positive",
        "dependencies of compressed modules",
        lambda: b"kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/raid6/raid6_pq.ko.xz\n",
        path="lib/modules/5.10/modules.dep",
        expect=[{"sort": "dep", "modules": ["fs/btrfs/btrfs"], "complete": True}],
    ),
    Case(
        NAME,
        "positive",
        "configuration",
        lambda: _CONFIG,
        expect=[{"built_in": ["INET"], "loadable": ["BTRFS_FS"], "modules": True, "architecture": "mips"}],
    ),
    Case(NAME, "negative", "a text", lambda: b"Linux version 5.10\n" * 4),
    Case(NAME, "negative", "an image without a table", lambda: b"Linux version 5.10 (a@b) (gcc) #1\0" + _FILL),
    Case(
        NAME,
        "malformed",
        "a marker that is not where it should be",
        lambda: table(NAMES).replace(b"tfunction_300"[1:], b"tfunction_3001"[1:-1] + b"\xff", 1)[:-700] + _FILL,
        never=[{"fact": "kernel.symbols"}],
    ),
    Case(
        NAME,
        "malformed",
        "lines that name no module",
        lambda: b"kernel/net/tun.ko\n\x00\xff garbage\n",
        path="lib/modules/5.10/modules.builtin",
        never=[{"complete": True}],
    ),
]
