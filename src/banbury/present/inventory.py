"""The inventory's tables: what the release holds, by sort, each row with the bytes that show it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from banbury.judge.rules import fact_defaults
from banbury.model.evaluation import Node
from banbury.present.facts import Stated

ROW_LIMIT = 500


class Row(Struct, frozen=True, kw_only=True):
    """One row: its cells, its place, the bytes that show it (start -1: the whole file), and what stands there."""

    cells: list[str]
    node: Node
    start: int
    length: int
    text: str


class Table(Struct, frozen=True, kw_only=True):
    """All facts of one sort. ``total`` counts all rows, of which at most :data:`ROW_LIMIT` are in ``rows``."""

    anchor: str
    title: str
    columns: list[str]
    rows: list[Row]
    total: int


#: Each table: the fact, a title, and its columns (a field, or ``field as heading``).
TABLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("package.installed", "Installed packages", ("name", "version", "architecture", "manager", "license")),
    ("account.group", "Groups", ("name", "gid", "members", "password")),
    (
        "account.credential",
        "Stored credentials",
        ("where as setting", "user", "form", "masked", "length", "well_known"),
    ),
    ("account.hash", "Password hashes outside account files", ("algorithm", "user", "hash", "default", "container")),
    ("key.private", "Private keys", ("type", "bits", "curve", "format", "encrypted", "container as found in", "why")),
    (
        "key.certificate",
        "Certificates",
        ("subject", "issuer", "not_before", "not_after", "key_type", "bits", "signature", "self_signed", "ca", "why"),
    ),
    ("key.request", "Certificate requests", ("subject", "key_type", "bits", "signature", "why")),
    ("key.public", "Public keys", ("type", "bits", "curve", "format", "comment", "ssh_fingerprint", "why")),
    ("key.symmetric", "Symmetric keys", ("format", "bits", "container as found in")),
    ("key.parameters", "Diffie-Hellman parameters", ("bits", "container as found in")),
    ("key.store", "Key stores", ("format", "entries")),
    ("key.unread", "Keys that could not be read", ("why",)),
    ("startup.service", "Services", ("name", "mechanism", "start as order", "commands", "user", "enabled")),
    ("startup.enablement", "What is enabled", ("name", "mechanism", "enabled", "order", "level", "target")),
    (
        "startup.network-listener",
        "Network listeners",
        ("program", "protocol", "address", "port", "service", "user", "login", "enabled", "mechanism", "command"),
    ),
    ("startup.console", "Consoles", ("tty", "action", "process", "login")),
    ("startup.cron", "Scheduled jobs", ("schedule", "user", "command", "mechanism")),
    ("startup.hook", "Event hooks", ("event", "mechanism", "command")),
    ("startup.modules", "Modules loaded at boot", ("modules",)),
    ("permission.set-id", "Setuid and setgid programs", ("path", "mode", "uid", "gid")),
    ("permission.capabilities", "File capabilities", ("path", "permitted", "inheritable", "effective")),
    ("permission.writable", "Writable by everybody or by a group", ("path", "kind", "mode", "who", "uid", "gid")),
    ("permission.device", "Device nodes", ("path", "kind", "major", "minor", "mode")),
    ("permission.owner", "Owners other than root", ("uid", "gid", "entries", "path as first")),
    ("kernel.banner", "Kernels", ("version", "builder", "compiler", "build", "date")),
    ("kernel.config", "Kernel configurations", ("version", "architecture", "options", "built_in", "modules")),
    ("kernel.option", "Kernel options", ("name", "value", "group")),
    ("kernel.command-line", "Kernel command lines", ("parameters", "console", "init", "root")),
    ("kernel.boot-loader", "Boot loaders", ("name", "version", "date")),
    ("kernel.environment", "Boot environments", ("bootcmd", "bootargs", "bootdelay", "checksum")),
    ("kernel.module", "Kernel modules", ("name", "kernel", "license", "version", "signed", "vermagic")),
    ("webroot.directory", "Web roots", ("path", "files", "types", "index")),
    ("webroot.program", "Programs that the web server runs", ("path", "kind", "mode")),
    ("webroot.server", "Web servers", ("server", "listen", "tls_listen", "document_roots", "auth", "cgi", "user")),
    ("script.use", "What scripts do", ("use", "language", "line")),
)


#: Fields of which the day is enough.
_CUT = {"not_before": 10, "not_after": 10}


def inventory(facts: dict[str, list[Stated]]) -> list[Table]:
    """Every table that has rows."""
    tables = list(_accounts(facts.get("account.user", [])))
    for tag, title, columns in TABLES:
        if tag in facts:
            tables.append(_table(tag, title, columns, facts[tag]))
    return tables


def _table(tag: str, title: str, columns: tuple[str, ...], facts: list[Stated]) -> Table:
    defaults = fact_defaults().get(tag, {})
    named = [_column(c) for c in columns]
    rows = []
    for stated in facts[:ROW_LIMIT]:
        filled = {**defaults, **stated.fact}
        cells = [cell(filled.get(field))[: _CUT.get(field)] for field, _ in named]
        text = str(stated.fact.get("text", ""))
        rows.append(Row(cells=cells, node=stated.node, start=stated.start, length=stated.length, text=text))
    return _filled(f"table-{tag.replace('.', '-')}", title, [heading for _, heading in named], rows, len(facts))


def _filled(anchor: str, title: str, columns: list[str], rows: list[Row], total: int) -> Table:
    """A table without the columns that no row fills."""
    used = [i for i in range(len(columns)) if any(r.cells[i] for r in rows)]
    shown = [msgspec.structs.replace(r, cells=[r.cells[i] for i in used]) for r in rows]
    return Table(anchor=anchor, title=title, columns=[columns[i] for i in used], rows=shown, total=total)


def _column(column: str) -> tuple[str, str]:
    field, _, heading = column.partition(" as ")
    return field, heading or field.replace("_", " ")


def cell(value: object) -> str:
    """A field's value for a table's cell; what was not stated is left blank."""
    if value in (None, -1, ""):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return str(value)


_ACCOUNT_COLUMNS = ["name", "uid", "shell", "logs in", "password", "well-known password", "algorithm", "home", "gid"]


def _accounts(facts: list[Stated]) -> Iterator[Table]:
    """Accounts, one row each: passwd and shadow of one tree together."""
    merged: dict[tuple[int, str, str], list[Stated]] = {}
    for stated in facts:
        source = str(stated.fact.get("source", ""))
        system = "system" if source in ("passwd", "shadow", "master.passwd") else stated.node.where
        merged.setdefault((stated.node.parent, system, str(stated.fact.get("name", ""))), []).append(stated)
    if merged:
        rows = [_account(found) for found in merged.values()]
        yield _filled("table-account-user", "Accounts", _ACCOUNT_COLUMNS, rows[:ROW_LIMIT], len(rows))


def _account(found: list[Stated]) -> Row:
    """One account from all the files that state it. The password's state is that of the file that holds it."""

    def first(field: str) -> str:
        return next((text for s in found if (text := cell(s.fact.get(field)))), "")

    holder = next((s for s in found if s.fact.get("password") != "shadowed"), found[0])
    password = cell(holder.fact.get("password"))
    default = cell(holder.fact.get("default")) if holder.fact.get("password") == "hash" else ""
    if default == "yes":
        default = f"yes: {cell(holder.fact.get('default_password'))}"
    algorithm = cell(holder.fact.get("algorithm"))
    known = [first("name"), first("uid"), first("shell"), first("login"), password, default, algorithm]
    return Row(
        cells=[*known, first("home"), first("gid")],
        node=holder.node,
        start=holder.start,
        length=holder.length,
        text=str(holder.fact.get("text", "")),
    )
