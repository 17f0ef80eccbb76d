"""What to build, with what, and what to compare it with: a TOML file, read strictly."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.lab.regular import read_regular
from banbury.model.errors import InputError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LARGEST: Final = 1 << 20
#: What is varied between two builds (:mod:`~banbury.rebuild.variations`), by the names that a recipe switches off.
IDS: Final = (
    "build-path", "clock", "time-zone", "locale", "user", "host", "umask", "file-order", "cpus", "home", "shell",
    "environment",
)  # fmt: skip
#: Variables that the laboratory sets itself; a recipe that set them would undo a variation or the sandbox.
RESERVED: Final = frozenset(
    [
        "HOME",
        "SHELL",
        "TZ",
        "LANG",
        "LC_ALL",
        "LANGUAGE",
        "USER",
        "LOGNAME",
        "PATH",
        "JOBS",
        "LD_PRELOAD",
        "FAKETIME",
        "FAKETIME_FMT",
        "NO_FAKE_STAT",
        "BANBURY_VARIED",
        "SOURCE_DATE_EPOCH",
        "PWD",
        "TMPDIR",
    ]
)
#: Beginnings of such names: the loader's; libfaketime's, which has switches that turn it off; of locales and zones.
_RESERVED_START: Final = ("LD_", "FAKE", "NO_FAKE", "DONT_FAKE", "TZDIR", "LOCPATH", "LC_", "GLIBC_TUNABLES")
#: What a hypothesis may be about beside variables: the environment's own values.
HYPOTHESES: Final = ("clock", "build-path", "host", "user")


class Kind(StrEnum):
    """How the source is built."""

    DEBIAN = "debian"
    MAKE = "make"
    CMAKE = "cmake"
    SCRIPT = "script"


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root file system: ``host`` (this machine's /usr), a folder, or a tarball; ``sha256`` pins a tarball."""

    root: str = "host"
    sha256: str = ""


class Shipped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was delivered: files, matched to outputs by their names; ``record`` is the vendor's build record."""

    files: list[str] = []
    record: str = ""


class BuildLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one build may use: seconds of wall time; MiB of memory in all, of disk, of one file, of log; processes.
    ``experiments`` is how many controlled rebuilds there may be to find causes, and again for what was shipped."""

    time: int = 3600
    memory: int = 4096
    disk: int = 8192
    file: int = 2048
    log: int = 64
    processes: int = 1024
    experiments: int = 16


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One build. Paths are relative to the recipe's folder. ``vary`` switches variations off by id; ``clock`` is what
    the first build's clock shows (0: now); ``clock_runs`` lets it run instead of standing still."""

    name: str
    kind: Kind
    source: str
    package: str = ""
    commands: list[str] = []
    outputs: list[str] = []
    options: list[str] = []
    clock: int = 0
    clock_runs: bool = False
    source_date_epoch: int | None = None
    trace: bool = True
    environment: Environment = Environment()
    variables: dict[str, str] = {}
    hypotheses: dict[str, list[str]] = {}
    second_compiler: dict[str, str] = {}
    shipped: Shipped = Shipped()
    limits: BuildLimits = BuildLimits()
    vary: dict[str, bool] = {}

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """The recipe in a file. Raises ``InputError``, in one line, for anything that cannot be used."""
        data = read_regular(path, _LARGEST + 1)
        if len(data) > _LARGEST:
            raise InputError(f"{path}: larger than a recipe may be (1 MiB)")
        try:
            recipe = msgspec.toml.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            raise InputError(f"{path}: this recipe cannot be used: {problem}") from None
        for why in recipe.problems():
            raise InputError(f"{path}: this recipe cannot be used: {why}")
        return recipe

    def problems(self) -> list[str]:
        """What is wrong with it beyond its types, each in a line."""

        found = []
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}", self.name):
            found.append("`name` is letters, digits and .+_- only, at most 64")
        if self.kind is Kind.SCRIPT and not self.commands:
            found.append("a script needs `commands`")
        if self.kind is not Kind.DEBIAN and not self.outputs:
            found.append("`outputs` names no file")
        if self.kind is Kind.DEBIAN and self.commands:
            found.append("a Debian package has no `commands`: dpkg-buildpackage takes `options`")
        found += [f"the output {o!r} leads out of the build's folder" for o in self.outputs if not _inside(o)]
        for table in (self.variables, self.second_compiler):
            found += [f"the variable {n!r} is not a name, or the laboratory's" for n in table if not _free(n)]
        for name in self.hypotheses:
            if name not in HYPOTHESES and not _free(name):
                found.append(f"a hypothesis is about {', '.join(HYPOTHESES)} or a variable, not {name!r}")
        found += [f"there is no variation {v!r} (there are {', '.join(IDS)})" for v in self.vary if v not in IDS]
        values = [*self.commands, *self.options, *self.variables.values(), *self.second_compiler.values()]
        if any("\0" in v for v in values):
            found.append("a NUL in a command or a variable")
        found += [f"`limits.{n}` is not a positive number" for n in BuildLimits.__struct_fields__ if self._bad(n)]
        if not 0 <= self.clock < 1 << 32 or not 0 <= (self.source_date_epoch or 0) < 1 << 32:
            found.append("a clock is seconds since 1970, below 2^32")
        if self.environment.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.environment.sha256):
            found.append("`environment.sha256` is no SHA-256 in lower case")
        return found

    def _bad(self, name: str) -> bool:
        value = getattr(self.limits, name)
        return not (0 if name == "experiments" else 1) <= value <= 1 << 30


def _inside(pattern: str) -> bool:
    parts = pattern.split("/")
    return bool(pattern) and ".." not in parts and not pattern.startswith("/") and "\0" not in pattern


def _free(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and name not in RESERVED and not name.startswith(_RESERVED_START)
