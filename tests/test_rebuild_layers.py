"""A rebuild that goes over another is what a file system must hold, whatever else the image has that is like it."""

from __future__ import annotations

import gzip
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from tests.equivalence.container_pairs import ar
from tests.images import tar_of, uimage
from tests.test_rebuild_evaluated import MANIFEST, only, run, submission
from tests.test_rebuild_trees import FILES, REBUILD, against, tree, whys
from tests.test_rebuild_unclear import RECOVERY, bare, image, system

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

PATH = "etc/init.d/fw"
STRICT = {PATH: b"#!/bin/sh\nnft -f /etc/strict.nft\n"}
WEAK = {PATH: b"#!/bin/sh\n: # no firewall\n"}
BASE, SETTINGS = bare({**FILES, **WEAK}), bare(STRICT)
HOME, OVER = 'file_systems = ["image!squashfs"]\n', 'over = ["base.tar"]\n'
DECOY = uimage(gzip.compress(SETTINGS, mtime=0))


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


@pytest.mark.parametrize(
    ("root", "behind", "word", "verdict"),
    [
        (WEAK, DECOY, {"base.tar": HOME, "settings.tar": OVER}, "functional"),
        (WEAK, DECOY, {"settings.tar": OVER}, "functional"),
        (WEAK, DECOY, {"base.tar": HOME}, "unexplained"),
        (STRICT, DECOY, {"base.tar": HOME, "settings.tar": OVER}, "identical"),
        (
            WEAK,
            DECOY,
            {"base.tar": HOME, "settings.tar": 'file_systems = ["image!uimage!root!content"]\n'},
            "identical",
        ),
        (STRICT, b"", {"settings.tar": OVER}, "identical"),
    ],
    ids=["over", "no home", "nothing said", "as it must be", "a file system of its own", "without another"],
)
def test_an_archive_that_is_just_a_layer_does_not_take_it_away(
    tmp_path: Path, root: dict[str, bytes], behind: bytes, word: dict[str, str], verdict: str
) -> None:
    """The image has the settings as an archive of their own, and the file system may be without them for that."""
    shipped = image(system({**FILES, **root})) + behind
    rebuilt, evaluation = against(tmp_path, shipped, word, **{"base.tar": BASE, "settings.tar": SETTINGS})

    assert rebuilt.verdict == verdict
    assert ("settings.tar has something else at etc/init.d/fw" in whys(evaluation)) is (verdict == "unexplained")


def test_a_layer_of_a_layer(tmp_path: Path) -> None:
    word = {"base.tar": HOME, "settings.tar": OVER, "last.tar": 'over = ["settings.tar"]\n'}
    built = {"base.tar": BASE, "settings.tar": SETTINGS, "last.tar": bare({PATH: b"last\n"})}
    decoy = uimage(gzip.compress(built["last.tar"], mtime=0))
    found = [
        against(tmp_path / str(n), image(system({**FILES, PATH: data})) + decoy, word, **built)[0].verdict
        for n, data in enumerate((b"last\n", STRICT[PATH]))
    ]

    assert found == ["identical", "functional"]


def test_a_layer_that_restores_what_the_lowest_has(tmp_path: Path) -> None:
    """The uppermost states no owners and modes, and has what the lowest has, which states them."""
    word = {"base.tar": "", "weak.tar": OVER, "release": 'over = ["weak.tar"]\n'}
    manifest = MANIFEST + "".join(REBUILD.format(name) + said for name, said in word.items())
    built = {"base.tar": bare({**FILES, **STRICT}), "weak.tar": bare(WEAK), f"release/{PATH}": STRICT[PATH]}
    found = []
    for turn, data in (("one", STRICT), ("two", WEAK)):
        files = {"image.bin": image(system({**FILES, **data})), **built}
        found.append(only(run(submission(tmp_path / turn, manifest, **files), tmp_path / "w")).verdict)

    assert found == ["identical", "functional"]


def test_what_a_folder_leaves_open_is_as_below_it(tmp_path: Path) -> None:
    """A folder states neither mode nor owner: of the same content they are those of what it goes over."""
    manifest = MANIFEST + "".join(REBUILD.format(n) + said for n, said in {"base.tar": "", "release": OVER}.items())
    built = {"base.tar": tree({**FILES, **STRICT}, {}, modes={PATH: 0o700}), f"release/{PATH}": STRICT[PATH]}
    found = []
    for mode in (0o700, 0o755):
        image_of = uimage(gzip.compress(tree({**FILES, **STRICT}, {}, modes={PATH: mode}), mtime=0))
        where = tmp_path / f"{mode:o}"
        found.append(only(run(submission(where, manifest, **{"image.bin": image_of}, **built), tmp_path / "w")).verdict)

    assert found == ["identical", "functional"]


