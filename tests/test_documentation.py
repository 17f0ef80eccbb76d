"""The generated pages are what the code says, and the others are where a reader finds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from banbury import documentation
from banbury.cli import main
from banbury.documentation import _types
from banbury.formats.registry import readers
from banbury.inspect.registry import inspectors
from banbury.judge.rules import rules
from banbury.lab.workspace import Configuration
from banbury.model.tree import NOTE_CODES

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = documentation.pages(main)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    """The committed page is the one that the code gives now."""
    path = DOCS / name
    assert path.is_file(), "run .venv/bin/banbury docs docs, and commit what it writes"
    assert path.read_text("utf-8") == PAGES[name], "run .venv/bin/banbury docs docs, and commit what it writes"


def test_no_generated_page_is_left_over() -> None:
    """Nothing documents a rule or an inspector that is gone."""
    marked = {
        p.relative_to(DOCS).as_posix()
        for p in DOCS.rglob("*.md")
        if p.read_text("utf-8").startswith(documentation.MARK)
    }
    assert marked == set(PAGES)


def test_nothing_goes_undocumented() -> None:
    """Every reader, inspector, fact, rule, note and command has its place in the pages, and the indexes lead there."""
    assert all(f"## {name}\n" in PAGES["readers.md"] for name in readers())
    assert all(f"]({name}.md)" in PAGES["inspectors/README.md"] for name in inspectors())
    assert all(f"]({name}.md)" in PAGES["rules/README.md"] for name in rules())
    assert all(f"`{code}`" in PAGES["notes.md"] for code in NOTE_CODES)
    assert all(f"## banbury {name}\n" in PAGES["cli.md"] for name in main.commands)
    below = [(name, one) for name, group in main.commands.items() for one in getattr(group, "commands", {})]
    assert below
    assert all(f"## banbury {name} {one}\n" in PAGES["cli.md"] for name, one in below)
    for name, inspector in inspectors().items():
        for kind in inspector.facts:
            assert f"### {_types.tag_of(kind)}\n" in PAGES[f"inspectors/{name}.md"]


def test_everything_documented_is_explained() -> None:
    """A reader has a title and sources; a fact says what its fields mean."""
    assert [name for name, reader in readers().items() if not (reader.title and reader.references)] == []
    bare = [k.__name__ for i in inspectors().values() for k in i.facts if not (k.__doc__ or "").strip()]
    assert bare == []


def test_pages_need_no_particular_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of a terminal or a locale changes nothing."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LC_ALL", "C")

    assert documentation.pages(main) == PAGES


def test_writing_removes_stale_pages_and_nothing_else(tmp_path: Path) -> None:
    """A generated page without its rule goes; what a person wrote stays."""
    documentation.write(tmp_path, main)
    stale, own = tmp_path / "rules" / "no.such-rule.md", tmp_path / "rules" / "notes-of-a-person.md"
    stale.write_text(documentation.MARK + "\n# Gone\n")
    own.write_text("# Mine\n")

    written = documentation.write(tmp_path, main)

    assert not stale.exists()
    assert own.exists()
    assert {p.relative_to(tmp_path).as_posix() for p in written} == {*PAGES, *documentation.data()}


def test_links_in_generated_pages_lead_somewhere() -> None:
    """A link names a page, and where it names a heading, one that this page has."""
    wrong = []
    for name, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, heading = target.partition("#")
            page = (Path(name).parent / path).as_posix() if path else name
            resolved = Path(*_normal(page))
            found = PAGES.get(resolved.as_posix(), "")
            if not found or (heading and heading not in _headings(found)):
                wrong.append(f"{name}: {target}")
    assert wrong == []


def _normal(page: str) -> list[str]:
    parts: list[str] = []
    for part in Path(page).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return parts


def _headings(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_leads_to_every_page() -> None:
    """A reader finds every document from the index, or from the index of its folder."""
    linked = {
        (folder / target.partition("#")[0]).resolve()
        for folder in (DOCS, *(p for p in DOCS.iterdir() if p.is_dir()))
        if (folder / "README.md").is_file()
        for target in re.findall(r"\]\(([^)\s]+)\)", (folder / "README.md").read_text("utf-8"))
    }
    pages = {p.resolve() for p in DOCS.rglob("*.md")} - {(DOCS / "README.md").resolve()}
    assert sorted(str(p.relative_to(DOCS)) for p in pages - linked) == []


def test_decisions_are_numbered_and_complete() -> None:
    """Records count from 1 without gaps; each states context, decision and consequences."""
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))

    assert [int(p.name[:4]) for p in records] == list(range(1, len(records) + 1))
    for number, path in enumerate(records, 1):
        text = path.read_text("utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"(?m)^## (.*)$", text) == ["Context", "Decision", "Consequences"], path.name


def test_every_setting_is_documented() -> None:
    """The page on operating names every key of lab.toml."""
    text = (DOCS / "operating.md").read_text("utf-8")
    assert [key for key in Configuration.__struct_fields__ if f"| `{key}` |" not in text] == []


def test_the_readme_counts_the_readers() -> None:
    """The number of formats that the README states is the number there is."""
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    assert f"[{len(readers())} container formats]" in readme
