"""Pairs that differ in nothing but times, and of which a program runs another file, or sets another clock.

See :mod:`tests.equivalence.consumer_pairs`. Each scenario is a tree for a moment (seconds since 1970), written as an
archive and as images of file systems; it was tried with python3.11, zsh 5.9 and the commands of OpenWrt's script.
"""

from __future__ import annotations

import io
import marshal
import struct
import zipfile
from collections.abc import Callable
from functools import partial

from banbury.compare.corpus.trees import Node, Tree
from banbury.compare.corpus.writers import cpio, jffs2, squashfs, tar
from banbury.compare.equivalence import BuildRecord
from tests.equivalence.consumer_pairs import archive
from tests.equivalence.container_pairs import harmless, tampered
from tests.equivalence.pairs import Sample

_T = 1_700_000_000
_SOURCE = b"print('reviewed')\n"
_CODE = marshal.dumps(compile("print('other')\n", "m.py", "exec"))
_TREES: dict[str, Callable[[Tree], bytes]] = {
    "tar": tar.write, "cpio": cpio.write, "squashfs": squashfs.write, "jffs2": jffs2.write,
}  # fmt: skip
_SCENARIOS: dict[str, Callable[[int], Tree]] = {}
_TWINS: dict[str, Callable[[int], Tree]] = {}


def _tree(*rows: tuple[str, Node]) -> Tree:
    """A tree with all folders of its paths."""
    out: Tree = {}
    for path, _ in rows:
        parts = path.split("/")
        for end in range(1, len(parts)):
            out.setdefault("/".join(parts[:end]), Node(kind="dir", mode=0o755, mtime=_T))
    return {**out, **dict(rows)}


def _pyc(stated: int = _T, magic: int = 3495) -> Node:
    head = struct.pack("<HH", magic, 0x0A0D) + bytes(4) + struct.pack("<II", stated, len(_SOURCE))
    return Node(data=head + _CODE, mtime=_T)


def _to(target: str) -> Node:
    return Node(kind="symlink", mode=0o777, link=target, mtime=_T)


def _scenario(make: Callable[[int], Tree]) -> Callable[[int], Tree]:
    return _SCENARIOS.setdefault(make.__name__.strip("_").replace("_", "-"), make)


def _twin(make: Callable[[int], Tree]) -> Callable[[int], Tree]:
    return _TWINS.setdefault(make.__name__.strip("_").replace("_", "-"), make)


def _source(time: int) -> Node:
    return Node(data=_SOURCE, mtime=time)


@_scenario
def _pyc_linked_source(t: int) -> Tree:
    return _tree(
        ("p/__pycache__/m.cpython-311.pyc", _pyc()), ("p/m.py", _to("../real/m.py")), ("real/m.py", _source(t))
    )


@_scenario
def _pyc_absolute_link(t: int) -> Tree:
    """As in a Debian package: the link begins at the root of the device; here that is a folder of the tree."""
    return _tree(
        ("root/p/__pycache__/m.cpython-311.pyc", _pyc()),
        ("root/p/m.py", _to("/share/m.py")),
        ("root/share/m.py", _source(t)),
    )


@_scenario
def _pyc_linked_cache(t: int) -> Tree:
    return _tree(("cache/m.cpython-311.pyc", _pyc()), ("p/__pycache__", _to("../cache")), ("p/m.py", _source(t)))


@_scenario
def _pyc_cache_outside(t: int) -> Tree:
    """Where the code lies cannot be told: on the device, it may state either time."""
    return _tree(("p/__pycache__", _to("/var/cache/p")), ("p/m.py", _source(t)))


@_scenario
def _pyc_of_program(t: int) -> Tree:
    """A program's file that is loaded by its path (SourceFileLoader) has a cache as a module has."""
    return _tree(("bin/__pycache__/tool-1.2.cpython-311.pyc", _pyc()), ("bin/tool-1.2.cgi", _source(t)))


@_scenario
def _pyc_prefix(t: int) -> Tree:
    """PYTHONPYCACHEPREFIX=/var/cache."""
    return _tree(("var/cache/lib/m.cpython-311.pyc", _pyc()), ("lib/m.py", _source(t)))


@_scenario
def _pyc_newer_python(t: int) -> Tree:
    """Python 3.14, whose code is not read here."""
    return _tree(("p/__pycache__/m.cpython-314.pyc", _pyc(magic=3627)), ("p/m.py", _source(t)))


@_scenario
def _zwc(t: int) -> Tree:
    """zsh runs the newer one."""
    return _tree(("f/setup.zwc", Node(data=b"compiled", mtime=_T + 2)), ("f/setup", _source(t)))


@_scenario
def _zwc_folder(t: int) -> Tree:
    """All functions of a folder in one file beside it."""
    return _tree(("f.zwc", Node(data=b"compiled", mtime=_T + 2)), ("f/setup", _source(t)))


