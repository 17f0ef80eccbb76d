"""Evaluations built in code: a small one with a little of everything, the same with hostile text, and a large one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from banbury.lab.store import FileStore
from banbury.model.evaluation import (
    SCHEMA,
    Change,
    Comparison,
    Container,
    Coverage,
    Evaluation,
    Evidence,
    Fate,
    File,
    Finding,
    Grade,
    ImageMap,
    Ledger,
    Node,
    Severity,
    Status,
    Stretch,
    Trouble,
)
from banbury.model.facts import Outcome
from banbury.model.release import Artefact, ArtefactRole, Release
from banbury.model.supply import (
    Bill,
    Claim,
    Decision,
    Discrepancy,
    FeedKind,
    Match,
    Reason,
    Snapshot,
    State,
    SupplyChain,
    Support,
)
from banbury.model.tree import Check, Kind, Note, Region, Role
from banbury.supply.inventory import make_inventory

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nftp:*:55:55::/home/ftp:/bin/false\n"
SHADOW = b"root::0:0:99999:7:::\nftp:*:0:0:99999:7:::\n"
PROGRAM = b"\x7fELF" + bytes(range(200)) * 40
MODULE = b"\x7fELF module" * 300
IMAGE = b"HDR!" * 16 + b"\xff" * 4000 + PROGRAM + b"\x91\x17\x42" * 700 + SHADOW * 20


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fill(store: FileStore) -> None:
    """Put the contents of the small evaluation into a store."""
    for data in (PASSWD, SHADOW, PROGRAM, MODULE, IMAGE):
        store.put(data)


def _nodes() -> list[Node]:
    def leaf(number: int, name: str, data: bytes, mode: int = 0o644, **more: Any) -> Node:
        return Node(
            id=number,
            parent=1,
            name=name,
            locator=f"box.bin!00000040-squashfs!{name}",
            where=f"image!squashfs!{name}",
            kind=Kind.FILE,
            depth=2,
            sha256=digest(data),
            size=len(data),
            mode=mode,
            uid=0,
            gid=0,
            **more,
        )

    image = Node(
        id=0,
        parent=-1,
        name="box.bin",
        locator="box.bin",
        where="image",
        kind=Kind.FILE,
        sha256=digest(IMAGE),
        size=len(IMAGE),
        format="vendor",
    )
    inside = Node(
        id=1,
        parent=0,
        name="00000040-squashfs",
        locator="box.bin!00000040-squashfs",
        where="image!squashfs",
        kind=Kind.CHUNK,
        depth=1,
        sha256=digest(IMAGE[64:8000]),
        size=7936,
        start=64,
        format="squashfs",
    )
    link = Node(
        id=6,
        parent=1,
        name="bin/sh",
        locator="box.bin!00000040-squashfs!bin/sh",
        where="image!squashfs!bin/sh",
        kind=Kind.SYMLINK,
        depth=2,
        mode=0o777,
        link="busybox",
    )
    writable = {"fact": "permission.set-id", "path": "bin/busybox", "mode": "4755", "uid": 0, "gid": 0, "setuid": True}
    return [
        image,
        inside,
        leaf(2, "etc/passwd", PASSWD),
        leaf(3, "etc/shadow", SHADOW, 0o600),
        leaf(4, "bin/busybox", PROGRAM, 0o4755, facts=[{**writable, "setgid": False, "by": "permissions"}]),
        leaf(5, "lib/modules/6.1/tun.ko", MODULE),
        link,
        leaf(7, "usr/lib/opkg/status", PASSWD[:30], complete=False),
    ]


def _account(source: str, name: str, at: list[int], text: str, **fields: Any) -> dict[str, object]:
    return {"fact": "account.user", "at": at, "text": text, "source": source, "name": name, **fields, "by": "accounts"}


def _hardening(**fields: Any) -> dict[str, object]:
    off = dict.fromkeys(("ibt", "shstk", "bti", "pac"), "not applicable")
    base = {"nx": "yes", "pie": "no", "relro": "partial", "canary": "no", "fortify": "cannot tell", "no_wx": "yes"}
    why = {"pie": "type ET_EXEC: it is loaded at a fixed address", "fortify": "the C library has no checked variants"}
    return {"fact": "elf.hardening", **base, "no_textrel": "yes", **off, "why": why, **fields, "by": "elf-hardening"}


def _package(name: str, version: str, at: list[int], **fields: Any) -> dict[str, object]:
    plain = {"fact": "package.installed", "at": at, "manager": "dpkg", "name": name, "version": version}
    return {**plain, "architecture": "armhf", "database": "dpkg status", **fields, "by": "packages"}


def _files() -> dict[str, File]:
    def file(data: bytes, kind: str, facts: list[dict[str, object]], **more: Any) -> File:
        return File(sha256=digest(data), size=len(data), kind=kind, done=["file-type"], facts=facts, **more)

    passwd = [
        _account(
            "passwd", "root", [0, 29], "root:x:0:0", uid=0, gid=0, shell="/bin/sh", login="yes", password="shadowed"
        ),
        _account("passwd", "ftp", [30, 34], "ftp:*:55:55", uid=55, gid=55, login="no", password="locked"),
    ]
    shadow = [_account("shadow", "root", [0, 20], "root::0:0:99999:7:::", password="empty")]
    killed = [Trouble(tool="keys", outcome=Outcome.FAILED, why="killed by SIGSEGV")]
    program = [_hardening(canary_functions=3, functions=120, unfortified=["strcpy"], fortified=["memcpy"])]
    status = [
        _package("busybox", "1:1.35.0-4", [0, 40], depends=["libc6 (>= 2.36)"], license="GPL-2.0"),
        _package("libc6", "2.36-9+deb12u4", [41, 40]),
    ]
    identity = {"fact": "elf.identity", "bits": 32, "endian": "little", "machine": "ARM", "type": "executable"}
    identity |= {"os_abi": "System V", "linkage": "dynamic", "libc": "glibc", "libc_why": "", "stripped": "yes"}
    identity |= {"section_headers": "present", "by": "elf-identity"}
    banner = {"fact": "kernel.banner", "at": [8, 20], "text": "Linux version 6.1.0", "version": "6.1.0", "by": "kernel"}
    found = [
        file(IMAGE, "data", [banner]),
        file(PASSWD, "text", passwd),
        file(SHADOW, "text", shadow, trouble=killed),
        file(PROGRAM, "elf", [*program, identity]),
        file(MODULE, "elf", [_hardening(pie="not applicable", canary="yes", nx="not applicable")]),
        file(PASSWD[:30], "text", status),
    ]
    return {f.sha256: f for f in found}


def _ledger() -> Ledger:
    pieces = [
        (0, 64, Fate.STRUCTURE, "vendor header", 0),
        (64, 4064, Fate.PADDING, "fill 0xff", 0),
        (4064, 12064, Fate.OPENED, "bin/busybox", 4),
        (12064, 14164, Fate.UNREAD, "content not recognised", 0),
        (14164, len(IMAGE), Fate.OPENED, "etc/shadow", 3),
    ]
    stretches = [
        Stretch(start=a, end=b, fate=fate, name=name, node=node, entropy=1.58 if fate is Fate.UNREAD else -1.0)
        for a, b, fate, name, node in pieces
    ]
    totals = {str(fate): sum(s.end - s.start for s in stretches if s.fate is fate) for fate in Fate}
    return Ledger(
        images=[ImageMap(node=0, name="box.bin", size=len(IMAGE), totals=totals, stretches=stretches)],
        unread=[Stretch(start=16, end=80, fate=Fate.UNREAD, name="code-like", node=5, entropy=6.02)],
        coverage=[
            Coverage(tool="example-inspector", version=3, title="An inspector", done=6, failed=1, skipped=0),
            Coverage(tool="another", version=1, title="Another inspector", done=2, failed=0, skipped=0),
        ],
        nodes={"chunk": 1, "file": 6, "symlink": 1},
        contents=7,
        content_bytes=50_000,
        not_unpacked=[Trouble(tool="unpack", outcome=Outcome.FAILED, why="box.bin!odd: killed by the limit on memory")],
        checks_ok=4,
        checks_failed=[Check(what="inodes", expected=9, found=8)],
        limits_hit=["box.bin!deep: not opened, nested 24 deep"],
    )


def _finding(rule: str, severity: Severity, touches: str, evidence: list[Evidence], **more: Any) -> Finding:
    return Finding(
        id=digest(f"{rule} {evidence[0].locator if evidence else ''}".encode())[:32],
        recipe=1,
        rule=rule,
        title=f"Title of {rule}",
        severity=severity,
        grade=Grade.ESTABLISHED,
        touches=touches,
        where="image!squashfs!etc/shadow",
        message=f"Message of {rule}.",
        evidence=evidence,
        **more,
    )


def _evidence(nodes: list[Node], node: int, start: int = -1, length: int = 0, text: str = "") -> Evidence:
    place = nodes[node]
    return Evidence(node=node, sha256=place.sha256, locator=place.locator, start=start, length=length, text=text)


def _supply(release: Release, nodes: list[Node], files: dict[str, File]) -> SupplyChain:
    """The inventory of the example's facts, and a little of everything that can be known of it."""
    made = make_inventory(release, nodes, files, rules="r" * 64)
    busybox = next(c for c in made.components if c.product == "busybox")
    linux = next(c for c in made.components if c.product == "linux")
    inventory = msgspec.structs.replace(
        made,
        components=[
            msgspec.structs.replace(busybox, facts=["listens", "started"], disagreements=["two versions are stated"]),
            *(c for c in made.components if c.product != "busybox"),
        ],
    )
    range_ = Reason(kind="version-in-range", says="nvd: cpe:busybox:busybox <=1.35.0")
    fixed = Reason(kind="backported-patch", says="package data of dpkg name CVE-2022-3 as fixed")
    snapshot = [("d" * 64, "nvd: cpe:busybox:busybox <=1.35.0")]
    feeds = [
        Snapshot(
            sha256="d" * 64,
            name="feed.json",
            kind=FeedKind.VULNERABILITIES,
            format="nvd-json-2.0",
            importer=1,
            records=3,
            ranges=4,
            refused=1,
            newest="2026-01-01",
            imported="",
        )
    ]
    matches = [
        Match(
            vulnerability="CVE-2022-1",
            component=busybox.id,
            state=State.CANDIDATE,
            reasons=[range_],
            snapshots=snapshot,
            why="cpe:busybox:busybox <=1.35.0",
            summary="A crafted name runs a command.",
            published="2022-04-03",
            cvss=8.8,
            epss=0.2,
            vector="CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H",
            exploited="2023-01-01",
            rank=1,
            evidence="e" * 64,
        ),
        Match(
            vulnerability="CVE-2022-2",
            component=linux.id,
            state=State.AFFECTED,
            reasons=[Reason(kind="kernel-file-built", says="net/core/dev.c is built")],
            rank=2,
            decision=Decision(
                vulnerability="CVE-2022-2",
                component=linux.id,
                state=State.NOT_AFFECTED,
                why="the option is off",
                who="An Analyst",
                when="2026-02-02",
                evidence="f" * 64,
                stale=True,
            ),
        ),
        Match(vulnerability="CVE-2022-3", component=busybox.id, state=State.FIXED, reasons=[range_, fixed], rank=9),
    ]
    support = [
        Support(
            component=linux.id,
            claim=Claim.ANNOUNCED,
            ended=False,
            end="2026-12-31",
            source="kernel.org",
            source_date="2026-01-01",
            within=True,
        ),
        Support(component=busybox.id, claim=Claim.SUPERSEDED, ended=True, successor="1.37.0", behind=4),
    ]
    return SupplyChain(
        inventory=inventory,
        feeds=feeds,
        matches=matches,
        unmatched=[c.id for c in inventory.components if c.product not in ("busybox", "linux")],
        support=support,
        bills=[
            Bill(name="bill.json", sha256="1" * 64, format="CycloneDX 1.5", listed=2),
            Bill(name="other.json", sha256="2" * 64, refused="it nests without end"),
        ],
        discrepancies=[
            Discrepancy(
                kind="version",
                name="busybox",
                declared="1.36.1",
                found="1.35.0",
                component=busybox.id,
                says="declared as 1.36.1, found as 1.35.0",
            ),
            Discrepancy(kind="absent", name="openssl", declared="3.0.13", says="declared, and not found"),
        ],
    )


