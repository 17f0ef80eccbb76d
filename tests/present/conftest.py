"""What the tests of the reports share: the example evaluations, a store with their contents, and one browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banbury.lab.store import FileStore
from banbury.model.evaluation import Evaluation
from tests.present import example

CHROMIUM = os.environ.get("BANBURY_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    found = FileStore(tmp_path_factory.mktemp("blobs"))
    example.fill(found)
    return found


@pytest.fixture(scope="session")
def small() -> Evaluation:
    return example.small()


@pytest.fixture(scope="session")
def hostile() -> Evaluation:
    return example.hostile()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests of pages."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: the page is not tested in one (Debian package chromium, or BANBURY_CHROMIUM)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT: the page is not tested in a browser")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield found
        found.close()


class Opened:
    """A page with everything that it said and asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda problem: self.said.append(str(problem)))
        page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a report: ``open_page(html, width=1280, scripts=True, fragment="")`` gives an :class:`Opened`."""
    contexts = []

    def opens(html: str, *, width: int = 1280, scripts: bool = True, dark: bool = False, fragment: str = "") -> Opened:
        path = tmp_path / "report.html"
        path.write_text(html, "utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.goto(path.as_uri() + fragment)
        return opened

    yield opens
    for context in contexts:
        context.close()
