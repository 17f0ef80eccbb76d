"""The inventory: what is merged, what is not, and what reaches a component."""

from __future__ import annotations

from typing import Any

from banbury.model.evaluation import Fact, File, Node
from banbury.model.release import Artefact, ArtefactRole, Release
from banbury.model.supply import Component, Identity, Inventory, Standing, Technique
from banbury.model.tree import Kind
from banbury.supply.inventory import LISTED, make_inventory

RELEASE = Release(id="0" * 64, artefacts=[Artefact(name="fw.bin", role=ArtefactRole.IMAGE, sha256="f" * 64, size=9)])


class Tree:
    """Nodes and files of a made image: a container with named members, each with facts."""

    def __init__(self) -> None:
        self.nodes = [Node(id=0, parent=-1, name="fw.bin", locator="fw.bin", where="image", kind=Kind.FILE)]
        self.files: dict[str, File] = {}

    def add(self, name: str, *facts: Fact, link: str = "", own: list[Fact] | None = None) -> str:
        digest = "" if link else f"{len(self.nodes):064x}"
        self.nodes.append(
            Node(
                id=len(self.nodes),
                parent=0,
                name=name,
                locator=f"fw.bin!{name}",
                where=f"image!{name}",
                kind=Kind.SYMLINK if link else Kind.FILE,
                sha256=digest,
                link=link,
                facts=own or [],
            )
        )
        if digest:
            self.files[digest] = File(sha256=digest, size=1, facts=list(facts))
        return digest

    def inventory(self, *identities: Identity, **more: Any) -> Inventory:
        return make_inventory(RELEASE, self.nodes, self.files, identities, **more)


def package(name: str, version: str, **fields: object) -> dict[str, object]:
    known = {"manager": "opkg", "database": "opkg status", "at": [0, 10], "text": f"Package: {name}"}
    return {"fact": "package.installed", "name": name, "version": version, **known, **fields}


def banner(product: str, version: str, sha256: str, **fields: Any) -> Identity:
    known: dict[str, Any] = {"technique": Technique.BANNER, "standing": Standing.ASSERTED, "where": "image!bin"}
    return Identity(product=product, version=version, sha256=sha256, **(known | fields))


def by_id(inventory: Inventory) -> dict[str, Component]:
    found = {c.id: c for c in inventory.components}
    assert len(found) == len(inventory.components)
    return found


def test_a_package_stated_by_several_records_is_there_once() -> None:
    tree = Tree()
    control = {**package("busybox", "1.22.1-3"), "fact": "package.control", "database": "opkg control"}
    tree.add("usr/lib/opkg/status", package("busybox", "1.22.1-3"), package("busybox", "1.22.1-3"))
    tree.add("usr/lib/opkg/info/busybox.control", {**control, "license": "GPLv2", "source": "package/utils/busybox"})
    (only,) = tree.inventory().components
    assert (only.id, only.package_version, only.license, len(only.identities)) == (
        "busybox@1.22.1", "1.22.1-3", "GPLv2", 1,
    )  # fmt: skip
    assert "busybox:busybox" in only.cpes


def test_control_records_alone_are_packages_too_and_without_databases_there_are_none() -> None:
    tree = Tree()
    tree.add(
        "usr/lib/opkg/info/zlib.control",
        {**package("zlib", "1.2.8-1"), "fact": "package.control", "database": "opkg control"},
    )
    assert [c.id for c in tree.inventory().components] == ["zlib@1.2.8"]
    assert tree.inventory(package_databases=False).components == []


def test_evidence_of_several_techniques_is_one_component() -> None:
    tree = Tree()
    tree.add("usr/lib/opkg/status", package("libopenssl", "1.0.1j-1"), package("openssl-util", "1.0.1j-1"))
    library = tree.add("usr/lib/libssl.so.1.0.0")
    (only,) = tree.inventory(banner("openssl", "1.0.1J", library)).components
    assert {i.technique for i in only.identities} == {Technique.PACKAGE, Technique.BANNER}
    assert {i.package for i in only.identities} == {"libopenssl", "openssl-util", ""}
    assert only.disagreements == []


