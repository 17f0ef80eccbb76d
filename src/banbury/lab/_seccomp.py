"""A seccomp filter written as classic BPF (Linux ``seccomp(2)``, ``linux/filter.h``).

Landlock confines files; this confines everything else. Readers and inspectors get an allow list: what it does not name
the kernel refuses with EPERM, so that a system call of a later kernel is refused too. (A deny list let
``fchmodat2`` of Linux 6.6 through.) They open files for reading only, and change no size, mode, owner, time, limit or
signal handler. Programs run in a folder of their own (:mod:`banbury.lab.confined`) need processes and files: they get a
deny list. On a foreign system-call ABI both kill.
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

_DENY |= {
    "truncate": (76, 45), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "msgget": (68, 186), "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "fanotify_init": (300, 262), "memfd_secret": (447, 447), "setsid": (112, 157), "setpgid": (109, 154),
    "prlimit64": (302, 261), "setrlimit": (160, 164), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
}  # fmt: skip

_MKNOD, _MKNODAT = (133, None), (259, 33)
_NOT_FIFO = 0xE000  # bits of S_IFMT that the type of a pipe (S_IFIFO, 0x1000) does not have (inode(7))

#: What confined programs think they did: modes, owners and times are not Landlock's, so they could be changed anywhere.
_PRETEND: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip

#: All that a reader or inspector may call.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "write": (1, 64), "writev": (20, 66), "pwrite64": (18, 68),
    "lseek": (8, 62), "close": (3, 57), "close_range": (436, 436), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "fadvise64": (221, 223),
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "sendto": (44, 206), "recvfrom": (45, 207), "recvmsg": (47, 212),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "futex": (202, 98), "rseq": (334, 293), "set_robust_list": (273, 99), "membarrier": (324, 283),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "times": (100, 153),
    "getrusage": (98, 165), "getrlimit": (97, 163), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

_OPEN, _OPENAT, _FCNTL, _PRLIMIT, _CLONE, _CLONE3 = (2, None), (257, 56), (72, 25), (302, 261), (56, 220), (435, 435)
_OPEN_TO_CHANGE = 0o3 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, __O_TMPFILE
_FCNTL_SAFE = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_FCNTL_SIGNALS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: ways to send any signal to any process
_NAMESPACES = 0x7E020000  # CLONE_NEW*

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050000, 0x00050001, 0x00050026
_X32_BIT = 0x40000000


def supported() -> bool:
    """Whether this machine's architecture has a table here."""
    return platform.machine() in _ARCH


def program(reader: bool) -> bytes:
    """The filter for this architecture: the readers' allow list, or the deny list of confined programs."""
    machine = platform.machine()
    if machine not in _ARCH:
        raise SandboxError(f"no system-call table for {machine}")
    column = list(_ARCH).index(machine)
    out = [_step(_LOAD, 0, 0, 4), _step(_JUMP_EQ, 1, 0, _ARCH[machine]), _step(_RETURN, 0, 0, _KILL)]
    out.append(_step(_LOAD, 0, 0, 0))
    out += [_step(_JUMP_GE, 0, 1, _X32_BIT), _step(_RETURN, 0, 0, _KILL)] if column == 0 else []
    out += _reader(column) if reader else _confined(column)
    return b"".join(out)


def _reader(column: int) -> list[bytes]:
    unless_changing = (_EPERM, _ALLOW)
    out = _for(_OPENAT[column], _masked(2, _OPEN_TO_CHANGE, *unless_changing))
    out += _for(_OPEN[column], _masked(1, _OPEN_TO_CHANGE, *unless_changing))
    out += _for(_FCNTL[column], _one_of(1, _FCNTL_SAFE, _ALLOW, _EPERM))
    # prlimit64 with no new limits only reads them. Both halves of the pointer count.
    out += _for(_PRLIMIT[column], [*_zero(2, 0), *_zero(2, 4), _step(_RETURN, 0, 0, _ALLOW)])
    for number in _numbers(_ALLOWED, column):
        out += _for(number, [_step(_RETURN, 0, 0, _ALLOW)])
    return [*out, _step(_RETURN, 0, 0, _EPERM)]


def _confined(column: int) -> list[bytes]:
    out = _for(_FCNTL[column], _one_of(1, _FCNTL_SIGNALS, _EPERM, _ALLOW))
    out += _for(_CLONE[column], _masked(0, _NAMESPACES, _EPERM, _ALLOW))
    out += _for(
        _CLONE3[column], [_step(_RETURN, 0, 0, _ENOSYS)]
    )  # its flags are out of sight; libc falls back to clone
    # Pipes with names, which some programs talk to their children by; no devices and no sockets.
    out += _for(_MKNOD[column], _masked(1, _NOT_FIFO, _EPERM, _ALLOW))
    out += _for(_MKNODAT[column], _masked(2, _NOT_FIFO, _EPERM, _ALLOW))
    for number in _numbers(_DENY, column):
        out += _for(number, [_step(_RETURN, 0, 0, _EPERM)])
    for number in _numbers(_PRETEND, column):
        out += _for(number, [_step(_RETURN, 0, 0, _ERRNO)])
    return [*out, _step(_RETURN, 0, 0, _ALLOW)]


def _numbers(table: dict[str, tuple[int | None, int | None]], column: int) -> list[int]:
    return sorted({n for pair in table.values() if (n := pair[column]) is not None})


def _for(number: int | None, then: list[bytes]) -> list[bytes]:
    """``then`` (which returns) where the system call is ``number``; falls through with its number still loaded."""
    return [] if number is None else [_step(_JUMP_EQ, 0, len(then), number), *then]


def _argument(index: int, half: int = 0) -> bytes:
    """Load an argument's lower (0) or upper (4) 32 bits; both architectures are little-endian."""
    return _step(_LOAD, 0, 0, 16 + 8 * index + half)


def _masked(index: int, bits: int, if_any: int, if_none: int) -> list[bytes]:
    test = [_argument(index), _step(_JUMP_SET, 0, 1, bits)]
    return [*test, _step(_RETURN, 0, 0, if_any), _step(_RETURN, 0, 0, if_none)]


def _one_of(index: int, values: tuple[int, ...], if_so: int, if_not: int) -> list[bytes]:
    tests = [_step(_JUMP_EQ, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_argument(index), *tests, _step(_RETURN, 0, 0, if_not), _step(_RETURN, 0, 0, if_so)]


def _zero(index: int, half: int) -> list[bytes]:
    return [_argument(index, half), _step(_JUMP_EQ, 1, 0, 0), _step(_RETURN, 0, 0, _EPERM)]


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
