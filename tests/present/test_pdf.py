"""The PDF: the same bytes every time, archival and tagged, every text as text, and nothing past the margins."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from banbury.model.evaluation import Evaluation
from banbury.present.page import TEMPLATES
from banbury.present.pdf import render_pdf
from banbury.present.pdfdata import _COVERED, covered
from tests.present import example


def _poppler(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"NO POPPLER: {program} is missing (Debian package poppler-utils); the PDF's text is not tested")
    return found


def _text(data: bytes, folder: Path, *options: str) -> str:
    path = folder / "report.pdf"
    path.write_bytes(data)
    done = subprocess.run([_poppler("pdftotext"), *options, path, "-"], capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def plain_pdf(small: Evaluation) -> bytes:
    return render_pdf(small)


@pytest.fixture(scope="module")
def hostile_pdf(hostile: Evaluation) -> bytes:
    return render_pdf(hostile)


def test_the_same_bytes_every_time(small: Evaluation, plain_pdf: bytes) -> None:
    assert render_pdf(small) == plain_pdf


@pytest.mark.parametrize("name", ["plain_pdf", "hostile_pdf"])
def test_it_is_tagged_and_archival(name: str, request: pytest.FixtureRequest) -> None:
    """Typst refuses these standards where a glyph is missing, a figure has no words, or the title is not set."""
    data = request.getfixturevalue(name)
    assert b"<pdfaid:part>2</pdfaid:part>" in data
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in data
    assert b"<pdfuaid:part>1</pdfuaid:part>" in data


def test_the_fonts_have_every_character_that_is_let_through() -> None:
    import typst

    characters = [chr(c) for first, last in _COVERED for c in range(first, last + 1) if covered(chr(c))]
    assert len(characters) > 2000
    fonts = re.findall(r"text\(font: (\(.*?\)|\"[^\"]*\")", (TEMPLATES / "report.typ").read_text())
    assert len(fonts) == 2
    source = (
        '#set document(title: "x", date: datetime(year: 2020, month: 1, day: 1))\n'
        '#let t = json("t.json")\n#set text(lang: "en")\n' + "".join(f"#text(font: {font}, t)\n" for font in fonts)
    )
    import msgspec

    text = msgspec.json.encode(" ".join(characters))
    sources: dict[str, bytes | str] = {"main.typ": source.encode(), "t.json": text}
    typst.compile(sources, ignore_system_fonts=True, format="pdf", pdf_standards=["a-2a", "ua-1"])  # type: ignore[call-overload]


def test_a_reader_with_five_minutes(plain_pdf: bytes, tmp_path: Path) -> None:
    """Page one: what it is, what was not checked, what was found, what changed, in this order."""
    page = _text(plain_pdf, tmp_path, "-l", "1", "-layout")
    told = [
        "Example Box 2.0",
        "Linux 6.1.0",
        "What was not checked",
        "12 things were not checked.",
        "86.00 % of 15,008 bytes",
        "Supply chain",
        "CVE-2022-1",
        "What was found",
        "Title of example.empty-password",
        "What changed since Example Box 1.0",
        "2 are new",
    ]
    positions = [page.index(text) for text in told]
    assert positions == sorted(positions)


def test_hostile_names_are_text(hostile_pdf: bytes, tmp_path: Path) -> None:
    text = _text(hostile_pdf, tmp_path)
    joined = re.sub(r"\s", "", text)
    for name in (
        "<script>window.owned=1</script>",
        "{{7*7}}{%raw%}#[sys.version]$x$",
        '#include("x")`raw`*bold*_it_@ref<label>',
    ):
        assert name in joined
    assert "\\u202e" in joined
    assert "\\u6f22" in joined
    assert "\u200b" not in text  # what may break over lines can still be copied
    assert all(c.isprintable() or c in "\n\f" for c in text)


@pytest.mark.parametrize("name", ["plain_pdf", "hostile_pdf"])
def test_nothing_runs_past_the_margins(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    boxes = _text(request.getfixturevalue(name), tmp_path, "-bbox")
    pages = re.findall(r'<page width="([\d.]+)"', boxes)
    assert set(pages) == {"595.275600"}
    margin = 1.8 / 2.54 * 72 - 1
    words = re.findall(r'<word xMin="([-\d.]+)" yMin="[-\d.]+" xMax="([-\d.]+)" yMax="[-\d.]+">(.*)</word>', boxes)
    assert len(words) > 300
    outside = [unescape(w) for left, right, w in words if float(left) < margin or float(right) > 595.28 - margin]
    assert outside == []


def test_a_large_release_is_cut_to_a_readable_length(tmp_path: Path) -> None:
    data = render_pdf(example.large(2000))
    assert len(re.findall(rb"/Type /Page\b", data)) <= 12 or data.count(b"/Type/Page/") <= 12
    assert "154 more programs in the HTML report and the JSON" in " ".join(_text(data, tmp_path).split())
