"""Archives and file systems that hold a tree: the same changes and the same harmless variance in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from banbury.compare.corpus.pairs import Made, Recipe, attack, harmless
from banbury.compare.corpus.trees import CHANGES, Change, Tree, aged, base, reordered
from banbury.compare.corpus.writers import cpio, jffs2, packed, squashfs, tar

Writer = Callable[[Tree], bytes]


class Form(Struct, frozen=True, kw_only=True):
    """A format that holds a tree. ``lab`` and ``vendor`` write it as each side would: the same, but for harmless
    variance. ``variants``: (key, group, note, writer) of further harmless differences from ``lab``."""

    name: str
    architecture: str = "-"
    lab: Writer
    vendor: Writer
    variants: Sequence[tuple[str, str, str, Writer]]
    xattrs: bool = False
    without: frozenset[str] = frozenset()
    pure: bool = True


def _tar_gz(tree: Tree, level: int, mtime: int, name: bytes = b"") -> bytes:
    return packed.gzip(tar.write(tree), level=level, mtime=mtime, name=name)


def _jffs2(*, big: bool) -> Form:
    def write(tree: Tree, **options: Any) -> bytes:
        return jffs2.write(tree, big=big, **options)

    return Form(
        name="jffs2",
        architecture="big-endian" if big else "little-endian",
        lab=write,
        vendor=lambda t: write(aged(t), first=40, start=500),
        variants=(
            ("mtime", "clock", "Files have other times.", lambda t: write(aged(t))),
            ("inodes", "allocation", "Inodes have other numbers.", lambda t: write(t, first=77)),
            ("versions", "allocation", "Names have later versions.", lambda t: write(t, start=10_000)),
            ("order", "order", "Nodes stand in another order.", lambda t: write(reordered(t))),
            ("plain", "compression", "Nothing is compressed.", lambda t: write(t, packed=False)),
            ("pieces", "allocation", "Contents are cut into smaller nodes.", lambda t: write(t, piece=1024)),
            ("blocks", "padding", "More erased blocks follow.", lambda t: write(t, blocks=3)),
        ),
    )


FORMS = (
    Form(
        name="tar",
        lab=tar.write,
        vendor=lambda t: tar.write(aged(t)),
        xattrs=True,
        variants=(
            ("mtime", "clock", "Members have other times.", lambda t: tar.write(aged(t))),
            ("order", "order", "Members stand in another order.", lambda t: tar.write(reordered(t))),
            ("blocking", "padding", "More blocks of zeros end it.", lambda t: tar.write(t, blocking=40)),
        ),
    ),
    Form(
        name="tar.gz",
        lab=lambda t: _tar_gz(t, 9, 0),
        vendor=lambda t: _tar_gz(aged(t), 6, 1_700_000_000, b"root.tar"),
        xattrs=True,
        variants=(
            ("level", "compression", "Compressed at another level.", lambda t: _tar_gz(t, 1, 0)),
            (
                "header",
                "clock",
                "The stream's header has a time and a name.",
                lambda t: _tar_gz(t, 9, 1_700_000_000, b"x.tar"),
            ),
            ("order", "order", "Members stand in another order.", lambda t: _tar_gz(reordered(t), 9, 0)),
        ),
    ),
    Form(
        name="cpio",
        lab=cpio.write,
        vendor=lambda t: cpio.write(aged(t), first=700_000),
        variants=(
            ("mtime", "clock", "Members have other times.", lambda t: cpio.write(aged(t))),
            ("inode", "allocation", "Inode numbers differ.", lambda t: cpio.write(t, first=9_000, step=3)),
            ("order", "order", "Members stand in another order.", lambda t: cpio.write(reordered(t))),
            ("padding", "padding", "More zeros end it.", lambda t: cpio.write(t, block=4096)),
        ),
    ),
    Form(
        name="squashfs",
        lab=squashfs.write,
        vendor=lambda t: squashfs.write(aged(t), made=1_700_000_000),
        xattrs=True,
        variants=(
            ("made", "clock", "The image was made at another time.", lambda t: squashfs.write(t, made=1_700_000_000)),
            ("mtime", "clock", "Files have other times.", lambda t: squashfs.write(aged(t))),
            ("level", "compression", "Compressed at another level.", lambda t: squashfs.write(t, level=1)),
            ("block-size", "compression", "Blocks are smaller.", lambda t: squashfs.write(t, log=12)),
            ("fragments", "allocation", "Ends of files are not shared.", lambda t: squashfs.write(t, fragments=False)),
            ("order", "order", "Contents are stored in another order.", lambda t: squashfs.write(t, backwards=True)),
            ("inodes", "allocation", "Inodes are numbered in another order.", lambda t: squashfs.write(reordered(t))),
            ("plain", "compression", "Nothing is compressed.", lambda t: squashfs.write(t, plain=True)),
            ("padding", "padding", "Padded to a larger unit.", lambda t: squashfs.write(t, pad=65536)),
        ),
    ),
    _jffs2(big=False),
    _jffs2(big=True),
)


def changed(form: Form, change: Change) -> Made:
    """The laboratory's archive beside the vendor's with the change."""
    tree = base()
    return Made(a=form.lab(tree), b=form.vendor(change.apply(tree)), base=form.vendor(tree), changes=change.changes)


def varied(form: Form, writer: Writer) -> Made:
    """Two archives of the same tree."""
    return Made(a=form.lab(base()), b=writer(base()), changes=frozenset())


def both(form: Form) -> Made:
    """Two archives of the same tree, with all of the vendor's variance at once."""
    return varied(form, form.vendor)


def form_recipes(form: Form) -> Iterator[Recipe]:
    """Every recipe of one format."""
    place = form.name if form.architecture == "-" else f"{form.name}-{form.architecture}"
    for change in CHANGES:
        if (form.xattrs or not change.xattrs) and change.key not in form.without:
            yield attack(
                f"{place}-{change.key}",
                form.name,
                change.group,
                change.note,
                partial(changed, form, change),
                architecture=form.architecture,
                pure=form.pure,
            )
    for key, group, note, writer in form.variants:
        yield harmless(
            f"{place}-same-{key}",
            form.name,
            group,
            note,
            partial(varied, form, writer),
            architecture=form.architecture,
            pure=form.pure,
        )
    yield harmless(
        f"{place}-same-all",
        form.name,
        "clock",
        "Everything that the vendor's build varies, at once.",
        partial(both, form),
        architecture=form.architecture,
        pure=form.pure,
    )


def recipes() -> Iterator[Recipe]:
    for form in FORMS:
        yield from form_recipes(form)
    yield harmless(
        "tar-same-names",
        "tar",
        "user",
        "The names of users differ, their numbers do not: whether that matters is for the extracting system to say.",
        partial(varied, FORMS[0], partial(tar.write, owner="builder")),
        expected={"equivalent/metadata", "functional", "unexplained"},
    )
