"""RPM packages: what only their headers can do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Patch, Recipe, attack, harmless
from banbury.compare.corpus.recipes.packages import EVIL, VENDOR_TIME, rpm
from banbury.compare.corpus.trees import Node, Tree, aged, base
from banbury.compare.corpus.writers import packed
from banbury.compare.corpus.writers.signed import key


def _packed(level: int) -> Tree:
    """The tree with a compressed text."""
    return {
        **base(),
        "etc/help.gz": Node(data=packed.gzip(b"".join(b"line %d\n" % n for n in range(400)), level=level)),
    }


def _vendor(tree: Tree | None = None, **more: Any) -> bytes:
    fixed: dict[str, Any] = {"built": VENDOR_TIME, "host": b"buildserver", "level": 6, "first": 100}
    return rpm(tree or aged(base()), **{**fixed, **more})


def _attack(**more: Any) -> Made:
    return Made(a=rpm(base()), b=_vendor(**more), base=_vendor(), well_formed=False)


def _users() -> Made:
    """The header gives the password hashes to another user; the payload says nothing of it."""
    users = [b"nobody" if p == "etc/shadow" else b"root" for p in base()]
    return _attack(replaced={1039: (8, users)})


def _capability() -> Made:
    return _attack(more=[(5010, 8, [b"cap_setuid=ep" if p == "bin/tool" else b"" for p in base()])])


def _links() -> Made:
    """The header calls two files one, the payload does not."""
    numbers = list(range(1, len(base()) + 1))
    paths = list(base())
    numbers[paths.index("etc/motd")] = numbers[paths.index("etc/shadow")]
    return _attack(replaced={1096: (4, numbers)})


def _names() -> Made:
    """The older list has the files' names, the newer one, which rpm reads, has two of them exchanged."""
    names = [path.rpartition("/")[2].encode() for path in base()]
    paths = list(base())
    one, other = paths.index("etc/motd"), paths.index("etc/securetty")
    names[one], names[other] = names[other], names[one]
    return _attack(replaced={1117: (8, names)}, more=[(1027, 8, [b"/" + path.encode() for path in base()])])


def _sizes() -> Made:
    """The files' sizes stand twice, in 32 and 64 bits, and differ."""
    sizes = [len(node.data) for node in base().values()]
    return _attack(replaced={1028: (4, [7 for _ in sizes])}, more=[(5008, 5, sizes)])


def _lead() -> Made:
    clean = _vendor()
    return Patch(clean).put(40, b"payload!").made(rpm(base()))


def _signature_header() -> Made:
    """A tag of the signature header that nothing reads; sizes and digests are right."""
    clean = _vendor()
    at = clean.index(b"\0\0\1\x0d", 96)  # SHA1HEADER becomes a tag that is not known
    return Patch(clean).put(at, b"\0\0\1\x0c").made(rpm(base()), well_formed=False)


def _signed(signer: str, declared: str, kind: str) -> Made:
    made = Made(a=rpm(base()), b=_vendor(signer=signer), base=_vendor() if kind == "attack" else None)
    made.record_a = {**LAB}
    made.record_b = {**VENDOR, "keys": [key(declared).public]}
    return made


def recipes() -> Iterator[Recipe]:
    numbers = [n * 7 + 1000 for n in range(len(base()))]
    for name, group, note, make in (
        ("user", "attribute", "The header gives the password hashes to another user.", _users),
        ("file-capability", "attribute", "The header gives a program a capability.", _capability),
        ("hard-link", "mismatch", "The header calls two files one.", _links),
        ("old-names", "mismatch", "Two lists of files' names: rpm reads the other one.", _names),
        ("two-sizes", "mismatch", "Two lists of files' sizes, one of which is wrong.", _sizes),
        ("gap", "hidden-space", "Bytes of the header that no tag has.", partial(_attack, gap=EVIL)),
        ("lead", "hidden-space", "Bytes of the lead behind the name.", _lead),
        ("signature-tag", "hidden-space", "A tag of the signature header that nothing reads.", _signature_header),
        (
            "foreign-signature",
            "resigned",
            "It is signed with another key than the declared one.",
            partial(_signed, "somebody", "vendor", "attack"),
        ),
    ):
        yield attack(f"rpm-{name}", "rpm", group, note, make)
    for name, group, note, make in (
        (
            "inodes",
            "allocation",
            "The header numbers inodes otherwise.",
            lambda: Made(a=rpm(base()), b=rpm(base(), replaced={1096: (4, numbers)})),
        ),
        (
            "content",
            "compression",
            "A text in it is compressed at another level; digests and sizes follow.",
            lambda: Made(a=rpm(_packed(9)), b=rpm(_packed(1))),
        ),
        ("signed", "signature", "It is signed with the declared key.", partial(_signed, "vendor", "vendor", "")),
    ):
        yield harmless(f"rpm-same-{name}", "rpm", group, note, make)
