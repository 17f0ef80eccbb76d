"""The command line: the program and its commands (:mod:`banbury.commands`).

Exit status 0 done, 1 what was asked to fail on, 2 unusable input, 3 a fault here.
"""

from __future__ import annotations

import click

import banbury
from banbury.commands import (
    bench,
    components,
    demo,
    docs,
    equivalence,
    evaluate,
    feeds,
    history,
    knowledge,
    network,
    rebuild,
    sbom,
    vex,
    vulnerabilities,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(banbury.__version__, prog_name="banbury")
def main() -> None:
    """Evaluate the software of network equipment, from bytes to an answer somebody has to sign."""


for _command in (
    evaluate.evaluate,
    demo.demo,
    bench.bench,
    components.components,
    equivalence.equivalence,
    feeds.feeds,
    history.history,
    knowledge.knowledge,
    network.network,
    rebuild.rebuild,
    sbom.sbom,
    vex.vex,
    vulnerabilities.vulnerabilities,
    docs.docs,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
