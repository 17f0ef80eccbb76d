"""Which options there are: those that the policies ask for, and the plain ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from banbury.decide.options.build import Asked
from banbury.decide.options.demands import Demands, Horizon, Out
from banbury.decide.options.estate import Estate
from banbury.decide.options.record import Family
from banbury.decide.options.shares import Share
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack
from banbury.model.errors import InputError

#: The cap of the plain option where no policy has one.
CAP = 0.35
#: How many plain caps and bans there are at most, each; the last year is always one of them.
MOST = 3


class Spec(msgspec.Struct, frozen=True):
    """An option before it is solved. ``by``: the year's position for a plain cap or ban; ``cap`` its limit."""

    id: str
    family: Family
    title: str
    text: str
    asked: Asked
    policies: tuple[str, ...] = ()
    by: int = -1
    cap: float | None = None


def plain_cap(shares: Sequence[Share], cap: float, by: int, horizon: Horizon) -> Spec:
    """At most ``cap`` of every access network, by every metric, from the end of a year on."""
    year = horizon.first + by
    asked = Asked(share=tuple(msgspec.structs.replace(s, limit=cap, by=by) for s in shares))
    return Spec(
        f"cap-{cap * 100:g}-{year}",
        "cap",
        f"at most {cap * 100:g} % by the end of {year}",
        "of every operator's every access network, by every metric of the inventory; the core stays as it is",
        asked,
        by=by,
        cap=cap,
    )


def plain_ban(estate: Estate, by: int, horizon: Horizon) -> Spec:
    """Everything that the policies cover gone by the end of a year."""
    year = horizon.first + by
    out = Out("ban", "ban", by, None, frozenset(estate.of))
    text = "everything of the vendors that the policies cover, of every generation and layer"
    return Spec(f"ban-{year}", "ban", f"none by the end of {year}", text, Asked((out,)), by=by)


def specs(
    packs: Sequence[Pack], demands: Mapping[str, Demands], shares: Sequence[Share], estate: Estate, horizon: Horizon
) -> list[Spec]:
    """The options, in their order. Raises :class:`InputError` where no policy asks anything of a schedule."""
    silent = [p.id for p in packs if not _asks(p)]
    if len(silent) == len(packs):
        raise InputError(
            f"{', '.join(silent)}: no rule that a schedule could meet",
            hint="evidence, support and purchases do not turn on when equipment is swapped; network assess judges them",
        )
    last = horizon.last - horizon.first
    found = [
        Spec("accept", "accept", "accept", "all stays as it is, without precautions", Asked()),
        Spec(
            "mitigate", "mitigate", "mitigate", "all stays as it is, with every precaution that swaps nothing", Asked()
        ),
    ]
    for pack in packs:
        if pack.id in silent:
            continue
        d = demands[pack.id]
        asked = Asked(tuple(d.out), tuple(d.share), tuple(d.vendors))
        found.append(Spec(f"policy-{pack.id}", "policy", f"as {pack.id} asks", pack.title, asked, (pack.id,)))
    several = [p.id for p in packs if p.id not in silent]
    if len(several) > 1:
        some = [demands[i] for i in several]
        asked = Asked(
            tuple(o for d in some for o in d.out),
            tuple(s for d in some for s in d.share),
            tuple(v for d in some for v in d.vendors),
        )
        text = "the strictest of what they ask, element by element"
        found.append(Spec("policies", "policy", "as all of the policies ask", text, asked, tuple(several)))
    limits, cap_years, ban_years = _plain(packs, demands)
    if shares:
        for cap in limits:
            found += [plain_cap(shares, cap, by, horizon) for by in _some(cap_years, last)]
    if estate.units:
        found += [plain_ban(estate, by, horizon) for by in _some(ban_years, last)]
    return found


def _asks(pack: Pack) -> bool:
    """Whether a schedule could meet some rule of the policy."""
    words = model.Requires | model.SupportRestriction | model.NoInstallAfter
    return not pack.applies.everyone and any(not isinstance(r, words) for r in pack.rules)


def _plain(packs: Sequence[Pack], demands: Mapping[str, Demands]) -> tuple[list[float], set[int], set[int]]:
    caps = sorted({r.max for p in packs for r in p.rules if isinstance(r, model.ShareCap)}, reverse=True)[:MOST]
    cap_years = {s.by for d in demands.values() for s in d.share}
    removals = {(p.id, r.id) for p in packs for r in p.rules if isinstance(r, model.Exclude | model.RemoveBy)}
    ban_years = {o.by for d in demands.values() for o in d.out if tuple(o.name.split("/", 1)) in removals}
    return caps or [CAP], cap_years, ban_years


def _some(years: set[int], last: int) -> list[int]:
    """The earliest of the policies' years, and the last of the horizon."""
    return sorted({*sorted(years)[: MOST - 1], last})
