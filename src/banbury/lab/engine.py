"""Where shards of work run: anything that is a ``concurrent.futures.Executor``.

``local`` (threads here, each driving sandboxed processes) is the default; ``dask://host:port`` hands the same shards
to a Dask cluster (extra ``scale``). Engines never see a blob, only digests and the store's URL. Nothing but
``submit()`` is asked of an executor, and nothing of it is trusted to be durable: what was done is in the database.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from banbury.model.errors import BanburyError, EngineError, InputError

_DASK_SLOTS = 64
_TIMEOUT = "20s"
_HINT = "results so far are kept; start again when the engine is back"
#: Whose exceptions speak of the engine rather than of the work.
_ENGINES = {"distributed", "dask", "tornado", "concurrent"}


def workers(engine: str) -> int:
    """How many shards an engine is kept busy with."""
    name, _, count = engine.partition(":")
    if name == "local" and count:
        if not count.isdecimal() or not 1 <= int(count) <= 1024:
            raise InputError(f"engine {engine!r}: the number of workers must be 1 to 1024")
        return int(count)
    return len(os.sched_getaffinity(0)) if name == "local" else _DASK_SLOTS


@contextmanager
def open_engine(engine: str) -> Iterator[Executor]:
    """The executor that ``engine`` names; closed with the context, and what has not begun by then is dropped."""
    if engine == "local" or engine.startswith("local:"):
        pool = ThreadPoolExecutor(workers(engine), thread_name_prefix="shard")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
    elif engine.startswith("dask://"):
        with _dask(engine) as cluster:
            yield cluster
    else:
        raise InputError(f"unknown engine {engine!r}", hint="use local, local:N or dask://host:port")


@contextmanager
def engine_errors() -> Iterator[None]:
    """What an engine raises because of itself (its scheduler or its workers are gone), as one :class:`EngineError`.

    The laboratory's own errors pass, and so do faults of the work itself.
    """
    try:
        yield
    except BanburyError:
        raise
    except Exception as problem:
        ours = type(problem).__module__.partition(".")[0] not in _ENGINES
        if ours and not isinstance(problem, (BrokenExecutor, CancelledError, OSError)):
            raise
        line = " ".join(str(problem).split())[:300]
        text = f"{type(problem).__name__}: {line}" if line else type(problem).__name__
        raise EngineError(f"the engine gave up: {text}", hint=_HINT) from problem


@contextmanager
def _dask(engine: str) -> Iterator[Executor]:
    """A Dask cluster's own executor. TLS comes from Dask's configuration (``DASK_DISTRIBUTED__COMM__TLS__…``)."""
    address = engine.removeprefix("dask://")
    if not re.fullmatch(r"[A-Za-z0-9.-]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", address):
        raise InputError(f"engine {engine!r}: not an address", hint="use dask://host:port")
    try:
        from distributed import Client

        make: Any = Client
    except ImportError:
        raise InputError(f"engine {engine!r} needs Dask", hint="install banbury[scale]") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is raised, in one line
    scheme = "tls://" if os.environ.get("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT") else "tcp://"
    try:
        client: Any = make(scheme + address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise EngineError(f"engine {engine!r} does not answer: {problem}") from problem
    try:
        yield client.get_executor(pure=False)
    finally:
        client.close(timeout=5)
