"""From a repository's files to the tree of one tag or commit.

Sources: git documentation, gitformat-bundle(5), gitrepository-layout(5), git-pack-refs(1); the forms of commit, tag
and tree objects as in "Git Internals - Git Objects" (Pro Git, 10.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from banbury.compare.history.objects import BLOB, COMMIT, TAG, TREE, Store
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed

_NAME: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DEEPEST: Final = 200
_MOST: Final = 1_000_000
#: Modes of tree entries (Pro Git, 10.2): a file, an executable one, a link, a folder, another repository's commit.
FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


class Found(Struct, frozen=True, kw_only=True):
    """What a name in the repository led to. ``signed``: the tag or commit carries a signature, which is not verified
    here. ``subject`` is the first line of the commit's message, ``when`` its committer's time (seconds since 1970)."""

    ref: str
    commit: str
    tag: str = ""
    signed: bool = False
    subject: str = ""
    when: int = -1


def bundle(view: View) -> tuple[Store, dict[bytes, bytes]]:
    """The objects and the references of a bundle (version 2 or 3). Raises ``Malformed`` where it needs others."""
    head = view.take(0, min(len(view), 1 << 20))
    first, _, _ = head.partition(b"\n")
    if first not in (b"# v2 git bundle", b"# v3 git bundle"):
        raise Malformed("no git bundle")
    end = head.find(b"\n\n")
    if end < 0:
        raise Malformed("a bundle without an end of its header")
    refs: dict[bytes, bytes] = {}
    wide = False
    for line in head[len(first) + 1 : end].split(b"\n"):
        if line.startswith(b"-"):
            raise Malformed("a bundle that builds upon another repository: make one with --all")
        if line.startswith(b"@"):
            if line == b"@object-format=sha256":
                wide = True
            elif line != b"@object-format=sha1":
                raise Malformed("a bundle with a capability that is not known")
            continue
        name, _, ref = line.partition(b" ")
        refs[ref] = _hex(name)
    store = Store(sha256=wide)
    store.add_pack(view.sub(end + 2, len(view) - end - 2), None)
    return store, refs


def folder(files: Mapping[str, View]) -> tuple[Store, dict[bytes, bytes]]:
    """The objects and the references of a repository's folder, given its files by path."""
    config = files.get("config")
    wide = bool(config and re.search(rb"(?im)^\s*objectformat\s*=\s*sha256\s*$", config.take(0, len(config))))
    store = Store(sha256=wide)
    refs: dict[bytes, bytes] = {}
    if packed := files.get("packed-refs"):
        for line in packed.take(0, len(packed)).split(b"\n"):
            name, _, ref = line.partition(b" ")
            if _NAME.fullmatch(name):
                refs[ref] = _hex(name)
    for path, view in files.items():
        if path.startswith("refs/") and len(view) <= 70:
            name = view.take(0, len(view)).strip()
            if _NAME.fullmatch(name):
                refs[path.encode("utf-8", "surrogateescape")] = _hex(name)
        elif match := re.fullmatch(r"objects/([0-9a-f]{2})/([0-9a-f]{38}(?:[0-9a-f]{24})?)", path):
            store.add_loose(bytes.fromhex(match[1] + match[2]), view)
        elif path.startswith("objects/pack/") and path.endswith(".pack"):
            store.add_pack(view, files.get(path[:-5] + ".idx"))
    return store, refs


def _hex(name: bytes) -> bytes:
    if not _NAME.fullmatch(name):
        raise Malformed("a reference to no object")
    return bytes.fromhex(name.decode())


def resolve(store: Store, refs: Mapping[bytes, bytes], wanted: str) -> Found:
    """What ``wanted`` (a tag's name, a full reference or a commit's whole name) stands for. Raises ``Malformed``."""
    raw = wanted.encode("utf-8", "surrogateescape")
    if any(ref.startswith(b"refs/replace/") for ref in refs):
        raise Malformed(
            "git shows other objects than the ones it has here (refs/replace): nobody can tell what was read"
        )
    found = [ref for ref in (b"refs/tags/" + raw, raw, b"refs/heads/" + raw) if ref in refs]
    if found:
        name, ref = refs[found[0]], found[0].decode("utf-8", "backslashreplace")
    elif _NAME.fullmatch(raw):
        name, ref = bytes.fromhex(wanted), wanted
    else:
        raise Malformed(f"the repository has no tag, branch or commit called {wanted}")
    tag, signed = "", False
    for _ in range(10):
        if store.kind(name) == COMMIT:
            break
        data = store.get(name, TAG)
        signed = signed or b"-----BEGIN " in data
        tag = tag or _field(data, b"tag").decode("utf-8", "backslashreplace")
        name = _hex(_field(data, b"object"))
    if tag and ref.startswith("refs/tags/") and ref != f"refs/tags/{tag}":
        raise Malformed(f"{ref} holds a tag that calls itself {tag}: whoever signed it signed another name")
    data = store.get(name, COMMIT)
    head, _, message = data.partition(b"\n\n")
    when = re.search(rb"(?m)^committer .* (\d{1,11}) [+-]\d{4}$", head)
    return Found(
        ref=ref,
        commit=name.hex(),
        tag=tag,
        signed=signed or b"\ngpgsig" in head,
        subject=message.split(b"\n", 1)[0][:200].decode("utf-8", "backslashreplace"),
        when=int(when[1]) if when else -1,
    )


def _field(data: bytes, key: bytes) -> bytes:
    for line in data.partition(b"\n\n")[0].split(b"\n"):
        word, _, value = line.partition(b" ")
        if word == key:
            return value
    raise Malformed(f"an object without its {key.decode()}")


def walk(store: Store, commit: str) -> Iterator[tuple[bytes, int, bytes]]:
    """Every file, link and submodule of a commit's tree: path, mode, and the object's name. Folders are not given."""
    root = _hex(_field(store.get(bytes.fromhex(commit), COMMIT), b"tree"))
    waiting: list[tuple[bytes, bytes, int]] = [(b"", root, 0)]
    count = 0
    while waiting:
        above, name, depth = waiting.pop()
        if depth > _DEEPEST:
            raise Malformed("folders within folders without end")
        for mode, entry, target in tree_entries(store.get(name, TREE), store.width):
            count += 1
            if count > _MOST:
                raise BudgetExceeded(f"more than {_MOST} files")
            path = above + b"/" + entry if above else entry
            if mode == FOLDER:
                waiting.append((path, target, depth + 1))
            else:
                yield path, mode, target


def tree_entries(data: bytes, width: int) -> Iterator[tuple[int, bytes, bytes]]:
    """The entries of a tree object: mode, name, and the object's name."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        zero = data.find(b"\0", space, space + 4096)
        if space < 0 or zero < 0 or zero + 1 + width > len(data):
            raise Malformed("a tree that is cut short")
        try:
            mode = int(data[at:space], 8)
        except ValueError:
            raise Malformed("a tree entry without a mode") from None
        name = data[space + 1 : zero]
        if not name or b"/" in name or name in (b".", b".."):
            raise Malformed("a tree entry with a name that leads elsewhere")
        yield mode, name, data[zero + 1 : zero + 1 + width]
        at = zero + 1 + width


__all__ = ["BLOB", "EXECUTABLE", "FILE", "LINK", "SUBMODULE", "Found", "bundle", "folder", "resolve", "walk"]
