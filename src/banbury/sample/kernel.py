"""A stand-in for a kernel: no code that could run, but what tools read in one: the version banner, the embedded
configuration (``IKCFG_ST`` gzip ``IKCFG_ED``, Linux kernel/configs.c) and an initramfs (cpio in gzip).

A real kernel package of a foreign architecture is some 50 MB; the sample is to be ready in seconds.
"""

from __future__ import annotations

import gzip

from banbury.sample.archives import cpio_newc
from banbury.sample.tree import device, file, folder

RELEASE = "6.1.158-ex100"

_CONFIG = f"""#
# Automatically generated file; DO NOT EDIT.
# Linux/arm {RELEASE.partition("-")[0]} Kernel Configuration
#
CONFIG_ARM=y
CONFIG_LOCALVERSION="-ex100"
CONFIG_IKCONFIG=y
CONFIG_IKCONFIG_PROC=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_MODULES=y
# CONFIG_MODULE_SIG is not set
CONFIG_STRICT_KERNEL_RWX=y
# CONFIG_STACKPROTECTOR is not set
# CONFIG_RANDOMIZE_BASE is not set
CONFIG_DEVMEM=y
# CONFIG_STRICT_DEVMEM is not set
CONFIG_DEVKMEM=y
# CONFIG_SECCOMP is not set
# CONFIG_SECURITY is not set
CONFIG_SQUASHFS=y
CONFIG_SQUASHFS_XZ=y
CONFIG_JFFS2_FS=y
CONFIG_NETFILTER=y
"""

_INIT = b"""#!/bin/sh
mount -t squashfs /dev/mtdblock2 /new
exec switch_root /new /sbin/init
"""


def made_kernel(release_number: str, built: str) -> bytes:
    """The stand-in's bytes; ``built`` is the date in its banner."""
    banner = (
        f"Linux version {RELEASE} (builder@example.com) (arm-linux-gnueabihf-gcc (Debian 12.2.0-14) 12.2.0, "
        f"GNU ld (GNU Binutils for Debian) 2.40) #1 SMP {built}\n"
    )
    initramfs = cpio_newc(
        [
            ("dev", folder()),
            ("dev/console", device(5, 1)),
            ("init", file(_INIT, 0o755)),
            ("etc", folder()),
            ("etc/initramfs-release", file(f"EX-100 {release_number}\n".encode())),
        ]
    )
    config = b"IKCFG_ST" + gzip.compress(_CONFIG.encode(), 9, mtime=0) + b"IKCFG_ED"
    notice = b"A stand-in for a kernel, made for a sample; it holds no code and cannot be started.\0"
    parts = [notice, banner.encode() + b"\0", config, gzip.compress(initramfs, 9, mtime=0)]
    return b"".join(part + bytes(-len(part) % 4096) for part in parts)
