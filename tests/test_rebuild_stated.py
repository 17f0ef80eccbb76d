"""Each file of a shipped file system is one that the rebuilds state: where two of them state different things of one
path, the manifest says which goes over which, or nothing is decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.compare.equivalence.containers import romfs as strict_romfs
from banbury.compare.equivalence.worker import _filled
from banbury.formats.readers import romfs
from banbury.formats.view import View
from banbury.intake.tasks import shut_down
from tests.test_rebuild_evaluated import MANIFEST, by_path, command, submission
from tests.test_rebuild_homes import links, package
from tests.test_rebuild_trees import FILES, FOLDERS, REBUILD, against, tree, whys
from tests.test_rebuild_unclear import bare, image, system

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

SHADOW = "etc/shadow"
OPEN, CLOSED = b"root::0:0:99999:7:::\n", b"root:!:0:0:99999:7:::\n"
BASE = {**FILES, SHADOW: OPEN}
HARD = {SHADOW: CLOSED, "usr/sbin/harden": b"\0harden"}
OVER = 'over = ["{}"]\n'


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


@pytest.mark.parametrize("base", ["tar", "ipk"])
@pytest.mark.parametrize("hard", ["tar", "ipk"])
def test_what_goes_over_what_must_be_said(tmp_path: Path, base: str, hard: str) -> None:
    """A package that replaces a file of the base system: with the base's own, the image is a weaker one."""
    forms = {"tar": bare, "ipk": lambda files: package(bare(files))}
    names = f"base.{base}", f"hard.{hard}"
    built = {names[0]: forms[base](BASE), names[1]: forms[hard](HARD)}
    right, weak = bare(BASE, HARD), bare(HARD, BASE)
    for number, shipped in enumerate((right, weak)):
        rebuilt, _ = against(tmp_path / f"0{number}", shipped, **built)
        found = by_path(rebuilt)[SHADOW]
        assert (found.how, found.verdict, rebuilt.verdict) == ("several", "unexplained", "unexplained")
        assert (
            f"({names[0]} or {names[1]}): in the manifest, under the path of the one that is meant, over" in found.why
        )
    verdicts = []
    for number, (shipped, upper) in enumerate(((right, 1), (weak, 1), (right, 0), (weak, 0))):
        word = {names[upper]: OVER.format(names[1 - upper])}
        rebuilt, _ = against(tmp_path / f"1{number}", shipped, word, **built)
        verdicts.append((by_path(rebuilt)[SHADOW].how, rebuilt.verdict))

    assert verdicts == [("path", "identical"), ("path", "functional"), ("path", "functional"), ("path", "identical")]


@pytest.mark.parametrize(
    ("base", "hard", "shipped"),
    [
        (tree(FILES, {}, modes={"bin/tool": 0o4755}), tree({"bin/tool": FILES["bin/tool"], "usr/h": b"h"}, {}),
         tree({**FILES, "usr/h": b"h"}, {}, modes={"bin/tool": 0o4755})),
        (links(bare(FILES), S20fw="/bin/true"), links(bare({"usr/h": b"h"}), S20fw="../init.d/rc"),
         links(bare(FILES, {"usr/h": b"h"}), S20fw="/bin/true")),
        (tree(FILES, FOLDERS | {"etc": 0o777}), tree({"usr/h": b"h"}, {"etc": 0o755}),
         tree({**FILES, "usr/h": b"h"}, FOLDERS | {"etc": 0o777})),
    ],
    ids=["mode", "link", "folder"],
)  # fmt: skip
def test_attributes_that_two_rebuilds_state_otherwise(tmp_path: Path, base: bytes, hard: bytes, shipped: bytes) -> None:
    built = {"base.tar": base, "hard.tar": hard}
    rebuilt, _ = against(tmp_path, shipped, **built)
    over, _ = against(tmp_path / "2", shipped, {"hard.tar": OVER.format("base.tar")}, **built)
    under, _ = against(tmp_path / "3", shipped, {"base.tar": OVER.format("hard.tar")}, **built)

    assert [(f.how, f.verdict) for f in rebuilt.files if f.verdict != "identical"] == [("several", "unexplained")]
    assert (rebuilt.verdict, over.verdict, under.verdict) == ("unexplained", "functional", "identical")


def test_the_strictest_of_some_modes_of_a_folder_is_no_doubt(tmp_path: Path) -> None:
    built = {"base.tar": tree(FILES, FOLDERS), "more.tar": tree({"root/x": b"x"}, {"root": 0o755, "tmp": 0o755})}
    rebuilt, evaluation = against(tmp_path, tree({**FILES, "root/x": b"x"}, FOLDERS), **built)

    assert [(f.path, f.verdict) for f in rebuilt.files if f.verdict != "identical"] == [("tmp", "unexplained")]
    assert "2 folders (root, tmp): as one of the rebuilds has it, and not as another" in whys(evaluation)


def test_a_file_with_its_place_is_not_passed_over(tmp_path: Path) -> None:
    built = {"base.tar": bare(BASE), "shadow": CLOSED}
    place = 'place = "/etc/shadow"\n'
    unsaid = [against(tmp_path / f"{n}", bare({**BASE, SHADOW: d}), {"shadow": place}, **built)[0].verdict
              for n, d in enumerate((OPEN, CLOSED))]  # fmt: skip
    word = {"shadow": place + OVER.format("base.tar")}
    said = [against(tmp_path / f"2{n}", bare({**BASE, SHADOW: d}), word, **built)[0].verdict
            for n, d in enumerate((OPEN, CLOSED))]  # fmt: skip

    assert unsaid == ["unexplained", "unexplained"]
    assert said == ["functional", "identical"]


