"""Landlock by its three system calls (Linux kernel documentation, ``userspace-api/landlock``)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from banbury.model.errors import SandboxError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
#: File-system rights that exist at each ABI version, as a mask.
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_IOCTL_DEV = 1 << 15  # ABI 5
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | _IOCTL_DEV  # those that a rule for one file may name
_NET_RIGHTS = 0b11  # bind and connect over TCP, ABI 4
_SCOPES = 0b11  # abstract sockets and signals, ABI 6

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *args: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *args)
    return result


def abi() -> int:
    """The kernel's Landlock ABI version, or 0 where it has none."""
    return max(_call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)), 0)


def restrict(read: Sequence[Path], write: Sequence[Path] = ()) -> int:
    """Confine this thread to reading (and executing) below ``read`` and anything below ``write``; returns the ABI used.

    Requires ``no_new_privs``. Raises :class:`SandboxError` where the kernel refuses.
    """
    version = abi()
    if version < 1:
        raise SandboxError("this kernel has no Landlock", hint="boot with lsm=landlock,… (Linux 5.13 or later)")
    rights = _FS_RIGHTS[min(version, 4)] | (_IOCTL_DEV if version >= 5 else 0)
    attributes = struct.pack("<QQQ", rights, _NET_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(_CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise SandboxError(f"Landlock ruleset: {os.strerror(ctypes.get_errno())}")
    try:
        for path in read:
            _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
        for path in write:
            _allow(ruleset, path, rights & ~_EXECUTE)
        if _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
            raise SandboxError(f"Landlock: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a library folder that this machine lacks needs no rule
    try:
        rule = struct.pack("<Qi", rights if path.is_dir() else rights & _FILE_RIGHTS, handle)
        if _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.c_char_p(rule), 0) != 0:
            raise SandboxError(f"Landlock rule for {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)
