"""Samples of web roots and of web servers' settings."""

from __future__ import annotations

from banbury.model.tree import Entry, Kind
from tests.inspect.case import Case

UHTTPD = b"""config uhttpd 'main'
\tlist listen_http '0.0.0.0:80'
\tlist listen_https '0.0.0.0:443'
\toption home '/www'
\toption cert '/etc/uhttpd.crt'
\toption key '/etc/uhttpd.key'
\toption cgi_prefix '/cgi-bin'
config cert 'px5g'
\toption days '730'
"""

CASES = [
    Case(
        "webroots",
        "positive",
        "two roots",
        entries=[
            Entry(path="www/index.html", kind=Kind.FILE, mode=0o644),
            Entry(path="www/html/x.htm", kind=Kind.FILE),
            Entry(path="www/cgi-bin/luci", kind=Kind.FILE, mode=0o755),
            Entry(path="home/httpd/web/a.php", kind=Kind.FILE),
            Entry(path="usr/lib/cgi-bin/export.cgi", kind=Kind.FILE),
            Entry(path="usr/bin/tool.sh", kind=Kind.FILE),
        ],
        expect=[
            {"fact": "webroot.directory", "path": "www", "files": 3, "index": "www/index.html"},
            {"fact": "webroot.directory", "path": "home/httpd/web", "types": {"php": 1}},
            {"fact": "webroot.program", "path": "www/cgi-bin/luci", "kind": "cgi", "mode": "0755"},
            {"fact": "webroot.program", "path": "home/httpd/web/a.php", "kind": "php"},
            {"fact": "webroot.program", "path": "usr/lib/cgi-bin/export.cgi", "kind": "cgi"},
        ],
        never=[{"path": "www/html"}, {"path": "usr/bin/tool.sh"}],
    ),
    Case(
        "webroots",
        "negative",
        "no pages",
        entries=[
            Entry(path="usr/lib/python3/http/client.py", kind=Kind.FILE),
            Entry(path="etc/web/readme", kind=Kind.FILE),
            Entry(path="usr/share/doc/x/html/index.html", kind=Kind.FILE),
        ],
    ),
    Case(
        "webroots",
        "malformed",
        "odd names",
        entries=[
            Entry(path="", kind=Kind.FILE),
            Entry(path="www/", kind=Kind.FILE),
            Entry(path="../" * 500 + "www/" * 500 + "a.html", kind=Kind.SYMLINK),
        ],
        never=[{"fact": "webroot.program"}],
    ),
    Case(
        "web-server",
        "positive",
        "uhttpd",
        lambda: UHTTPD,
        path="etc/config/uhttpd",
        expect=[
            {
                "server": "uhttpd",
                "name": "main",
                "listen": ["0.0.0.0:80"],
                "tls_listen": ["0.0.0.0:443"],
                "document_roots": ["/www"],
                "tls_certificates": ["/etc/uhttpd.crt"],
                "tls_keys": ["/etc/uhttpd.key"],
                "cgi": ["/cgi-bin"],
            }
        ],
        never=[{"name": "px5g"}],
    ),
    Case(
        "web-server",
        "positive",
        "lighttpd",
        lambda: b'server.port = 8080\nserver.document-root = "/www"\nssl.pemfile = "/etc/l.pem"\n# server.port = 1\n',
        path="etc/lighttpd/lighttpd.conf",
        expect=[{"server": "lighttpd", "listen": ["8080"], "document_roots": ["/www"]}],
    ),
    Case(
        "web-server",
        "positive",
        "nginx",
        lambda: b"server {\n listen 80;\n listen [::]:443 ssl;\n root /www;\n ssl_certificate_key /etc/n.key;\n}\n",
        path="etc/nginx/nginx.conf",
        expect=[{"listen": ["80"], "tls_listen": ["[::]:443 ssl"], "tls_keys": ["/etc/n.key"]}],
    ),
    Case(
        "web-server",
        "positive",
        "BusyBox httpd",
        lambda: b"H:/www\n/cgi-bin:admin:secret\n*.php:/usr/bin/php-cgi\n",
        path="etc/httpd.conf",
        expect=[{"server": "busybox-httpd", "auth": ["/cgi-bin (user admin)"], "document_roots": ["/www"]}],
    ),
    Case("web-server", "negative", "no settings", lambda: b"# empty\n", path="etc/lighttpd.conf"),
    Case("web-server", "malformed", "noise", lambda: b"\xff\xfe{{{;;;\n" * 100, path="etc/nginx/nginx.conf"),
]
