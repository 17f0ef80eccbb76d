"""The filter of system calls that builds run under: what a compiler never asks a kernel for, and an attacker might.

A program for the kernel's classic BPF (Documentation/userspace-api/seccomp_filter.rst), which bubblewrap installs last,
right before the build starts. It refuses by name, so that builds keep what they know; what is newer than the table
does not exist for them. Refused, and why:

- mounts, other name spaces, other processes' memory, kernel modules, kexec, BPF, performance counters, userfaultfd,
  io_uring: with no right to them a build has no use for them either, and most errors of kernels were in them;
- keys: the keyring of whoever started the laboratory is inherited by every process, and two builds could share one;
- sockets but those of one machine and the internet (which has no way out): others, such as AF_VSOCK, are in no network
  name space, and reach out of a virtual machine; of netlink only the routing table, which libraries ask for names;
- questions which pages of a file are in memory, and dropping them: two builds that read one system could tell each
  other things that way (the time that a page takes to be read remains);
- characters put into a terminal; clocks, quotas, swap, reboot; open by handle, fanotify; memory policies.

Numbers: Linux 6.1, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h. Programs for another
instruction set than the machine's own (32 bits on x86-64 and AArch64 too) get no system call at all.
"""

from __future__ import annotations

import platform
import struct
from typing import Final

#: Name: number on x86-64, number on AArch64 (-1: it has none).
_REFUSED: Final = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "setns": (308, 268), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "create_module": (174, -1), "query_module": (178, -1), "get_kernel_syms": (177, -1),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "iopl": (172, -1), "ioperm": (173, -1), "modify_ldt": (154, -1), "sethostname": (170, 161),
    "setdomainname": (171, 162), "mincore": (27, 232), "vhangup": (153, 58), "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, -1), "_sysctl": (156, -1), "sysfs": (139, -1), "move_pages": (279, 239), "mbind": (237, 235),
    "migrate_pages": (256, 238), "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450),
}  # fmt: skip
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_UNSHARE: Final = (272, 97)
_SOCKETS: Final = ((41, 198), (53, 199))
_READ_FLAGS: Final = (327, 286)  # preadv2
_ADVISE: Final = (221, 223)  # fadvise64
_IOCTL: Final = (16, 29)
#: The last number of the table, and of both machines AUDIT_ARCH_* (include/uapi/linux/audit.h).
_LAST: Final = 450
_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
#: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; for unshare also NEWTIME (in clone a signal's bit).
_SPACES: Final = 0x7E020000
_TIME_SPACE: Final = 0x80
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_ROUTE: Final = 0
_TERMINAL: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_NOWAIT: Final = 8
_DONT_NEED: Final = 4
_EPERM, _ENOSYS, _EOPNOTSUPP, _EAFNOSUPPORT = 1, 38, 95, 97
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits (little-endian on both)
_NUMBER, _ARCHITECTURE = 0, 4
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06


def machine() -> str:
    """This machine, where there is a filter for it; else nothing."""
    return platform.machine() if platform.machine() in _MACHINES else ""


def program(name: str) -> bytes:
    """The filter for a machine, as an array of ``struct sock_filter``."""
    column, architecture = _MACHINES[name]
    code = [
        _step(_LOAD, _ARCHITECTURE), *_unless(_EQUAL, architecture, [_refuse(_ENOSYS)]),
        _step(_LOAD, _NUMBER), *_where(_GREATER, _LAST, [_refuse(_ENOSYS)]),
    ]  # fmt: skip
    for numbers in _REFUSED.values():
        if numbers[column] >= 0:
            code += _where(_EQUAL, numbers[column], [_refuse(_EPERM)])
    # its flags lie in memory, where a filter cannot look; the C library then takes clone
    code += _where(_EQUAL, _CLONE3[column], [_refuse(_ENOSYS)])
    code += _where(_EQUAL, _CLONE[column], _argument(0, _ANY_BIT, (_SPACES,)))
    code += _where(_EQUAL, _UNSHARE[column], _argument(0, _ANY_BIT, (_SPACES | _TIME_SPACE,)))
    code += _where(_EQUAL, _IOCTL[column], _argument(1, _EQUAL, _TERMINAL))
    code += _where(_EQUAL, _READ_FLAGS[column], _argument(5, _ANY_BIT, (_NOWAIT,), _EOPNOTSUPP))
    code += _where(_EQUAL, _ADVISE[column], _argument(3, _EQUAL, (_DONT_NEED,), 0))  # 0: it is said to have worked
    for numbers in _SOCKETS:
        code += _where(_EQUAL, numbers[column], _socket())
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _socket() -> list[bytes]:
    allowed = [_step(_RETURN, _ALLOW)]
    code = [_step(_LOAD, _low(0))]
    for family in (_UNIX, _INET, _INET6):
        code += _where(_EQUAL, family, allowed)
    code += _where(_EQUAL, _NETLINK, [_step(_LOAD, _low(2)), *_where(_EQUAL, _ROUTE, allowed), _refuse(_EAFNOSUPPORT)])
    return [*code, _refuse(_EAFNOSUPPORT)]


def _argument(number: int, test: int, values: tuple[int, ...], error: int = _EPERM) -> list[bytes]:
    """Refuse a call by the lower half of an argument (the upper half is not looked at by the kernel either)."""
    code = [_step(_LOAD, _low(number))]
    for value in values:
        code += _where(test, value, [_refuse(error)])
    return [*code, _step(_RETURN, _ALLOW)]


def _low(number: int) -> int:
    return 16 + 8 * number


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _ERRNO | error)


def _where(test: int, value: int, then: list[bytes]) -> list[bytes]:
    return [_step(test, value, 0, len(then)), *then]


def _unless(test: int, value: int, then: list[bytes]) -> list[bytes]:
    return [_step(test, value, len(then), 0), *then]


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, true, false, value)
