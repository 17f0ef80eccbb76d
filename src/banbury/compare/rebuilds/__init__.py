"""Shipped images and the rebuilds that came with them: which belongs to which, and what was shown of each file.

Matching (:mod:`.matching`) goes by what the manifest says, then by names. What is compared file by file lies in file
systems and archives (:mod:`.trees`, made by :mod:`.gathered`): which is made of which rebuild is what the manifest says
(:mod:`.homes`) or likeness proposes (:mod:`.pairing`), and where that leaves two readings, :mod:`.doubts` says so
(:mod:`.shadowed` of what may go over others), and :mod:`.strictly` where a kernel may see other files in one. Each
shipped file has its counterpart (:mod:`.counterparts`; :mod:`.linked` compares which names are of one file), and each
file of a rebuild that is missing is allotted to what lacks it (:mod:`.allotting`). Comparing (:mod:`.comparing`,
:mod:`.contents`) uses :mod:`banbury.compare.equivalence`; verdicts are kept in the workspace (:mod:`.cache`), so that
nothing is compared twice.
"""
