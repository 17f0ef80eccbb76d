"""What a submission's rebuild shows beside its files: names to the byte, what was left out, and who built it."""

from __future__ import annotations

import gzip
import io
import marshal
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.present.gaps import gaps
from banbury.present.rebuilds import rebuild_views
from tests.images import tar_of, uimage
from tests.test_rebuild_evaluated import BACK_DOOR, FILES, MANIFEST, by_path, command, image, only, run, submission


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def test_bytes_and_the_text_that_stands_for_them_are_two_names(tmp_path: Path) -> None:
    """A start script under a name that is no UTF-8 must not be held to be the rebuild's file of the literal name."""
    built = {**FILES, "etc/init.d/S1\\xff": BACK_DOOR, "etc/init.d/S2\\x2d": b"#!/bin/sh\n"}
    shipped = {**FILES, "etc/init.d/S1\udcff": BACK_DOOR, "etc/init.d/S2\\x2d": b"#!/bin/sh\n"}
    manifest = MANIFEST + '[[artefact]]\npath = "built.tar"\nrole = "rebuild"\n'
    data = {"image.bin": image(shipped), "built.tar": tar_of(built)}
    rebuilt = only(run(submission(tmp_path / "s", manifest, **data), tmp_path / "w"))
    files = by_path(rebuilt)

    assert files[r"etc/init.d/S2\x2d"].verdict == "identical"
    odd = files[r"etc/init.d/S1\xff"]
    assert (odd.how, odd.verdict) == ("content", "functional")
    assert [(c.what, c.rebuilt) for c in odd.changes] == [("path", r"etc/init.d/S1\x5cxff")]


def test_a_folder_of_odd_names_is_handed_in_by_its_bytes(tmp_path: Path) -> None:
    manifest = MANIFEST + '[[artefact]]\npath = "root"\nrole = "rebuild"\n'
    names = ("etc/a\udcff", "etc/b\\xff", "etc/c\u202etxt")
    built = {f"root/{name}": name.encode("utf-8", "surrogateescape") for name in names}
    shipped = {name: name.encode("utf-8", "surrogateescape") for name in names}
    rebuilt = only(run(submission(tmp_path / "s", manifest, **{"image.bin": image(shipped)}, **built), tmp_path / "w"))

    assert {(f.how, f.verdict) for f in rebuilt.files} == {("path", "identical")}
    assert sorted(f.path for f in rebuilt.files) == [r"etc/a\xff", r"etc/b\x5cxff", r"etc/c\xe2\x80\xaetxt"]


#: A vendor's image whose files all equal the rebuild's, and that lacks what makes it safe.
PROTECTING = {
    "etc/init.d/S40firewall": b"#!/bin/sh\nnft -f /etc/nftables.conf\n",
    "etc/nftables.conf": b"table inet filter {}\n",
    "etc/motd.conf": b"hello\n",
    "usr/bin/audit": b"#!/bin/sh\necho audit\n",
    "usr/share/doc/etc/init.d/S40firewall": b"an example\n",
    "usr/share/doc/README": b"read me\n",
}


