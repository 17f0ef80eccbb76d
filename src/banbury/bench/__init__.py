"""The benchmark: what an evaluation costs, as ratios to sha256sum and to the peers, measured in one run.

    report = banbury.bench.run(work, cache, image=None, repeats=3, tell=print)   # a BenchReport
    report.markdown()                                                           # for docs/benchmark.md

``work`` is a folder for inputs and workspaces, ``cache`` the folder that the demonstration keeps its
packages in, ``image`` a firmware file to
evaluate as well (by default the sample's release 1.0), ``tell(line)`` is told what is running. Missing peers get the
words "not installed". It takes minutes; nothing in the tests depends on its figures.
"""

from banbury.bench.report import BenchReport
from banbury.bench.run import run

__all__ = ["BenchReport", "run"]
