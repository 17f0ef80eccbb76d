"""Web interfaces: where their files are, which of them are programs, and how the server is set up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView, TreeInspector
from banbury.inspect.inspectors._lines import basename, within
from banbury.inspect.inspectors._webservers import WebServer, server_of, settings
from banbury.model.facts import Fact
from banbury.model.tree import Dissection, Entry, Kind

_CAP: Final = 1 << 20
_MOST: Final = 5000

#: Directories that hold web roots by their name alone, and those that do so in a usual place.
_ROOT_NAME: Final = re.compile(
    r"(?:www|wwwroot|htdocs|webroot|web_root|webpages|public_html|htdocs_\w+|www[_-]\w{1,20}|web|webs|http|html)",
    re.IGNORECASE,
)
_NOT_ROOT: Final = re.compile(
    r"(?:^|/)(?:proc|sys|dev|usr/include|usr/share/doc|usr/lib/python[^/]*|usr/share/man)(?:/|$)"
)
_PAGES: Final = frozenset({"html", "htm", "shtml", "xhtml"})
_PROGRAMS: Final = {
    "cgi": "cgi",
    "fcgi": "cgi",
    "php": "php",
    "php3": "php",
    "php5": "php",
    "phtml": "php",
    "lua": "lua",
    "lp": "lua",
    "asp": "asp",
    "jsp": "jsp",
    "pl": "perl",
    "py": "python",
    "sh": "shell",
    "ssi": "ssi",
    "uc": "ucode",
}
_FILES: Final = frozenset({Kind.FILE, Kind.HARDLINK, Kind.SYMLINK})


class WebRoot(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="webroot.directory"):
    """A directory that a web server publishes, by its name and content: how many files of each extension."""

    path: str
    files: int
    types: dict[str, int] = field(default_factory=dict)
    index: str = ""


class WebProgram(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="webroot.program"):
    """A file that runs when it is asked for: below a web root by its extension, or in a cgi-bin directory. ``mode``
    is octal, "" where the container states none."""

    path: str
    kind: str
    mode: str = ""


def _extension(path: str) -> str:
    name = basename(path)
    dot = name.rfind(".")
    return name[dot + 1 :].lower()[:10] if dot > 0 else ""


def _root_of(path: str) -> str:
    """The outermost directory of ``path`` that has a web root's name, or ``""``."""
    parts = path.split("/")[:-1][:32]
    for i, part in enumerate(parts):
        if _ROOT_NAME.fullmatch(part):
            return "/".join(parts[: i + 1])
    return ""


def _program(entry: Entry, below_root: bool) -> str:
    """The kind of program that an entry is to a web server, or ``""``."""
    in_cgi = re.search(r"(?:^|/)cgi(?:-bin|_bin)?/", entry.path) is not None
    kind = _PROGRAMS.get(_extension(entry.path), "")
    if in_cgi and (kind or _extension(entry.path) in {"", "bin", "exe"}):
        return kind or "cgi"
    return kind if below_root or kind == "cgi" else ""


class WebRoots(TreeInspector):
    name = "webroots"
    title = "Web roots and their programs"
    question = "Which directories does a web interface publish, and which programs answer in them?"
    version = 1
    blind_spots = (
        "Web roots are recognised by their names and content; one that is packed into a program is not seen.",
        "Programs whose handlers are compiled into the web server have no file here.",
        "Whether a page asks for a login is not decided.",
    )
    references = ("RFC 3875 (CGI)", "Filesystem Hierarchy Standard 3.0")
    facts = (WebRoot, WebProgram)

    def inspect(self, tree: Dissection) -> Iterator[Fact]:
        types: dict[str, Counter[str]] = {}
        index: dict[str, str] = {}
        programs: list[tuple[Entry, str, str]] = []
        for entry in tree.entries:
            if entry.kind not in _FILES or _NOT_ROOT.search(entry.path):
                continue
            root = _root_of(entry.path)
            if root:
                types.setdefault(root, Counter())[_extension(entry.path)] += 1
                if re.fullmatch(r"(?:index|default|login)\.\w{2,6}", basename(entry.path)):
                    index.setdefault(root, entry.path)
            kind = _program(entry, root != "")
            if kind:
                programs.append((entry, kind, root))
        real = {root for root, counts in types.items() if counts.keys() & (_PAGES | _PROGRAMS.keys())}
        for root in sorted(real)[:_MOST]:
            counts = types[root]
            yield WebRoot(
                path=root, files=counts.total(), types=dict(counts.most_common(30)), index=index.get(root, "")
            )
        for entry, kind, _ in programs[:_MOST]:
            yield WebProgram(path=entry.path, kind=kind, mode=f"{entry.mode:04o}" if entry.mode >= 0 else "")


class WebServers(FileInspector):
    name = "web-server"
    title = "Web server settings"
    question = "On which ports, from which directory, with which certificate and login does the web server answer?"
    version = 1
    blind_spots = (
        "Settings that the server's command line, an include, or a program at run time makes are not seen here.",
        "Blocks are not followed: in files with several servers, except uhttpd's, their settings are put together.",
        "Vendors' own web servers with settings of their own are not read.",
    )
    references = (
        "OpenWrt documentation, 'uHTTPd web server configuration'; lighttpd, nginx, boa, thttpd and Apache manuals",
        "BusyBox, networking/httpd.c (head comment)",
    )
    facts = (WebServer,)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return len(file.view) > 0 and server_of(file.path) != "" and file.view.find(b"\0", 0, 4096) < 0

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
        yield from settings(file, server_of(file.path))


INSPECTORS = (WebRoots(), WebServers())
