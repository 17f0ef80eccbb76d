"""Releases told apart by their sources: mined from a made repository, held against real libraries, and attacked."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from banbury.bench.components import READ, same
from banbury.formats.view import View
from banbury.inspect.components import releases
from banbury.inspect.components.releases import Dated, Marks, Table, compare, opened, pack, runs, unpack
from banbury.inspect.contract import FileView
from banbury.model.errors import InputError
from banbury.model.supply import Standing, Technique
from banbury.supply import dated
from banbury.supply.content import Content
from banbury.supply.identify import of_content
from banbury.supply.knowledge import bundle
from banbury.supply.knowledge.mine import clean
from banbury.supply.knowledge.releases import Number, Recipe, marks_of, mine, recipes
from banbury.supply.knowledge.sources import read
from banbury.supply.products import products
from banbury.supply.versions import upstream

_SAME = [f"cannot open the file of sort {n}" for n in range(20)]
_ADDED = [(2, "the second release says this"), (3, "the third has this text too"), (3, "and a further one")]
_ADDED += [(4, f"a text of the fourth alone, {n}") for n in range(3)]
_GONE = [(2, "an old text that was taken out"), (3, "another text that did not stay")]


def _source(release: int) -> str:
    texts = [*_SAME, *(t for n, t in _ADDED if n <= release), *(t for n, t in _GONE if n > release)]
    lines = [f'  say(1, "{text}\\n");' for text in texts]
    if release >= 2:
        lines += ["#ifdef RARE", '  say(2, "a text that few builds have at all");', "#endif"]
    return "int example_open(void)\n{\n" + "\n".join(lines) + '\n}\n/* "no text at all" */\n'


def _texts(release: int) -> bytes:
    found = read("a.c", _source(release).encode()).texts
    return b"\0".join(text for text, _, conditional in sorted(found) if not conditional) + b"\0example_open\0"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not there: no repository can be made")
    folder = tmp_path_factory.mktemp("repositories") / "made" / "example"
    folder.mkdir(parents=True)
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q", "."], cwd=folder, check=True, env=env)
    for release in (1, 2, 3, 4):
        (folder / "a.c").write_text(_source(release))
        (folder / "tests").mkdir(exist_ok=True)
        (folder / "tests/b.c").write_text(f'char *t = "a test that no package ships, {release}";')
        (folder / "Makefile.am").write_text(f"x_LDFLAGS = -version-info {release + 4}:{release}:2\n")
        subprocess.run([*git, "add", "."], cwd=folder, check=True, env=env)
        subprocess.run([*git, "commit", "-qm", "x"], cwd=folder, check=True, env=env)
        subprocess.run([*git, "tag", f"v1.{release}"], cwd=folder, check=True, env=env)
    subprocess.run([*git, "tag", "v1.5-rc1"], cwd=folder, check=True, env=env)
    return folder


_RECIPE = Recipe(
    product="example",
    repository="made/example",
    tag=r"v(\d+\.\d+)",
    libraries=["libexample"],
    number=[Number(libraries=["libexample"], files=["Makefile.am"], patterns=[r"-version-info (\d+):(\d+):(\d+)"])],
)


@pytest.fixture(scope="module")
def marks(repository: Path) -> Marks:
    return marks_of(repository, _RECIPE)


def _said(data: bytes, marks: Marks) -> Dated | None:
    return compare(runs(data), marks, opened(marks))


def test_each_release_is_told_by_its_own_texts(marks: Marks) -> None:
    assert marks.releases == ["1.1", "1.2", "1.3", "1.4"]
    for release in (1, 2, 3, 4):
        found = _said(_texts(release), marks)
        assert found is not None
        assert (found.releases, found.open) == ([f"1.{release}"], release == 4)
    assert marks.named("libexample.so.4.2.2") == ["1.2"]
    assert marks.named("libexample.so.9.9.9") == []


def test_a_patch_from_a_later_release_leaves_the_question_open(marks: Marks) -> None:
    patched = _texts(2) + _ADDED[-1][1].encode() + b"\0"
    found = _said(patched, marks)
    assert found is not None
    assert len(found.releases) > 1 or found.open


def test_what_few_builds_have_counts_for_it_and_never_against(marks: Marks) -> None:
    rare = b"a text that few builds have at all\0"
    found = _said(_texts(1) + rare, marks)
    assert found is not None
    assert found.releases != ["1.1"]
    assert _said(_texts(3), marks) == _said(_texts(3) + b"something else\0", marks)


def test_too_few_marks_say_nothing(marks: Marks) -> None:
    assert _said(_texts(2)[:200], marks) is None
    for seed in range(40):
        source = random.Random(seed)
        data = bytearray(_texts(source.randrange(1, 5)))
        for _ in range(source.randrange(400)):
            data[source.randrange(len(data))] = source.randrange(256)
        found = _said(bytes(data[: source.randrange(len(data))]), marks)
        assert found is None or set(found.releases) <= set(marks.releases)


def test_a_hostile_file_costs_little(marks: Marks) -> None:
    before = time.process_time()
    flood = b"\0".join(b"cannot open the file of sort %d" % n for n in range(400_000)) * 2
    _said(flood, marks)
    _said(b"\x01aaaaa" * 3_000_000, marks)
    assert time.process_time() - before < 10


def test_texts_are_read_as_a_compiler_joins_them() -> None:
    text = rb"""
    #include "not a text at all.h"
    /* "nor is this one here" */ // "nor this one"
    char c = '"'; f(x, "first half " "and \x41 second\t" "half of it");
    #if A
    g("only under a condition");
    #endif
    """
    found = read("a.c", text)
    assert {(t, c) for t, _, c in found.texts} == {
        (b"first half and A second", False),
        (b"half of it", False),
        (b"only under a condition", True),
    }
    assert {c for _, c, _ in found.texts} == {b"f", b"g"}
    assert read("lib.map", b"X_1 { global: ex_open; # ex_none\n local: *; };").functions == {b"ex_open"}


def test_a_repository_that_is_none_is_told_of(repository: Path, tmp_path: Path) -> None:
    said: list[object] = []
    table, known = mine(repository.parents[1], [_RECIPE], "made", said.append)
    assert [m.product for m in table.products] == ["example"]
    assert known.versions == {"example": ["1.1", "1.2", "1.3", "1.4"]}
    (tmp_path / "made/example").mkdir(parents=True)
    table, known = mine(tmp_path, [_RECIPE], "made", said.append)
    assert not table.products
    assert "left out" in str(said[-1])
    with pytest.raises(InputError):
        marks_of(repository, msgspec.structs.replace(_RECIPE, tag="none-(x)"))


def test_the_table_that_comes_along_is_whole() -> None:
    known = {recipe.product: recipe for recipe in recipes()}
    table = releases.table()
    assert unpack(pack(table)) == table
    assert len(table.products) > 30
    for one in table.products:
        assert one.product in products()
        assert known[one.product].repository == one.source
        count = len(one.digests) // 4
        digests = np.frombuffer(one.digests, dtype="<u4")
        assert (np.diff(digests.astype(np.int64)) > 0).all()
        assert [len(c) // 2 for c in (one.stands, one.always, one.file, one.call)] == [count] * 4
        assert np.frombuffer(one.stands, dtype="<u2").max() < len(one.sets)
        assert all(at < len(one.sets) for at in one.numbers.values())
        assert set(one.exact) <= set(one.numbers)


def test_a_name_narrows_what_marks_leave() -> None:
    marks = releases.by_product()["nettle"]
    left = marks.releases[-3:]
    fact = {"fact": "component.releases", "product": "nettle", "releases": left, "marks": 100, "open": True}
    found = dated.release({"component.releases": [fact]}, ["usr/lib/libnettle.so.8.10"], "nettle")
    assert (found.one, found.against("3.8.1"), found.against("99")) == ("3.10.1", True, False)
    assert dated.release({}, ["usr/lib/libnettle.so.8.10"], "nettle").one == "3.10.1"
    assert dated.release({}, ["usr/lib/libnettle.so"], "nettle") == dated.Dated()
    assert not dated.release({"component.releases": [{"product": "nettle", "releases": 7}]}, [], "nettle").one


def _dpkg(*arguments: str) -> list[str]:
    done = subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _installed() -> list[tuple[Path, str, str]]:
    """The libraries of this system that the table knows, with their product and dpkg's version."""
    if shutil.which("dpkg-query") is None:
        return []
    stems = sorted({name for one in releases.table().products for name in one.libraries})
    paths = sorted(p for folder in ("/lib", "/usr/lib") for p in Path(folder).glob("*-linux-gnu/lib*.so.*"))
    paths = [path for path in paths if not path.is_symlink() and releases.stem(path.name) in stems]
    owners = {path: owner for owner, path in (line.split(": ", 1) for line in _dpkg("-S", *map(str, paths)))}
    form = "${binary:Package} ${source:Upstream-Version}\n"
    versions = dict(line.split(" ", 1) for line in _dpkg("-W", "-f", form, *sorted(set(owners.values()))))
    found = []
    for path in paths:
        if version := versions.get(owners.get(str(path), ""), ""):
            found.append((path, releases.of_library(path.name), re.split(r"[+~]", clean(upstream(version, "dpkg")))[0]))
    return found


def test_real_libraries_of_this_system_are_of_the_release_that_dpkg_says() -> None:
    libraries = _installed()
    if len(libraries) < 5:
        pytest.skip("this system has too few libraries that the table knows, or no dpkg")
    knowledge = bundle.default()[0]
    right = 0
    for path, product, version in libraries:
        view = FileView(View(path.read_bytes()), str(path))
        facts = [msgspec.to_builtins(fact) for inspector in READ for fact in inspector.inspect(view)]
        content = Content(sha256="0" * 64, facts=facts, names=[str(path)], kind=view.kind)
        for one in of_content(content, knowledge):
            if one.product == product and one.technique is Technique.FINGERPRINT and one.standing is Standing.ASSERTED:
                assert same(one.version, version), (path, one)
                right += 1
    assert right


def test_a_table_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        unpack(pack(Table(format=9)))
