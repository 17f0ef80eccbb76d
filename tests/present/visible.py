"""The text of a page, line by line, as a reader of plain text would want it: what changes in it is worth a look."""

from __future__ import annotations

from html.parser import HTMLParser

_LINES = {"p", "h1", "h2", "h3", "tr", "div", "summary", "li", "pre", "dt", "title", "text", "label", "footer"}
_SILENT = {"style", "script"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = [""]
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _LINES:
            self.lines.append("# " if tag in ("h1", "h2", "h3") else "")
        elif tag in ("td", "th", "dd", "i", "span"):
            self.lines[-1] += " "

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT
        if tag in ("table", "svg"):
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.lines[-1] += data


def visible(html: str) -> str:
    """The page's text without markup, style and script; runs of blanks are one."""
    reader = _Reader()
    reader.feed(html)
    lines = [" ".join(line.split()) for line in reader.lines]
    return "\n".join(line for line in lines if line) + "\n"
