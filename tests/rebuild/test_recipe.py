"""Recipes that cannot be used, the command, the page, and the kinds of build."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.compare.equivalence.model import BuildRecord
from banbury.model.errors import InputError
from banbury.rebuild import box, records
from banbury.rebuild.recipe import Recipe
from banbury.rebuild.run import rebuild
from banbury.rebuild.trace import traced
from tests.rebuild.helpers import EXAMPLES, FEW, need_sandbox, write

OFF = dict.fromkeys([*FEW, "clock", "build-path"], False)
GOOD = 'name = "x"\nkind = "script"\nsource = "."\ncommands = ["true"]\noutputs = ["out"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\xff\xfe", "cannot be used"),
        ("name = ", "cannot be used"),
        (GOOD + "surprise = 1\n", "unknown field"),
        (GOOD.replace("script", "spell"), "Invalid enum value"),
        (GOOD.replace('"x"', '"../x"'), "name"),
        (GOOD.replace('["out"]', '["../out"]'), "leads out"),
        (GOOD.replace('["out"]', '["/etc/passwd"]'), "leads out"),
        (GOOD.replace('["out"]', "[]"), "names no file"),
        (GOOD.replace('["true"]', "[]"), "needs `commands`"),
        (GOOD + '[variables]\nLD_PRELOAD = "x"\n', "laboratory's"),
        (GOOD + '[variables]\n"a b" = "x"\n', "not a name"),
        (GOOD + "[vary]\nmoon = false\n", "no variation"),
        (GOOD + "[limits]\ntime = 0\n", "positive"),
        (GOOD + "[limits]\ntime = 99999999999\n", "positive"),
        (GOOD + "clock = -1\n", "clock"),
        (GOOD + '[hypotheses]\nPATH = ["x"]\n', "hypothesis"),
        (GOOD + '[environment]\nsha256 = "abc"\n', "SHA-256"),
        ("x = " + "[" * 5000, "cannot be used"),
    ],
)
def test_a_bad_recipe_gets_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("latin-1"))
    result = CliRunner().invoke(main, ["rebuild", str(path), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    assert Recipe.load(path).name == path.stem


def test_without_a_sandbox_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "_missing", lambda: "bwrap: no permissions")
    given = write(tmp_path, {"a": ""}, commands=["touch out"], outputs=["out"])
    result = CliRunner().invoke(main, ["rebuild", str(given), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "no usable sandbox, so nothing is built: bwrap: no permissions" in result.output
    assert not list((tmp_path / "src").glob("out"))


def test_command_json_page_and_records(tmp_path: Path) -> None:
    """Hostile names and logs are data on the page; the record is one that `banbury equivalence` takes."""
    need_sandbox()
    nasty = "<script>alert(1)</script>"
    given = write(
        tmp_path,
        {"a": "a\n"},
        commands=[f"echo '{nasty}'; mkdir '<b>'; pwd >'<b>/{nasty.replace('/', '')}'"],
        outputs=["**/*script*"],
        vary={**OFF, "build-path": True},
    )
    page, out = tmp_path / "page.html", tmp_path / "o"
    result = CliRunner().invoke(
        main, ["rebuild", str(given), "--out", str(out), "--json", "-", "--html", str(page), "-q"]
    )
    assert result.exit_code == 1, result.output
    found = json.loads(result.output)
    assert found["determinism"] == "not deterministic"
    assert found["outputs"][0]["causes"][0]["variable"] == "build-path"
    assert found["source"]["files"] == 1
    text = page.read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    record = BuildRecord.from_toml((out / "records/first.toml").read_text())
    assert record.roots["build"] == "/build/first"
    assert record.clock is None, "the clock was not set, so none is declared"


def test_a_record_survives_its_text() -> None:
    record = BuildRecord(
        roots={"build": "/build/x"}, clock=1, dates={"a b": "Jan  1 1970"}, producers=['GCC: "x" \\ \x7f \u2028'],
        host="lab", user="who",
    )  # fmt: skip
    assert BuildRecord.from_toml(records.to_toml(record)) == record


@pytest.mark.parametrize(("kind", "packed"), [("make", True), ("cmake", False)])
def test_trees_and_tarballs(tmp_path: Path, kind: str, packed: bool) -> None:
    need_sandbox()
    if not shutil.which(kind):
        pytest.skip(f"{kind} is not installed")
    files = {
        "main.c": "int main(void) { return 0; }\n",
        "Makefile": "prog: main.c\n\t$(CC) -o $@ main.c\n",
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.13)\nproject(p C)\nadd_executable(prog main.c)\n",
    }
    source = "src.tar.gz" if packed else "src"
    given = write(tmp_path, files, kind=kind, source=source, outputs=["prog", "build/prog"], vary=OFF)
    if packed:
        with tarfile.open(tmp_path / source, "w:gz") as archive:
            archive.add(tmp_path / "src", "p-1.0")
    report = rebuild(given, tmp_path / "o")
    assert report.good, report.notes
    assert len(report.outputs) == 1
    assert report.runs[0].producers
    assert {t.name for t in report.runs[0].tools} >= {"cc", "ld", "make"}


def test_a_tarball_that_leads_out_stays_inside(tmp_path: Path) -> None:
    need_sandbox()
    given = write(tmp_path, {"a": ""}, source="src.tar", commands=["ls >out"], outputs=["out"], vary=OFF)
    target = tmp_path / "outside"
    with tarfile.open(tmp_path / "src.tar", "w") as archive:
        for name in (f"../../../..{target}", str(target), "fine"):
            member = tarfile.TarInfo(name)
            archive.addfile(member)
    with pytest.raises(InputError, match="cannot be unpacked"):
        rebuild(given, tmp_path / "o")
    assert not target.exists()


@pytest.mark.slow
def test_second_compiler(tmp_path: Path) -> None:
    need_sandbox()
    clang = next((c for c in ("clang", "clang-14", "gcc-11") if shutil.which(c)), None)
    if clang is None:
        pytest.skip("no second compiler is installed")
    files = {"main.c": "int main(void) { return 0; }\n", "Makefile": "prog: main.c\n\t$(CC) -o $@ main.c\n"}
    given = write(tmp_path, files, kind="make", outputs=["prog"], vary=OFF, second_compiler={"CC": clang})
    second = rebuild(given, tmp_path / "o").second_compiler
    assert second
    assert second.built
    assert second.different == ["prog"]


def test_a_hostile_trace_is_text(tmp_path: Path) -> None:
    """Lines of any form are read or left out; what is kept is bounded."""
    log = tmp_path / "log"
    lines = [
        b'7 execve("/usr/bin/cc", ["cc"], 0x1 /* 3 vars */) = 0',
        b'7 openat(AT_FDCWD</b>, "x", O_RDONLY) = 3</usr/include/stdio.h>',
        b'7 openat(AT_FDCWD</b>, "x", O_RDONLY) = -1 ENOENT (No such file or directory)',
        b'7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH',
        b'7 connect(3, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        b'7 execve("' + b"\\" * 9000 + b'") = 0',
        b"\xff\xfe(((((" * 2000,
        *(b'7 openat(AT_FDCWD</b>, "x", O_RDONLY) = 3</usr/f%d>' % n for n in range(4000)),
    ]
    log.write_bytes(b"\n".join(lines))
    found = traced(log, "/b")
    assert found.executed == ["/usr/bin/cc"]
    assert "/usr/include/stdio.h" in found.read
    assert found.network == ["192.0.2.1 port 53"]
    assert found.more > 0
    assert len(found.read) <= 3000