def test_a_banner_that_says_otherwise_is_a_component_and_a_disagreement() -> None:
    tree = Tree()
    tree.add("usr/lib/opkg/status", package("busybox", "1.19.4-7"))
    program = tree.add("bin/busybox")
    found = by_id(tree.inventory(banner("busybox", "1.22.1", program, where="image!bin/busybox")))
    assert set(found) == {"busybox@1.19.4", "busybox@1.22.1"}
    says = "opkg states busybox 1.19.4-7, but the own banner in image!bin/busybox states 1.22.1"
    assert found["busybox@1.19.4"].disagreements == found["busybox@1.22.1"].disagreements == [says]


def test_a_package_numbered_by_its_day_is_the_version_that_the_program_states() -> None:
    tree = Tree()
    tree.add("usr/lib/opkg/status", package("wpad-mini", "2014-04-24-1"))
    program = tree.add("usr/sbin/wpad")
    (only,) = tree.inventory(banner("hostapd", "2.2", program)).components
    assert (only.id, only.package_version, only.disagreements) == ("hostapd@2.2", "2014-04-24-1", [])


def test_a_packagers_mark_is_no_other_version() -> None:
    tree = Tree()
    tree.add("var/lib/dpkg/status", package("kmod", "30+20221128-1", manager="dpkg"))
    (only,) = tree.inventory(banner("kmod", "30", tree.add("bin/kmod"))).components
    assert (only.id, only.package_version, only.disagreements) == ("kmod@30", "30+20221128-1", [])


def test_what_asserts_no_version_makes_none() -> None:
    tree = Tree()
    one, other = tree.add("bin/a"), tree.add("bin/b")
    several: dict[str, Any] = {
        "technique": Technique.CANDIDATES,
        "standing": Standing.CANDIDATE,
        "versions": ["1.0", "2.0"],
    }
    inventory = tree.inventory(
        banner("zlib", "1.2.3", one, technique=Technique.LINKED, standing=Standing.DEPENDENCY),
        banner("zlib", "1.2.3", one, technique=Technique.FINGERPRINT, standing=Standing.HINT),
        banner("curl", "", one, **several),
        banner("lua", "", other, technique=Technique.SYMBOLS, low="5.1", high="5.2"),
    )
    assert {c.id: c.version for c in inventory.components} == {"curl@": "", "lua@": ""}
    assert {i.standing for i in inventory.loose} == {Standing.DEPENDENCY, Standing.HINT}


def test_a_bracket_goes_with_the_version_within_it() -> None:
    tree = Tree()
    library = tree.add("lib/x.so")
    bracket = banner("lua", "", library, technique=Technique.SYMBOLS, low="5.1", high="5.2")
    (only,) = tree.inventory(banner("lua", "5.1.5", library), bracket).components
    assert len(only.identities) == 2
    outside = tree.inventory(banner("lua", "5.3.0", library), bracket)
    assert [c.id for c in outside.components] == ["lua@5.3.0"]
    assert outside.loose == [bracket]


def test_many_like_identities_are_counted_not_listed() -> None:
    tree = Tree()
    for number in range(LISTED + 5):
        tree.add(f"lib/modules/{number}.ko", {"fact": "kernel.module", "name": "x", "vermagic": "3.10.49 mod_unload"})
    (kernel,) = tree.inventory().components
    assert (kernel.id, kernel.type, len(kernel.identities), kernel.unlisted) == (
        "linux@3.10.49", "operating-system", LISTED, 5,
    )  # fmt: skip


def test_modules_of_another_kernel_are_a_disagreement() -> None:
    tree = Tree()
    tree.add("kernel", {"fact": "kernel.banner", "version": "3.10.49-vendor+", "at": [5, 9], "text": "Linux version"})
    tree.add("lib/modules/x.ko", {"fact": "kernel.module", "name": "x", "vermagic": "3.10.36 mod_unload"})
    found = by_id(tree.inventory())
    assert found["linux@3.10.36"].disagreements == ["modules are built for 3.10.36, but the kernel states 3.10.49"]