def small() -> Evaluation:
    """A little of everything. The rules are none of the program's, so that their texts may change."""
    nodes = _nodes()
    empty = [_evidence(nodes, 3, 0, 20, "root::0:0")]
    fixed = [_evidence(nodes, 4), _evidence(nodes, 5, 4, 8)]
    novel = [_evidence(nodes, 2, 30, 34)]
    findings = [
        _finding("example.empty-password", Severity.CRITICAL, "accounts", empty, status=Status.NEW),
        _finding("example.no-pie", Severity.MEDIUM, "programs", fixed, status=Status.PERSISTS),
        _finding("example.novel", Severity.LOW, "something new", novel, status=Status.NEW),
    ]
    old = _finding("example.gone", Severity.HIGH, "keys and certificates", [_evidence(nodes, 2)], status=Status.GONE)
    inside = Container(
        sha256=nodes[1].sha256,
        format="squashfs",
        size=7936,
        error="the last table ends early",
        properties={"compression": "xz"},
        checks=[Check(what="inodes", expected=9, found=8)],
        notes=[Note(code="encrypted", detail="a member is encrypted", path="etc/secret")],
        regions=[Region(0, 96, Role.HEADER, "superblock")],
    )
    changes = [
        Change(kind="added", after="image!squashfs!bin/new", after_sha256="a" * 64, after_size=9000),
        Change(kind="removed", before="image!squashfs!bin/old", before_sha256="b" * 64, before_size=700),
        Change(
            kind="changed",
            before="image!squashfs!etc/passwd",
            after="image!squashfs!etc/passwd",
            before_sha256="c" * 64,
            after_sha256=nodes[2].sha256,
            before_size=60,
            after_size=len(PASSWD),
            similarity=0.9968,
            details=["mode: 0644 → 0664"],
        ),
    ]
    release = Release(
        id=digest(b"release"),
        vendor="Example",
        product="Box",
        version="2.0",
        delivered_by="Example's release desk",
        delivered="2026-05-18",
        terms="made up",
        artefacts=[Artefact(name="box.bin", role=ArtefactRole.IMAGE, sha256=digest(IMAGE), size=len(IMAGE))],
    )
    files = _files()
    baseline = msgspec.structs.replace(release, id=digest(b"baseline"), version="1.0")
    return Evaluation(
        schema=SCHEMA,
        program="banbury 0.0.0",
        as_of="2026-05-18",
        release=release,
        ledger=_ledger(),
        findings=findings,
        comparison=Comparison(baseline=baseline, unchanged=5, changes=changes, gone=[old], limits=["a limit"]),
        nodes=nodes,
        files=files,
        containers={nodes[1].sha256: inside},
        tools={"another": "1", "example-inspector": "3"},
        rules_digest=digest(b"rules"),
        supply=_supply(release, nodes, files),
    )


