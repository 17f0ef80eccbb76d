"""Settings of web servers: uhttpd, lighttpd, nginx, boa, thttpd, Apache and BusyBox httpd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._lines import basename, clip, line_span, unquote
from banbury.model.facts import Fact, Span


class WebServer(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="webroot.server"):
    """One web server (or one of its virtual servers) as its settings describe it. ``listen`` are addresses and ports
    as written, ``tls_listen`` those with TLS; ``auth`` are realms, paths or password files with authentication;
    ``cgi`` are CGI prefixes, handlers and interpreters; ``user`` the user it runs as."""

    server: str
    name: str = ""
    listen: list[str] = field(default_factory=list)
    tls_listen: list[str] = field(default_factory=list)
    document_roots: list[str] = field(default_factory=list)
    tls_certificates: list[str] = field(default_factory=list)
    tls_keys: list[str] = field(default_factory=list)
    tls_settings: list[str] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)
    cgi: list[str] = field(default_factory=list)
    user: str = ""


_MOST: Final = 64

#: For each server: the setting's name (a pattern, matched whole) and the field it fills.
_SETTINGS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "uhttpd": (
        (r"listen_http", "listen"),
        (r"listen_https", "tls_listen"),
        (r"home", "document_roots"),
        (r"cert", "tls_certificates"),
        (r"key", "tls_keys"),
        (r"realm|config", "auth"),
        (r"cgi_prefix|interpreter|lua_prefix|lua_handler|ubus_prefix|ucode_prefix", "cgi"),
    ),
    "lighttpd": (
        (r"server\.port|server\.bind", "listen"),
        (r"server\.document-root", "document_roots"),
        (r"ssl\.pemfile|ssl\.ca-file", "tls_certificates"),
        (r"ssl\.privkey", "tls_keys"),
        (r"ssl\.(?:engine|use-\S+|cipher-list|openssl\S*)", "tls_settings"),
        (r"auth\.\S+", "auth"),
        (r"cgi\.assign|fastcgi\.server|alias\.url", "cgi"),
        (r"server\.username", "user"),
    ),
    "nginx": (
        (r"listen", "listen"),
        (r"root", "document_roots"),
        (r"ssl_certificate", "tls_certificates"),
        (r"ssl_certificate_key", "tls_keys"),
        (r"ssl_protocols|ssl_ciphers", "tls_settings"),
        (r"auth_basic|auth_basic_user_file", "auth"),
        (r"fastcgi_pass|uwsgi_pass|scgi_pass", "cgi"),
        (r"user", "user"),
    ),
    "apache": (
        (r"listen", "listen"),
        (r"documentroot", "document_roots"),
        (r"sslcertificatefile", "tls_certificates"),
        (r"sslcertificatekeyfile", "tls_keys"),
        (r"sslprotocol|sslciphersuite", "tls_settings"),
        (r"authname|authuserfile|require", "auth"),
        (r"scriptalias|addhandler", "cgi"),
        (r"user", "user"),
    ),
    "boa": (
        (r"port|listen", "listen"),
        (r"documentroot", "document_roots"),
        (r"sslcertificate\S*", "tls_certificates"),
        (r"auth\S*", "auth"),
        (r"scriptalias|cgipath", "cgi"),
        (r"user", "user"),
    ),
    "thttpd": (
        (r"port|host", "listen"),
        (r"dir", "document_roots"),
        (r"certfile|ssl_cert", "tls_certificates"),
        (r"cgipat", "cgi"),
        (r"user", "user"),
    ),
    "busybox-httpd": (
        (r"h", "document_roots"),
        (r"\*\.\w+", "cgi"),
    ),
}
_COMPILED: Final = {
    server: tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in rows)
    for server, rows in _SETTINGS.items()
}
_EQUALS: Final = re.compile(r"([\w.-]{1,60})\s*\+?[:=]\s*(.+)")
_SPACED: Final = re.compile(r"([\w.-]{1,60})\s+(.+?);?")
_COLON: Final = re.compile(r"([\w.*]{1,20}):(.+)")

_PATHS: Final = tuple(
    (re.compile(pattern), server)
    for pattern, server in (
        (r"(?:^|/)etc/config/uhttpd$", "uhttpd"),
        (r"(?:^|/)lighttpd[^/]*\.conf$|(?:^|/)lighttpd/[^/]+/[^/]+\.conf$", "lighttpd"),
        (r"(?:^|/)nginx\.conf$|(?:^|/)nginx/(?:[^/]+/)*[^/]+\.conf$|(?:^|/)nginx/sites-[^/]+/[^/]+$", "nginx"),
        (r"(?:^|/)boa\.conf$", "boa"),
        (r"(?:^|/)m?(?:ini_|t)httpd\.conf$", "thttpd"),
        (r"(?:^|/)(?:apache2?|httpd)/(?:[^/]+/)*[^/]+\.conf$|(?:^|/)apache2?\.conf$", "apache"),
        (r"(?:^|/)httpd\.conf$", "httpd"),
    )
)


def server_of(path: str) -> str:
    """Which server's settings a path is, or ``""``. ``httpd`` stands for Apache or BusyBox: the content tells."""
    return next((server for pattern, server in _PATHS if pattern.search(path)), "")


