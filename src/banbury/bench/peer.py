"""cve-bin-tool beside identification by bytes: the same files, each as a process of its own.

The peer is under the GPL: it is started as a program where it is on PATH, and nothing of it is loaded or copied. It
refuses to start without a database of vulnerabilities and without the network; it gets a folder of its own with a
database that holds one made-up row, and an empty table for its check for SQLite (which thus finds no version).
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from banbury.bench.components import Unit, same
from banbury.bench.meter import Usage, measure
from banbury.bench.pools import Chosen, Pool
from banbury.supply.knowledge.packages import members
from banbury.supply.products import products

PROGRAM: Final = "cve-bin-tool"
#: Of the set's packages in order of their names, every how many-th is compared: the peer takes a minute for 100 MB.
EVERY: Final = 2
_SAYS: Final = re.compile(r"/([^/\s]+)/[^/\s]+ contains (\S+) (\S+)")
_TABLES: Final = {
    "cve_severity": "cve_number, severity, description, score, cvss_version, cvss_vector, data_source, last_modified",
    "cve_range": "cve_number, vendor, product, version, versionStartIncluding, versionStartExcluding, "
    "versionEndIncluding, versionEndExcluding, data_source",
    "cve_exploited": "cve_number, product, description",
    "cve_metrics": "cve_number, metric_id, metric_score, metric_field",
    "metrics": "metrics_id, metrics_name",
    "mismatch": "purl, vendor",
    "purl2cpe": "purl, cpe",
}
Tell = Callable[[str], object]


class Side(Struct, frozen=True, kw_only=True):
    """One tool on the files. ``cpu``: seconds of the whole process; ``start``: of one on an empty folder. ``right``:
    packages whose product and version it states, and no other version of that product; ``anyhow``: packages whose
    right version it states under any name. ``good``, ``bad``: versions stated of the package's own product.
    ``trouble``: why there are no figures."""

    name: str
    cpu: float = 0.0
    named: int = 0
    right: int = 0
    anyhow: int = 0
    good: int = 0
    bad: int = 0
    start: float = 0.0
    trouble: str = ""


class Beside(Struct, frozen=True, kw_only=True):
    """Both tools on the same files."""

    pool: str
    packages: int
    files: int
    size: int
    ours: Side
    theirs: Side

    def ratio(self) -> float:
        """How many times the CPU of our pass theirs takes, start left out of both."""
        return (self.theirs.cpu - self.theirs.start) / max(self.ours.cpu - self.ours.start, 1e-9)


def compare(
    pool: Pool, packages: Sequence[tuple[Chosen, Path]], units: Sequence[Unit], work: Path, tell: Tell
) -> Beside:
    """Unpack a share of the packages' ELF files and run both tools over them."""
    folder = work / "peer" / pool.suite
    shutil.rmtree(folder, ignore_errors=True)
    by_name = {unit.package: unit for unit in units if unit.programs}
    names = sorted(by_name)[::EVERY]
    paths = {c.package: path for c, path in packages}
    files = size = 0
    for name in names:
        (folder / name).mkdir(parents=True)
        for where, content in members(paths[name]):
            if where.startswith("data/") and content.startswith(b"\x7fELF"):
                files, size = files + 1, size + len(content)
                (folder / name / f"{files}-{where.rpartition('/')[2]}").write_bytes(content)
    ours = [by_name[name] for name in names]
    tell(f"{pool.name}: both tools on {files} files, {size / 1e6:.0f} MB")
    (empty := work / "peer" / "empty").mkdir(exist_ok=True)
    runner = [sys.executable, "-m", "banbury.bench.runners", "identify"]
    start, usage = (measure([*runner, str(what)]) for what in (empty, folder))
    return Beside(
        pool=pool.name,
        packages=len(names),
        files=files,
        size=size,
        ours=Side(
            name="banbury",
            cpu=usage.cpu,
            start=start.cpu,
            named=sum(u.named for u in ours),
            right=sum(u.right for u in ours),
            anyhow=sum(bool(u.asserted) for u in ours),
            good=sum(bool(u.asserted) for u in ours),
            bad=sum(len(u.wrong) for u in ours),
        ),
        theirs=_theirs(folder, empty, ours, work),
    )


