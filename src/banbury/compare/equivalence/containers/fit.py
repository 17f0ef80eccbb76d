"""What is particular to U-Boot's FIT images: data outside of the tree, hashes, and signatures against declared keys.

A signature is left out of the comparison only where it verifies, over what U-Boot would check, with a key that its
side's build record declares, and its node holds nothing but what mkimage writes.

Sources: U-Boot, doc/usage/fit/source_file_format.rst, doc/usage/fit/signature.rst, boot/image-fit-sig.c
(fit_image_check_sig, fit_config_check_sig), boot/fdt_region.c (fdt_find_regions), lib/rsa/rsa-verify.c, lib/ecdsa.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import shown, zero
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

Key = tuple[bytes, bytes]
_NODE: Final = re.compile(rb"(/images|/configurations)/([^/]+)/signature[^/]*")
_PLAIN: Final = re.compile(rb".*/signature[\w.@-]{0,40}", re.DOTALL)  # U-Boot takes any, but a name is no place to hide
_ALGORITHM: Final = re.compile(rb"(sha1|sha256|sha384|sha512),(rsa|ecdsa|secp)(\d{3,4})(?:r1)?\0")
_HASHES: Final[dict[bytes, type[hashes.HashAlgorithm]]] = {
    b"sha1": hashes.SHA1, b"sha256": hashes.SHA256, b"sha384": hashes.SHA384, b"sha512": hashes.SHA512,
}  # fmt: skip
_TEXTS: Final = {b"key-name-hint", b"signer-name", b"signer-version", b"padding", b"algo"}
_OTHERS: Final = {b"", b"value", b"timestamp", b"sign-images", b"hashed-nodes", b"hashed-strings"}
_TEXT: Final = re.compile(rb"[ -~]{1,80}\0")
_NOT_HASHED: Final = (b"data", b"data-size", b"data-position", b"data-offset")
_SIGNED: Final = 256 << 20


class Tree(Protocol):
    """What is used of a device tree: places of values by (path, name), and the whole file."""

    props: dict[Key, tuple[int, int]]
    view: View

    def value(self, key: Key) -> bytes | None: ...


def data_place(tree: Tree, path: bytes) -> tuple[int, int] | None:
    """Where an image's data stands in the file (start, size): in its node, or behind the tree."""
    inside = tree.props.get((path, b"data"))
    size = tree.value((path, b"data-size"))
    if size is None:
        return inside
    offset, position = tree.value((path, b"data-offset")), tree.value((path, b"data-position"))
    if inside is not None or (offset is None) is (position is None) or len(size) != 4:
        raise Refused(shown(path), "data that is both in the node and outside, or nowhere")
    stated = offset if offset is not None else position
    assert stated is not None
    if len(stated) != 4:
        raise Refused(shown(path), "a place of data that is no number")
    base = (tree.view.u32(4, big=True) + 3 & ~3) if offset is not None else 0
    return base + int.from_bytes(stated, "big"), int.from_bytes(size, "big")


def check_outside(tree: Tree) -> None:
    """Every byte behind the tree belongs to one image's data, or is zero."""
    end = tree.view.u32(4, big=True)
    images = [p for p, name in tree.props if not name and p.startswith(b"/images/") and p.count(b"/") == 2]
    places = sorted(place for p in images if (p, b"data-size") in tree.props and (place := data_place(tree, p)))
    for start, size in places:
        if start < end or start + size > len(tree.view) or start % 4:
            raise Refused("external data", "overlaps, lies outside or not at a word", [Range(start, start + size)])
        zero(tree.view, end, start, "padding")
        end = start + size
    if len(tree.view) - end >= 4096:
        raise Refused("external data", "more behind it than padding", [Range(end, len(tree.view))])
    zero(tree.view, end, len(tree.view), "padding")


def is_signature(path: bytes) -> bool:
    """Whether a node's path is a signature's."""
    return _NODE.fullmatch(path) is not None


def verified(tree: Tree, keys: list[str]) -> set[bytes]:
    """The paths of the signature nodes that verify with one of ``keys``."""
    return {path for path, name in tree.props if not name and _NODE.fullmatch(path) and _verifies(tree, path, keys)}


def signatures(tree: Tree) -> set[bytes]:
    """The paths of all signature nodes."""
    return {path for path, name in tree.props if not name and _NODE.fullmatch(path)}


def _verifies(tree: Tree, path: bytes, keys: list[str]) -> bool:
    names = {name for p, name in tree.props if p == path}
    if (
        not _PLAIN.fullmatch(path)
        or not names <= _TEXTS | _OTHERS
        or any(p.startswith(path + b"/") for p, _ in tree.props)
    ):
        return False
    if not all(_TEXT.fullmatch(tree.value((path, n)) or b"") for n in names & _TEXTS):
        return False
    if len(tree.value((path, b"timestamp")) or bytes(4)) != 4 or not _names_parts(tree, path):
        return False
    algorithm = _ALGORITHM.fullmatch(tree.value((path, b"algo")) or b"")
    value = tree.value((path, b"value"))
    signed = _signed(tree, path, names)
    if algorithm is None or not value or signed is None:
        return False
    pss = tree.value((path, b"padding")) == b"pss\0"
    return any(_verify(text, algorithm, value, signed, pss) for text in keys)