#: Text that has broken reports: markup, script, template syntax, controls, bidirectional overrides, wide and long.
HOSTILE = (
    "<script>window.owned = 1</script>",
    "</script></style></title><svg/onload=window.owned=1>",
    "<!--<script>",
    '" onmouseover="window.owned=1" x=\'',
    "javascript:window.owned=1",
    "{{ 7 * 7 }}{% raw %}#[sys.version]$x$",
    "[a link](https://example.com/) {0} {{1}}",
    "\x00\x07\x1b[31m\x7f\x85\u2028\u2029\ufeff",
    "safe\u202egpj.exe\u2066\u200b",
    "e" + "\u0301" * 40,
    "\u6f22\u5b57 \U0001f4a3 \u0627\u0644\u0639 \U000e0041 \u3164\u2800",
    "../../../../etc/cron.d/x",
    "//example.com/x",
    "n" * 10_000,
    '\\u{41} \\ #include("x") `raw` *bold* _it_ @ref <label>',
    "%00%2e%2e?x=1#y",
)
_T = TypeVar("_T")


def hostile() -> Evaluation:
    """The small evaluation with hostile text wherever a release could put its own."""
    texts = _endless(HOSTILE)
    kept = {"id", "sha256", "schema", "as_of", "fact", "by", "kind", "rule", "format", "tool", "before_sha256"}
    kept |= {"after_sha256", "rules_digest", "program", "touches", "fate", "severity", "grade", "status", "role"}
    kept |= {"state", "claim", "technique", "standing", "justification", "facts", "component", "unmatched", "end"}
    kept |= {"depends"}
    kept |= {"type", "libc", "stripped", "password", "login"}
    kept |= {"outcome", "code", "parent", *(m for m in _hardening() if m not in ("why", "rpath"))}
    plain = msgspec.to_builtins(small())
    plain = _replaced(plain, lambda text: f"{next(texts)}{text}", kept)
    plain["release"]["delivered"] = "2026-05-18"
    return msgspec.convert(plain, Evaluation)


