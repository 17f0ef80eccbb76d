"""Identification by bytes: every rule on its own samples, both scanners alike, and hostile input bounded."""

from __future__ import annotations

import random
import time

import pytest

from banbury.formats.view import View
from banbury.inspect.components import engines
from banbury.inspect.components.engines import PIECE, HyperscanScanner, Re2Scanner
from banbury.inspect.components.rules import BARE_TRIGGERS, Evidence, Rule, digest, rules
from banbury.inspect.components.scan import VERSIONS, Scanned, all_triggers, scan
from banbury.inspect.components.triggers import LONGEST, Trigger, trigger_of
from banbury.inspect.inspectors.components import Components


def _surrounded(rule: Rule, text: str) -> bytes:
    needs = b"\0".join(rule.needs)
    return b"\1" * 40 + b"\0" + text.encode("latin-1") + b"\0" + needs + b"\0" + b"\2" * 40


def _said(found: Scanned) -> list[tuple[object, ...]]:
    return [(s.rule.id, s.evidence, s.version, s.start, s.length, s.count) for s in found.statements] + [
        ("bare", b.version, b.start) for b in found.bare
    ] + [("named", n.name, n.version, n.start) for n in found.named] + [("cut", *found.cut), *found.notes]  # fmt: skip


def test_other_rules_are_another_version() -> None:
    """Facts that a workspace keeps are looked up by the inspector's version. Where the rules change, raise it, and
    write the pair down here: otherwise an evaluation shows what the old rules found under the new ones' name."""
    assert (Components.version, digest()[:16]) == (6, "f8425944c9b667b6")