def _names_parts(tree: Tree, path: bytes) -> bool:
    """Whether ``sign-images``, where it is there, names properties of the configuration once each: nothing signs it."""
    raw = tree.value((path, b"sign-images"))
    if raw is None:
        return True
    listed, own = raw.split(b"\0"), path.rpartition(b"/")[0]
    known = all(name and (own, name) in tree.props for name in listed[:-1])
    return not listed[-1] and known and len(set(listed)) == len(listed)


def stale(a: Tree, b: Tree) -> set[bytes]:
    """The signature nodes that have the same value in both trees, over what is not the same, or is not known to be: on
    one side at least it is wrong."""
    out = set()
    for path in signatures(a) & signatures(b):
        value = a.value((path, b"value"))
        if value is not None and value == b.value((path, b"value")):
            one, other = (_signed(tree, path, {n for p, n in tree.props if p == path}) for tree in (a, b))
            if one is None or one != other:
                out.add(path)
    return out


def _signed(tree: Tree, path: bytes, names: set[bytes]) -> bytes | None:
    """What the signature is over: an image's data, or the listed nodes of the tree and its strings."""
    own = path.rpartition(b"/")[0]
    if path.startswith(b"/images/"):
        place = data_place(tree, own)
        lists = names & {b"hashed-nodes", b"hashed-strings", b"sign-images"}
        return tree.view.take(*place) if place and not lists and place[1] <= _SIGNED else None
    nodes, strings = tree.value((path, b"hashed-nodes")), tree.value((path, b"hashed-strings"))
    if not nodes or not strings or len(strings) != 8 or not nodes.endswith(b"\0"):
        return None
    listed = nodes[:-1].split(b"\0")
    known = {p for p, name in tree.props if not name}
    if len(set(listed)) != len(listed) or not set(listed) <= known or own not in listed or b"/" not in listed:
        return None
    view = tree.view
    start, size = struct.unpack(">II", strings)
    if start or size > view.u32(32, big=True):
        return None
    return _regions(view, set(listed)) + view.take(view.u32(12, big=True), size)


def covered(tree: Tree, path: bytes) -> frozenset[bytes] | None:
    """The nodes that a configuration's signature is over; ``None`` where it is an image's. The list is signed by
    nothing: U-Boot takes what is in it."""
    listed = tree.value((path, b"hashed-nodes"))
    return None if listed is None else frozenset(listed[:-1].split(b"\0"))


def covers(tree: Tree, path: bytes) -> bool:
    """Whether a configuration's signature is over every image that the configuration names, hashes and all, as
    mkimage's is with ``sign-images``; an image's own is over its data."""
    nodes = covered(tree, path)
    if nodes is None:
        return path.startswith(b"/images/")
    own = path.rpartition(b"/")[0]
    values = [tree.value((own, name)) or b"" for p, name in tree.props if p == own and name]
    named = {text for value in values for text in value.split(b"\0")}
    wanted = set()
    for node, name in tree.props:
        parts = node.split(b"/")  # "", "images", the image, and what is in it
        hashed = len(parts) == 3 or (len(parts) == 4 and parts[3].startswith((b"hash", b"cipher")))
        if not name and parts[:2] == [b"", b"images"] and hashed and parts[2] in named:
            wanted.add(node)
    return wanted <= nodes


def _regions(view: View, listed: set[bytes]) -> bytes:
    """The runs of the structure that fdt_find_regions gives, joined."""
    base, strings = view.u32(8, big=True), view.u32(12, big=True)
    at, want, start = base, 0, -1
    out = bytearray()
    path: list[bytes] = []
    stack: list[int] = []
    while True:
        token, offset = view.u32(at, big=True), at
        at, stop = at + 4, at + 4
        include: int = want >= 2
        if token == 3:
            size, name = view.u32(at, big=True), view.cstring(strings + view.u32(at + 4, big=True), 256)
            at = at + 8 + size + 3 & ~3
            stop = offset
            include = include and name not in _NOT_HASHED
        elif token == 4:
            stop = offset
        elif token == 1:
            node = view.cstring(at, 256)
            at = at + len(node) + 4 & ~3
            stop = at
            path.append(node)
            stack.append(want)
            whole = b"/".join(path) or b"/"
            stop = offset if want in (0, 1) and whole not in listed else at
            if want == 1:
                stop = offset
            want = 2 if whole in listed else max(want - 1, 0)
            include = want
        elif token == 2:
            include, want = want, stack.pop()
            path.pop()
        else:
            include = 1
        if include and start == -1:
            start = offset
        if not include and start != -1:
            out += view.mem(start, stop - start)
            start = -1
        if token == 9:
            out += view.mem(start, at - start)
            return bytes(out)


def _verify(text: str, algorithm: re.Match[bytes], value: bytes, signed: bytes, pss: bool) -> bool:
    kind, bits = algorithm[2], int(algorithm[3])
    digest = _HASHES[algorithm[1]]()
    try:
        key = serialization.load_der_public_key(bytes.fromhex(text))
        if isinstance(key, rsa.RSAPublicKey) and kind == b"rsa" and key.key_size == bits:
            scheme = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO) if pss else padding.PKCS1v15()
            key.verify(value, signed, scheme, digest)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and kind != b"rsa" and key.key_size == bits:
            half = (bits + 7) // 8
            if len(value) == 2 * half:
                numbers = (int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))
                key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
                return True
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        pass
    return False