def _endless(items: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from items


def _replaced(value: Any, change: Callable[[str], str], kept: set[str]) -> Any:
    """Every text in a tree of plain data changed, but for those under the keys in ``kept`` and in enumerations."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        # Regions are arrays whose third item is an enumeration.
        if len(value) == 5 and isinstance(value[0], int) and isinstance(value[2], str):
            return [*value[:3], change(value[3]), value[4]]
        return [_replaced(item, change, kept) for item in value]
    if isinstance(value, dict):
        return {k: v if k in kept or k == "totals" else _replaced(v, change, kept) for k, v in value.items()}
    return value


def large(count: int) -> Evaluation:
    """The small evaluation with ``count`` more files in folders, a tenth of them programs with findings."""
    base = small()
    nodes = list(base.nodes)
    files = dict(base.files)
    findings = list(base.findings)
    for number in range(len(nodes), len(nodes) + count):
        sha256 = digest(str(number).encode())
        name = f"usr/lib/part-{number % 37}/section-{number % 613}/file-{number}.so"
        nodes.append(
            Node(
                id=number,
                parent=1,
                name=name,
                locator=f"box.bin!00000040-squashfs!{name}",
                where=f"image!squashfs!{name}",
                kind=Kind.FILE,
                depth=2,
                sha256=sha256,
                size=1000 + number * 7919 % 100_000,
                mode=0o755,
            )
        )
        program = number % 10 == 0
        facts = [_hardening()] if program else []
        files[sha256] = File(sha256=sha256, size=1000, kind="elf" if program else "text", facts=facts)
        if program:
            findings.append(_finding("example.no-pie", Severity.MEDIUM, "programs", [_evidence(nodes, number, 0, 16)]))
    return msgspec.structs.replace(base, nodes=nodes, files=files, findings=findings)
