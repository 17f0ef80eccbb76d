"""The Linux kernel and its boot loader: banners, configuration, command lines, environments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors import _uboot as uboot
from banbury.inspect.inspectors._lines import clip, line_span, within
from banbury.model.facts import Fact, Span, Tri

_HITS: Final = 256
_PRINTABLE: Final = bytes(range(0x20, 0x7F))


class Banner(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.banner"):
    """The kernel's own statement of its version, who built it where, with what, which build, and when."""

    version: str
    builder: str = ""
    compiler: str = ""
    build: str = ""
    date: str = ""


class Config(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.config"):
    """A kernel configuration: what it is for, and how many options it sets."""

    version: str
    architecture: str = ""
    compiler: str = ""
    options: int
    built_in: int
    modules: int


class Option(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.option"):
    """The value of one option from the list of security-relevant ones: y, m, n, a text or number, or "absent"."""

    name: str
    value: str
    group: str


class CommandLine(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.command-line"):
    """A kernel command line found in a kernel, a device tree or a boot loader's file."""

    parameters: list[str]
    console: list[str] = field(default_factory=list)
    init: str = ""
    root: str = ""


class BootLoader(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.boot-loader"):
    """A boot loader's banner."""

    name: str
    version: str
    date: str = ""


class Environment(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.environment"):
    """A U-Boot environment. ``checksum`` says whether the CRC-32 before it is right ("cannot tell" for the defaults
    compiled into U-Boot, which have none); ``size`` is what the checksum covers, in bytes. ``variables`` are at most
    200 of them, values cut to 120 characters."""

    checksum: Tri
    size: int
    bootcmd: str = ""
    bootargs: str = ""
    bootdelay: str = ""
    variables: dict[str, str] = field(default_factory=dict)


_BANNER: Final = re.compile(
    r"Linux version (\d+\.\d+[^\s(]{0,80}) \(([^()\s]{1,100}@[^()\s]{0,100})\) (.{0,300}?) ?(#\d.{0,100})?$"
)
_BUILD: Final = re.compile(r"(#\d\S*(?: (?:SMP|PREEMPT\S*|Debian \S+|RT))*) ?(.*)")
_UBOOT: Final = re.compile(
    r"U-Boot (?:SPL |TPL )?(\d{4}\.\d{2}[^\s(]{0,60}|\d\.\d\.\d[^\s(]{0,60})(?: \(([^()]{6,60})\))?"
)
_PARAMETER: Final = re.compile(r"(?:[\w.-]{1,64}=\S{1,400}|[\w.-]{1,32})")
_TELLING: Final = frozenset(
    {"console", "root", "init", "rootfstype", "mtdparts", "mem", "ubi.mtd", "rdinit", "earlyprintk", "earlycon", "ip"}
    | {"board", "rootwait", "noinitrd", "nfsroot", "panic", "quiet", "rw", "ro", "loglevel"}
)
_OPTION: Final = re.compile(r"CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set")
_CONFIG_HEAD: Final = re.compile(
    rb"#\n# (?:Automatically generated[^\n]{0,60})\n# (?:Linux/([\w-]+) |Linux kernel version: )(\d\S{0,60})"
)


@cache
def _watched() -> dict[str, str]:
    """The group of each option that is stated, by name."""
    table = tomllib.loads((files("banbury.inspect") / "data" / "kernel_options.toml").read_text("utf-8"))
    return {name: group for group, names in table["groups"].items() for name in names}


def _string_at(file: FileView, at: int, limit: int = 512) -> str:
    """The printable run that starts at ``at``."""
    window = file.view.take(at, min(limit, len(file.view) - at))
    match = re.match(rb"[\x20-\x7e\t]*", window)
    return match[0].decode() if match else ""


def _offsets(file: FileView, pattern: bytes) -> Iterator[int]:
    at = file.view.find(pattern)
    for _ in range(_HITS):
        if at < 0:
            return
        yield at
        at = file.view.find(pattern, at + len(pattern))


class Kernel(FileInspector):
    name = "kernel"
    title = "Kernel and boot loader"
    question = "Which kernel and boot loader are in here, how were they built, and what do they boot with?"
    version = 1
    blind_spots = (
        "A compressed kernel shows its banner only once it has been unpacked.",
        "A banner is text: that it stands in a file does not prove that the file is that kernel.",
        "Kernel options are known only where the configuration is embedded or shipped.",
        "At most 256 occurrences of each sort are looked at in one file.",
        "Environments that U-Boot keeps encrypted, or outside the image, are not seen.",
    )
    references = (
        "Linux, init/version.c (banner), scripts/kconfig (configuration), admin-guide/kernel-parameters",
        "U-Boot, include/env_internal.h (environment_s) and doc/usage/environment",
    )
    facts = (Banner, Config, Option, CommandLine, BootLoader, Environment)

    def applies(self, file: FileView) -> bool:
        return len(file.view) >= 16

    def inspect(self, file: FileView) -> Iterator[Fact]:
        if _CONFIG_HEAD.match(file.view.take(0, min(len(file.view), 256))):
            within(file)
            yield from _config(file)
            return
        yield from _banners(file)
        if file.kind not in {"script", "html"}:
            yield from _boot_loaders(file)
            yield from _environments(file)
            yield from _command_lines(file)


def _banners(file: FileView) -> Iterator[Fact]:
    yield from _setup_banner(file)
    seen: set[str] = set()
    for at in _offsets(file, b"Linux version "):
        text = _string_at(file, at)
        match = _BANNER.match(text)
        if match is None or text in seen:
            continue
        seen.add(text)
        build = _BUILD.match(match[4] or "")
        yield Banner(
            version=match[1],
            builder=match[2],
            compiler=match[3].removeprefix("(").removesuffix(")").strip()[:200],
            build=build[1] if build else "",
            date=build[2] if build else "",
            at=Span(at, len(text)),
            text=clip(text),
        )


def _setup_banner(file: FileView) -> Iterator[Fact]:
    """The version that an x86 boot image states in clear before its compressed kernel (Linux, Documentation/arch/x86/
    boot.rst: "HdrS" at 0x202, the string's offset less 0x200 at 0x20e)."""
    view = file.view
    if len(view) < 0x400 or not view.startswith(b"HdrS", 0x202):
        return
    at = view.u16(0x20E) + 0x200
    text = _string_at(file, at) if 0x210 < at < len(view) else ""
    match = re.match(r"(\d+\.\d+[^\s(]{0,80}) \(([^()\s]{1,200})\) (#.{0,100})", text)
    if match:
        build = _BUILD.match(match[3])
        yield Banner(
            version=match[1],
            builder=match[2],
            build=build[1] if build else "",
            date=build[2] if build else "",
            at=Span(at, len(text)),
            text=clip(text),
        )


def _config(file: FileView) -> Iterator[Fact]:
    head = _CONFIG_HEAD.match(file.view.take(0, min(len(file.view), 256)))
    assert head is not None
    values: dict[str, tuple[str, int]] = {}
    for offset, line in file.lines:
        match = _OPTION.match(line)
        if match:
            name, value = (match[1], match[2].strip('"')) if match[1] else (match[3], "n")
            values[name] = (value[:400], offset)
    compiler = values.get("CC_VERSION_TEXT", ("", 0))[0]
    yield Config(
        version=head[2].decode("utf-8", "replace"),
        architecture=(head[1] or b"").decode(),
        compiler=compiler,
        options=len(values),
        built_in=sum(1 for v, _ in values.values() if v == "y"),
        modules=sum(1 for v, _ in values.values() if v == "m"),
        at=Span(0, head.end()),
        text=clip(head[0].decode("utf-8", "replace").rpartition("\n")[2]),
    )
    for name, group in _watched().items():
        if name in values:
            value, offset = values[name]
            span = line_span(file, offset)
            yield Option(name=name, value=value, group=group, at=span, text=clip(_string_at(file, offset, 200)))
        else:
            yield Option(name=name, value="absent", group=group)


def _boot_loaders(file: FileView) -> Iterator[Fact]:
    seen: set[str] = set()
    for at in _offsets(file, b"U-Boot "):
        match = _UBOOT.match(_string_at(file, at, 200))
        if match and match[0] not in seen:
            seen.add(match[0])
            yield BootLoader(
                name="U-Boot", version=match[1], date=match[2] or "", at=Span(at, len(match[0])), text=clip(match[0])
            )


def _environments(file: FileView) -> Iterator[Fact]:
    for env in uboot.environments(file.view):
        known = env.variables
        yield Environment(
            checksum=env.checksum,
            size=env.size,
            bootcmd=known.get("bootcmd", "")[:400],
            bootargs=known.get("bootargs", "")[:400],
            bootdelay=known.get("bootdelay", "")[:20],
            variables={k: clip(v) for k, v in list(known.items())[:200]},
            at=Span(env.start, env.length),
            text=clip(f"bootcmd={known.get('bootcmd', '')}"),
        )


def _command_lines(file: FileView) -> Iterator[Fact]:
    """Runs of parameters around ``console=`` or ``root=``, at least two of them well known."""
    seen: set[str] = set()
    for pattern in (b"console=", b"root=/dev/", b"rootfstype=", b"mtdparts="):
        for at in _offsets(file, pattern):
            start = max(0, at - 512)
            before = file.view.take(start, at - start)
            begin = start + len(before.rstrip(_PRINTABLE))
            text = _string_at(file, begin, 1024 + at - begin).strip().strip("\"'")
            if text.startswith(("bootargs=", "setenv bootargs ", "CONFIG_CMDLINE=")):
                continue  # stated as part of an environment or a configuration
            fact = _command_line(text, Span(begin, len(text)))
            if fact is not None and text not in seen:
                seen.add(text)
                yield fact


def _command_line(text: str, at: Span) -> CommandLine | None:
    words = text.split()
    telling = {w.partition("=")[0] for w in words} & _TELLING
    with_value = [w for w in words if "=" in w and w.partition("=")[0] in telling]
    if (
        len(telling) < 2
        or not with_value
        or re.search(r"[%;]|\$\{", text)
        or not all(_PARAMETER.fullmatch(w) for w in words[:64])
    ):
        return None
    known = {w.partition("=")[0]: w.partition("=")[2] for w in words}
    return CommandLine(
        parameters=words[:64],
        console=[w.partition("=")[2] for w in words if w.startswith("console=")][:8],
        init=known.get("init", "")[:200],
        root=known.get("root", "")[:200],
        at=at,
        text=clip(text),
    )


INSPECTORS = (Kernel(),)
