"""How identification by bytes is measured: sets by rule, the truth, the peer's words, and a made sample that holds the
figures without a network."""

from __future__ import annotations

import gzip
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from banbury.bench import components, identification, images, peer, pools, truth
from banbury.bench.components import Unit, measure
from banbury.bench.identification import tally
from banbury.inspect.components.rules import Evidence, Rule, rules
from banbury.model.errors import InputError
from banbury.supply import alone, identify
from banbury.supply.knowledge import bundle
from banbury.supply.products import by_package, products


def _stanza(name: str, *, source: str = "", section: str = "net", size: int = 1000, architecture: str = "armhf") -> str:
    origin = f"Source: {source}\n" if source else ""
    return (
        f"Package: {name}\n{origin}Version: 1.0-1\nArchitecture: {architecture}\nSection: {section}\nSize: {size}\n"
        "Description: x\n"
    )


def test_a_set_is_chosen_by_rule() -> None:
    index = "\n".join(
        [
            _stanza("curl"),
            _stanza("libcurl4", source="curl", section="libs"),
            _stanza("libcurl3-gnutls", source="curl", section="libs"),
            _stanza("libcurl4-openssl-dev", source="curl", section="libdevel"),
            _stanza("dnsmasq-utils", source="dnsmasq"),
            _stanza("dnsmasq", architecture="all"),
            _stanza("zlib1g", source="zlib", section="libs"),
            _stanza("busybox", size=9 << 20),
            _stanza("no-such-product"),
        ]
    )
    found = {c.package: (c.product, c.carrier) for c in pools.choose(index, "armhf")}
    assert found == {
        "curl": ("curl", by_package("dpkg", "curl") == "curl" and found["curl"][1]),
        "libcurl4": ("curl", not found["curl"][1]),
        "dnsmasq-utils": ("dnsmasq", True),
        "zlib1g": ("zlib", True),
    }


def test_the_sets_leave_out_the_knowledge_of_their_own_release() -> None:
    names = {source.name for source in bundle.default()[0].sources}
    for pool in pools.data().set:
        left = set(pool.without.split(", "))
        assert left <= names
        assert not left & {s.name for s in bundle.default(pool.without)[0].sources}
    assert {p.use for p in pools.data().set} == {"development", "held out"}


def test_without_a_network_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_source", lambda pool: "http://127.0.0.1:9/debian")
    if shutil.which("apt-get") is None or shutil.which("apt-cache") is None:
        pytest.skip("apt is not there")
    with pytest.raises(InputError, match="cannot be fetched"):
        pools.fetch(pools.data().set[0], tmp_path, lambda line: None)


def test_a_suite_without_a_set_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError) as problem:
        identification.run(tmp_path, only=["none"])
    assert {pool.suite for pool in pools.data().set} <= set(re.findall(r"[\w-]+", problem.value.hint))


def test_an_evaluation_reads_no_fact_that_the_measurement_does_not() -> None:
    """What identification reads of a content's facts is stated by the inspectors that the measurement runs."""
    stated = {str(fact.__struct_config__.tag) for i in components.READ for fact in i.facts}
    source = inspect.getsource(identify) + inspect.getsource(alone)
    assert set(re.findall(r"\"((?:component|elf)\.[a-z-]+)\"", source)) <= stated


def test_the_peer_is_judged_as_we_are() -> None:
    units = [
        Unit(package="a", product="busybox", version="1.35.0", programs=1),
        Unit(package="b", product="zlib", version="1.2.13", programs=1),
        Unit(package="c", product="curl", version="8.0", programs=1),
    ]
    said = {"a": {("busybox", "1.35.0")}, "b": {("zlib", "1.2.13"), ("zlib", "1.2.11")}, "c": {("other", "8.0")}}
    side = peer.judge(units, said)
    assert (side.named, side.right, side.anyhow, side.good, side.bad) == (2, 1, 3, 2, 1)