@pytest.mark.parametrize(("mode", "verdict"), [(0o4755, "functional"), (0o755, "identical")])
def test_a_mode_goes_no_further_than_the_next_layer(tmp_path: Path, mode: int, verdict: str) -> None:
    """What lies between has another content: it was made anew, without the rights of what lies below."""
    words = {"base.tar": "", "weak.tar": OVER, "release": 'over = ["weak.tar"]\n'}
    manifest = MANIFEST + "".join(REBUILD.format(name) + said for name, said in words.items())
    built = {
        "base.tar": tree({**FILES, **STRICT}, {}, modes={PATH: 0o4755}),
        "weak.tar": tree(WEAK, {}, modes={PATH: 0o755}),
        f"release/{PATH}": STRICT[PATH],
    }
    shipped = uimage(gzip.compress(tree({**FILES, **STRICT}, {}, modes={PATH: mode}), mtime=0))
    files = {"image.bin": shipped, **built}
    assert only(run(submission(tmp_path / "s", manifest, **files), tmp_path / "w")).verdict == verdict


def test_a_folder_over_a_file(tmp_path: Path) -> None:
    """An empty folder where the base has a script: it is not there any more."""
    layer = tree(STRICT, {"etc/telnet.sh": 0o755})
    base = bare({**FILES, **STRICT, "etc/telnet.sh": b"#!/bin/sh\ntelnetd\n"})
    shipped = uimage(gzip.compress(base, mtime=0))
    assert against(tmp_path, shipped, {"z.tar": OVER}, **{"base.tar": base, "z.tar": layer})[0].verdict == "functional"


def test_a_folder_between_layers_takes_a_mode_away(tmp_path: Path) -> None:
    """The base's program could become root; a layer put a folder in its place, and the next one the program again."""
    words = {"base.tar": "", "middle.tar": OVER, "release": 'over = ["middle.tar"]\n'}
    manifest = MANIFEST + "".join(REBUILD.format(n) + said for n, said in words.items())
    base = tree({**FILES, **STRICT}, {}, modes={PATH: 0o4755})
    built = {"base.tar": base, "middle.tar": tree({"etc/x": b"x\n"}, {PATH: 0o755}), f"release/{PATH}": STRICT[PATH]}
    files = {"image.bin": uimage(gzip.compress(base, mtime=0)), **built}
    assert only(run(submission(tmp_path / "s", manifest, **files), tmp_path / "w")).verdict == "functional"


@pytest.mark.parametrize(
    ("target", "word", "verdict"),
    [
        ("../init.d/fw", OVER, "functional"),
        ("/nowhere", OVER, "functional"),
        ("../init.d/fw", "", "unexplained"),
        ("../init.d", OVER, "identical"),
        ("/etc/rc.d/.././init.d/", OVER, "identical"),
        ("more", OVER, "functional"),
    ],
)
def test_a_folder_over_a_link(tmp_path: Path, target: str, word: str, verdict: str) -> None:
    """What a package manager leaves where a package has a folder is a link to a folder, and no other."""
    link = "etc/rc.d/S50fw"
    base = tree({**FILES, **STRICT}, {}, links={link: target})
    layer = tree({"etc/x": b"x\n"}, {link: 0o755})
    shipped = tree({**FILES, **STRICT, "etc/x": b"x\n"}, {}, links={link: target})
    sides = {"base.tar": base, "layer.tar": layer}
    found = against(tmp_path, uimage(gzip.compress(shipped, mtime=0)), {"layer.tar": word}, **sides)[0]
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("mode", "names", "verdict"),
    [
        (0o755, ("root", "root"), "equivalent/metadata"),
        (0o755, ("www-data", "root"), "functional"),
        (0o775, ("root", "users"), "functional"),
        (0o775, ("root", "root"), "equivalent/metadata"),
    ],
)
def test_a_folder_without_a_mode_is_nobody_elses_by_name(
    tmp_path: Path, mode: int, names: tuple[str, str], verdict: str
) -> None:
    """Archivers take the owner's name before the number."""
    shipped = tree(FILES, {"etc": 0o755, "etc/init.d": mode}, names={"etc/init.d": names})
    sides = {"all.zip": _listing(["etc", "etc/init.d"], FILES)}
    found = against(tmp_path, uimage(gzip.compress(shipped, mtime=0)), {}, **sides)[0]
    assert (found.verdict == "functional") is (verdict == "functional")


