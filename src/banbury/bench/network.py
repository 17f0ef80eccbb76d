"""What a network of a million elements costs: loading and checking it, and a pack of seven rules.

The inventory is made by the generator. Every row of the table is measured in a process of its own, so that its memory
is its own. The same seven rules are worked out a second time by polars, where that is installed, from the same files
(:mod:`banbury.bench.network_peer`); the verdicts must be the same. A row more is a function more in :data:`STEPS`.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct

from banbury.bench import network_options
from banbury.decide import exposure
from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.policy import read
from banbury.decide.policy.assess import assess

#: The vendor whose exposure is measured: the one with most elements of the generated inventory's high-risk ones.
VENDOR = "huawei"
#: As many cell sites as make a million elements.
SITES = 440_000
PACK = """
id: seven
version: 1
title: seven rules
jurisdiction: GB
legal_status: advice
text: rules to measure with, after the British advice of January 2020
dates: { issued: 2020-01-28, in_force: 2020-01-28 }
applies: { vendor_class: [high-risk] }
definitions:
  function_class: { core: { class_gb: [core] }, access: { functions: [GNB, ENB, NODEB] } }
sources: { s: { title: "NCSC, January 2020", read: secondary } }
rules:
  - { id: core, kind: exclude, title: core, source: { ref: s, clause: core }, where: { functions: core } }
  - id: traffic
    kind: share_cap
    title: traffic
    source: { ref: s, clause: cap }
    network: 5G
    metric: traffic
    max: 0.35
    breach: ">"
    reading: collective
  - id: sites
    kind: share_cap
    title: sites
    source: { ref: s, clause: cap }
    network: 5G
    metric: sites
    max: 0.35
    breach: ">"
    reading: collective
  - id: near
    kind: keep_away
    title: near
    source: { ref: s, clause: places }
    classes: [national-security, military, nuclear, government]
  - id: two
    kind: diversity
    title: two
    source: { ref: s, clause: diversity }
    where: { functions: access }
    min_vendors: 2
    min_trusted: 1
  - id: new
    kind: no_install_after
    title: new
    source: { ref: s, clause: new }
    date: 2019-12-31
  - id: out
    kind: remove_by
    title: out
    source: { ref: s, clause: out }
    where: { functions: access, tech: [5G] }
    due: 2027-12-31
"""

#: Verdicts as both sides say them: rule, subject, status, measured (rounded).
Rows = list[tuple[str, str, str, float]]


class Taken(Struct, frozen=True):
    """One measurement: ``wall`` and ``cpu`` in seconds, medians; ``peak`` resident bytes; what came out."""

    what: str
    wall: float
    cpu: float
    peak: int
    note: str = ""


class Report(Struct, frozen=True):
    """The table. ``rows``: of each table of the inventory. ``agreed``: whether polars said the same."""

    rows: dict[str, int]
    taken: list[Taken]
    agreed: bool | None

    def markdown(self) -> str:
        """As Markdown."""
        size = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        said = {True: "the same", False: "**others**", None: "not compared: polars is not installed"}[self.agreed]
        lines = [
            f"Inventory: {size}. Verdicts of polars on the same files: {said}.",
            "",
            "| what | wall s | CPU s | peak MB | note |",
            "|---|---|---|---|---|",
        ]
        lines += [f"| {t.what} | {t.wall:.2f} | {t.cpu:.2f} | {t.peak / 1e6:,.0f} | {t.note} |" for t in self.taken]
        return "\n".join(lines) + "\n"


class Step(Struct, frozen=True):
    """Something that is asked of an open network; ``run`` gives the row's note. ``prepare``: what ``run`` is asked
    of, where that is not the network itself; it is made once and not measured."""

    what: str
    run: Callable[[Any], str]
    prepare: Callable[[Network], Any] | None = None


def verdicts(network: Network) -> Rows:
    """The seven rules by this laboratory."""
    found = assess(network, [read.parse(PACK, "seven.yaml")]).verdicts
    return sorted((v.rule, v.subject, v.status, round(v.measured or 0.0, 6)) for v in found)


def _assess(network: Network) -> str:
    return f"{len(verdicts(network))} verdicts"


def _graph(network: Network) -> str:
    g = exposure.prepared(network)
    return f"{g.n:,} elements, {len(g.kind):,} relations; once for a network"


def _closure(g: exposure.Graph) -> str:
    reached, lost = exposure.closure_and_outage(g, VENDOR)
    return f"{reached:,} elements reached; {lost:,} fall with what the vendor made"


def _expose(g: exposure.Graph) -> str:
    found = exposure.assess(g, VENDOR, ["segmented-management", "ipsec"])
    return f"{len(found.before.claims):,} claims with paths, before and after two precautions"


#: What is measured on the open network, in order.
STEPS = [
    Step("assess, 7 rules", _assess),
    Step("exposure: the graph", _graph),
    Step("exposure: closure and vendor off", _closure, exposure.prepared),
    Step("exposure: whole, 2 precautions", _expose, exposure.prepared),
    Step("options: cheapest ban by 2027", network_options.ban, network_options.prepare),
    Step("options: cheapest cap of 35 % by 2024", network_options.cap, network_options.prepare),
]


def _timed(call: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Medians of seconds by the clock and of CPU, all threads counted; and what came of the last call."""
    walls, cpus, found = [], [], None
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        found = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus), found


