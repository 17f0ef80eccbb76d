"""The HTML report in a real browser: nothing of the release runs or is fetched, and the page does what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from banbury.lab.store import FileStore
from banbury.model.evaluation import Evaluation
from banbury.present.html import render_html
from tests.present import example

OWNED = "() => window.owned"


@pytest.fixture(scope="module")
def page(small: Evaluation, store: FileStore) -> str:
    return render_html(small, store)


@pytest.fixture(scope="module")
def hostile_page(hostile: Evaluation, store: FileStore) -> str:
    return render_html(hostile, store)


def test_nothing_of_the_release_runs_and_nothing_is_fetched(hostile_page: str, open_page: Any) -> None:
    opened = open_page(hostile_page)
    opened.page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
    for box in opened.page.query_selector_all("input[type=checkbox]"):
        box.click()
    opened.page.fill("#find-place", "script")
    opened.page.wait_for_selector("#places-found a")

    assert opened.page.evaluate(OWNED) is None
    assert opened.said == []
    assert [url.partition("#")[0] for url in opened.asked] == [opened.page.url.partition("#")[0]]
    # It is there, as text.
    assert "<script>window.owned = 1</script>" in opened.page.inner_text("body")
    assert opened.page.locator("script").count() == 1


def test_the_policy_holds_even_where_escaping_would_fail(page: str, open_page: Any) -> None:
    """Markup put into the page afterwards, as a fault in a template would: it does not run, and fetches nothing."""
    attack = (
        "<script>window.owned = 1</script><img src=x onerror='window.owned=1'>"
        "<img src='https://example.com/x.png'><iframe src='https://example.com/'></iframe>"
        "<link rel=stylesheet href='https://example.com/x.css'><style>h1{color:rgb(1, 2, 3)}</style>"
        "<form action='https://example.com/'><input name=a></form><base href='https://example.com/'>"
    )
    opened = open_page(page.replace("<footer>", attack + "<footer>"))
    opened.page.wait_for_load_state("load")

    assert opened.page.evaluate(OWNED) is None
    assert opened.page.evaluate("() => getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
    assert opened.page.evaluate("() => document.baseURI").startswith("file:")
    refused = [text for text in opened.said if "Content Security Policy" in text]
    assert len(refused) >= 5  # each attempt is refused by the policy, and by nothing else


def test_a_linked_place_opens_its_branch(page: str, open_page: Any) -> None:
    opened = open_page(page, fragment="#n3")
    assert opened.page.locator("#n3").is_visible()
    assert not opened.page.locator("#n5").is_visible()
    opened.page.evaluate("() => { location.hash = '#n5'; }")
    opened.page.wait_for_selector("#n5", state="visible")


def test_every_link_leads_somewhere(page: str, hostile_page: str, open_page: Any) -> None:
    for html in (page, hostile_page):
        opened = open_page(html)
        dead = opened.page.evaluate(
            "() => [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
            ".filter(h => !h || !h.startsWith('#') || !document.getElementById(h.slice(1)))"
        )
        # A tile that counts nothing has no list to lead to.
        assert [href for href in set(dead) if not href.startswith(("#gap-", "#change-"))] == []
        counted = "a.tile:not(.none)"
        assert opened.page.evaluate(
            f"() => [...document.querySelectorAll('{counted}')].every(a => document.querySelector(a.hash))"
        )


def test_findings_are_filtered_by_words_severity_and_state(page: str, open_page: Any) -> None:
    opened = open_page(page)
    rules = opened.page.locator("details.rule:visible")
    assert rules.count() == 3

    opened.page.fill("#find-words", "no-pie")
    opened.page.wait_for_function("() => document.querySelectorAll('details.rule:not([hidden])').length === 1")
    assert "no-pie" in rules.first.inner_text()
    opened.page.fill("#find-words", "")
    opened.page.wait_for_function("() => document.querySelectorAll('details.rule:not([hidden])').length === 3")

    opened.page.uncheck("input[data-severity=critical]")
    assert rules.count() == 2
    opened.page.uncheck("input[data-status=new]")
    assert "no-pie" in rules.first.inner_text()
    assert rules.count() == 1
    # A link to a finding that is filtered out shows it nevertheless.
    target = opened.page.locator(".f[hidden]").first.get_attribute("id")
    opened.page.evaluate(f"() => {{ location.hash = '#{target}'; }}")
    opened.page.wait_for_selector(f"#{target}", state="visible")


def test_tables_filter_and_sort(page: str, open_page: Any) -> None:
    opened = open_page(page)
    names = "() => [...document.querySelectorAll('tr.program:not([hidden]) td:first-child')].map(d => d.innerText)"
    assert opened.page.evaluate(names) == ["bin/busybox", "lib/modules/6.1/tun.ko"]
    opened.page.click(".matrix th:has-text('NX')")
    assert opened.page.evaluate(names) == ["bin/busybox", "lib/modules/6.1/tun.ko"]
    opened.page.click(".matrix th:has-text('NX')")
    assert opened.page.evaluate(names) == ["lib/modules/6.1/tun.ko", "bin/busybox"]
    opened.page.fill("input[data-filter='.program']", "tun")
    opened.page.wait_for_function("() => document.querySelectorAll('tr.program[hidden]').length === 1")
    assert opened.page.evaluate(names) == ["lib/modules/6.1/tun.ko"]


def test_the_map_is_read_out_and_leads_to_the_tree(page: str, open_page: Any) -> None:
    opened = open_page(page)
    unread = opened.page.locator("svg.map rect.unread").first
    unread.hover()
    text = opened.page.inner_text("#readout-0")
    assert text == "0x2f20–0x3754, 2100 bytes, unread: content not recognised"
    opened.page.locator("svg.map a", has=opened.page.locator("rect.h1")).first.click()
    opened.page.wait_for_selector("#n4", state="visible")


def test_it_is_read_without_scripts(page: str, open_page: Any) -> None:
    opened = open_page(page, scripts=False)
    text = opened.page.inner_text("main")
    first = text.index("What was not checked".lower()) if "what was not checked" in text else text.index("What was not")
    assert first < text.index("Where every byte went") < text.index("Findings by what they touch")
    assert "content not recognised" in text
    opened.page.locator("details.f summary").first.click()
    assert "72 6f 6f 74 3a 3a 30" in opened.page.inner_text("main")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, False), (400, True)])
def test_no_text_runs_out_of_the_window(width: int, dark: bool, page: str, hostile_page: str, open_page: Any) -> None:
    for html in (page, hostile_page):
        opened = open_page(html, width=width, dark=dark)
        opened.page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
        assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert opened.said == []


def test_a_large_release_stays_usable(store: FileStore, open_page: Any) -> None:
    """Six thousand files are all in the page, and the last one can be gone to."""
    opened = open_page(render_html(example.large(6_000), store), fragment="#n6005")
    assert opened.page.locator("#n6005").is_visible()
    assert opened.page.evaluate("() => document.querySelectorAll('.tree [id]').length") == 6_008
    assert opened.said == []


def test_the_weight_of_a_large_release_is_bounded(store: FileStore) -> None:
    """What the cut tables weigh at most, and so much for each place that fifty thousand of them stay below 15 MB."""
    html = render_html(example.large(16_000), store)
    assert len(html) < 4_500_000 + 16_000 * 210
    assert len(re.findall(r'<tr class="program">', html)) == 1500
    assert "102 more programs in the JSON" in html