def test_folders_that_are_listed_without_a_mode(tmp_path: Path) -> None:
    """A ZIP of another system lists folders, and no more: what another rebuild states of them holds; where none does,
    they are no folders for everybody."""
    layer = _listing(["etc", "etc/init.d"], STRICT)
    word = {"layer.zip": OVER}
    shipped = [tree({**FILES, **STRICT}, {"etc": mode, "etc/init.d": 0o755}) for mode in (0o755, 0o750, 0o777)]
    over, alone = [], []
    for number, root in enumerate(shipped):
        sides = uimage(gzip.compress(root, mtime=0))
        built = {"base.tar": shipped[0], "layer.zip": layer}
        over.append(against(tmp_path / f"o{number}", sides, word, **built)[0].verdict)
        whole = _listing(["etc", "etc/init.d"], {**FILES, **STRICT})
        alone.append(against(tmp_path / f"a{number}", sides, {}, **{"all.zip": whole})[0].verdict)

    assert [verdict == "functional" for verdict in over] == [False, True, True]
    assert [verdict == "functional" for verdict in alone] == [False, False, True]


def _listing(folders: list[str], files: dict[str, bytes]) -> bytes:
    """A ZIP as DOS writes it: names, and no modes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (*(f"{folder}/" for folder in folders), *files):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 0, 0x10 if name.endswith("/") else 0x20
            archive.writestr(entry, files.get(name, b""))
    return out.getvalue()


def test_two_archives_that_are_two_file_systems(tmp_path: Path) -> None:
    """Both have an account file of their own; each is name for name what was built."""
    word = {"root.tar": 'file_systems = ["image!squashfs"]\n', "recovery.tar": 'file_systems = ["image!squashfs#2"]\n'}
    rebuilt, _ = against(
        tmp_path,
        image(system(FILES), system(RECOVERY)),
        word,
        **{"root.tar": bare(FILES), "recovery.tar": bare(RECOVERY)},
    )

    assert rebuilt.verdict == "identical"


def test_folders_of_a_layer_over_a_file_system(tmp_path: Path) -> None:
    """What goes over a file system states its folders, too."""
    word = {"settings.tar": 'over = ["base.squashfs"]\n'}
    layers = [tree(STRICT, {"etc": mode, "etc/init.d": 0o755}) for mode in (0o755, 0o700)]
    root = system({**FILES, **STRICT})
    found = [
        against(tmp_path / str(n), image(root), word, **{"base.squashfs": root, "settings.tar": layer})[0].verdict
        for n, layer in enumerate(layers)
    ]

    assert found == ["identical", "functional"]


@pytest.mark.parametrize(("inside", "verdict"), [("", "functional"), ("/more", "identical")])
def test_a_folder_over_a_link_through_another_link(tmp_path: Path, inside: str, verdict: str) -> None:
    """Linux goes up from where the first link has led: to a script, or to a folder; by its letters the path is that of
    a folder in any case."""
    links = {"etc/alt": "../usr/share/t", "etc/rc.d/S50telnet": "../alt/../conf/telnet"}
    files = {f"usr/share/conf/telnet{inside}": b"telnetd\n", "usr/share/t/x": b"x\n", "etc/conf/telnet/x": b"x\n"}
    sides = {
        "base.tar": tree({**FILES, **files}, {}, links=links),
        "layer.tar": tree(STRICT, {"etc/rc.d/S50telnet": 0o755}),
    }
    shipped = uimage(gzip.compress(tree({**FILES, **files, **STRICT}, {}, links=links), mtime=0))
    assert against(tmp_path, shipped, {"layer.tar": OVER}, **sides)[0].verdict == verdict


@pytest.mark.parametrize(
    ("target", "base", "layer", "verdict"),
    [
        ("/var/hooks", {}, {}, "functional"),
        ("/var/hooks", {}, {"var/hooks": 0o1777}, "functional"),
        ("/var/hooks/../../etc", {}, {}, "functional"),
        ("/var/hooks", {"var/hooks": 0o1777}, {}, "identical"),
    ],
    ids=["the image alone", "the layer", "on the way", "the base"],
)
def test_a_folder_that_makes_a_link_lead_to_one(
    tmp_path: Path, target: str, base: dict[str, int], layer: dict[str, int], verdict: str
) -> None:
    """Whoever ships the image may have made it, so that a link stays where the layer has a folder."""
    link = {"etc/hooks.d": target}
    sides = {"base.tar": tree(FILES, base, links=link), "layer.tar": tree(STRICT, {**layer, "etc/hooks.d": 0o755})}
    shipped = uimage(gzip.compress(tree({**FILES, **STRICT}, {"var/hooks": 0o1777}, links=link), mtime=0))
    assert against(tmp_path, shipped, {"layer.tar": OVER}, **sides)[0].verdict == verdict


@pytest.mark.parametrize(
    ("top", "layer", "verdict"),
    [('"layer.tar"', "", "functional"), ("", '"top.tar"', "identical"), ("", "", "functional")],
    ids=["brought later", "there before", "nothing said"],
)
def test_a_link_stays_by_the_links_that_were_there(tmp_path: Path, top: str, layer: str, verdict: str) -> None:
    """A folder takes the place of a link that leads nowhere yet, whatever a later layer brings on its way."""
    link, way, more = {"etc/hooks.d": "/a/b"}, {"a": "/var"}, {"etc/x": b"x\n"}
    sides = {
        "base.tar": tree(FILES, {"var/b": 0o1777}, links=link),
        "layer.tar": tree(STRICT, {"etc/hooks.d": 0o755}),
        "top.tar": tree(more, {}, links=way),
    }
    over = {name: f'over = ["base.tar", {other}]\n' for name, other in (("layer.tar", layer), ("top.tar", top))}
    shipped = uimage(gzip.compress(tree({**FILES, **STRICT, **more}, {"var/b": 0o1777}, links=link | way), mtime=0))
    assert against(tmp_path, shipped, over, **sides)[0].verdict == verdict


@pytest.mark.parametrize("between", [{"a": "/srv"}, {}], ids=["another link", "none"])
def test_a_link_on_the_way_that_is_another_for_a_while(tmp_path: Path, between: dict[str, str]) -> None:
    """What leads on in the lowest and the uppermost layer may lead nowhere when the folder is unpacked."""
    link, way, more = {"etc/hooks.d": "/a/b"}, {"a": "/var"}, {"etc/x": b"x\n"}
    sides = {
        "base.tar": tree(FILES, {"var/b": 0o1777}, links=link | way),
        "mid.tar": tree({"etc/y": b"y\n"}, {}, links=between),
        "layer.tar": tree(STRICT, {"etc/hooks.d": 0o755}),
        "top.tar": tree(more, {}, links=way),
    }
    over = {name: f'over = ["{below}"]\n' for below, name in itertools.pairwise(sides)}
    files = {**FILES, **STRICT, **more, "etc/y": b"y\n"}
    shipped = uimage(gzip.compress(tree(files, {"var/b": 0o1777}, links=link | way), mtime=0))
    verdict = against(tmp_path, shipped, over, **sides)[0].verdict
    assert verdict == ("functional" if between else "identical")


def test_an_archive_with_a_file_and_a_folder_of_one_path(tmp_path: Path) -> None:
    """GNU tar leaves the folder that stands last, BusyBox the file."""
    layer = {"layer.tar": tree(STRICT, {PATH: 0o755})}
    shipped = uimage(gzip.compress(bare({**FILES, **STRICT}), mtime=0))
    assert against(tmp_path, shipped, {}, **{"base.tar": bare(FILES)}, **layer)[0].verdict == "unexplained"


def _deb(folders: dict[str, int]) -> bytes:
    """A package that dpkg unpacks."""
    control = tar_of({"./control": b"Package: fw\nVersion: 1\nArchitecture: all\nDescription: a firewall\n"})
    return ar(("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", tree(STRICT, folders)))


@pytest.mark.parametrize(
    ("name", "word", "mode", "verdict"),
    [
        ("fw.deb", OVER, 0o1777, "identical"),
        ("fw.deb", OVER, 0o755, "functional"),
        ("fw.deb", "", 0o1777, "identical"),
        ("fw.deb", "", 0o755, "unexplained"),
        ("fw.ipk", OVER, 0o1777, "functional"),
        ("fw.ipk", "", 0o1777, "unexplained"),
    ],
)
def test_dpkg_leaves_a_folder_that_is_there_as_it_is(
    tmp_path: Path, name: str, word: str, mode: int, verdict: str
) -> None:
    """Of other packages that is not known."""
    sides = {"base.tar": tree(FILES, {"tmp": 0o1777}), name: _deb({"tmp": 0o755})}
    shipped = uimage(gzip.compress(tree({**FILES, **STRICT}, {"tmp": mode}), mtime=0))
    assert against(tmp_path, shipped, {name: word}, **sides)[0].verdict == verdict


@pytest.mark.parametrize(
    ("banks", "word", "verdict"),
    [
        ([{**FILES, **STRICT}], 'over = ["base.squashfs"]\n', "identical"),
        ([{**FILES, **STRICT}], "", "unexplained"),
        ([{**FILES, **STRICT}, FILES], 'over = ["base.squashfs"]\n', "unexplained"),
        ([FILES], 'over = ["base.squashfs"]\n', "functional"),
    ],
    ids=["over", "nothing said", "a bank without it", "none has it"],
)
def test_a_package_over_a_file_system(tmp_path: Path, banks: list[dict[str, bytes]], word: str, verdict: str) -> None:
    """It belongs wherever that may belong."""
    built = {"base.squashfs": system(FILES), "fw.deb": _deb({})}
    assert against(tmp_path, image(*map(system, banks)), {"fw.deb": word}, **built)[0].verdict == verdict