@_scenario
def _guile(t: int) -> Tree:
    """Guile looks for compiled files along another path."""
    return _tree(
        ("lib/guile/3.0/site-ccache/gate/rules.go", Node(data=b"compiled", mtime=_T + 2)),
        ("share/guile/site/3.0/gate/rules.scm", _source(t)),
    )


@_scenario
def _sysfixtime(t: int) -> Tree:
    """OpenWrt sets the clock to the newest time below /etc."""
    return _tree(("etc/init.d/sysfixtime", Node(mode=0o755, data=b"#!/bin/sh /etc/rc.common\n", mtime=_T)),
                 ("etc/config/system", _source(t)))  # fmt: skip


_FIX = Node(mode=0o755, data=b"#!/bin/sh /etc/rc.common\n", mtime=_T)


@_scenario
def _sysfixtime_linked(t: int) -> Tree:
    """Its folder is a link, through which it is started."""
    start = "etc/rc.d/S00sysfixtime", _to("../init.d/sysfixtime")
    return _tree(
        ("rom/initd/sysfixtime", _FIX), ("etc/init.d", _to("../rom/initd")), ("etc/config/a", _source(t)), start
    )


@_scenario
def _sysfixtime_started(t: int) -> Tree:
    """It stands itself where it is started."""
    return _tree(("etc/rc.d/S00sysfixtime", _FIX), ("etc/config/system", _source(t)))


@_scenario
def _clock_linked(t: int) -> Tree:
    """The folder above is a link."""
    return _tree(("usr", _to("rom")), ("rom/lib/clock-epoch", Node(mtime=t)))


@_scenario
def _clock_epoch(t: int) -> Tree:
    """systemd sets the clock to no earlier time."""
    return _tree(("usr/lib/clock-epoch", Node(mtime=t)))


@_twin
def _links(t: int) -> Tree:
    """A module that states its source's time, which stands behind a link: the code is run on both sides."""
    return _tree(
        ("p/__pycache__/m.cpython-311.pyc", _pyc(t)), ("p/m.py", _to("../real/m.py")), ("real/m.py", _source(t))
    )


@_twin
def _compiled(t: int) -> Tree:
    """Compiled files that are newer than their sources on both sides; and a clock that is set to the same time."""
    made = Node(data=b"compiled", mtime=t + 60)
    rows = [(n, made) for n in ("f/setup.zwc", "lib/gate.go", "lib/gate.elc")]
    rows += [(n, Node(data=_SOURCE, mtime=t)) for n in ("f/setup", "share/gate.scm", "lib/gate.el", "etc/config/a")]
    return _tree(*rows, ("etc/init.d/sysfixtime", Node(mode=0o755, data=b"#!/bin/sh\n", mtime=_T + 9000)))


def _made(write: Callable[[Tree], bytes], make: Callable[[int], Tree]) -> Sample:
    return Sample(write(make(_T)), write(make(_T + 5)))


for _form, _write in _TREES.items():
    for _name, _make in _SCENARIOS.items():
        tampered(f"{_form}-time-{_name}")(partial(_made, _write, _make))
    for _name, _make in _TWINS.items():
        harmless(f"{_form}-time-{_name}")(partial(_made, _write, _make))


@tampered("tar-time-pyc-hard-link")
def _() -> Sample:
    """The source is a hard link to a file with the time."""
    names = [tar.member(n, Node(kind="dir", mode=0o755)) for n in ("p", "p/__pycache__", "real")]

    def made(time: int) -> bytes:
        link = tar.header("p/m.py", Node(link="real/m.py", mtime=time), kind=b"1")
        module = tar.member("p/__pycache__/m.cpython-311.pyc", _pyc())
        return archive(*names, tar.member("real/m.py", _source(time)), link, module)

    return Sample(made(_T), made(_T + 5))


@tampered("zip-time-pyc-linked-source")
def _() -> Sample:
    """unzip makes links and sets times."""

    def made(day: int) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, data, mode in (
                ("p/__pycache__/m.cpython-311.pyc", _pyc().data, 0o100644),
                ("p/m.py", b"../real/m.py", 0o120777),
                ("real/m.py", _SOURCE, 0o100644),
            ):
                info = zipfile.ZipInfo(name, (2023, 11, day if name == "real/m.py" else 14, 12, 0, 0))
                info.external_attr = mode << 16
                archive.writestr(info, data)
        return out.getvalue()

    return Sample(made(14), made(15))


def _clocks(time: int, declared: int = _T + 86400) -> Sample:
    """An image whose newest file is as old as stated, from builds that declare their clocks."""
    return Sample(
        squashfs.write(_sysfixtime(_T + 1)), squashfs.write(_sysfixtime(time)),
        BuildRecord(clock=_T + 1), BuildRecord(clock=declared),
    )  # fmt: skip


harmless("squashfs-time-declared-clock")(partial(_clocks, _T + 86400))
tampered("squashfs-time-other-clock")(partial(_clocks, 2_145_000_000))
tampered("squashfs-time-clock-ahead")(partial(_clocks, 2_145_000_000, 2_145_000_000))
