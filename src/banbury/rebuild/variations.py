"""What is varied between two builds: data, each with an id, a value for the first and one for the second build.

After the variations of reprotest (Debian), as far as a process without rights can bring them about.
"""

from __future__ import annotations

import os
import time
from typing import Final

from msgspec import Struct

from banbury.rebuild.recipe import Recipe


class Variation(Struct, frozen=True, kw_only=True):
    """One variable of the environment: ``first`` and ``second`` are its values as text; ``probe`` the key of the probe
    that shows whether it was in force."""

    id: str
    title: str
    first: str
    second: str
    probe: str


#: Seconds between the two clocks: more than a year, another hour, minute and second.
_APART: Final = 400 * 86400 + 7 * 3600 + 13 * 60 + 17


def variations(recipe: Recipe, *, locales: list[str]) -> list[Variation]:
    """The variations for a recipe, in order of id. ``locales``: those of the root file system beside C."""
    clock = recipe.clock or int(time.time())
    cpus = len(os.sched_getaffinity(0))
    values = {
        "build-path": ("folder of the build", "/build/first", "/srv/elsewhere/second-build", "path"),
        "clock": ("clock", str(clock), str(clock + _APART), "clock"),
        "time-zone": ("time zone", "UTC0", "FAR-14", "zone"),
        "locale": ("locale", "C.UTF-8", locales[0] if locales else "C", "locale"),
        "user": ("user's name and number", "builder:1001", "someone:4242", "user"),
        "host": ("host and domain", "lab.example.org", "otherhost.test.example.net", "host"),
        "umask": ("umask", "0022", "0002", "umask"),
        "file-order": ("order of names in a folder", "sorted", "reversed", "order"),
        "cpus": ("processors", str(min(cpus, 4)), "1", "cpus"),
        "home": ("home folder", "/srv/first-home", "/other/home-of-it", "home"),
        "shell": ("SHELL", "/bin/sh", "/bin/bash", "shell"),
        "environment": ("order and number of variables", "plain", "more", "environment"),
    }
    return [Variation(id=i, title=t, first=a, second=b, probe=p) for i, (t, a, b, p) in values.items()]


def enabled(found: list[Variation], recipe: Recipe) -> list[Variation]:
    """Those that the recipe does not switch off."""
    return [v for v in found if recipe.vary.get(v.id, True)]


#: The value of each variation in one build, by id; hypotheses may put others in.
Settings = dict[str, str]


def settings(found: list[Variation], second: set[str]) -> Settings:
    """The first build's values, but the second's for the ids in ``second``."""
    return {v.id: v.second if v.id in second else v.first for v in found}