def _peak() -> int:
    # Not getrusage(2): what that says begins with the memory of whoever started the process.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _load(folder: str, kind: str, repeats: int) -> Taken:
    def run() -> None:
        with Network.open(Path(folder)):
            pass

    wall, cpu, _ = _timed(run, repeats)
    return Taken(f"load and check, {kind}", wall, cpu, _peak(), "every table, every check, digests")


def _step(folder: str, position: int, repeats: int) -> Taken:
    step = STEPS[position]
    with Network.open(Path(folder)) as network:
        asked = network if step.prepare is None else step.prepare(network)
        wall, cpu, note = _timed(lambda: step.run(asked), repeats)
    return Taken(step.what, wall, cpu, _peak(), note)


def _rows(folder: str) -> Rows:
    with Network.open(Path(folder)) as network:
        return verdicts(network)


def _peer(folder: str, repeats: int) -> tuple[list[Taken], Rows]:
    from banbury.bench import network_peer

    wall, cpu, frames = _timed(lambda: network_peer.load(Path(folder)), repeats)
    taken = [Taken("polars: load, parquet", wall, cpu, _peak(), "no check at all")]
    wall, cpu, found = _timed(lambda: network_peer.rules(frames), repeats)
    return [*taken, Taken("polars: the same 7 rules", wall, cpu, _peak(), f"{len(found)} verdicts")], found


def run(work: Path, *, sites: int = SITES, repeats: int = 3, tell: Callable[[str], None]) -> Report:
    """Measure in ``work``, where the inventory is made once."""
    folders = {kind: work / f"network-{sites}-{kind}" for kind in ("csv", "parquet")}
    for kind, folder in folders.items():
        if not (folder / "network.toml").exists():
            tell(f"making {folder.name}")
            generate("gb", folder, sites=sites, kind=kind)
    with Network.open(folders["parquet"]) as network:
        rows = dict(network.rows)
    taken: list[Taken] = []

    def alone(call: Callable[..., Any], *args: object) -> Any:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(call, *args).result()

    for kind, folder in folders.items():
        tell(f"loading {kind}")
        taken.append(alone(_load, str(folder), kind, repeats))
    for position, step in enumerate(STEPS):
        tell(step.what)
        taken.append(alone(_step, str(folders["parquet"]), position, repeats))
    agreed = None
    if importlib.util.find_spec("polars") is not None:
        tell("polars")
        some, theirs = alone(_peer, str(folders["parquet"]), repeats)
        taken += some
        ours = alone(_rows, str(folders["parquet"]))
        agreed = ours == theirs
        if not agreed:
            tell(f"not the same: {sorted(set(ours) ^ set(theirs))[:6]}")
    return Report(rows, taken, agreed)
