"""The EX-100's firmware file: TRX, in it a uImage kernel, a SquashFS and a JFFS2 part, then erased flash."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from banbury.model.errors import InputError
from banbury.sample.archives import jffs2, lzma_alone, trx, uimage
from banbury.sample.kernel import RELEASE, made_kernel
from banbury.sample.rootfs import overlay_flash
from banbury.sample.tree import Tree, to_tar

_FLASH_BYTES = 8 << 20
_IH_ARCH_ARM = 2
_BUILT = {"1.0": "Thu Jan  8 09:12:00 UTC 2026", "1.1": "Mon May 11 14:40:00 UTC 2026"}


def squashfs(tree: Tree, *, compressor: str = "xz") -> bytes:
    """A SquashFS 4.0 image of the tree, made by squashfs-tools, the same at every build with the same tools."""
    program = shutil.which("sqfstar", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise InputError("the sample needs sqfstar", hint="Install squashfs-tools 4.5 or later.")
    with tempfile.TemporaryDirectory(prefix="banbury-sample-") as scratch:
        out = Path(scratch) / "root.squashfs"
        process = subprocess.Popen(  # noqa: S603 - no shell, arguments are ours
            [
                program,
                *("-comp", compressor, "-mkfs-time", "0", "-all-time", "0", "-root-mode", "0755", "-all-root"),
                *("-processors", "2", "-no-progress", "-quiet", str(out)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"},
        )
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            with process.stdin:
                to_tar(tree, process.stdin)
        except BrokenPipeError:
            pass  # it says why on its standard error
        complaint = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0 or not out.is_file():
            raise InputError(f"sqfstar failed: {complaint[-200:]}", hint="Install squashfs-tools 4.5 or later.")
        return out.read_bytes()


def firmware(release: str, root: Tree) -> bytes:
    """The firmware file of a release with that root file system."""
    kernel = lzma_alone(made_kernel(release, _BUILT[release]))
    parts = [
        uimage(kernel, f"EX-100 Linux-{RELEASE}"[:32], load=0x80008000, architecture=_IH_ARCH_ARM),
        squashfs(root),
        jffs2(overlay_flash(release)),
    ]
    image = trx(parts)
    return image + b"\xff" * (-len(image) % _FLASH_BYTES)