class _Found:
    """The settings of one server as they are met."""

    def __init__(self, server: str, name: str, at: Span | None, text: str) -> None:
        self.server, self.name, self.at, self.text = server, name, at, text
        self.lists: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        values = self.lists.setdefault(name, [])
        if value and len(values) < _MOST:
            values.append(value[:200])

    def fact(self) -> WebServer:
        lists = dict(self.lists)
        user = lists.pop("user", [""])
        return WebServer(
            server=self.server, name=self.name, at=self.at, text=self.text, user=(user or [""])[0][:40], **lists
        )


def settings(file: FileView, server: str) -> Iterator[WebServer]:
    """The servers that a settings file describes."""
    if server == "uhttpd":
        yield from _uci(file)
        return
    if server == "httpd":
        server = (
            "apache"
            if re.search(rb"(?im)^\s{0,20}(?:documentroot|serverroot|<directory)", file.data)
            else "busybox-httpd"
        )
    yield from _flat(file, server)


def _uci(file: FileView) -> Iterator[WebServer]:
    found: _Found | None = None
    for offset, line in file.lines:
        words = line.strip().split(None, 2)
        if len(words) >= 2 and words[0] == "config":
            if found is not None and found.lists:
                yield found.fact()
            name = unquote(words[2]) if len(words) > 2 else ""
            found = _Found("uhttpd", name, line_span(file, offset), clip(line)) if words[1] == "uhttpd" else None
        elif found is not None and len(words) == 3 and words[0] in {"option", "list"}:
            _fill(found, "uhttpd", unquote(words[1]), unquote(words[2]))
    if found is not None and found.lists:
        yield found.fact()


def _split(server: str, text: str) -> re.Match[str] | None:
    pattern = _EQUALS if server in {"lighttpd", "thttpd"} else _COLON if server == "busybox-httpd" else _SPACED
    return pattern.fullmatch(text)


def _fill(found: _Found, server: str, name: str, value: str) -> None:
    for pattern, target in _COMPILED[server]:
        if pattern.fullmatch(name):
            secure = target == "listen" and server == "nginx" and re.search(r"\bssl\b", value)
            found.add("tls_listen" if secure else target, unquote(value))
            return


def _flat(file: FileView, server: str) -> Iterator[WebServer]:
    """Settings in lines ``name value``, ``name = value`` or, for BusyBox, ``letter:value``."""
    found: _Found | None = None
    for offset, line in file.lines:
        text = line.strip()[:1024]
        if not text or text[0] in "#;}":
            continue
        match = _split(server, text)
        if match is None and not (server == "busybox-httpd" and text.startswith("/")):
            continue
        fresh = _Found(server, basename(file.path), line_span(file, offset), clip(text)) if found is None else found
        if match is None:
            _busybox_auth(fresh, text)
        else:
            _fill(fresh, server, match[1], match[2])
        found = fresh if fresh.lists else None
    if found is not None:
        yield found.fact()


def _busybox_auth(found: _Found, text: str) -> None:
    """``/path:user:password`` asks for a password; the password is not kept."""
    fields = text.split(":", 2)
    if len(fields) == 3:
        found.add("auth", f"{fields[0]} (user {fields[1]})")
