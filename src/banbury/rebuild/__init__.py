"""Rebuild: a vendor's build, run twice in a sandbox of the laboratory's own, without a network.

:func:`banbury.rebuild.run.rebuild` takes a recipe (:mod:`recipe`) and gives a report (:mod:`model`): is the build
deterministic, which variable makes it not so, and is what was shipped what the source builds. Data flows one way:

    recipe -> source (unpacked once, in the sandbox) -> two builds under varied settings -> outputs by SHA-256
           -> equivalence of what differs -> controlled rebuilds -> report

Trusted: this package and the root file system's bytes by their digest. Not trusted: the source, the commands,
everything that a build writes or prints. No build's output is executed, imported or parsed outside a sandbox.
"""
