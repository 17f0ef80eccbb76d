"""From facts to identities: grades, the bundle of knowledge, and what hostile facts and packages cannot do."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from banbury.formats.view import View
from banbury.inspect.contract import FileView
from banbury.inspect.inspectors.components import Components
from banbury.model.errors import InputError
from banbury.model.evaluation import File, Node
from banbury.model.supply import Identity, Standing, Technique
from banbury.model.tree import Kind
from banbury.supply.content import Content
from banbury.supply.identify import identities, of_content, within_bracket
from banbury.supply.knowledge import bundle
from banbury.supply.knowledge.bundle import Knowledge, Source, Symbols, merged
from banbury.supply.knowledge.mine import clean, mine
from tests.inspect.elf_builder import Linked

_KNOWN = Knowledge(
    sources=[Source(name="made", packages=1, sha256="0" * 64)],
    versions={"coreutils": ["8.32", "9.1"], "zlib": ["1.2.11", "1.2.13"], "example": ["1.0", "2.0", "2.4.1", "3.1"]},
    sonames={"libexample.so.2": "example"},
    symbols={
        "libexample.so.2": Symbols(
            versions=["1.0", "2.0", "3.0"],
            digests=[np.array([zlib.crc32(n)], dtype="<u4").tobytes() for n in (b"ex_open", b"ex_read", b"ex_seek")],
        )
    },
)


def _program(*strings: bytes) -> bytes:
    return b"\x7fELF" + bytes(60) + b"\0" + b"\0".join(strings) + b"\0" + bytes(16)


def _of(data: bytes, *names: str, known: Knowledge = _KNOWN) -> list[Identity]:
    facts = [msgspec.to_builtins(f) for f in Components().inspect(FileView(View(data)))]
    digest = hashlib.sha256(data).hexdigest()
    return list(of_content(Content(sha256=digest, facts=facts, names=names), known))


def _short(found: list[Identity]) -> list[tuple[str, str, str]]:
    return [(i.product, i.version, i.standing.value) for i in found]


def test_a_banner_is_asserted_and_a_linked_version_is_a_dependency() -> None:
    assert _short(_of(_program(b"BusyBox v1.35.0 (x)"))) == [("busybox", "1.35.0", "asserted")]
    assert _short(_of(_program(b"OpenSSL 3.0.16 11 Feb 2025"))) == [("openssl", "3.0.16", "dependency")]


def test_two_versions_of_one_product_in_one_file_assert_neither() -> None:
    (found,) = _of(_program(b"BusyBox v1.35.0 (x)", b"BusyBox v1.22.1 (x)"))
    assert (found.standing, found.version, found.versions) == (Standing.CANDIDATE, "", ["1.22.1", "1.35.0"])
    assert _short(_of(_program(b"BusyBox v1.35 (x)", b"BusyBox v1.35.0 (x)"))) == [("busybox", "1.35.0", "asserted")]


def test_a_code_name_beside_a_version_says_no_other_one() -> None:
    text = 'DISTRIB_ID="OpenWrt"\nDISTRIB_RELEASE="%s"\nDISTRIB_REVISION="r43416"\nDISTRIB_DESCRIPTION="OpenWrt %s"\n'
    release = _of((text % ("Barrier Breaker", "Barrier Breaker 14.07")).encode(), "openwrt_release")
    assert {(i.standing, i.version) for i in release} == {(Standing.ASSERTED, ""), (Standing.ASSERTED, "14.07")}
    snapshot = _of((text % ("Bleeding Edge", "Barrier Breaker r43416")).encode(), "openwrt_release")
    assert [(i.standing, i.version, i.snapshot) for i in snapshot] == [(Standing.ASSERTED, "", True)]
    assert not any(i.snapshot for i in release)
    assert all("r43416" in i.matched for i in (snapshot[0], *release) if i.rule == "openwrt-1")
    two = _of((text % ("15.05", "Barrier Breaker 14.07")).encode(), "openwrt_release")
    assert [(i.standing, i.versions) for i in two] == [(Standing.CANDIDATE, ["14.07", "15.05"])]


def test_a_bare_version_counts_where_it_is_the_only_known_one() -> None:
    one = _of(_program(b"GNU coreutils", b"9.1", b"7.7.7"))
    assert [(i.technique, i.version) for i in one] == [(Technique.KNOWN_VERSION, "9.1")]
    two = _of(_program(b"GNU coreutils", b"write error", b"9.1", b"8.32"))
    assert [(i.standing, i.version, i.versions) for i in two] == [(Standing.CANDIDATE, "", ["8.32", "9.1"])]
    none = _of(_program(b"GNU coreutils", b"77.1"))
    assert [(i.standing, i.version) for i in none] == [(Standing.HINT, "")]


_LISTED = Knowledge(
    versions={"widget": ["5.9", "6.1"], "kmod": ["29", "30"], "zlib": ["1.2.13", "1.3.1"], "lua": ["5.1.4", "5.1.5"]},
    sonames={"libz.so.1": "zlib"},
    programs={"widget": "widget", "lua": "lua"},
)


def _own(*strings: bytes, name: str = "sbin/widget", needed: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    data = _program(*strings)
    facts = [msgspec.to_builtins(f) for f in Components().inspect(FileView(View(data)))]
    facts.append({"fact": "elf.identity", "needed": list(needed)})
    content = Content(sha256="ab" * 32, facts=facts, names=[name], kind="elf")
    return [(i.technique.value, i.version, i.standing.value) for i in of_content(content, _LISTED)]


@pytest.mark.parametrize(
    ("strings", "says"),
    [
        ((b"widget version 6.1",), ("own banner", "6.1", "asserted")),
        ((b"widget version 6.3",), ("own banner", "6.3", "asserted")),  # in no list, and soon after the newest
        ((b"6.3",), ("bare version", "6.3", "asserted")),
        ((b"%s 6.3",), ("bare version", "6.3", "asserted")),
        ((b"6.3", b"6.2"), ("several bare versions", "", "candidate")),
        ((b"6.1", b"6.3"), ("several bare versions", "", "candidate")),  # the known one may be something else's
        ((b"6.1", b"8.3"), ("several bare versions", "", "candidate")),
        ((b"widget version 9.3",), ("metadata of the file", "", "hint")),  # too far from what is known
        ((b"widget version 4.3",), ("metadata of the file", "", "hint")),
        ((b"this needs widget 6.1 or later",), ("metadata of the file", "", "hint")),
        ((b"othertool version 6.3",), ("metadata of the file", "", "hint")),
    ],
)
def test_a_version_that_no_list_knows_needs_a_second_sign(
    strings: tuple[bytes, ...], says: tuple[str, str, str]
) -> None:
    assert _own(*strings)[0] == says


@pytest.mark.parametrize(
    ("strings", "version"),
    [
        ((b"6.1", b"5.9", b"widget"), "5.9"),  # two known ones: the one beside the name
        ((b"5.9", b"exit", b"%s 6.1", b"8.3", b"GNU widget"), "8.3"),  # far from what is known, and beside the name
        ((b"6.1", b"read error", b"8.3", b"Widget version : %s\n"), "8.3"),
        ((b"widget - %s\n", b"8.3", b"x", b"6.1"), "8.3"),
        ((b"8.3", b"x", b"6.1", b"Version %s (for %s)\n"), "6.1"),  # the one that is printed
        ((b"widget: %s", b"8.3", b"x", b"6.1"), ""),  # an error follows, no version
        ((b"zlib version: %s", b"8.3", b"x", b"6.1"), ""),  # something else's
        ((b"widget", b"127.0.0.1"), ""),
        ((b"widget", b"1.0"), ""),
        ((b"widget", b"17.3"), ""),  # no plausible one of a product that has had 5.9 and 6.1
        ((b"widget", b"8.3", b"widget", b"7.1"), ""),  # two: neither
    ],
)
def test_what_stands_beside_a_version_says_whose_it_is(strings: tuple[bytes, ...], version: str) -> None:
    assert _own(*strings)[0][1] == version


def test_one_version_far_newer_than_the_known_ones_needs_to_be_in_full_or_of_the_newest_ones_form() -> None:
    known = msgspec.structs.replace(_LISTED, versions={"widget": ["1.2", "2.3.7", "2.4.1"]})
    for bare, version in (("2.9.1", "2.9.1"), ("3.0.1", "3.0.1"), ("3.7", ""), ("9.0.1", ""), ("2.2.9", "")):
        facts: list[dict[str, object]] = [
            {"fact": "component.bare-versions", "versions": ["127.0.0.1", bare], "offsets": [5, 9]}
        ]
        (one,) = of_content(Content(sha256="ab" * 32, facts=facts, names=["widget"], kind="elf"), known)
        assert one.version == version, bare
    two_numbers = msgspec.structs.replace(_LISTED, versions={"widget": ["7.6", "8.32"]})
    for bare, version in (("9.7", "9.7"), ("10.1", "")):
        facts = [{"fact": "component.bare-versions", "versions": [bare], "offsets": [5]}]
        (one,) = of_content(Content(sha256="ab" * 32, facts=facts, names=["widget"], kind="elf"), two_numbers)
        assert one.version == version, bare


def test_a_program_that_is_not_called_by_its_name_is_known_by_its_folder_too() -> None:
    known = msgspec.structs.replace(_LISTED, programs={"widget/daemon": "widget", "bin/other": "lua"})
    facts: list[dict[str, object]] = [{"fact": "component.bare-versions", "versions": ["6.1"], "offsets": [5]}]
    for name, found in (("usr/lib/widget/daemon", ["6.1"]), ("sbin/daemon", []), ("usr/lib/widget/daemon.so", [])):
        content = Content(sha256="ab" * 32, facts=facts, names=[name], kind="elf")
        assert [i.version for i in of_content(content, known)] == found, name


def test_the_name_of_an_interfaces_version_bounds_a_release_and_asserts_none() -> None:
    data = _program(b"JSONC_0.14")
    assert [(i.standing, i.version, i.low) for i in _of(data)] == [(Standing.DEPENDENCY, "", "0.14")]
    facts = [msgspec.to_builtins(f) for f in Components().inspect(FileView(View(data)))]
    facts.append({"fact": "elf.identity", "soname": "libjson-c.so.5"})
    known = Knowledge(sonames={"libjson-c.so.5": "json-c"}, versions={"json-c": ["0.14", "0.15"]})
    (own,) = of_content(Content(sha256="ab" * 32, facts=facts, names=["libjson-c.so.5.1.0"], kind="elf"), known)
    assert (own.standing is not Standing.ASSERTED, own.version) == (True, "")


def test_the_number_of_a_librarys_file_is_a_release_where_it_always_was() -> None:
    facts: list[dict[str, object]] = [{"fact": "elf.identity", "soname": "libwidget.so.6"}]
    content = Content(sha256="ab" * 32, facts=facts, names=["libwidget.so.6.1"], kind="elf")
    table = msgspec.structs.replace(_LISTED, sonames={"libwidget.so.6": "widget"})
    said = {}
    for numbered in ({}, {"libwidget": True}, {"libwidget": False}):
        for known in ([], ["5.9"], ["5.9", "6.1"]):
            with_both = msgspec.structs.replace(table, numbered=numbered, versions={"widget": known})
            said[numbered.get("libwidget"), len(known)] = next(iter(of_content(content, with_both))).version
    assert said == {
        (None, 0): "", (None, 1): "", (None, 2): "6.1",
        (True, 0): "6.1", (True, 1): "6.1", (True, 2): "6.1",
        (False, 0): "", (False, 1): "", (False, 2): "",
    }  # fmt: skip


def test_a_release_that_is_known_to_state_another_version() -> None:
    known = msgspec.structs.replace(_LISTED, misstated={"widget": {"6.1": ["6.1", "6.2"], "5.9": ["5.9.1"]}})
    for stated, standing, version, versions in (
        ("6.1", Standing.CANDIDATE, "", ["6.1", "6.2"]),
        ("5.9", Standing.ASSERTED, "5.9.1", []),
    ):
        facts: list[dict[str, object]] = [{"fact": "component.bare-versions", "versions": [stated], "offsets": [5]}]
        (one,) = of_content(Content(sha256="ab" * 32, facts=facts, names=["widget"], kind="elf"), known)
        assert (one.standing, one.version, one.versions) == (standing, version, versions)
        assert f"states {stated}" in one.rule


def test_libraries_whose_names_differ_by_a_number_are_two() -> None:
    known = Knowledge(sonames={"libidn.so.11": "libidn", "libidn2.so.0": "libidn2", "libpng15.so.15": "libpng"})
    assert known.library("libidn.so.12") == "libidn"
    assert known.library("libidn2.so.4") == "libidn2"
    assert known.library("libpng16.so.16") == "libpng"


def test_a_branch_is_no_version_and_a_called_library_leaves_its_own_behind() -> None:
    assert _own(b"Lua 5.1 library", b"lua 5.1", name="bin/lua")[0][1] == ""
    found = _own(b"5.1.5", b"1.3.1", name="bin/lua", needed=("libz.so.1",))
    assert found == [("bare version in the known list", "5.1.5", "asserted")]
    known = msgspec.structs.replace(_LISTED, versions=_LISTED.versions | {"widget": ["1.3.1"]})
    facts: list[dict[str, object]] = [{"fact": "component.bare-versions", "versions": ["1.3.1"], "offsets": [5]}]
    for needed, version in ((["libz.so.1"], ""), (["libc.so.6"], "1.3.1")):
        held = [*facts, {"fact": "elf.identity", "needed": needed}]
        (one,) = of_content(Content(sha256="ab" * 32, facts=held, names=["widget"], kind="elf"), known)
        assert one.version == version


def test_a_packagers_note_in_a_program() -> None:
    note = b'FDO\0{"type":"deb","os":"debian","name":"busybox","version":"1:1.36.1-9+b1","architecture":"arm64"}\0'
    (found,) = _of(_program(note))
    assert (found.product, found.version, found.standing) == ("busybox", "1.36.1", Standing.ASSERTED)
    assert found.rule == "note of the package busybox"
    (found,) = _of(_program(note, b"BusyBox v1.35.0 (x)"))  # the program's own word comes first
    assert found.version == "1.35.0"
    for bad in (b"FDO\0{}\0", b'FDO\0{"type":7}\0', b"FDO\0{" + b"[" * 900 + b"}\0", note[:-9] + b"\0", note[:60]):
        assert _of(_program(bad)) == []


def _library(exports: tuple[str, ...], rodata: bytes = b"") -> bytes:
    return Linked(interp="", soname="libexample.so.2", exports=exports, rodata=rodata).build()


def test_a_library_by_its_strings_its_name_and_its_symbols() -> None:
    (found,) = _of(_library(("ex_open",), b"\xff2.4.1\0"))
    assert (found.technique, found.version) == (Technique.KNOWN_VERSION, "2.4.1")
    (found,) = _of(_library(("ex_open",)), "usr/lib/libexample.so.2.4.1")
    assert (found.technique, found.version) == (Technique.METADATA, "2.4.1")
    for other in ("usr/lib/libexample.so.2", "usr/lib/libexample.so.2.0.0", "usr/lib/libexample.so.9.9"):
        assert _of(_library(("ex_open",)), other)[0].version == ""
    (found,) = _of(_library(("ex_open", "ex_read")))
    assert (found.technique, found.low, found.high) == (Technique.SYMBOLS, "2.0", "3.0")
    assert within_bracket("2.4.1", found)
    assert not within_bracket("3.0", found)


def test_a_bracket_rests_on_all_that_came_with_a_version_or_on_nothing_of_it() -> None:
    def crc(*names: bytes) -> bytes:
        return np.sort(np.array([zlib.crc32(n) for n in names], dtype="<u4")).tobytes()

    table = Symbols(
        versions=["1.0", "2.0", "3.0", "3.1"], digests=[crc(b"a"), crc(b"b", b"c"), crc(b"d", b"e"), crc(b"f")]
    )
    known = msgspec.structs.replace(_KNOWN, symbols={"libexample.so.2": table})
    for names, bounds in (
        (("a", "b", "c"), ("2.0", "3.0")),
        (("a", "b", "c", "d"), ("2.0", "3.1")),  # a part of 3.0: left out of this build, or raised to it by Debian
        (("a", "b"), ("1.0", "3.0")),
        (("b",), ("", "")),
    ):
        (found,) = _of(_library(names), known=known)
        assert (found.low, found.high) == bounds, names
    other = msgspec.structs.replace(known, versions={"example": ["51.0", "52.1"]})  # another numbering
    assert _of(_library(("a", "b", "c")), known=other)[0].low == ""


def test_of_two_tables_of_symbols_the_lower_version_stands() -> None:
    def one(version: str) -> Knowledge:
        digests = [np.array([zlib.crc32(name)], dtype="<u4").tobytes() for name in (b"a", b"b")]
        return Knowledge(symbols={"libexample.so.2": Symbols(versions=["1.0", version], digests=digests)})

    for pieces in ([one("2.0"), one("10.0")], [one("10.0"), one("2.0")]):
        assert merged(pieces).symbols["libexample.so.2"].versions == ["1.0", "2.0"]


def test_an_exact_digest_names_the_file() -> None:
    data = _program(b"nothing known")
    known = msgspec.structs.replace(_KNOWN, files={hashlib.sha256(data).digest(): "example@3.1"})
    assert _short(_of(data, known=known)) == [("example", "3.1", "asserted")]


def test_what_lies_in_a_member_is_told_of_there_only() -> None:
    inner = _program(b"BusyBox v1.35.0 (x)")
    outer = b"\x01" * 64 + inner
    files = {}
    for data in (inner, outer):
        facts = [msgspec.to_builtins(f) for f in Components().inspect(FileView(View(data)))]
        digest = hashlib.sha256(data).hexdigest()
        files[digest] = File(sha256=digest, size=len(data), facts=facts)
    first, second = (hashlib.sha256(d).hexdigest() for d in (outer, inner))
    common = {"kind": Kind.FILE, "locator": "", "name": "x"}
    nodes = [
        Node(id=0, parent=-1, where="image", sha256=first, size=len(outer), **common),
        Node(id=1, parent=0, where="image!x", sha256=second, start=64, size=len(inner), **common),
        Node(id=2, parent=0, where="image!y", sha256=second, start=64, size=len(inner), **common),
    ]
    found = list(identities(nodes, files, _KNOWN))
    assert [(i.product, i.where) for i in found] == [("busybox", "image!x")]


def test_facts_that_are_not_what_they_should_be_do_no_harm() -> None:
    facts = [
        {"fact": "component.exports", "soname": "libexample.so.2", "digests": "not base64!"},
        {"fact": "component.bare-versions", "versions": "1.0", "offsets": 7},
        {"fact": "component.statement", "product": "x", "evidence": "presence", "rule": "r", "at": [1]},
    ]
    found = list(of_content(Content(sha256="ab", facts=facts), _KNOWN))
    assert all(i.standing is Standing.HINT for i in found)


def test_a_bundle_travels_and_refuses_what_is_none() -> None:
    data = bundle.pack(_KNOWN)
    assert bundle.pack(_KNOWN) == data
    assert bundle.unpack(data) == _KNOWN
    later = msgspec.structs.replace(_KNOWN, format=99)
    unsorted = msgspec.structs.replace(_KNOWN, versions={"a": ["2", "1"]})
    for bad in (b"", b"PK\3\4", data[:-9], data[:20], bundle.pack(later), bundle.pack(unsorted)):
        with pytest.raises(InputError):
            bundle.unpack(bad)


def test_the_bundle_that_comes_along() -> None:
    known, digest = bundle.default()
    assert len(digest) == 64
    assert known.knows("openssl", "1.1.1n")
    assert not known.knows("openssl", "77.1")
    assert len(known.versions) > 250
    assert not known.files
    assert len(bundle.pack(known)) < 2 << 20
    assert merged([known]).versions == known.versions


@pytest.mark.parametrize(
    ("text", "version"),
    [("30~pre9", "30-pre9"), ("1.2.13.20+git20200101", "1.2.13.20"), ("2.1.0~beta3+git20220320", "2.1.0-beta3")],
)
def test_versions_are_written_as_products_do(text: str, version: str) -> None:
    assert clean(text) == version


def test_packages_are_mined(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not there")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/share/doc/libexample2").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: libexample2\nSource: example (2.4.1-3)\nVersion: 2.4.1-3+b1\nArchitecture: all\n"
        "Maintainer: a <a@b.c>\nDescription: x\n"
    )
    (root / "DEBIAN/symbols").write_text(
        "libexample.so.2 libexample2 #MINVER#\n ex_open@Base 1.0\n ex_read@EX_2 1:2.0~rc1-1\n"
    )
    (root / "usr/lib/libexample.so.2.4.1").write_bytes(_library(("ex_open",)))
    text = b"example (2.4.1-3) unstable; urgency=low\n\n  * x\n\nexample (1:2.0+dfsg-1) unstable; urgency=low\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (root / "usr/share/doc/libexample2/changelog.Debian.gz").write_bytes(packer.compress(text) + packer.flush())
    subprocess.run(["dpkg-deb", "-b", root, tmp_path / "a.deb"], check=True, capture_output=True)
    (tmp_path / "broken.deb").write_bytes(b"!<arch>\n" + b"\xff" * 300)
    told: list[str] = []
    found = mine(sorted(tmp_path.glob("*.deb")), "made", tell=lambda line: told.append(str(line)))
    assert found.versions == {"example": ["2.0", "2.4.1"]}
    assert found.sonames == {"libexample.so.2": "example"}
    assert found.symbols["libexample.so.2"].versions == ["1.0", "2.0-rc1"]
    assert set(found.files.values()) == {"example@2.4.1"}
    assert found.sources[0].packages == 1
    assert len(told) == 1
    assert "broken.deb" in told[0]
    with pytest.raises(InputError):
        mine([tmp_path / "broken.deb"], "made")
