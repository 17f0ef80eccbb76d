"""What was shipped against what was built; the test pairs that rules/rebuild.toml names."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.compare.equivalence.rules import rules
from banbury.rebuild.hypotheses import hypotheses
from banbury.rebuild.model import Shown, Source
from banbury.rebuild.recipe import Recipe
from banbury.rebuild.run import rebuild
from banbury.rebuild.shipped import source_of
from tests.rebuild.helpers import FEW, need_clock, need_sandbox, write

SOURCE = {
    "main.c": '#include <stdio.h>\nint main(void) { puts(WHEN " " WHERE " " EDITION); return YEAR; }\n',
}
BUILD = (
    'cc -O1 -DWHEN="\\"$(LC_ALL=C date +"%b %e %Y")\\"" -DYEAR="$(date +%Y)" -DWHERE="\\"$(pwd)/main.c\\"" '
    '-DEDITION="\\"${EDITION:-none}\\"" -o program main.c'
)


def built(folder: Path, **recipe: object) -> Path:
    """The program that a vendor's build makes, elsewhere and at another time."""
    folder.mkdir()
    out = folder / "result"
    given = recipe_of(folder, **{"clock": 1_600_000_000, **recipe})
    rebuild(given, out)
    return out / "runs/00/00000"


def recipe_of(folder: Path, **recipe: object) -> Path:
    off = dict.fromkeys([*FEW, "build-path"], False)
    fields: dict[str, object] = {"clock": 1_700_000_000, "outputs": ["program"], "trace": False, "commands": [BUILD]}
    return write(folder, SOURCE, **{**fields, "vary": off, **recipe})


def shown(folder: Path, shipped: Path, **recipe: object) -> Shown:
    """What is said of a shipped program."""
    folder.mkdir()
    named = folder / "program"
    shutil.copyfile(shipped, named)
    return rebuild(recipe_of(folder, **recipe), folder / "result", shipped=[named]).shipped[0]


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    need_sandbox()
    need_clock()


def test_the_pairs_are_those_of_the_rules() -> None:
    names = {n for r in rules().values() if r.format == "rebuild" for n in (*r.positive, *r.tampered)}
    assert names == {
        "clock-of-vendor", "path-of-vendor", "clock-of-vendor-and-patched", "variable-of-vendor",
        "variable-of-vendor-and-patched",
    }  # fmt: skip


@pytest.mark.slow
def test_clock_of_vendor(tmp_path: Path) -> None:
    """The year is in the code; the date in the shipped file leads to the clock. Patched, it is not proved."""
    vendor = built(tmp_path / "vendor")
    found = shown(tmp_path / "ours", vendor)
    assert found.plain in {"functional", "unexplained"}
    assert found.verdict == "equivalent/by-rebuild"
    (evidence,) = found.evidence
    assert (evidence.variable, evidence.rule, evidence.tier) == ("clock", "rebuild.environment", "sound")
    assert evidence.sha256 == found.sha256

    data = bytearray(vendor.read_bytes())
    at = data.find(b"puts")
    data[at] ^= 1
    vendor.write_bytes(data)
    found = shown(tmp_path / "patched", vendor)
    assert not found.equivalent
    assert found.evidence == []
    assert found.tried


@pytest.mark.slow
def test_a_rebuild_rests_on_the_weakest_of_all_rules_that_were_used(tmp_path: Path) -> None:
    """The clock is right, and the shipped archive differs from the rebuild by more: that is an assumption still."""
    pack = "tar --sort=name --mtime=@0 --owner=0 --group=0 -c when data >a.tar && {0} a.tar && mv a.tar.{1} out"
    make = "date +%Y >when; head -c 3000 /usr/bin/env >data; "
    fields = {"outputs": ["out"], "trace": False, "vary": dict.fromkeys([*FEW, "build-path"], False)}

    def vendor(folder: Path, command: str) -> Path:
        folder.mkdir()
        rebuild(write(folder, {"a": ""}, commands=[command], clock=1_600_000_000, **fields), folder / "r")
        return folder / "r/runs/00/00000"

    shipped = tmp_path / "out"
    shutil.copyfile(vendor(tmp_path / "v", make + pack.format("xz -9 --check=crc64", "xz")), shipped)
    ours = tmp_path / "ours"
    ours.mkdir()
    command = make + pack.format("xz -1 --check=crc32", "xz")
    given = write(
        ours, {"a": ""}, commands=[command], clock=1_700_000_000, hypotheses={"clock": ["1600000000"]}, **fields
    )
    found = rebuild(given, tmp_path / "result", shipped=[shipped]).shipped[0]

    assert found.verdict == "equivalent/by-rebuild"
    (evidence,) = found.evidence
    assert (evidence.rule, evidence.tier, found.rests_on) == ("rebuild.environment", "assumption", ["assumption"])
    assert "xz.check" in evidence.rules
    assert evidence.assumption


@pytest.mark.slow
def test_what_rests_on_an_assumption_can_be_refused(tmp_path: Path) -> None:
    make = "head -c 3000 /usr/bin/env | xz -{0} --check={1} >out"
    off = dict.fromkeys([*FEW, "build-path", "clock"], False)
    given = write(tmp_path, {"a": ""}, commands=[make.format(1, "crc32")], outputs=["out"], trace=False, vary=off)
    shipped = tmp_path / "out"
    packed = subprocess.run(
        ["/bin/sh", "-c", make.format(9, "crc64").replace(">out", "")], capture_output=True, check=True
    )
    shipped.write_bytes(packed.stdout)
    arguments = ["rebuild", str(given), "--out", str(tmp_path / "o"), "--shipped", str(shipped), "-q"]

    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "--strict"]).exit_code == 1