def test_the_truth_is_corrected_by_rule_and_for_every_tool_alike() -> None:
    changelog = gzip.compress(b"qemu (1:7.2+dfsg-7+deb12u18) bookworm; urgency=medium\n\n  * v7.2.22 stable release\n")
    held = {"data/usr/share/doc/qemu-utils/changelog.Debian.gz": changelog}
    assert truth.also("qemu", "7.2", held) == ["7.2.22"]
    assert truth.also("qemu", "7.2", {"data/usr/share/doc/qemu-utils/changelog.Debian.gz": b"no gzip"}) == []
    assert truth.also("ndppd", "0.2.5", {}) == ["0.2.4"]
    assert truth.unclear("tftpd-hpa", "tftp-hpa", "5.2+20240610-1", "")
    assert truth.unclear("minizip", "minizip", "1:1.3.dfsg+really1.3.1-1", "zlib")
    for plain in ("1:2.10-3+deb12u1", "3.0.16-1~deb12u1", "10.0p1-7", "1.21.3-1+b2"):
        assert not truth.unclear("wget", "wget", plain, "")
    unit = Unit(package="a", product="x", version="1.7.1", also=["1.7"])
    assert [unit.sorted_out(s) for s in (["1.7"], ["1.7.1", "1.7"], ["1.6"], ["1.7", "1.6"])] == [
        (1, 0), (1, 0), (0, 1), (1, 1),
    ]  # fmt: skip
    assert Unit(package="a", product="x", version="5.2", unclear=True).sorted_out(["5.3"]) == (0, 0)


def test_the_comparable_set_is_what_the_peer_has_a_checker_for() -> None:
    known = pools.looked_for()
    assert {"busybox", "zlib", "expat", "apache-httpd", "linux"} <= known  # some are called otherwise there
    assert not {"netifd", "libmnl", "vxworks"} & known
    assert known <= products().keys()


def test_an_image_that_is_not_there_is_said_loudly(tmp_path: Path) -> None:
    said: list[object] = []
    assert images.measure(tmp_path / "none.bin", tmp_path, lambda image, folder: ([], {}), said.append) is None
    assert "SKIPPED" in str(said)


def _sampled() -> list[Rule]:
    """A rule with an own banner for each product that stands under a package's name in the table."""
    found: dict[str, Rule] = {}
    for rule in rules():
        if rule.evidence is Evidence.BANNER and rule.binary and by_package("dpkg", rule.product) == rule.product:
            found.setdefault(rule.product, rule)
    return [found[name] for name in sorted(found)][:60]


def test_a_made_sample_holds_the_figures(tmp_path: Path) -> None:
    """Sixty packages with a banner, ten without, five that lie: what is right, silent and wrong is counted so."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not there: the made sample cannot be packed")
    sample = _sampled()
    assert len(sample) == 60
    for number, rule in enumerate(sample):
        text = rule.samples[0].text.encode("latin-1") + b"\0" + b"\0".join(rule.needs)
        _deb(tmp_path, rule.product, rule.samples[0].version, text, lying=number < 5)
    for rule in sample[:10]:
        _deb(tmp_path, f"{rule.product}-quiet", "1.0", b"nothing", source=rule.product)
    found = tally(measure(sorted(tmp_path.glob("*.deb")), bundle.default()[0]).units)
    assert found.units == 70
    assert found.named == 60
    assert found.right == 55
    assert (found.good, found.bad) == (55, 5)


def _deb(folder: Path, name: str, version: str, text: bytes, *, lying: bool = False, source: str = "") -> None:
    root = folder / "root" / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "opt").mkdir()
    stated = "99.88" if lying else version.replace("-", "~").replace("_", ".")
    origin = f"Source: {source}\n" if source else ""
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\n{origin}Version: {stated}-1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: x\n"
    )
    (root / "opt/program").write_bytes(b"\x7fELF" + bytes(60) + b"\0" + text + b"\0" + bytes(16))
    subprocess.run(["dpkg-deb", "-Znone", "-b", root, folder / f"{name}.deb"], check=True, capture_output=True)
