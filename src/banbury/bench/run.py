"""Puts the contests together."""

from __future__ import annotations

import compileall
import datetime as dt
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import banbury
from banbury.bench import programs
from banbury.bench.contest import Contender, Contest, compete, fresh
from banbury.bench.inputs import Inputs, prepare
from banbury.bench.report import BenchReport, Target
from banbury.lab.progress import Progress

_SHA = "sha256sum"
_FIRST, _SECOND = "banbury evaluate", "banbury evaluate, again"
_NEXT, _NEXT_ALONE = "banbury evaluate, next release", "banbury evaluate, that release alone"
_UNBLOB = "unblob, extraction alone"
_INVENTORY = "banbury, unpack + hash + type"
_HARDENING, _CHECKSEC_PY, _CHECKSEC_SH = "banbury, hardening", "checksec.py", "checksec.sh"

Tell = Callable[[str], object]


def run(
    work: Path,
    cache: Path,
    *,
    image: Path | None = None,
    repeats: int = 3,
    tell: Tell = lambda line: None,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure everything. Raises InputError where the inputs cannot be made."""
    inputs = prepare(work / "inputs", cache / "packages", progress)
    # As after an installation: else a changed source file would be compiled again in every measured run.
    compileall.compile_dir(Path(banbury.__file__).parent, quiet=2)
    first = image or Path(inputs.sample.manifest("1.0")).parent / "ex100-1.0.bin"
    with tempfile.TemporaryDirectory(prefix="run-", dir=work) as name:
        bench = _Bench(inputs, first.resolve(), Path(name), repeats, tell)
        whole, share, parts, elves = bench.whole(), bench.shared(), bench.inventory(), bench.hardening()
    return BenchReport(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        program=f"banbury {banbury.__version__}",
        machine=programs.machine(),
        repeats=repeats,
        contests=[whole, share, parts, elves],
        targets=_targets(whole, share, parts, elves),
    )


class _Bench:
    def __init__(self, inputs: Inputs, image: Path, scratch: Path, repeats: int, tell: Tell) -> None:
        self._inputs, self._image, self._scratch = inputs, image, scratch
        self._repeats, self._tell = repeats, tell
        self._has_evaluate = programs.has_subcommand("evaluate")
        self._unblob_env, self._unblob_note = programs.unblob_environment(scratch)

    def whole(self) -> Contest:
        """The whole evaluation of one image, the first time and again, and what extraction alone costs the peer."""
        image = self._image
        size = image.stat().st_size
        return compete(
            f"Whole evaluation of {image.name} ({size / 1e6:.1f} MB)",
            [
                _sha(image),
                self._evaluate(_FIRST, image, "first", empty=True),
                self._evaluate(_SECOND, image, "first"),
                self._unblob(image),
            ],
            _SHA,
            self._repeats,
            self._tell,
        )

    def shared(self) -> Contest:
        """The sample's next release after its first: 95 % of the files are the same."""
        old, new = (self._inputs.sample.manifest(version) for version in ("1.0", "1.1"))
        lab = self._scratch / "next"

        def first(turn: int) -> None:
            from banbury.bench.meter import measure

            measure(self._command(old, fresh(lab)))

        following = self._evaluate(_NEXT, new, "next")
        if self._has_evaluate:
            following = Contender(name=_NEXT, make=following.make, ready=first, note="after release 1.0")
        image = new.parent / "ex100-1.1.bin"
        alone = self._evaluate(_NEXT_ALONE, new, "alone", empty=True)
        return compete(
            "A release that shares 95 % of its files with one evaluated before (the sample's 1.1 after 1.0)",
            [_sha(image), alone, following],
            _SHA,
            self._repeats,
            self._tell,
        )

    def inventory(self) -> Contest:
        """Unpack, hash and type an image of many parts."""
        image = self._inputs.image
        lab = self._scratch / "inventory"
        ours = Contender(
            name=_INVENTORY,
            make=lambda turn: [sys.executable, "-m", "banbury.bench.runners", "inventory", str(image), str(lab)],
            ready=lambda turn: fresh(lab),
        )
        return compete(
            f"Unpack, hash and type an image of {image.stat().st_size / 1e6:.1f} MB (header, uImage-LZMA, SquashFS-xz, "
            f"JFFS2, cpio.gz; {self._inputs.image_files} files)",
            [_sha(image), ours, self._unblob(image)],
            _SHA,
            self._repeats,
            self._tell,
        )

    def hardening(self) -> Contest:
        """The hardening measures of many programs."""
        folder = self._inputs.elves
        files = sorted(map(str, folder.iterdir()))
        py, sh = programs.checksec(b"python"), programs.checksec(b"sh")
        contenders = [
            Contender(name=_SHA, make=lambda turn: ["sha256sum", *files], times=5),
            Contender(
                name=_HARDENING,
                make=lambda turn: [sys.executable, "-m", "banbury.bench.runners", "hardening", str(folder)],
                note="start of Python included",
            ),
            Contender(name=_CHECKSEC_PY, make=(lambda turn: [*py, str(folder), "--json"]) if py else None),
            Contender(
                name=_CHECKSEC_SH,
                make=(lambda turn: [*sh, f"--dir={folder}", "--output=csv"]) if sh else None,
                statuses=(0, 1),
            ),
        ]
        title = f"Hardening of {self._inputs.elf_count} ELF files ({self._inputs.elf_bytes / 1e6:.1f} MB)"
        return compete(title, contenders, _SHA, self._repeats, self._tell)

    def _command(self, what: Path, workspace: Path) -> list[str]:
        return [programs.beside_python("banbury") or "banbury", "evaluate", str(what), "--workspace", str(workspace)]

    def _evaluate(self, name: str, what: Path, workspace: str, *, empty: bool = False) -> Contender:
        if not self._has_evaluate:
            return Contender(name=name, make=None, note="this program has no subcommand evaluate")
        lab = self._scratch / workspace
        return Contender(
            name=name,
            make=lambda turn: self._command(what, lab),
            ready=(lambda turn: fresh(lab)) if empty else (lambda turn: None),
            note="empty workspace" if empty else "",
        )

    def _unblob(self, image: Path) -> Contender:
        program = programs.beside_python("unblob")
        if program is None:
            return Contender(name=_UNBLOB, make=None)
        out = self._scratch / "unblob"

        def ready(turn: int) -> None:
            fresh(out).mkdir()

        return Contender(
            name=_UNBLOB,
            make=lambda turn: [program, "-e", str(out), "--log", str(out / "log"), str(image)],
            ready=ready,
            env=self._unblob_env,
            statuses=(0, 1),  # 1: something in it could not be extracted
            note=self._unblob_note,
        )


def _sha(image: Path) -> Contender:
    return Contender(name=_SHA, make=lambda turn: ["sha256sum", str(image)], times=20)


def _targets(whole: Contest, share: Contest, parts: Contest, elves: Contest) -> list[Target]:
    again = whole.line(_SECOND)
    ratio_next = share.ratio(_NEXT, _NEXT_ALONE)
    return [
        _at_most("whole evaluation, CPU against unblob's extraction alone", whole.ratio(_FIRST, _UNBLOB), 1.0, "×"),
        _at_most("unpack + hash + type of an image of many parts", parts.ratio(_INVENTORY), 40, "× sha256sum"),
        _at_most("hardening of ELF files", elves.ratio(_HARDENING), 5, "× sha256sum"),
        _at_most("second run, same bytes", again.wall if again and not again.trouble else None, 2.0, "s"),
        _at_most("release that shares 95 % of its files, of its first run", ratio_next, 0.10, "×"),
    ]


def _at_most(what: str, value: float | None, limit: float, unit: str) -> Target:
    return Target(
        what=what,
        measured=f"{value:.2f} {unit}" if value is not None else "–",
        to_reach=f"≤ {limit:g} {unit}",
        reached=value <= limit if value is not None else None,
    )
