"""A made inventory with matches of every state, and the same with hostile names."""

from __future__ import annotations

import hashlib
from typing import Any

from banbury.model.supply import (
    Component,
    Decision,
    FeedKind,
    Identity,
    Inventory,
    Justification,
    Match,
    Reason,
    Snapshot,
    Standing,
    State,
    Technique,
)
from tests.present import example


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(product: str, technique: Technique, **more: Any) -> Identity:
    found: dict[str, Any] = {
        "standing": Standing.ASSERTED,
        "confidence": 0.98,
        "sha256": example.digest(example.PROGRAM),
    }
    found |= {"where": "image!squashfs!bin/busybox", "start": 4711, "length": 14, "version": "1.35.0"}
    return Identity(product=product, technique=technique, **{**found, **more})


def inventory() -> Inventory:
    busybox = Component(
        id="busybox@1.35.0",
        product="busybox",
        version="1.35.0",
        type="application",
        cpes=["busybox:busybox", "busybox:busybox_project"],
        purl="pkg:deb/debian/busybox@1:1.35.0-4?arch=armhf",
        manager="dpkg",
        package_version="1:1.35.0-4",
        license="GPL-2.0-only",
        supplier="Debian",
        identities=[
            _identity("busybox", Technique.BANNER, matched="BusyBox v1.35.0", rule="busybox-banner"),
            _identity("busybox", Technique.PACKAGE, sha256=example.digest(example.PASSWD[:30]), start=0, length=40),
            _identity("busybox", Technique.LINKED, standing=Standing.DEPENDENCY, version="9"),
        ],
        disagreements=["dpkg says 1.35.0, the banner says 1.35.1"],
        patched=["CVE-2022-28391"],
        facts=["started"],
        depends=["glibc@2.36", "nowhere@1"],
    )
    libc = Component(
        id="glibc@2.36",
        product="glibc",
        version="2.36",
        cpes=["gnu:glibc"],
        purl="pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=armhf",
        manager="dpkg",
        license="LGPL, and more & others (see /usr/share)",
        identities=[_identity("glibc", Technique.PACKAGE, sha256=example.digest(example.PASSWD[:30]), start=41)],
    )
    vxworks = Component(
        id="vxworks@", product="vxworks", version="", type="operating-system", cpes=["windriver:vxworks"]
    )
    return Inventory(
        release=example.digest(b"release"),
        label="Example Box 2.0",
        rules=_digest("rules"),
        knowledge=_digest("knowledge"),
        components=[busybox, libc, vxworks],
    )


def snapshots() -> list[Snapshot]:
    kept: dict[str, Any] = {"importer": 1, "records": 2, "ranges": 3, "refused": 0, "imported": "2026-11-21T00:00:00Z"}
    nvd = Snapshot(
        sha256=_digest("nvd"), name="nvd", kind=FeedKind.VULNERABILITIES, format="NVD 2.0", newest="2026-11-20", **kept
    )
    kev = Snapshot(
        sha256=_digest("kev"), name="kev", kind=FeedKind.EXPLOITED, format="KEV", newest="2026-07-01", **kept
    )
    return [nvd, kev]


def matches() -> list[Match]:
    nvd = [(_digest("nvd"), "cpe:busybox:busybox")]

    def match(name: str, component: str, state: State, **more: Any) -> Match:
        return Match(vulnerability=name, component=component, state=state, snapshots=nvd, **more)

    decision = Decision(
        vulnerability="CVE-2022-30065",
        component="busybox@1.35.0",
        state=State.NOT_AFFECTED,
        justification=Justification.MITIGATED,
        why="awk is never given input from outside",
        who="A. Analyst",
        when="2026-05-01",
        evidence="e",
    )
    stale = Decision(**{f: getattr(decision, f) for f in decision.__struct_fields__} | {"stale": True})
    gone = [Reason(kind="applet-absent", says="The applet ash is not in this BusyBox.", evidence={"applet": "ash"})]
    return [
        match("CVE-2022-48174", "busybox@1.35.0", State.CANDIDATE, why="<1.36.0", cvss=9.8, aliases=["GHSA-x"]),
        match("CVE-2022-28391", "busybox@1.35.0", State.FIXED, summary="Terminal escapes."),
        match("CVE-2021-42376", "busybox@1.35.0", State.NOT_AFFECTED, reasons=gone,
              justification=Justification.CODE_NOT_PRESENT),
        match("CVE-2021-42377", "busybox@1.35.0", State.NOT_AFFECTED, reasons=gone),
        match("CVE-2022-30065", "busybox@1.35.0", State.CANDIDATE, decision=decision),
        match("CVE-2022-30065", "glibc@2.36", State.CANDIDATE, decision=stale),
        match("CVE-2023-4911", "glibc@2.36", State.AFFECTED, exploited="2023-11-21", epss=0.71, cvss=7.8,
              vector="CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", flags=["disputed"]),
        match("OSV-2020-1", "vxworks@", State.ANALYST),
        match("CVE-1999-0001", "nowhere@1", State.CANDIDATE),
    ]  # fmt: skip


def hostile() -> tuple[Inventory, list[Match]]:
    """Every text that a release or a feed chooses is hostile; ids are twice the same and hold lone surrogates."""
    texts = [*example.HOSTILE, "\udcff\udc80", "a" * 100_000, ""]
    components, found = [], []
    for number, text in enumerate(texts):
        one = Component(
            id=text if number % 2 else "same",
            product=text,
            version=text,
            cpes=[f"{text}:{text}", "x:y"],
            purl=f"pkg:generic/{number}" if number % 3 else "",
            supplier=text,
            license=text,
            identities=[_identity(text, Technique.BANNER, matched=text, where=text, rule=text, version=text)],
            disagreements=[text],
            patched=[text or "CVE-0"],
        )
        components.append(one)
        reason = [Reason(kind=text, says=text, evidence={"fixed": text})]
        state = list(State)[number % len(State)]
        found.append(
            Match(vulnerability=text or "x", component=one.id, state=state, reasons=reason, summary=text, why=text,
                  aliases=[text, text], snapshots=[(text, text)], vector=text, cvss=5.0, flags=[text], exploited=text)
        )  # fmt: skip
    made = inventory()
    return Inventory(release=made.release, label=made.label, rules=made.rules, knowledge=made.knowledge,
                     components=components), found  # fmt: skip
