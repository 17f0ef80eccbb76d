"""A seccomp filter written as classic BPF (Linux ``seccomp(2)``, ``linux/filter.h``).

It is a deny list: on the system calls below the kernel answers EPERM, on a foreign system-call ABI it kills. Landlock
confines files; this confines everything else: no sockets, no new processes (for readers), no tracing, no mounts, no
namespaces, no device nodes, no key rings, no BPF.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from banbury.model.errors import SandboxError

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

#: System-call numbers: name -> (x86_64, aarch64); None where the architecture has no such call.
_DENY: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242), "bind": (49, 200),
    "listen": (50, 201), "sendmmsg": (307, 269),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268),
    "mknod": (133, None), "mknodat": (259, 33),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "lookup_dcookie": (212, 18),
    "syslog": (103, 116), "vhangup": (153, 58), "personality": (135, 92),
}  # fmt: skip

#: Denied as well to readers and inspectors, which need neither processes nor names in a file system.
_DENY_READER: dict[str, tuple[int | None, int | None]] = {
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "mkdir": (83, None), "mkdirat": (258, 34), "chmod": (90, None), "fchmodat": (268, 53), "fchmod": (91, 52),
    "chown": (92, None), "fchownat": (260, 54), "lchown": (94, None), "fchown": (93, 55),
    "socketpair": (53, 199), "memfd_create": (319, 279), "setsid": (112, 157),
}  # fmt: skip

_LOAD, _JUMP_EQ, _JUMP_GE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_X32_BIT = 0x40000000


def supported() -> bool:
    """Whether this machine's architecture has a table here."""
    return platform.machine() in _ARCH


def program(reader: bool) -> bytes:
    """The filter for this architecture; ``reader`` adds the calls denied to readers."""
    machine = platform.machine()
    if machine not in _ARCH:
        raise SandboxError(f"no system-call table for {machine}")
    column = list(_ARCH).index(machine)
    table = _DENY | (_DENY_READER if reader else {})
    numbers = sorted({n for pair in table.values() if (n := pair[column]) is not None})
    out = [_step(_LOAD, 0, 0, 4), _step(_JUMP_EQ, 1, 0, _ARCH[machine]), _step(_RETURN, 0, 0, _KILL)]
    out.append(_step(_LOAD, 0, 0, 0))
    out += [_step(_JUMP_GE, 0, 1, _X32_BIT), _step(_RETURN, 0, 0, _KILL)] if column == 0 else []
    for number in numbers:
        out += [_step(_JUMP_EQ, 0, 1, number), _step(_RETURN, 0, 0, _EPERM)]
    out.append(_step(_RETURN, 0, 0, _ALLOW))
    return b"".join(out)


def _step(code: int, yes: int, no: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(reader: bool) -> None:
    """Put the filter on this process for good. Requires ``no_new_privs``."""
    code = program(reader)
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = _Program(len(code) // 8, code)
    if libc.prctl(22, 2, ctypes.byref(wanted), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise SandboxError(f"seccomp: {os.strerror(ctypes.get_errno())}")
