"""Whether the code that a vulnerability is in is in the files: applets, functions, source files of the kernel.

What is named in the text of a record is read by patterns that a person wrote: a word counts as an applet where the
text calls it one, as a function where ``()`` or the word "function" stands with it. A name that is found speaks for the
vulnerability; one that is not found speaks against it only where the list it was looked for in is whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files as resources
from typing import Final

from banbury.inspect.names import holds
from banbury.model.supply import KernelParts, Parts, Reason
from banbury.supply.match.reasons import reason
from banbury.supply.parts import single

_APPLET: Final = re.compile(
    r"\b(?:the |in )?[\"'`]?([a-z0-9_.+-]{1,24})[\"'`]? applets?\b|\bapplets? [\"'`]?([a-z0-9_.+-]{1,24})\b"
    r"|\b(?:archival|coreutils|console-tools|debianutils|e2fsprogs|editors|findutils|init|klibc-utils|libarchive|"
    r"loginutils|mailutils|miscutils|modutils|networking(?:/udhcp)?|printutils|procps|runit|selinux|shell|sysklogd|"
    r"util-linux(?:/volume_id)?)/([a-z0-9_]{1,24})\.c\b"
)
_IN_BUSYBOX: Final = re.compile(r"\bin ([a-z0-9_.+-]{1,24}) in busybox\b|\bif ([a-z0-9_.+-]{1,24}) is used\b")
_NO_APPLET: Final = frozenset(
    {"the", "an", "this", "busybox", "some", "that", "which", "other", "shell", "applet", "of"}
)
#: What BusyBox's source files serve, where the applet is called otherwise (BusyBox, the comments "//applet:").
_SOURCES: Final = {
    "decompress_gunzip": ("gunzip", "gzip", "zcat", "tar", "unzip"),
    "decompress_unlzma": ("unlzma", "lzma", "lzcat", "tar"),
    "decompress_bunzip2": ("bunzip2", "bzip2", "bzcat", "tar"),
    "dhcpc": ("udhcpc",),
    "d6_dhcpc": ("udhcpc6",),
    "dhcpd": ("udhcpd",),
    "inetd": ("inetd",),
    "ls": ("ls",),
}
_CALLED: Final = re.compile(r"\b([A-Za-z_][A-Za-z0-9_]{3,63})\(\)")
_WORDED: Final = re.compile(
    r"\bfunctions?[ :]+[\"'`]?([A-Za-z_][A-Za-z0-9_]{3,63})\b|\b([A-Za-z_][A-Za-z0-9_]{3,63})[\"'`]? functions?\b"
)
#: Stems of this length and shorter ("core", "main") are no module's name.
_SHORT: Final = 4
#: A source file of the kernel in a text.
_SOURCE: Final = re.compile(
    r"(?<![\w/.-])((?:arch|block|crypto|drivers|fs|init|io_uring|ipc|kernel|lib|mm|net|security|sound|virt)"
    r"(?:/[A-Za-z0-9_-]{1,64}){1,8}\.[cS])\b"
)
#: Files that a text may name to say where a flaw is; more are a list of calls or of what was changed.
_FEW: Final = 3
#: Of arch/arm, what arch/arm64 builds too (arch/arm64/xen/Makefile; device trees that include each other).
_SHARED: Final = ("arch/arm/xen/", "arch/arm/boot/dts/")
_C_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,127}\Z")
_PLAIN: Final = re.compile(r"[a-z]+\Z|[A-Z][a-z]+\Z")


@cache
def _everywhere() -> frozenset[str]:
    """Functions that nearly every program has: that one of them is there says nothing."""
    text = (resources("banbury.supply") / "data" / "everywhere.toml").read_text("utf-8")
    return frozenset(tomllib.loads(text)["functions"])


@cache
def _applets() -> frozenset[str]:
    """Every name of an applet that there is in any BusyBox."""
    return frozenset(
        tomllib.loads((resources("banbury.supply") / "data" / "busybox.toml").read_text("utf-8"))["applets"]
    )


def applets_named(text: str) -> list[str]:
    """The applets that a description names."""
    found: list[str] = []
    for match in _APPLET.finditer(text.lower()):
        name = next(group for group in match.groups() if group)
        if name not in _NO_APPLET:
            found += _SOURCES.get(name, (name,))
    found += [name for pair in _IN_BUSYBOX.findall(text.lower()) for name in pair if name in _applets()]
    return list(dict.fromkeys(found))


def functions_named(text: str) -> list[str]:
    """The functions that a description names: ``name()``, or a name that is no plain word beside "function". What every
    program has (``free()``) is none of them."""
    found = [match[1] for match in _CALLED.finditer(text)]
    for match in _WORDED.finditer(text):
        name = match[1] or match[2]
        if not _PLAIN.match(name):
            found.append(name)
    return [name for name in dict.fromkeys(found) if name not in _everywhere()]


def sources_named(text: str) -> list[str]:
    """The source files of the kernel that a description names: "in drivers/usb/gadget/function/rndis.c in the Linux
    kernel". None where it names more than a few, or holds the trace of a crash, which names all that was passed."""
    if "Call Trace" in text or "Call trace" in text or "BUG:" in text:
        return []
    found = list(dict.fromkeys(_SOURCE.findall(text)))
    return found if len(found) <= _FEW else []


