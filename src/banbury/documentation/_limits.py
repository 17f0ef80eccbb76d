"""The page of limits, with the values that the code has."""

from __future__ import annotations

from banbury.documentation._markdown import page, table
from banbury.formats.sink import Budget
from banbury.intake import examine, longtail
from banbury.intake.unpack import Allowance
from banbury.lab.sandbox import Limits


def limits_page() -> str:
    """Every limit, its value and what happens at it."""
    whole, each, process = Allowance(), Budget(), Limits()
    rows = [
        ("one evaluation", "output", _size(whole.output), "the container is not opened further (`--max-output`)"),
        ("one evaluation", "places", str(whole.places), "the container is not opened further"),
        ("one evaluation", "depth", str(whole.depth), "deeper containers are not opened (`--max-depth`)"),
        ("one container", "output", _size(each.output), "reading ends, note `bomb`; what came out stands"),
        ("one container", "ratio of output to input", str(each.ratio), f"the same, past {_size(each.ratio_floor)}"),
        ("one container", "members", str(each.entries), "the same"),
        ("one container", "notes", str(each.notes), "the rest are counted, not kept"),
        ("one container", "regions", str(each.regions), "reading ends; what came out stands"),
        ("one request to a worker", "CPU time", f"{process.cpu} s", "the worker dies; the step is listed as failed"),
        ("one request to a worker", "wall time", f"{process.wall} s", "the same"),
        ("one request to a worker", "memory", f"{_size(process.memory)} and twice the content", "the same"),
        ("one request to a worker", "output", _size(process.output), "as for a container"),
        ("one inspector on one content", "facts", str(examine.FACT_LIMIT), "failed; the facts before it stand"),
        ("one content for unblob", "size", f"{longtail.LEAST} bytes at least", "smaller ones are not offered"),
    ]
    return page(
        "Limits",
        "What one hostile input may use. Where a limit is hit, the evaluation says so; nothing is cut silently.",
        table(("for", "limit", "value", "what happens at it"), rows),
        "From the library, all but the last two rows can be set: `banbury.Options(allowance=banbury.Allowance(…))`.",
    )


def _size(size: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"