def test_path_of_vendor(tmp_path: Path) -> None:
    """The folder of the build stands in the shipped file and is tried."""
    vendor = built(tmp_path / "vendor", clock=1_700_000_000)
    data = vendor.read_bytes()
    assert b"/build/first/main.c" in data
    given = Recipe.load(recipe_of(tmp_path))
    other = tmp_path / "other"
    other.write_bytes(data.replace(b"/build/first/", b"/opts/agent/"))
    tried = hypotheses(given, tmp_path / "src", other, vendor)
    assert [h.value for h in tried if h.variable == "build-path"] == ["/opts/agent"]
    # what a path must not be
    other.write_bytes(data.replace(b"/build/first/", b"/usr/bin/xx/"))
    assert not [h for h in hypotheses(given, tmp_path / "src", other, vendor) if h.variable == "build-path"]


def test_path_of_vendor_by_rebuild(tmp_path: Path) -> None:
    """A path whose length is used as a number cannot be declared away, but rebuilt."""
    source = {"main.c": '#include <stdio.h>\nint main(void) { puts(WHERE "/main.c"); return sizeof(WHERE); }\n'}
    fields = {"commands": ['cc -DWHERE="\\"$PWD\\"" -o program main.c'], "outputs": ["program"], "trace": False}
    off = {"vary": dict.fromkeys(FEW, False), "clock": 1_700_000_000}
    folder = tmp_path / "vendor"
    folder.mkdir()
    rebuild(write(folder, source, **fields, **off), folder / "result")
    shipped = tmp_path / "program"
    shutil.copyfile(folder / "result/runs/01/00000", shipped)  # the second build is the vendor's: another folder
    report = rebuild(write(folder, source, **fields, **off), folder / "result", shipped=[shipped])
    assert report.shipped[0].verdict == "equivalent/by-rebuild"
    assert report.shipped[0].evidence[0].variable == "build-path"
    assert report.shipped[0].evidence[0].value == "/srv/elsewhere/second-build"


@pytest.mark.slow
def test_variable_of_vendor(tmp_path: Path) -> None:
    """A variable that the recipe names is an assumption, and said to be one."""
    fields = {"clock": 1_700_000_000}
    vendor = built(tmp_path / "vendor", **fields, variables={"EDITION": "customer-7-long"})
    found = shown(tmp_path / "ours", vendor, **fields, hypotheses={"EDITION": ["customer-6", "customer-7-long"]})
    assert found.verdict == "equivalent/by-rebuild"
    assert found.evidence[0].rule == "rebuild.variable"
    assert found.evidence[0].assumption
    data = vendor.read_bytes()
    vendor.write_bytes(data.replace(b"customer-7-long", b"customer-7-lonG"))
    found = shown(tmp_path / "patched", vendor, **fields, hypotheses={"EDITION": ["customer-7-long"]})
    assert not found.equivalent


def test_nothing_of_that_name(tmp_path: Path) -> None:
    vendor = built(tmp_path / "vendor")
    named = tmp_path / "another"
    shutil.copyfile(vendor, named)
    (tmp_path / "ours").mkdir()
    report = rebuild(recipe_of(tmp_path / "ours"), tmp_path / "result", shipped=[named])
    assert report.shipped[0].verdict == "unexplained"
    assert not report.good


@pytest.mark.parametrize("place", ["changelog.Debian.amd64.gz", "changelog.amd64.gz", "elsewhere"])
@pytest.mark.parametrize(("version", "entry"), [("1:2.0-1+b1", True), ("1:2.0-1+b1x", False), ("1:2.0-2", False)])
def test_what_a_shipped_package_says_of_its_source(tmp_path: Path, version: str, entry: bool, place: str) -> None:
    """Read in the sandbox: the source's version, and the entry of a binary-only rebuild of ours."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    changelog = (
        f"tool ({version}) stable; urgency=low, binary-only=yes\n\n  * Rebuilt.\n\n"
        " -- A Daemon <daemon@example.org>  Thu, 07 May 2026 20:33:45 +0000\n\ntool (1:2.0-1) stable; urgency=low\n"
    )
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "usr/share/doc/tool").mkdir(parents=True)
    (package / "usr/share/doc/tool" / place).write_bytes(gzip.compress(changelog.encode()))
    fields = f"Package: tool\nVersion: {version}\nSource: tool (1:2.0-1)\nArchitecture: amd64\n"
    (package / "DEBIAN/control").write_text(f"{fields}Maintainer: A <a@example.org>\nDescription: a tool\n")
    made = tmp_path / "tool.deb"
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1778186025"}
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, made], check=True, capture_output=True, env=env)
    with tempfile.TemporaryDirectory() as work:  # pytest's own folders let no other user in
        os.chmod(work, 0o711)
        ours = Source(given="", sha256="", tree="", files=1, size=1, package="tool", version="1:2.0-1")
        found = source_of(made, ours, Path(work))
    assert found.source_version == "1:2.0-1"
    assert bool(found.entry) == entry
    if entry and place == "elsewhere":  # put together from what the package says
        assert found.entry.startswith("tool (1:2.0-1+b1) unstable; urgency=low, binary-only=yes\n")
        assert found.entry.endswith(">  Thu, 07 May 2026 20:33:45 +0000\n")
        assert "members" in found.origin
    elif entry:
        assert changelog.startswith(found.entry)