def applet_reason(text: str, parts: Parts) -> Reason | None:
    """What BusyBox's list of applets says of a description; ``None`` where either names none."""
    named = applets_named(text)
    if not named or not parts.applets:
        return None
    there = sorted(set(named) & set(parts.applets))
    if there:
        return reason("applet-present", f"applet {', '.join(there)} is in this BusyBox", applets=" ".join(there))
    if parts.complete.get("applets") and _applets().issuperset(named):
        says = f"{', '.join(named)} is not among the {len(parts.applets)} applets of this BusyBox"
        return reason("applet-absent", says, applets=" ".join(named))
    return None


def function_reason(text: str, parts: Parts | KernelParts, routines: Sequence[str] = ()) -> Reason | None:
    """What the names of functions say of a vulnerability: those of its description, and those that its record lists
    (``programRoutines`` of the CVE list). It decides nothing: a function that is there may be mended, one that is not
    seen may be part of another."""
    named = list(dict.fromkeys([*(name for name in routines if _C_NAME.match(name)), *functions_named(text)]))
    if not named:
        return None
    known = frozenset(parts.functions) if isinstance(parts, Parts) else frozenset()
    there = sorted(name for name in named if name in known or any(holds(packed, name) for packed in parts.names))
    if there:
        return reason("function-present", f"{', '.join(there)} is in its files", functions=" ".join(there))
    if isinstance(parts, Parts) and parts.complete.get("functions"):
        says = f"{', '.join(named)} is not in its files, which have their symbols; it may be part of another function"
        return reason("function-absent", says, functions=" ".join(named))
    says = f"{', '.join(named)} was not seen; in stripped files that proves nothing"
    return reason("function-not-seen", says, functions=" ".join(named))


def built(file: str, parts: KernelParts) -> bool | None:
    """Whether a source file is in a kernel or its modules; ``None`` where it cannot be told.

    It is where a module has its name *and folder*, or it is listed. Where no folder is known (OpenWrt keeps all modules
    in one), a name of several words stands for it: ``cfg80211.c`` and ``bridge.c`` are files of many drivers. It is not
    where everything in its folder is known not to be, or where it makes a module by itself, and every list of modules
    is whole and has none of that name. Headers, documents and tests are no code that is or is not built: they are never
    known, save for those of another machine.
    """
    if _covered(file, parts, machines=True):
        return False
    if not file.endswith((".c", ".S", ".rs")):
        return None
    folder, _, name = file.rpartition("/")
    stem = name.rpartition(".")[0].replace("-", "_")
    if file in parts.files or f"{folder}/{stem}" in parts.places:
        return True
    if _covered(file, parts):
        return False
    listed = stem in parts.modules or stem in parts.builtin
    if listed and len(stem) > _SHORT and "_" in stem and not any(p.endswith(f"/{stem}") for p in parts.places):
        return True
    whole = parts.complete.get("modules") and parts.complete.get("builtin")
    return False if whole and not listed and single(file) else None


def _covered(file: str, parts: KernelParts, *, machines: bool = False) -> bool:
    """Whether a folder or file that is known to be absent covers a file; with ``machines``, one of ``arch/`` alone.
    AArch64 builds some of ``arch/arm``'s."""
    if file.startswith("arch/"):
        shared = file.startswith(_SHARED)
        most = 2 if machines else file.count("/")
        return not shared and any(p.count("/") <= most and _covers(p, file) for p in parts.absent)
    return not machines and any(_covers(path, file) for path in parts.absent)


def _covers(path: str, file: str) -> bool:
    if path.endswith("*"):
        return file.startswith(path[:-1])
    return file.startswith(path) if path.endswith("/") else file == path


def kernel_reason(files: list[str], parts: KernelParts) -> Reason | None:
    """What is built into a kernel says of the files that a record names; ``None`` where it names none.

    One file that is built is enough to be concerned; not to be concerned, every one must be known not to be built.
    """
    if not files:
        return None
    states = {file: built(file, parts) for file in files}
    if any(state is False for state in states.values()):
        # a private header of a folder that is not built, beside code of such a folder
        states |= {file: False for file in files if file.endswith(".h") and _folder_absent(file, parts)}
    there = [file for file, state in states.items() if state]
    if there:
        return reason("kernel-file-built", f"{_some(there)} is built", files=" ".join(there[:8]))
    if all(state is False for state in states.values()):
        return reason("kernel-file-not-built", f"{_some(files)} is not built", files=" ".join(files[:8]))
    open_ = [file for file, state in states.items() if state is None]
    return reason("kernel-file-unknown", f"nothing shows whether {_some(open_)} is built", files=" ".join(open_[:8]))


def foreign_reason(files: list[str], parts: KernelParts) -> Reason | None:
    """Whether the files are in a part that is made of another kernel's source."""
    other = [file for file in files if file.startswith(tuple(parts.foreign))] if parts.foreign else []
    if not other:
        return None
    says = f"{_some(other)} is of a later kernel, built for this one: this one's version says nothing of it"
    return reason("kernel-backports", says, files=" ".join(other[:8]))


def _folder_absent(file: str, parts: KernelParts) -> bool:
    return any(path.endswith("/") and file.startswith(path) for path in parts.absent)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
