"""Where shards of work run: anything that is a ``concurrent.futures.Executor``.

``local`` (threads here, each driving sandboxed processes) is the default; ``dask://host:port`` hands the same shards
to a Dask cluster (extra ``scale``). Engines never see a blob, only digests and the store's URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from banbury.model.errors import InputError


def workers(engine: str) -> int:
    """How many shards an engine is kept busy with."""
    name, _, count = engine.partition(":")
    if name == "local" and count:
        if not count.isdecimal() or not 1 <= int(count) <= 1024:
            raise InputError(f"engine {engine!r}: the number of workers must be 1 to 1024")
        return int(count)
    return len(os.sched_getaffinity(0)) if name == "local" else 64


@contextmanager
def open_engine(engine: str) -> Iterator[Executor]:
    """The executor that ``engine`` names; closed with the context."""
    if engine == "local" or engine.startswith("local:"):
        with ThreadPoolExecutor(workers(engine), thread_name_prefix="shard") as pool:
            yield pool
    elif engine.startswith("dask://"):
        with _dask(engine) as pool:
            yield pool
    else:
        raise InputError(f"unknown engine {engine!r}", hint="use local, local:N or dask://host:port")


@contextmanager
def _dask(engine: str) -> Iterator[Executor]:
    """A Dask cluster's own executor. TLS comes from Dask's configuration (``DASK_DISTRIBUTED__COMM__TLS__…``)."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError(f"engine {engine!r} needs Dask", hint="install banbury[scale]") from None
    scheme = "tls://" if os.environ.get("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT") else "tcp://"
    try:
        client = Client(scheme + engine.removeprefix("dask://"), timeout="20s")
    except OSError as problem:
        raise InputError(f"engine {engine!r}: {problem}") from problem
    with client:
        yield client.get_executor(pure=False)
