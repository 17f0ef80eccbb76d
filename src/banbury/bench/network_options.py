"""What the cheapest schedule costs to find: every site of the vendors, over seven years. Rows of
:mod:`banbury.bench.network`."""

from __future__ import annotations

from msgspec import Struct

from banbury.decide.network import Network
from banbury.decide.options import costs, estate, schedule, shares
from banbury.decide.options.build import Built, Shop
from banbury.decide.options.demands import Horizon
from banbury.decide.options.problem import violations
from banbury.decide.options.specs import plain_ban, plain_cap
from banbury.decide.policy import read

#: The policy whose vendors are swapped, the years, and the cap.
POLICY, YEARS, CAP = "gb-2020-01", Horizon(2021, 2027), 0.35


class Asked(Struct, frozen=True):
    """The two problems: none by the last year, and a cap by the fourth."""

    ban: Built
    cap: Built


def prepare(network: Network) -> Asked:
    """The problems of an open network."""
    estate.cover(network, [read.load(POLICY)])
    held = estate.read(network, costs.shipped())
    everywhere = shares.everywhere(network, held.planned)
    shop = Shop(held, costs.shipped(), YEARS)
    ban = shop.build(plain_ban(held, len(YEARS.years) - 1, YEARS).asked)
    return Asked(ban, shop.build(plain_cap(everywhere, CAP, 3, YEARS).asked))


def ban(asked: Asked) -> str:
    """Everything out by the last year."""
    return _solve(asked.ban)


def cap(asked: Asked) -> str:
    """Every access network under the cap by the fourth year."""
    return _solve(asked.cap)


def _solve(built: Built) -> str:
    problem = built.problem
    found = schedule.plan(problem, 300)
    size = f"{problem.units:,} units, {len(problem.years)} years"
    if found.choice is None:
        return f"{size}: {found.state}"
    broken = len(violations(problem, found.choice))
    return f"{size}; at most {found.gap:.4%} over the bound; {broken} constraints broken"
