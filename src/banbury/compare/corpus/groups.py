"""The groups of the corpus: causes of harmless variance, and attacks."""

from __future__ import annotations

from typing import Final

#: Causes why two honest builds differ.
CAUSES: Final = {
    "path": "another folder of sources or build",
    "clock": "another time of build",
    "locale": "another language, time zone or sorting",
    "user": "another user or host",
    "order": "another order of files, members or entries",
    "compression": "another level, block size or number of threads",
    "debug": "debug information or symbols differ, or are stripped",
    "signature": "signed with another key, or not signed",
    "identity": "build-id, debug link, UUID, serial numbers: names of the build, not of its content",
    "producer": "the declared toolchain's name",
    "version": "a declared version string, with the shift of layout that its length brings",
    "padding": "constant fill of another length",
    "allocation": "another allocation of the same content: blocks, nodes, inodes",
    "compiler": "another compiler or optimisation: not harmless, the environment was not reproduced",
}

#: What an attacker may do. Those marked new are not in the study that the corpus follows.
ATTACKS: Final = {
    "code": "an instruction is changed: a branch inverted or removed, fill replaced, a call redirected, a constant",
    "source-backdoor": "built from sources with a back door",
    "loader-data": "what the loader reads is changed: symbols, relocations, tables, tags, flags",
    "hiding-place": "bytes where tools do not look: behind the end, between segments, in notes, in debug data",
    "split": "the section table shows a clean copy, the segments load another",
    "redirect": "a harmless shift of the layout hides one redirected reference",
    "attribute": "owner, mode, capability, device number or link of a member is changed",
    "content": "a member's content is changed, with every checksum made right",
    "extra-member": "a second member, stream, archive or entry that some consumer reads",
    "trailing": "bytes behind the end",
    "header": "a header's field that a consumer obeys is changed",
    "mismatch": "two places that state the same fact state different ones, and consumers choose differently",
    "hidden-space": "bytes in padding, slack, free or reserved space, or in a field that readers skip",
    "checksum": "a checksum is wrong; some consumers do not look",
    "revival": "an obsolete or orphaned version is left, or made the current one",
    "resigned": "changed content under a signature that verifies, with another key",
    "declared-lookalike": "new: a change dressed as a declared value (root, version, clock) where it is none",
    "data": "new: a constant, string or table that the program uses is changed",
    "resource": "new: what decides what runs next to the file: interpreter line, script, trigger, manifest",
    "nested": "new: the change is inside a member of a member, under harmless variance of the outer ones",
}

GROUPS: Final = CAUSES | ATTACKS
