"""Tampered RPM packages that rpm 4.18 does not install, or installs otherwise: other forms of names, no digests."""

from __future__ import annotations

import marshal
import struct
from unittest import mock

from banbury.compare.corpus.recipes.packages import rpm
from banbury.compare.corpus.trees import Node, Tree, base
from banbury.compare.corpus.writers import boxes, cpio
from tests.equivalence.container_pairs import tampered
from tests.equivalence.pairs import Sample

_Tags = list[tuple[int, int, list[bytes] | list[int] | bytes]]


@tampered("rpm-payload-name")
def _() -> Sample:
    """rpm takes one "./" off a name of the payload and looks the rest up: "Archive file not in header"."""
    write = cpio.write

    def other(tree: Tree, *, first: int = 1) -> bytes:
        return write({("./" + p if p == "./bin/tool" else p): n for p, n in tree.items()}, first=first)

    with mock.patch.object(cpio, "write", other):
        shipped = rpm(base())
    return Sample(rpm(base()), shipped)


@tampered("rpm-folder-name")
def _() -> Sample:
    """A path cut into folder and name elsewhere than at its last slash: rpm finds no such file in the header."""
    paths = list(base())
    one = paths.index("etc/motd")
    folders = sorted({"/" + p.rpartition("/")[0] + ("/" if "/" in p else "") for p in paths})
    index = [folders.index("/" + p.rpartition("/")[0] + ("/" if "/" in p else "")) for p in paths]
    names = [p.rpartition("/")[2].encode() for p in paths]
    index[one], names[one] = folders.index("/"), b"etc/motd"
    return Sample(rpm(base()), rpm(base(), replaced={1116: (4, index), 1117: (8, names)}))


@tampered("rpm-no-digests")
def _() -> Sample:
    """Without a digest of the header: "does not verify: no digest"."""
    write = boxes.rpm_header

    def other(tags: _Tags, *, region: int, gap: bytes = b"") -> bytes:
        return write([t for t in tags if region == 63 or t[0] == 1000], region=region, gap=gap)

    with mock.patch.object(boxes, "rpm_header", other):
        shipped = rpm(base())
    return Sample(rpm(base()), shipped)


@tampered("rpm-no-payload-digest")
def _() -> Sample:
    """The header, which is what is signed, says nothing of the payload any more."""
    write = boxes.rpm_header

    def other(tags: _Tags, *, region: int, gap: bytes = b"") -> bytes:
        return write([t for t in tags if t[0] != 5092], region=region, gap=gap)

    with mock.patch.object(boxes, "rpm_header", other):
        shipped = rpm(base())
    return Sample(rpm(base()), shipped)


@tampered("rpm-pyc-time")
def _() -> Sample:
    """The files' times are those of the header: of a module beside another source, one side runs the source."""
    source, time = b"print('source')\n", Node().mtime
    code = marshal.dumps(compile("print('code')\n", "gate.py", "exec"))
    module = b"\xa7\r\r\n" + struct.pack("<III", 0, time, len(source)) + code
    tree = {**base(), "gate.py": Node(data=source), "gate.pyc": Node(data=module)}
    times = [n.mtime + (p == "gate.py") for p, n in tree.items()]
    return Sample(rpm(tree), rpm(tree, replaced={1034: (4, times)}))