@pytest.mark.parametrize("packed", ["folder", "tar"])
def test_files_left_out_are_findings_and_the_image_is_not_all_well(tmp_path: Path, packed: str) -> None:
    built = {**FILES, **PROTECTING}
    name = "root" if packed == "folder" else "built.tar"
    handed = {f"root/{n}": data for n, data in built.items()} if packed == "folder" else {name: tar_of(built)}
    manifest = MANIFEST + f'[[artefact]]\npath = "{name}"\nrole = "rebuild"\n'
    folder = submission(tmp_path / "s", manifest, **{"image.bin": image(FILES)}, **handed)
    result = command("evaluate", folder, "--workspace", tmp_path / "w", "--no-pdf", "--as-of", "2026-01-01")
    page = next((tmp_path / "w" / "evaluations").glob("*/report.html")).read_text("utf-8")
    evaluation = run(folder, tmp_path / "w")
    rebuilt = only(evaluation)
    found = {(f.rule, f.severity.value) for f in evaluation.findings if f.rule.startswith("rebuild.")}

    assert {f.verdict for f in rebuilt.files} == {"identical"}
    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "functional")
    assert {(g.path, g.sort) for g in rebuilt.left_out} == {
        ("etc/init.d/S40firewall", "protection"),
        ("etc/nftables.conf", "protection"),
        ("etc/motd.conf", "configuration"),
        ("usr/bin/audit", "program"),
        ("usr/share/doc/etc/init.d/S40firewall", "other"),
        ("usr/share/doc/README", "other"),
    }
    assert found == {
        ("rebuild.left-out-protection", "high"),
        ("rebuild.left-out-configuration", "medium"),
        ("rebuild.left-out-program", "medium"),
        ("rebuild.left-out", "low"),
        ("rebuild.image", "medium"),
        ("rebuild.provenance", "low"),
    }
    assert "6 files of the rebuild are not in the image: 2 that protect" in result.stdout
    assert "6 files of the rebuild are not in the image" in page
    assert "Files of the rebuild are missing from the image." in page


def test_a_rebuild_of_one_of_two_images_is_not_left_out_of_the_other(tmp_path: Path) -> None:
    second = 'path = "other.bin"\nrole = "image"\n'
    manifest = MANIFEST + f'[[artefact]]\n{second}[[artefact]]\npath = "root"\nrole = "rebuild"\n'
    built = {f"root/{n}": data for n, data in {**FILES, "etc/init.d/S40net": b"#!/bin/sh\n"}.items()}
    data = {"image.bin": image(FILES), "other.bin": image({"usr/share/else.txt": b"else\n"})}
    evaluation = run(submission(tmp_path / "s", manifest, **data, **built), tmp_path / "w")
    gone = {evaluation.nodes[r.image].name: [(g.path, g.sort) for g in r.left_out] for r in evaluation.rebuilds}

    assert gone == {"image.bin": [("etc/init.d/S40net", "start")], "other.bin": []}


def test_what_describes_a_package_is_not_left_out(tmp_path: Path) -> None:
    """But a tree with a file ``control`` is no control archive."""
    control = b"Package: tool\nVersion: 1.3-1\nArchitecture: mips_24kc\nDescription: a tool\n"
    parts = {
        "./debian-binary": b"2.0\n",
        "./control.tar.gz": gzip.compress(tar_of({"./control": control, "./postinst": b"#!/bin/sh\n"}), mtime=0),
        "./data.tar.gz": gzip.compress(tar_of({"./etc/init.d/S20tool": b"#!/bin/sh\n"}), mtime=0),
    }
    named = ("tool.ipk", "tree.tar")
    manifest = MANIFEST + "".join(f'[[artefact]]\npath = "{n}"\nrole = "rebuild"\n' for n in named)
    files = {
        "image.bin": image(FILES),
        "tool.ipk": gzip.compress(tar_of(parts), mtime=0),
        "tree.tar": tar_of({"control": control, "etc/inittab": b"::sysinit:/etc/init.d/rcS\n"}),
    }
    rebuilt = only(run(submission(tmp_path / "s", manifest, **files), tmp_path / "w"))

    assert [(g.path, g.sort) for g in rebuilt.left_out] == [
        ("etc/init.d/S20tool", "start"),
        ("etc/inittab", "start"),
        ("control", "other"),
    ]


SOURCE = "comes from the source that was handed in"


