"""What our own readers say of a container, down to its leaves, and how two such trees differ."""

from __future__ import annotations

from banbury.formats.registry import readers
from banbury.formats.testing import Read, read_bytes
from banbury.model.tree import Entry, Kind

#: Readers of each of the corpus's formats, outermost first; what is inside is read on by the last one.
CHAINS = {
    "tar": ("tar",),
    "tar.gz": ("gzip", "tar"),
    "cpio": ("cpio",),
    "squashfs": ("squashfs",),
    "jffs2": ("jffs2",),
    "ubifs": ("ubifs",),
    "ext4": ("ext",),
    "ubi": ("ubi",),
    "zip": ("zip",),
    "jar": ("zip",),
    "whl": ("zip",),
    "apk": ("zip",),
    "static-archive": ("ar",),
    "fit": ("fdt",),
    "gzip": ("gzip",),
    "xz": ("xz",),
    "zstd": ("zstd",),
    "lz4": ("lz4",),
    "bzip2": ("bzip2",),
    "rpm": (),
}
_STREAMS = frozenset({"gzip", "xz", "zstd", "lz4", "bzip2"})
Row = dict[str, object]


def tree(form: str, data: bytes) -> dict[str, Row]:
    """Path to fields of every member. For packages: of the control files and of the data together."""
    if form in ("deb", "ipk"):
        return _package(form, data)
    if form == "rpm":
        payload = data.rindex(b"\x1f\x8b\x08")
        return _tree(_one("cpio", _only(_one("gzip", data[payload:]))))
    chain = CHAINS[form]
    for name in chain[:-1]:
        data = _only(_one(name, data))
    read = _one(chain[-1], data)
    if chain[-1] in _STREAMS:
        return {"": {"content": _only(read)}}
    return _tree(read)


def _one(name: str, data: bytes) -> Read:
    read = read_bytes(readers()[name], data)
    assert read is not None, f"{name} does not claim it"
    assert not read.dissection.error, read.dissection.error
    return read


def _only(read: Read) -> bytes:
    (content,) = read.contents.values()
    return content


def _package(form: str, data: bytes) -> dict[str, Row]:
    if form == "deb":
        members = _one("ar", data).contents
    else:
        members = {k.removeprefix("./"): v for k, v in _one("tar", _only(_one("gzip", data))).contents.items()}
    rows: dict[str, Row] = {}
    for name, content in members.items():
        if name.startswith(("control.tar", "data.tar")):
            suffix = name.rpartition(".")[2]
            inner = _only(_one({"gz": "gzip", "xz": "xz", "zst": "zstd"}[suffix], content))
            rows |= {path.removeprefix("./"): row for path, row in _tree(_one("tar", inner)).items()}
    return rows


def _tree(read: Read) -> dict[str, Row]:
    rows = {}
    for entry in read.dissection.entries:
        path = entry.path.rstrip("/").removeprefix("./")
        if path and path != ".":
            rows[path] = _row(entry, read.contents.get(entry.path))
    return rows


def _row(entry: Entry, content: bytes | None) -> Row:
    device = entry.kind in {Kind.CHAR, Kind.BLOCK}
    link = entry.kind is Kind.SYMLINK
    return {
        "kind": entry.kind,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "link": entry.link if link else "",
        "rdev": entry.rdev if device else None,
        "xattrs": entry.xattrs,
        "content": content if entry.kind is Kind.FILE or entry.kind is Kind.CHUNK else None,
    }


def changes(form: str, a: bytes, b: bytes) -> set[str]:
    """The differences, as the corpus states them."""
    one, two = tree(form, a), tree(form, b)
    found = {f"{path}:-" for path in one.keys() - two.keys()} | {f"{path}:+" for path in two.keys() - one.keys()}
    for path in one.keys() & two.keys():
        found |= {f"{path}:{field}" for field in one[path] if one[path][field] != two[path][field]}
    return found
