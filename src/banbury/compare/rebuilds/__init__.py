"""Shipped images and the rebuilds that came with them: which belongs to which, and what was shown of each file.

Matching (:mod:`.matching`) goes by what the manifest says, then by names; comparing (:mod:`.comparing`) uses
:mod:`banbury.compare.equivalence`; verdicts are kept in the workspace (:mod:`.cache`), so that nothing is compared
twice.
"""
