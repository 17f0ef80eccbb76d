"""Text and figures, whatever the release holds: properties that every report rests on."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from banbury.model.evaluation import Fate, ImageMap, Node, Stretch
from banbury.model.tree import Kind
from banbury.present import figures, treemap
from banbury.present.changes import folder_of
from banbury.present.pdfdata import covered, fit
from banbury.present.text import broken, clip, hexdump, human, percent, safe
from banbury.present.tree import tree
from banbury.present.treelist import render_tree
from tests.present import example

ANY = st.text(max_size=300)
SIZES = st.integers(0, 10**20)


@given(SIZES, SIZES)
def test_percent_is_cut_and_never_rounded_up(part: int, more: int) -> None:
    whole = part + more
    shown = percent(part, whole)
    if whole == 0:
        assert shown == "–"
        return
    assert (shown == "100 %") == (part == whole)
    assert (shown == "0 %") == (part == 0)
    if shown[0].isdigit():
        number = Fraction(shown.removesuffix(" %"))
        assert 0 <= Fraction(100 * part, whole) - number < Fraction(1, 100)


@given(ANY)
def test_safe_text_is_one_line_that_shows_all_of_itself(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert safe(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@given(st.text(max_size=3000), st.integers(30, 300))
def test_clipped_text_is_short_and_keeps_its_ends(text: str, limit: int) -> None:
    shown = clip(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 2 * limit + 60
    if len(text) > limit and text.isascii() and text.isprintable():
        left_out = int(re.search(r"…\[(\d+) characters\]…", shown)[1])  # type: ignore[index]
        assert left_out == len(text) - limit
        assert shown.startswith(text[: limit // 2])
        assert shown.endswith(text[-(limit // 3) :])


@given(st.binary(max_size=200), st.integers(0, 2**40))
def test_a_hex_dump_holds_its_bytes(data: bytes, start: int) -> None:
    lines = list(hexdump(data, start))
    pairs = "".join(line.partition("  ")[2][:47] for line in lines)
    assert bytes.fromhex(pairs) == data
    assert [int(line.split()[0], 16) for line in lines] == list(range(start, start + len(data), 16))


@given(st.integers(0, 10**15))
def test_sizes_for_people_are_near(size: int) -> None:
    number, unit = human(size).split()
    factor = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert abs(float(number) * factor - size) <= factor * 0.051
    assert float(number) < 1000 or unit == "TB"


@given(ANY)
def test_the_pdf_gets_only_what_its_fonts_have(text: str) -> None:
    for shown in (fit(text), fit(broken(text))):
        assert all(covered(c) or c == "\u200b" for c in shown)
        longest = max((len(run) for run in re.split("[ \u200b]", shown)), default=0)
        assert longest <= 72  # twelve characters, each at most six as an escape


# --- figures ---------------------------------------------------------------------------------------------------------

STRETCHES = st.lists(st.tuples(st.integers(1, 5000), st.sampled_from(list(Fate))), min_size=1, max_size=400)


def _image(pieces: list[tuple[int, Fate]]) -> ImageMap:
    stretches, at = [], 0
    for number, (length, fate) in enumerate(pieces):
        stretches.append(Stretch(start=at, end=at + length, fate=fate, name=f"part {number}", node=0))
        at += length
    totals = {str(fate): sum(n for n, f in pieces if f is fate) for fate in Fate}
    return ImageMap(node=0, name="image", size=at, totals=totals, stretches=stretches)


@given(STRETCHES, st.sampled_from([0, 1]))
def test_a_map_shows_every_byte_and_hides_nothing_unread(pieces: list[tuple[int, Fate]], rows: int) -> None:
    image = _image(pieces)
    figure = figures.draw_map(image, example.small(), rows=rows, limit=100)
    for box in figure.boxes:
        assert 0 <= box.x <= box.x + box.width <= figure.width + 0.02
        assert 0 <= box.y < box.y + box.height <= figure.height + 0.05
    spans = [tuple(int(n, 16) for n in re.findall(r"0x[0-9a-f]+", box.title)[:2]) for box in figure.boxes]
    ends = sorted(set(spans))
    assert ends[0][0] == 0
    assert ends[-1][1] == image.size
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    fate_at = {span: box.fate for span, box in zip(spans, figure.boxes, strict=True)}
    for stretch in image.stretches:
        if stretch.fate is Fate.UNREAD:
            assert any(fate_at[s] == "unread" for s in ends if s[0] <= stretch.start and stretch.end <= s[1])
    assert len(ends) <= 100


def test_a_part_has_the_same_hue_in_the_map_and_its_table() -> None:
    evaluation = example.small()
    image = evaluation.ledger.images[0]
    parts = {p.node: p.hue for p in figures.outline(image, evaluation)}
    for box in figures.draw_map(image, evaluation).boxes:
        assert box.hue == parts[figures.top_member(evaluation.nodes, box.target)]


def test_a_treemap_stays_in_its_frame_and_keeps_proportions() -> None:
    roots = tree(example.large(500))
    tiles = treemap.treemap(roots)
    assert len(tiles) > 100
    for tile in tiles:
        assert tile.x >= -0.1
        assert tile.y >= -0.1
        assert tile.x + tile.width <= treemap.WIDTH + 0.2
        assert tile.y + tile.height <= treemap.HEIGHT + 0.2
    folder = next(t for t in tiles if t.branch.name == "usr")
    inner = [t for t in tiles if t.branch in folder.branch.below["lib"].below.values()]
    ratios = [t.width * t.height / t.branch.size for t in inner if t.width > 8 and t.height > 8]
    assert max(ratios) / min(ratios) < 1.25


# --- the tree --------------------------------------------------------------------------------------------------------

NAMES = st.lists(st.text(st.sampled_from("ab/.\0<&\u202e"), max_size=12), max_size=40)


@given(NAMES)
def test_every_place_is_in_the_tree_once(names: list[str]) -> None:
    """Whatever the names: the same one again, one that is a folder of another, empty ones, hostile ones."""
    base = example.small()
    extra = [
        Node(id=8 + i, parent=1, name=n, locator=n, where=n, kind=Kind.FILE, depth=2, sha256=f"{i:064x}", size=10)
        for i, n in enumerate(names)
    ]
    nodes = [*base.nodes, *extra]
    roots = tree(example.msgspec.structs.replace(base, nodes=nodes))
    markup, left_out = render_tree(roots, 10_000)
    assert sorted(map(int, re.findall(r' id="n(\d+)"', markup))) == list(range(len(nodes)))
    assert left_out == 0
    assert roots[0].files == 5 + len(names)
    assert not re.search(r"<(?!/?(?:details|summary|span|div|b|i|s|a)[ >])", markup)
    assert "\u202e" not in markup


def test_a_tree_is_cut_at_its_limit_and_says_so() -> None:
    roots = tree(example.large(300))
    _, none = render_tree(roots, 10_000)
    markup, left_out = render_tree(roots, 100)
    assert none == 0
    assert markup.count("<b>") == 100
    assert left_out > 200


def test_deep_and_wide_names_cost_what_they_weigh() -> None:
    """Paths a thousand folders deep, each with its own: no recursion, and no more branches than names allow."""
    base = example.small()
    deep = [
        Node(id=8 + i, parent=1, name=f"{i}/" + "d/" * 1000 + "f", locator="", where="", kind=Kind.FILE, depth=2)
        for i in range(2000)
    ]
    chain = [
        Node(id=2008 + i, parent=2007 + i, name="c", locator="", where="", kind=Kind.FILE, depth=3 + i)
        for i in range(3000)
    ]
    roots = tree(example.msgspec.structs.replace(base, nodes=[*base.nodes, *deep, *chain]))
    markup, _ = render_tree(roots, 100_000)
    assert len(re.findall(r' id="n\d+"', markup)) == 5008
    assert markup.count("<details") <= 5008
    assert len(treemap.treemap(roots)) < 800


def test_folders_of_changes() -> None:
    assert folder_of("image!squashfs!etc/init.d/net/x") == "image!squashfs!etc/init.d"
    assert folder_of("image!squashfs!etc/passwd") == "image!squashfs!etc"
    assert folder_of("image!squashfs!init") == "image!squashfs"
    assert folder_of("image") == "image"