@pytest.mark.parametrize(
    ("built_by", "here", "source", "said"),
    [
        ("laboratory", True, True, SOURCE),
        ("laboratory", False, True, "a rebuild that the manifest calls the laboratory's"),
        ("laboratory", True, False, "whose source was not handed in"),
        ("vendor", True, True, "a rebuild that the vendor handed over"),
        ("third-party", True, True, "a rebuild by a third party"),
        ("", True, True, "a rebuild of which nobody says who made it"),
    ],
)
def test_only_the_laboratorys_own_rebuild_ties_code_to_the_source(
    tmp_path: Path, built_by: str, here: bool, source: bool, said: str
) -> None:
    """A vendor that can write the manifest can call its rebuild anybody's."""
    program = Path("/bin/true").read_bytes()
    word = f'built_by = "{built_by}"\n' if built_by else ""
    plain = MANIFEST if source else MANIFEST.partition('[[artefact]]\npath = "source.tar"')[0]
    manifest = plain + f'[[artefact]]\npath = "built.tar"\nrole = "rebuild"\n{word}'
    files = {**FILES, "bin/true": program}
    folder = submission(tmp_path / "s", manifest, **{"image.bin": image(files), "built.tar": tar_of(files)})
    with Workspace(tmp_path / "w") as workspace:
        evaluation = evaluate(folder, workspace, options=Options(as_of="2026-01-01", rebuilt_here=here))
    rebuilt = only(evaluation)
    view = rebuild_views(evaluation)[0]
    tied = said is SOURCE

    assert rebuilt.totals is not None
    assert rebuilt.totals.proved_share == 1.0
    assert rebuilt.totals.source_share == (1.0 if tied else 0.0)
    assert (rebuilt.tied, view.equivalent) == (tied, tied)
    assert ("rebuild.provenance" in {f.rule for f in evaluation.findings}) is not tied
    assert ("not tied to the source" in {g.sort.value for g in gaps(evaluation)}) is not tied
    assert said in view.claim.replace("shown to come", "comes") if tied else said in view.claim
    assert tied or "is not shown" in view.notes[-1]


def test_of_two_equal_rebuilds_the_laboratorys_own_counts_and_of_parts_each_its_own(tmp_path: Path) -> None:
    program, other = Path("/bin/true").read_bytes(), Path("/bin/false").read_bytes()
    rebuild = '[[artefact]]\npath = "{0}.tar"\nrole = "rebuild"\nbuilt_by = "{0}"\n'
    manifest = MANIFEST + rebuild.format("vendor") + rebuild.format("laboratory")
    shipped = {**FILES, "bin/true": program, "bin/false": other}
    data = {
        "image.bin": image(shipped),
        "vendor.tar": tar_of(shipped),
        "laboratory.tar": tar_of({**FILES, "bin/true": program}),
    }
    folder = submission(tmp_path / "s", manifest, **data)
    with Workspace(tmp_path / "w") as workspace:
        rebuilt = only(evaluate(folder, workspace, options=Options(as_of="2026-01-01", rebuilt_here=True)))
    files = by_path(rebuilt)

    assert (files["bin/true"].rebuilt_by, files["bin/false"].rebuilt_by) == ("laboratory", "vendor")
    assert rebuilt.built_by == ["vendor", "laboratory"]
    assert rebuilt.totals is not None
    assert rebuilt.totals.source_code == files["bin/true"].proved_code > 0
    assert not rebuilt.tied


def test_who_built_something_is_one_of_three(tmp_path: Path) -> None:
    for role, word in (("rebuild", "us"), ("source", "laboratory")):
        added = f'[[artefact]]\npath = "built.bin"\nrole = "{role}"\nbuilt_by = "{word}"\n'
        data = {"image.bin": image(FILES), "built.bin": image(FILES)}
        result = command("evaluate", submission(tmp_path / role, MANIFEST + added, **data), "--workspace", tmp_path)

        assert result.exit_code == 2
        assert "built_by" in result.stderr