def test_a_package_that_no_table_knows_is_no_known_product_by_its_name() -> None:
    tree = Tree()
    tree.add("x", package("curl", "1.0", manager="npm", database="npm"), package("vendor-ui", "3"))
    assert sorted(c.product for c in tree.inventory().components) == ["npm:curl", "vendor-ui"]


def test_what_the_changelog_names_is_patched_in_that_version() -> None:
    tree = Tree()
    tree.add(
        "var/lib/dpkg/status",
        package("libssl1.1", "1.1.1n-0+deb11u5", manager="dpkg", source="openssl", architecture="armhf"),
        package("dropbear", "2020.81-3", manager="dpkg"),
    )
    log: Fact = {"fact": "package.changelog", "source": "openssl", "version": "1.1.1n-0+deb11u5"}
    tree.add("usr/share/doc/libssl1.1/changelog.Debian", {**log, "vulnerabilities": ["CVE-2023-0464"]})
    tree.add(
        "usr/share/doc/dropbear/changelog.Debian",
        {**log, "source": "dropbear", "version": "9", "vulnerabilities": ["CVE-2021-1"]},
    )
    found = by_id(tree.inventory())
    assert found["openssl@1.1.1n"].patched == ["CVE-2023-0464"]
    assert found["dropbear@2020.81"].patched == []
    assert found["openssl@1.1.1n"].purl == "pkg:deb/debian/libssl1.1@1.1.1n-0%2Bdeb11u5?arch=armhf"


def test_a_package_that_was_built_again_has_its_sources_changelog() -> None:
    """Debian's busybox 1:1.35.0-4+deb12u1+b1, with and without the source's number; libgcc-s1 of gcc-12."""
    for version, source in (("1:1.35.0-4+deb12u1+b1", ""), ("9:9", "busybox (1:1.35.0-4+deb12u1)")):
        tree = Tree()
        tree.add("var/lib/dpkg/status", package("busybox", version, manager="dpkg", source=source))
        log: Fact = {"fact": "package.changelog", "source": "busybox", "version": "1:1.35.0-4+deb12u1"}
        tree.add("usr/share/doc/busybox/changelog.Debian", {**log, "vulnerabilities": ["CVE-2022-48174"]})
        assert [c.patched for c in tree.inventory().components] == [["CVE-2022-48174"]]


def test_patches_of_a_source_package_are_back_ports() -> None:
    """A source handed in beside the image: what its list of patches names is fixed in the package of that version."""
    for version, patched in (("2020.81-3+deb11u1", ["CVE-2021-36369"]), ("2020.81-3", [])):
        tree = Tree()
        tree.add("var/lib/dpkg/status", package("dropbear", version, manager="dpkg"))
        tree.add(
            "debian/changelog", {"fact": "package.changelog", "source": "dropbear", "version": "2020.81-3+deb11u1"}
        )
        tree.add("debian/patches/series", {"fact": "package.patches", "vulnerabilities": ["CVE-2021-36369"]})
        tree.add("other/debian/patches/series", {"fact": "package.patches", "vulnerabilities": ["CVE-2022-1"]})
        assert [c.patched for c in tree.inventory().components] == [patched]


def test_of_two_revisions_only_what_both_have_is_fixed() -> None:
    """libssl3 was raised, openssl was not: the component is as old as its older package."""
    for older, patched, mixed in (("3.0.11-1", [], True), ("3.0.11-2", ["CVE-2023-5678"], False)):
        tree = Tree()
        tree.add("var/lib/dpkg/status", package("libssl3", "3.0.11-2", manager="dpkg", source="openssl"))
        tree.add("var/lib/dpkg/status.d/openssl", package("openssl", older, manager="dpkg"))
        log: Fact = {"fact": "package.changelog", "source": "openssl", "version": "3.0.11-2"}
        tree.add("usr/share/doc/libssl3/changelog.Debian", {**log, "vulnerabilities": ["CVE-2023-5678"]})
        (found,) = (c for c in tree.inventory().components if c.product == "openssl")
        assert (found.patched, found.mixed) == (patched, mixed)