@pytest.mark.parametrize("rule", rules(), ids=lambda r: r.id)
def test_a_rule_reads_its_own_samples_and_nothing_else(rule: Rule) -> None:
    for sample in rule.samples:
        data = _surrounded(rule, sample.text)
        mine = [s for s in scan(View(data), text=rule.text and not rule.binary).statements if s.rule is rule]
        assert [(s.version, s.evidence) for s in mine] == [(sample.version, rule.evidence)]
        assert sample.package
        # A mark cut in half is no mark, and a sample without its last byte never gives another version by luck.
        half = _surrounded(rule, sample.text[: len(sample.text) // 2])
        assert not [s for s in scan(View(half), text=not rule.binary).statements if s.rule is rule and s.version
                    and s.version not in sample.version]  # fmt: skip
    for text in rule.never:
        assert not [s for s in scan(View(text), text=not rule.binary).statements if s.rule is rule]


def test_there_are_rules_for_many_products_and_each_asserting_one_has_a_version() -> None:
    assert len({r.product for r in rules()}) >= 180
    for rule in rules():
        assert (rule.evidence is Evidence.PRESENCE) == all(not s.version for s in rule.samples), rule.id


def _hyperscan() -> HyperscanScanner:
    pytest.importorskip("hyperscan")
    return HyperscanScanner(all_triggers())


def _soup(seed: int) -> bytes:
    """Samples, halves of samples, numbers and noise, in any order."""
    source = random.Random(seed)
    pieces = [s.text.encode("latin-1") for r in rules() for s in r.samples] + [n for r in rules() for n in r.needs]
    pieces += 20 * [b"widget version 1.2.3", b"%s 0.8", b"tool/20.4", b'FDO\0{"type":"deb","name":"a","version":"1"}']
    out = bytearray()
    for _ in range(600):
        piece = source.choice(pieces)
        match source.randrange(5):
            case 0:
                piece = piece[: source.randrange(len(piece) + 1)]
            case 1:
                piece = b"%d.%d" % (source.randrange(200), source.randrange(99))
            case 2:
                piece = source.randbytes(9)
        out += piece + source.choice((b"\0", b"\n", b"", b" "))
    return bytes(out)


@pytest.mark.parametrize("seed", range(6))
def test_both_scanners_state_the_same(seed: int) -> None:
    first, second = _hyperscan(), Re2Scanner(all_triggers())
    data = _soup(seed)
    for text in (False, True):
        assert _said(scan(View(data), text=text, bare=True, by=first)) == _said(
            scan(View(data), text=text, bare=True, by=second)
        )
    assert first.scan(View(data)) == second.scan(View(data))


def test_both_scanners_agree_where_pieces_meet_and_in_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PIECE", 64)
    monkeypatch.setattr(engines, "MOST", 50)
    monkeypatch.setattr(engines, "_FLOOD", 20)
    first, second = _hyperscan(), Re2Scanner(all_triggers())
    data = _soup(99)[:6000] + b"BusyBox v" * 300 + b"\x001.1" * 400 + b"\0U-Boot " * 90 + b"U-Boot 2014.04 (Jan  1"
    one, two = first.scan(View(data)), second.scan(View(data))
    assert one == two
    assert one.cut == two.cut != set()
    for ends in one.values():
        assert len(ends) <= 50
        assert ends == sorted(set(ends))


def test_triggers_do_not_overlap_themselves_to_two_ends_at_one_start() -> None:
    """Fixed length: an occurrence is named by its end alone, whichever scanner finds it."""
    assert all(1 < t.length <= LONGEST for t in all_triggers())
    fixed = b"".join(b"\\x%02x" % c for c in b"BusyBox v")
    assert trigger_of(rb"x?BusyBox v(?P<version>\d{1,3}\.\d)") == Trigger(fixed, 9)
    assert len(BARE_TRIGGERS) == 5
    with pytest.raises(ValueError, match="tells enough"):
        trigger_of(rb"\d\d\.\d\d")
    with pytest.raises(ValueError, match="more than"):
        trigger_of(rb"BusyBox v\d*")


@pytest.mark.parametrize("scanner", [HyperscanScanner, Re2Scanner])
def test_hostile_input_costs_little_and_is_noted(scanner: type[HyperscanScanner]) -> None:
    if scanner is HyperscanScanner:
        pytest.importorskip("hyperscan")
    by = scanner(all_triggers())
    long_version = b"\0BusyBox v1." + b"9" * 10_000_000
    floods = b"BusyBox v1.2.3 " * 100_000 + b"\x001.2" * 250_000 + b"OpenSSL 1.0.2" * 100_000
    versions = b"\0".join(b"BusyBox v1.%d.%d" % (n, n) for n in range(2000))
    before = time.process_time()
    for data in (long_version, floods, versions, b"\0" * 3_000_000, b"1." * 1_000_000):
        found = scan(View(data), text=False, bare=True, by=by)
        assert len(found.statements) <= len(rules()) * VERSIONS
        assert len(found.bare) <= 64
        assert all(len(s.version) <= 40 for s in found.statements)
    assert time.process_time() - before < 12
    assert not scan(View(long_version), text=False, by=by).statements
    assert "busybox-1" in scan(View(floods), text=False, by=by).cut
    assert "busybox-1" in scan(View(versions), text=False, by=by).cut


def test_ordinary_bytes_pass_quickly() -> None:
    by = _hyperscan()
    data = random.Random(3).randbytes(PIECE) * 4
    scan(View(data[:PIECE]), text=False, by=by)
    before = time.process_time()
    scan(View(data), text=False, by=by)
    assert len(data) / (time.process_time() - before) > 150e6


def test_a_version_that_stands_alone_has_the_texts_next_to_it() -> None:
    texts = (b"\1\2oFono version %s\n\0\0", b"2.16\0\0\0", b"imc\tipc", b"\xff3.1", b"\x01", b"4.5", b"4.6", b"")
    data = b"\0".join(texts)
    found = {b.version: (b.before, b.after) for b in scan(View(data), text=False, bare=True).bare}
    assert found == {
        "2.16": ("oFono version %s\n", "imc\tipc"),
        "3.1": ("", ""),  # bytes that are no text
        "4.5": ("", "4.6"),
        "4.6": ("4.5", ""),
    }
    for end in range(len(data)):
        scan(View(data[:end]), text=False, bare=True)


def test_the_texts_next_to_a_version_are_short_and_cost_little() -> None:
    data = (b"\0" + b"x" * 5_000_000 + b"\x007.8\0" + b"y" * 5_000_000) + (b"z" * 70 + b"\x001.2\0") * 20_000
    start = time.process_time()
    found = scan(View(data), text=False, bare=True)
    assert time.process_time() - start < 2
    assert [len(b.before) for b in found.bare] == [72, 72]  # of a longer one, its nearer end
    assert all(len(b.after) <= 72 for b in found.bare)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"2.06-13+deb12u2", "2.06"),
        (b"9.7-3", "9.7"),
        (b"2021.01+dfsg-5", "2021.01"),
        (b"1.2.3-1.1", "1.2.3"),
        (b"3.0.20-1~deb12u2", "3.0.20"),  # "~deb" is a revision's, too
        (b"4.4.3-P1", "4.4.3-P1"),
        (b"2.1.12-stable", "2.1.12-stable"),
        (b"1.2-345", ""),
        (b"1.2-x86", ""),
    ],
)
def test_a_packagers_revision_is_no_part_of_a_version(text: bytes, version: str) -> None:
    found = scan(View(b"\1\0" + text + b"\0\1"), text=False, bare=True).bare
    assert [b.version for b in found] == ([version] if version else [])