def test_a_system_that_was_built_whole_speaks_before_its_packages(tmp_path: Path) -> None:
    """And only where nothing stands beside it."""
    built = {"root.squashfs": system(BASE), "p.ipk": package(bare({SHADOW: CLOSED}))}
    rebuilt, evaluation = against(tmp_path, system(BASE), **built)
    more, _ = against(tmp_path / "2", system(BASE, HARD, {SHADOW: OPEN}), {
        "root.squashfs": 'file_systems = ["image"]\n', "p.ipk": 'file_systems = ["image"]\n',
    }, **{**built, "p.ipk": package(bare(HARD))})  # fmt: skip

    assert rebuilt.verdict == "identical"
    assert "is another file of this path, as a package may have" in whys(evaluation)
    assert (by_path(more)[SHADOW].how, more.verdict) == ("several", "unexplained")


NEW = {**FILES, "etc/version": b"2.0\n", "etc/fw": b"reject all\n"}
OLD = {**FILES, "etc/version": b"1.0\n", "etc/fw": b"accept all\n"}
MORE = {**OLD, "bin/debug": b"\0debug"}


@pytest.mark.parametrize("form", [system, bare], ids=["squashfs", "tar"])
@pytest.mark.parametrize("old", [OLD, MORE], ids=["names", "more"])
def test_a_system_that_is_nowhere_by_content(tmp_path: Path, form: object, old: dict[str, bytes]) -> None:
    """The release before it in its place: all names are there, and what was rebuilt is not."""
    assert callable(form)
    built = {"new.img": form(NEW), "old.img": form(old)}
    parts = [image(system(NEW), system(old)), image(system(old), system(old)), image(system(old))]
    found = [against(tmp_path / str(n), shipped, **built)[0] for n, shipped in enumerate(parts)]

    assert [r.files_verdict for r in found] == ["identical", "unexplained", "unexplained"]
    assert found[0].verdict == "identical" or old is MORE  # what is more, one of them may be asked for
    assert {r.verdict for r in found[1:]} <= {"unexplained", "functional"}
    assert {f.path for f in found[1].files if f.how == "several"} == {"etc/fw", "etc/version"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ({"hard.tar": OVER.format("bas.tar")}, "'bas.tar', which is no rebuild listed here"),
        ({"hard.tar": OVER.format("hard.tar")}, "hard.tar is said to go over itself"),
        ({"hard.tar": OVER.format("base.tar"), "base.tar": OVER.format("hard.tar")}, "is said to go over itself"),
        ({"hard.tar": f"over = {['base.tar'] * 65}\n"}, "more than 64 rebuilds that it goes over"),
    ],
    ids=["unknown", "itself", "round", "many"],
)
def test_an_order_that_is_none(tmp_path: Path, word: dict[str, str], said: str) -> None:
    manifest = MANIFEST + "".join(REBUILD.format(n) + word.get(n, "") for n in ("base.tar", "hard.tar"))
    data = {"image.bin": bare(BASE), "base.tar": bare(BASE), "hard.tar": bare(HARD)}
    result = command("evaluate", submission(tmp_path / "s", manifest, **data), "--workspace", tmp_path / "w")

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_folder_goes_over_what_lies_below_it(tmp_path: Path) -> None:
    """One archive below two others: what goes over the middle one goes over the lowest."""
    files = {"top/etc/shadow": CLOSED, "middle.tar": bare({SHADOW: b"x"}), "base.tar": bare(BASE)}
    manifest = MANIFEST + REBUILD.format("base.tar") + REBUILD.format("middle.tar") + OVER.format("base.tar")
    manifest += REBUILD.format("top") + OVER.format("middle.tar")
    for name, data, verdict in (("right", CLOSED, "identical"), ("weak", OPEN, "functional")):
        folder = submission(tmp_path / name, manifest, **{"image.bin": bare({**BASE, SHADOW: data})}, **files)
        result = command("evaluate", folder, "--workspace", tmp_path / f"w{name}", "--no-pdf", "--as-of", "2026-01-01")
        assert verdict in result.stdout
        assert "unexplained" not in result.stdout


def test_a_file_system_with_its_padding_in_erased_flash_is_read(tmp_path: Path) -> None:
    """mksquashfs pads with zeros to 4 KiB, and a dump goes on with what is erased."""
    whole = system(FILES)
    shipped = whole + bytes(-len(whole) % 4096) + b"\xff" * 4096
    rebuilt, evaluation = against(tmp_path, shipped, **{"root.tar": bare(FILES)})

    assert evaluation.nodes[rebuilt.image].format == "squashfs"
    assert (rebuilt.verdict, [s.doubts for s in rebuilt.file_systems]) == ("identical", [[]])


@pytest.mark.parametrize(
    ("behind", "fill"),
    [
        (bytes(96), True), (b"\xff" * 96, True), (bytes(4092) + b"\xff" * 7, True), (bytes(8188) + b"\xff", True),
        (bytes(4091) + b"\xff" * 8, False), (bytes(4092) + b"\xff" * 7 + b"\0", False), (b"\xff" * 4092 + b"\0", False),
        (bytes(4092) + b"\x01" * 7, False), (b"\x01" * 7, False), (b"", False),
    ],
)  # fmt: skip
def test_what_is_fill(behind: bytes, fill: bool) -> None:
    assert _filled(View(b"hsqs" + behind), 4) is fill


def test_both_readers_of_romfs_give_the_modes_of_the_kernel() -> None:
    assert [romfs._SORTS[n][1] for n in range(1, 8)] == list(strict_romfs._MODES[1:])