def _recipe(system: str, **fields: Any) -> Fact:
    return {"fact": "source.recipe", "system": system, **fields}


def test_patches_that_openwrt_applies_are_back_ports() -> None:
    """Every file of the folder "patches" beside the Makefile, for the package of that version and release."""
    mended: Fact = {"fact": "source.patch", "vulnerabilities": ["CVE-2021-36369"]}
    for version, release, patched in (
        ("2020.81-3", "3", ["CVE-2021-36369"]),
        ("2020.81-r3", "3", ["CVE-2021-36369"]),
        ("2020.81-2", "3", []),
        ("2020.81-3", "", []),  # the Makefile computes it
    ):
        tree = Tree()
        tree.add("usr/lib/opkg/status", package("dropbear", version, source="package/network/services/dropbear"))
        tree.add("openwrt/package/dropbear/Makefile", _recipe("openwrt", version="2020.81", release=release))
        tree.add("openwrt/package/dropbear/patches/001-CVE-2021-36369.patch", mended)
        tree.add("openwrt/package/other/patches/x.patch", {**mended, "vulnerabilities": ["CVE-2022-1"]})
        tree.add("openwrt/package/dropbear/src/patches.old/x.patch", {**mended, "vulnerabilities": ["CVE-2022-2"]})
        assert [c.patched for c in tree.inventory().components] == [patched]


def test_patches_that_yocto_lists_are_back_ports() -> None:
    """What SRC_URI of the recipe, or of a file that it takes in, lists, and is there."""

    def patch(cve: str) -> Fact:
        return {"fact": "source.patch", "vulnerabilities": [cve]}

    for version, patched in (("1.36.1-r0", ["CVE-2022-48174", "CVE-2023-42364"]), ("1.36.1-r1", [])):
        tree = Tree()
        tree.add("var/lib/opkg/status", package("busybox", version))
        folder = "layers/meta/recipes-core/busybox"
        own = _recipe("yocto", name="busybox", version="1.36.1", patches=["a.patch"], includes=["busybox.inc"])
        tree.add(f"{folder}/busybox_1.36.1.bb", own)
        tree.add(f"{folder}/busybox.inc", _recipe("yocto", name="busybox.inc", patches=["b.patch", "gone.patch"]))
        tree.add(f"{folder}/busybox/a.patch", patch("CVE-2022-48174"))
        tree.add(f"{folder}/files/b.patch", patch("CVE-2023-42364"))
        tree.add(f"{folder}/files/unlisted.patch", patch("CVE-2022-1"))
        tree.add("layers/meta/recipes-core/other/files/a.patch", patch("CVE-2022-2"))
        assert [c.patched for c in tree.inventory().components] == [patched]


def test_what_is_started_listens_or_is_loaded() -> None:
    tree = Tree()
    elf: Fact = {"fact": "elf.identity"}
    server = tree.add("usr/sbin/dropbear", {**elf, "needed": ["libz.so.1"]})
    library = tree.add("usr/lib/libz.so.1.2.8", elf)
    tree.add("usr/lib/libz.so.1", link="libz.so.1.2.8")
    idle = tree.add("usr/bin/curl", elf, own=[{"fact": "permission.set-id", "path": "usr/bin/curl"}])
    listener: Fact = {"fact": "startup.network-listener", "program": "dropbear", "command": "/usr/sbin/dropbear -F"}
    tree.add("etc/init.d/dropbear", listener)
    enabled: Fact = {"fact": "startup.enablement", "name": "dropbear", "enabled": "yes"}
    tree.add("etc/rc.d/S50dropbear", link="../init.d/dropbear", own=[enabled])
    tree.add(
        "etc/init.d/curl", {"fact": "startup.service", "name": "curl", "commands": ["/usr/bin/curl"], "enabled": "no"}
    )
    found = by_id(
        tree.inventory(
            banner("dropbear", "2014.63", server), banner("zlib", "1.2.8", library), banner("curl", "7.1", idle)
        )
    )
    assert found["dropbear@2014.63"].facts == ["listens", "started"]
    assert found["zlib@1.2.8"].facts == ["loaded-by-listening", "loaded-by-started"]
    assert found["curl@7.1"].facts == ["setuid"]


