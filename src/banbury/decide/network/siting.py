"""Where made-up sites stand and whose kit they have: places by population, clusters by distance, vendors by cluster.

Vendors are regional in practice, so a vendor is given to whole clusters, and of many ways to do that the one is taken
that comes nearest to the shares asked for.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
from scipy.spatial import cKDTree

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Kilometres in a degree of latitude; a degree of longitude is this by the cosine of the latitude.
DEGREE = 111.32


class Places(msgspec.Struct):
    """A country's places, by column."""

    name: list[str]
    region: np.ndarray[Any, Any]
    lat: Floats
    lon: Floats
    population: Floats


def places(file: str) -> Places:
    """The table of places ``file`` of the package's data."""
    rows = list(csv.DictReader((files("banbury.decide") / "data" / file).read_text("utf-8").splitlines()))
    return Places(
        [r["place"] for r in rows],
        np.array([r["region"] for r in rows], dtype=object),
        np.array([float(r["lat"]) for r in rows]),
        np.array([float(r["lon"]) for r in rows]),
        np.array([float(r["population"]) for r in rows]),
    )


class Sites(msgspec.Struct):
    """Made-up sites of one operator, by column; ``traffic`` sums to 1."""

    place: Ints
    lat: Floats
    lon: Floats
    traffic: Floats
    cluster: Ints


def scatter(rng: np.random.Generator, where: Places, n: int, exponent: float, clusters: int) -> Sites:
    """``n`` sites around ``where``: three in four within a town, the others in the country around it."""
    weight = where.population**exponent
    place = rng.choice(len(weight), n, p=weight / weight.sum())
    town = rng.random(n) < 0.75
    spread = np.where(town, 2.5 * np.sqrt(where.population[place] / 1e5), 22.0)
    north, east = rng.normal(0, 1, n) * spread, rng.normal(0, 1, n) * spread
    lat = np.clip(where.lat[place] + north / DEGREE, -89, 89)
    lon = where.lon[place] + east / (DEGREE * np.cos(np.radians(lat)))
    urban = np.where(town, 1 + np.log10(where.population[place] / 1e4).clip(0), 0.5)
    traffic = rng.lognormal(0, 0.8, n) * urban
    lat, lon = np.round(lat, 5), np.round(lon, 5)
    return Sites(place, lat, lon, traffic / traffic.sum(), group(rng, lat, lon, min(clusters, n)))


def group(rng: np.random.Generator, lat: Floats, lon: Floats, clusters: int) -> Ints:
    """k-means by Lloyd's iteration, eight rounds: the cluster of each point."""
    points = np.column_stack([lat, lon * np.cos(np.radians(np.mean(lat)))])
    centres = points[rng.choice(len(points), clusters, replace=False)]
    found: Ints = np.zeros(len(points), dtype=np.int64)
    for _ in range(8):
        found = np.asarray(cKDTree(centres).query(points)[1], dtype=np.int64)
        counts = np.bincount(found, minlength=clusters)
        for axis in (0, 1):
            sums = np.bincount(found, weights=points[:, axis], minlength=clusters)
            centres[:, axis] = np.where(counts > 0, sums / np.maximum(counts, 1), centres[:, axis])
    return found


def assign(rng: np.random.Generator, measures: Floats, target: dict[str, float], tries: int = 4000) -> Ints:
    """The vendor (its position in ``target``) of each cluster, so that for each of ``measures`` (rows; columns are
    clusters; a row sums to 1) the vendors' shares come near ``target``.

    Of ``tries`` random allotments the nearest is taken, and then bettered one cluster at a time.
    """
    shares = np.array(list(target.values()))
    clusters = measures.shape[1]
    if len(shares) == 1:
        return np.zeros(clusters, dtype=np.int64)
    best = rng.choice(len(shares), clusters, p=shares / shares.sum())
    error = _error(measures, best, shares)
    for _ in range(tries):
        trial = best.copy()
        some = rng.choice(clusters, min(int(rng.integers(1, 4)), clusters), replace=False)
        trial[some] = rng.choice(len(shares), len(some), p=shares / shares.sum())
        now = _error(measures, trial, shares)
        if now <= error:
            best, error = trial, now
    return np.asarray(best, dtype=np.int64)


def _error(measures: Floats, vendor: Ints, shares: Floats) -> float:
    return max(float(np.abs(measures[:, vendor == k].sum(axis=1) - share).max()) for k, share in enumerate(shares))