def _pax(files: dict[str, tuple[bytes, int, dict[str, str]]]) -> bytes:
    """A pax archive: content, time, and extended attributes of each file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (data, time, attributes) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o755, time
            entry.pax_headers = {f"SCHILY.xattr.{n}": v for n, v in attributes.items()}
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def test_capabilities_of_a_shipped_program_are_rights_as_setuid_is(tmp_path: Path) -> None:
    shell, rights = Path("/bin/true").read_bytes(), "\x01\x00\x00\x02\u0000cap"
    shipped = {
        "bin/sh": (shell, 0, {"security.capability": rights, "security.selinux": "shell_exec_t"}),
        "bin/alone": (b"#!/bin/sh\necho alone\n", 0, {"security.capability": rights}),
        "etc/passwd": (FILES["etc/passwd"], 0, {"system.posix_acl_access": "acl", "user.note": "x"}),
    }
    manifest = MANIFEST + "".join(f'[[artefact]]\npath = "{n}"\nrole = "rebuild"\n' for n in ("built.tar", "alone"))
    data = {
        "image.bin": uimage(gzip.compress(_pax(shipped), mtime=0)),
        "built.tar": tar_of({"bin/sh": shell, "etc/passwd": FILES["etc/passwd"]}, dict.fromkeys(shipped, 0o755)),
        "alone": shipped["bin/alone"][0],
    }
    evaluation = run(submission(tmp_path / "s", manifest, **data), tmp_path / "w")
    changes = {f.path: [c.what for c in f.changes] for f in only(evaluation).files}
    special = {f.where.rpartition("!")[2] for f in evaluation.findings if f.rule == "rebuild.special-mode"}

    assert changes["bin/sh"] == ["xattr security.capability"]
    assert changes["bin/alone"] == ["xattr security.capability"]
    assert changes["etc/passwd"] == ["xattr system.posix_acl_access"]
    assert special == {"bin/sh", "bin/alone"}


def test_a_setuid_copy_of_a_program_handed_in_alone(tmp_path: Path) -> None:
    manifest = MANIFEST + '[[artefact]]\npath = "tool"\nrole = "rebuild"\n'
    tool = b"#!/bin/sh\necho a tool\n"
    data = {"image.bin": image({**FILES, "bin/tool": tool}, bin__tool=0o4755), "tool": tool}
    evaluation = run(submission(tmp_path / "s", manifest, **data), tmp_path / "w")

    assert by_path(only(evaluation))["bin/tool"].verdict == "functional"
    assert "rebuild.special-mode" in {f.rule for f in evaluation.findings}


@pytest.mark.parametrize("packed", ["tar", "folder"])
def test_which_of_a_module_and_its_source_is_run_is_the_same_on_both_sides(tmp_path: Path, packed: str) -> None:
    """The compiled module is old and ignored in the rebuild; with another time of the source it is what runs."""
    source, module = b"print('reviewed')\n", "usr/lib/__pycache__/m.cpython-311.pyc"
    code = b"\xa7\r\r\n" + bytes(4) + struct.pack("<II", 1000, len(source)) + marshal.dumps(compile("1", "m", "exec"))

    def tree(time: int) -> bytes:
        return _pax(
            {"usr/lib/m.py": (source, time, {}), module: (code, 0, {}), "etc/passwd": (FILES["etc/passwd"], 0, {})}
        )

    name = "built.tar" if packed == "tar" else "root"
    handed = {"built.tar": tree(2000)}
    if packed == "folder":
        handed = {"root/usr/lib/m.py": source, f"root/{module}": code, "root/etc/passwd": FILES["etc/passwd"]}
    manifest = MANIFEST + f'[[artefact]]\npath = "{name}"\nrole = "rebuild"\n'
    for time, verdict in ((1000, "functional"), (3000, "identical" if packed == "tar" else "functional")):
        data = {"image.bin": uimage(gzip.compress(tree(time), mtime=0)), **handed}
        rebuilt = only(run(submission(tmp_path / f"s{time}", manifest, **data), tmp_path / f"w{time}"))
        assert by_path(rebuilt)[module].verdict == verdict
