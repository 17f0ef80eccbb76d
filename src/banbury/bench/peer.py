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
from banbury.bench.pools import Chosen, Pool, looked_for
from banbury.supply.knowledge.packages import members
from banbury.supply.products import products

PROGRAM: Final = "cve-bin-tool"
#: Of the set's packages in order of their names, every how many-th is compared: the peer takes a minute for 100 MB.
EVERY: Final = 2
#: The two parts of a set that are compared.
HARD: Final = "every 2nd package of the set by name"
KNOWN: Final = "one package for each product that cve-bin-tool has a checker for"
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
    corrected: tuple[int, int, int] = (0, 0, 0)


class Share(Struct, frozen=True, kw_only=True):
    """What both said of some of the packages."""

    what: str
    packages: int
    ours: Side
    theirs: Side


class Beside(Struct, frozen=True, kw_only=True):
    """Both tools on the same files. ``ours``, ``theirs``: the cost of all of them."""

    pool: str
    use: str
    packages: int
    files: int
    size: int
    ours: Side
    theirs: Side
    shares: list[Share]

    def ratio(self) -> float:
        """How many times the CPU of our pass theirs takes, start left out of both."""
        return (self.theirs.cpu - self.theirs.start) / max(self.ours.cpu - self.ours.start, 1e-9)


def compare(
    pool: Pool, packages: Sequence[tuple[Chosen, Path]], units: Sequence[Unit], work: Path, tell: Tell
) -> Beside:
    """Unpack the ELF files of two parts of the packages, every ``EVERY``-th by name and those of products that the peer
    has a checker for, one for each, and run both tools over them."""
    folder = work / "peer" / pool.suite
    shutil.rmtree(folder, ignore_errors=True)
    by_name = {unit.package: unit for unit in units if unit.programs}
    carriers = {c.package for c, _ in packages if c.carrier}
    known = [n for n in sorted(by_name) if n in carriers and by_name[n].product in looked_for()]
    parts = [(HARD, sorted(by_name)[::EVERY]), (KNOWN, known)]
    names = sorted({name for _, part in parts for name in part})
    paths = {c.package: path for c, path in packages}
    files = size = 0
    for name in names:
        (folder / name).mkdir(parents=True)
        for where, content in members(paths[name]):
            if where.startswith("data/") and content.startswith(b"\x7fELF"):
                files, size = files + 1, size + len(content)
                (folder / name / f"{files}-{where.rpartition('/')[2]}").write_bytes(content)
    tell(f"{pool.name}: both tools on {files} files, {size / 1e6:.0f} MB")
    (empty := work / "peer" / "empty").mkdir(exist_ok=True)
    runner = [sys.executable, "-m", "banbury.bench.runners", "identify"]
    start, usage = (measure([*runner, str(what)]) for what in (empty, folder))
    theirs, said = _theirs(folder, empty, work)
    return Beside(
        pool=pool.name,
        use=pool.use,
        packages=len(names),
        files=files,
        size=size,
        ours=Side(name="banbury", cpu=usage.cpu, start=start.cpu),
        theirs=theirs,
        shares=[_share(what, [by_name[name] for name in part], said, theirs.trouble) for what, part in parts],
    )


def _share(what: str, units: Sequence[Unit], said: Mapping[str, set[tuple[str, str]]], trouble: str) -> Share:
    verdicts = [u.sorted_out([*u.asserted, *u.wrong]) for u in units]
    return Share(
        what=what,
        packages=len(units),
        ours=Side(
            name="banbury",
            named=sum(u.named for u in units),
            right=sum(u.right for u in units),
            anyhow=sum(bool(u.asserted) for u in units),
            good=sum(bool(u.asserted) for u in units),
            bad=sum(len(u.wrong) for u in units),
            corrected=_corrected(verdicts),
        ),
        theirs=structs.replace(judge(units, said), trouble=trouble),
    )


def _corrected(verdicts: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """Packages right, versions right and wrong."""
    return (
        sum(right and not wrong for right, wrong in verdicts),
        sum(right for right, _ in verdicts),
        sum(wrong for _, wrong in verdicts),
    )


def _theirs(folder: Path, empty: Path, work: Path) -> tuple[Side, dict[str, set[tuple[str, str]]]]:
    """The peer's cost, and what it said of each package."""
    program = shutil.which(PROGRAM)
    if program is None:
        return Side(name=PROGRAM, trouble="not installed"), {}
    home, log = work / "peer" / "home", work / "peer" / "log"
    _make_home(home)
    command = [program, "--offline", "--disable-version-check", "-l", "debug", "-f", "json"]
    start, usage = (_logged([*command, str(what.resolve())], home, log) for what in (empty, folder))
    text = log.read_text(errors="replace") if log.is_file() else ""
    if usage.status != 0:
        last = [line for line in text.splitlines() if line.strip()][-1:] or ["no output"]
        return Side(name=PROGRAM, trouble=f"exit status {usage.status}: {last[0].strip()[:120]}"), {}
    said: dict[str, set[tuple[str, str]]] = {}
    for package, product, version in _SAYS.findall(text):
        said.setdefault(package, set()).add((product, version))
    return Side(name=PROGRAM, cpu=usage.cpu, start=start.cpu), said


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
    verdicts = []
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
        verdicts.append(unit.sorted_out(sorted(mine)))
    return Side(
        name=PROGRAM, named=named, right=right, anyhow=anyhow, good=good, bad=bad, corrected=_corrected(verdicts)
    )


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


def table(beside: Beside) -> Iterator[str]:
    """The comparison as Markdown."""
    yield (
        f"{beside.pool} ({beside.use}): the same {beside.files} ELF files ({beside.size / 1e6:.0f} MB) of "
        f"{beside.packages} packages, each tool as a process of its own:"
    )
    yield ""
    yield "| tool | CPU s | of it start | MB/s without start |"
    yield "|---|---|---|---|"
    for side in (beside.ours, beside.theirs):
        speed = beside.size / 1e6 / max(side.cpu - side.start, 1e-9)
        yield f"| {side.name} | {side.trouble or f'{side.cpu:.2f} | {side.start:.2f} | {speed:.1f}'} |"
    yield ""
    yield "| packages | tool | product named | product and version right | right version under any name | of the versions stated of it, right | truth corrected: product and version right | of the versions stated, right |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|---|"
    for share in beside.shares:
        for side in (share.ours, share.theirs):
            if side.trouble:
                continue
            counts = (side.named, side.right, side.anyhow)
            parts = [_of(n, share.packages) for n in counts] + [_of(side.good, side.good + side.bad)]
            parts += [_of(side.corrected[0], share.packages), _of(side.corrected[1], sum(side.corrected[1:]))]
            yield f"| {share.packages}: {share.what} | {side.name} | {' | '.join(parts)} |"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(whole, 1):.1f} %)"