def test_links_and_libraries_in_circles_end() -> None:
    tree = Tree()
    elf: Fact = {"fact": "elf.identity"}
    tree.add("usr/sbin/a", link="b")
    tree.add("usr/sbin/b", link="a")
    one = tree.add("usr/lib/liba.so", {**elf, "needed": ["libb.so"]})
    tree.add("usr/lib/libb.so", {**elf, "needed": ["liba.so"]})
    tree.add("usr/sbin/c", {**elf, "needed": ["liba.so"]})
    service: Fact = {
        "fact": "startup.service",
        "name": "rc",
        "enabled": "yes",
        "commands": ["/usr/sbin/a", "/usr/sbin/c", "'"],
    }
    tree.add("etc/rc", service)
    (only,) = tree.inventory(banner("zlib", "1", one)).components
    assert only.facts == ["loaded-by-started"]


def kernel_banner(release: str, builder: str, build: str) -> dict[str, object]:
    text = f"Linux version {release} ({builder}) (gcc-12 (Debian 12.2.0-14) 12.2.0) {build}"
    return {
        "fact": "kernel.banner", "at": [0, len(text)], "text": text[:120], "version": release, "builder": builder,
        "compiler": "gcc-12 (Debian 12.2.0-14) 12.2.0", "build": build,
    }  # fmt: skip


def module(release: str) -> dict[str, object]:
    return {"fact": "kernel.module", "at": [0, 9], "text": "vermagic", "vermagic": f"{release} SMP mod_unload"}


def test_a_release_that_counts_a_builders_interface_is_no_version() -> None:
    """Debian's 6.1.0-50 is made of 6.1.176; without that statement the branch alone is known."""
    debian = "debian-kernel@lists.debian.org"
    tree = Tree()
    tree.add("boot/vmlinux", kernel_banner("6.1.0-50-marvell", debian, "#1 Debian 6.1.176-1"))
    tree.add("lib/modules/6.1.0-50-marvell/kernel/drivers/net/tun.ko", module("6.1.0-50-marvell"))
    bytes_say = banner("linux", "6.1.0", "1" * 64, matched=f"Linux version 6.1.0-50-marvell ({debian}) (gcc")
    (only,) = tree.inventory(bytes_say).components
    assert (only.id, len(only.identities), only.disagreements) == ("linux@6.1.176", 3, [])

    tree = Tree()
    tree.add("lib/modules/6.1.0-50-marvell/kernel/drivers/net/tun.ko", module("6.1.0-50-marvell"))
    (only,) = tree.inventory().components
    assert (only.id, only.identities[0].low, only.identities[0].high) == ("linux@", "6.1", "6.2")

    tree.add("boot/config-6.1.0-50-marvell", {"fact": "kernel.config", "version": "6.1.176"})
    assert [c.id for c in tree.inventory().components] == ["linux@6.1.176"]
    tree.add("boot/config-6.1.0-49-marvell", {"fact": "kernel.config", "version": "6.1.170"})
    assert [c.id for c in tree.inventory().components] == ["linux@"]  # which is this one's is not known

    for release, build in (("5.14.0-362.el9.x86_64", "#1 SMP"), ("2.6.32-5-686", "#1 SMP Debian 9.9.9-1")):
        tree = Tree()
        tree.add("boot/vmlinux", kernel_banner(release, "x@y", build))
        assert [c.id for c in tree.inventory().components] == ["linux@"]
    tree = Tree()  # a maker's own name behind the version changes nothing
    tree.add("boot/vmlinux", kernel_banner("3.10.0-vendor", "x@y", "#1"), module("3.10.0-vendor"))
    assert [c.id for c in tree.inventory().components] == ["linux@3.10.0"]