def _theirs(folder: Path, empty: Path, units: Sequence[Unit], work: Path) -> Side:
    program = shutil.which(PROGRAM)
    if program is None:
        return Side(name=PROGRAM, trouble="not installed")
    home, log = work / "peer" / "home", work / "peer" / "log"
    _make_home(home)
    command = [program, "--offline", "--disable-version-check", "-l", "debug", "-f", "json"]
    start, usage = (_logged([*command, str(what.resolve())], home, log) for what in (empty, folder))
    text = log.read_text(errors="replace") if log.is_file() else ""
    if usage.status != 0:
        last = [line for line in text.splitlines() if line.strip()][-1:] or ["no output"]
        return Side(name=PROGRAM, trouble=f"exit status {usage.status}: {last[0].strip()[:120]}")
    said: dict[str, set[tuple[str, str]]] = {}
    for package, product, version in _SAYS.findall(text):
        said.setdefault(package, set()).add((product, version))
    return structs.replace(judge(units, said), cpu=usage.cpu, start=start.cpu)


def _logged(command: list[str], home: Path, log: Path) -> Usage:
    """Run the peer with its log in a file: what it found is there, for its reports tell of vulnerabilities alone."""
    return measure(
        ["sh", "-c", 'log=$1; shift; exec "$@" > "$log" 2>&1', "sh", str(log.resolve()), *command],
        cwd=home,
        env={**os.environ, "HOME": str(home.resolve()), "COLUMNS": "2000"},
    )


def judge(units: Sequence[Unit], said: Mapping[str, set[tuple[str, str]]]) -> Side:
    """What the peer said (product and version by package) against the truth."""
    named = right = anyhow = good = bad = 0
    for unit in units:
        found = said.get(unit.package, set())
        row = products().get(unit.product)
        own = {unit.product, *(pair.partition(":")[2] for pair in (row.cpes if row else ()))}
        mine = {version for product, version in found if product in own}
        hit = any(same(version, unit.version) for version in mine)
        misses = [version for version in mine if not same(version, unit.version)]
        named, right = named + bool(mine), right + (hit and not misses)
        anyhow += any(same(version, unit.version) for _, version in found)
        good, bad = good + hit, bad + len(misses)
    return Side(name=PROGRAM, named=named, right=right, anyhow=anyhow, good=good, bad=bad)


def _make_home(home: Path) -> None:
    cache = home / ".cache" / PROGRAM
    shutil.rmtree(home, ignore_errors=True)
    cache.mkdir(parents=True)
    with sqlite3.connect(cache / "cve.db") as database:
        for table, columns in _TABLES.items():
            database.execute(f"CREATE TABLE {table} ({columns})")
        database.execute("INSERT INTO cve_severity VALUES ('CVE-1999-0001', 'LOW', '', 1, 3, '', 'NVD', '')")
        database.execute("INSERT INTO cve_range VALUES ('CVE-1999-0001', 'x', 'x', '1', '', '', '', '', 'NVD')")
    with sqlite3.connect(cache / "version_map.db") as database:
        database.execute("CREATE TABLE sqlite (version TEXT, sourceId TEXT PRIMARY KEY)")
        database.execute("CREATE TABLE latest_update_sqlite (datestamp DATETIME PRIMARY KEY)")
        database.execute("INSERT INTO latest_update_sqlite VALUES (?)", (time.time(),))


def table(beside: Beside | None) -> Iterator[str]:
    """The comparison as Markdown."""
    if beside is None:
        return
    yield (
        f"The same {beside.files} ELF files ({beside.size / 1e6:.0f} MB) of {beside.packages} packages of "
        f"{beside.pool} (every {EVERY}nd by name), each tool as a process of its own, start included:"
    )
    yield ""
    yield "| tool | CPU s | of it start | MB/s without start | product named | product and version right | right version under any name | of the versions stated of it, right |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|---|"
    for side in (beside.ours, beside.theirs):
        if side.trouble:
            yield f"| {side.name} | – | – | – | – | – | – | {side.trouble} |"
            continue
        stated = side.good + side.bad
        shares = [f"{n} ({100 * n / beside.packages:.0f} %)" for n in (side.named, side.right, side.anyhow)]
        yield (
            f"| {side.name} | {side.cpu:.2f} | {side.start:.2f} "
            f"| {beside.size / 1e6 / max(side.cpu - side.start, 1e-9):.1f} | {' | '.join(shares)} "
            f"| {side.good} of {stated} ({100 * side.good / max(stated, 1):.1f} %) |"
        )
