"""The corpus is what it says: labels, tampering in the stated places alone, trees, behaviour, and its page."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from banbury.compare.corpus import (
    ACCEPTED,
    ATTACKS,
    CAUSES,
    Choice,
    Pair,
    Unavailable,
    generate,
    identical_only,
    measure,
    recipes,
    stray,
)
from banbury.compare.corpus.page import page
from tests.equivalence.corpus.trees import CHAINS, changes, tree

CHECKOUT = Path(__file__).resolve().parents[3]
FORMATS = {
    "elf-executable", "elf-shared", "elf-object", "elf-made", "static-archive", "kernel-module", "tar", "tar.gz",
    "cpio",
    "squashfs", "deb", "ipk", "rpm", "zip", "jar", "whl", "apk", "gzip", "xz", "zstd", "lz4", "bzip2", "uimage", "fit",
    "dtb", "kernel", "bzimage", "zimage", "u-boot", "vendor", "pyc", "class", "pe", "ext4", "ubi", "ubifs", "jffs2",
    "cramfs", "romfs", "script",
    "text",
}  # fmt: skip
ARCHITECTURES = {"x86-64", "arm", "aarch64", "mips", "mipsel", "powerpc"}
TREES = frozenset({*CHAINS, "deb", "ipk", "rpm"})


def pairs(only: Choice | None = None) -> list[Pair]:
    """The pairs that this machine can make."""
    return [pair for pair in generate(only=only) if isinstance(pair, Pair)]


def test_every_format_architecture_and_group_is_there() -> None:
    """The recipes, whatever the machine can make, cover the whole study."""
    every = recipes().values()

    assert {r.format for r in every} == FORMATS
    assert {r.group for r in every} == set(ATTACKS) | set(CAUSES)
    for form in ("elf-executable", "elf-shared", "elf-object", "elf-made", "kernel-module", "static-archive"):
        assert {r.architecture for r in every if r.format == form} == ARCHITECTURES, form
    for form in FORMATS - {"bzimage", "zimage"}:
        kinds = {r.kind for r in every if r.format == form}
        assert {"tampered", "harmless"} <= kinds, form


def test_labels_agree_with_themselves() -> None:
    """No tampered pair may be accepted by its own label; a group is an attack just where the pair is tampered with."""
    for recipe in recipes().values():
        assert recipe.expected, recipe.id
        assert recipe.note.endswith((".", "?")), recipe.id
        assert recipe.tampered == (recipe.group in ATTACKS), recipe.id
        assert not (recipe.tampered and recipe.expected & ACCEPTED), recipe.id


def test_pure_pairs_need_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called pure is made on a machine without any tool: at least 400 pairs, each of two different files."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    made = list(generate(only=Choice(pure=True)))

    assert [pair.id for pair in made if isinstance(pair, Unavailable)] == []
    assert len(made) >= 400
    assert {pair.format for pair in made} >= FORMATS - {
        "elf-executable", "elf-shared", "elf-object", "static-archive", "kernel-module", "ubifs", "ext4",
    }  # fmt: skip


#: Compiling for every architecture takes a while: plain runs do it for one.
NEAR = Choice(architectures=frozenset({"-", "x86-64", "little-endian", "big-endian", "tool"}))
SCOPES = [pytest.param(NEAR, id="near"), pytest.param(Choice(), id="everything", marks=pytest.mark.slow)]


@pytest.mark.parametrize("scope", SCOPES)
def test_there_are_enough_pairs_and_each_differs(scope: Choice) -> None:
    """Whole files differ in every pair; with the tools, there are many more than 150."""
    every = list(generate(only=scope))
    missing = {pair.id: pair.reason for pair in every if isinstance(pair, Unavailable)}
    made = [pair for pair in every if isinstance(pair, Pair)]

    assert [pair.id for pair in made if pair.a == pair.b] == []
    assert len(every) == sum(scope.takes(r) for r in recipes().values())
    assert all(reason for reason in missing.values())
    assert len(made) >= 150
    if missing:
        pytest.skip(f"{len(missing)} pairs are NOT made here: {sorted(Counter(missing.values()).items())}")


@pytest.mark.parametrize("scope", SCOPES)
def test_tampering_touches_only_what_it_says(scope: Choice) -> None:
    """A tampered file differs from its honest base, within the stated ranges alone, and the base is not the rebuild."""
    for pair in pairs(scope):
        if pair.tampered:
            assert pair.base is not None, pair.id
            assert pair.base != pair.b, pair.id
            assert stray(pair) == [], pair.id
        if pair.touched:
            assert sum(end - start for start, end in pair.touched) < max(0x20000, len(pair.b) // 4), pair.id


def test_a_stray_byte_is_found() -> None:
    """The check above can fail."""
    pair = next(p for p in pairs(Choice(ids=frozenset({"made-x86-64-branch"}))))
    spoilt = bytes([pair.b[0] ^ 1]) + pair.b[1:]
    worse = Pair(**{name: getattr(pair, name) for name in Pair.__struct_fields__} | {"b": spoilt})

    assert stray(pair) == []
    assert stray(worse) == [0]


@pytest.mark.parametrize("form", sorted(TREES))
def test_trees_differ_as_stated(form: str) -> None:
    """Our own readers see the stated difference of the trees and no other: none where something is hidden."""
    checked = 0
    for pair in pairs(Choice(formats=frozenset({form}), architectures=NEAR.architectures)):
        if pair.changes is None or not pair.well_formed:
            continue
        assert changes(form, pair.a, pair.b) == pair.changes, pair.id
        if pair.base is not None:
            assert changes(form, pair.a, pair.base) == set() or pair.group in ("content", "resource") or form == "jar"
        checked += 1
    assert checked


def test_reading_finds_the_whole_tree() -> None:
    """The comparison of trees is not between empty ones."""
    for form in ("tar", "squashfs", "jffs2", "deb", "rpm"):
        pair = pairs(Choice(formats=frozenset({form})))[0]
        assert {"bin/tool", "dev/console", "sbin/init"} <= tree(form, pair.a).keys(), form


TOOLS = {
    "tar": "tar -tvf {}",
    "tar.gz": "tar -tzvf {}",
    "cpio": "cpio -t --quiet < {}",
    "squashfs": "unsquashfs -lln {}",
    "deb": "dpkg-deb -c {} && dpkg-deb -I {}",
    "rpm": "rpm -qp --nosignature --dump {}",
    "gzip": "gzip -t < {}",
    "xz": "xz -t < {}",
    "zstd": "zstd -qt {}",
    "lz4": "lz4 -qt {}",
    "bzip2": "bzip2 -t {}",
    "ext4": "e2fsck -fn {}",
    "uimage": "dumpimage -l {}",
    "dtb": "dtc -q -I dtb -O dts {}",
    "fit": "dumpimage -l {}",
    "jar": "unzip -tq {}",
    "whl": "unzip -tq {}",
    "apk": "unzip -tq {}",
}


@pytest.mark.parametrize("form", sorted(TOOLS))
def test_the_formats_own_tools_read_them(form: str, tmp_path: Path) -> None:
    """Rebuilds and bases are read by the reference tools without complaint, and so is what is called well-formed."""
    name = TOOLS[form].split()[0]
    if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{name} is absent: {form} pairs are NOT checked by it")
    seen: set[bytes] = set()
    for pair in pairs(Choice(formats=frozenset({form}))):
        sides = {"rebuilt": pair.a, "base": pair.base or b"", "shipped": pair.b if pair.well_formed else b""}
        for side, data in sides.items():
            digest = hashlib.sha256(data).digest()
            if not data or digest in seen:
                continue
            seen.add(digest)
            path = tmp_path / "sample"
            path.write_bytes(data)
            done = subprocess.run(
                ["bash", "-c", TOOLS[form].format(path, path)], capture_output=True, check=False,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )  # fmt: skip
            assert done.returncode == 0, f"{pair.id} ({side}): {done.stderr.decode(errors='replace')[-300:]}"
    assert seen


# --- behaviour -------------------------------------------------------------------------------------------------------


#: Emulators of the other machines, and where the C libraries for them are.
EMULATORS = {
    "arm": ("qemu-arm", "arm-linux-gnueabihf"),
    "aarch64": ("qemu-aarch64", "aarch64-linux-gnu"),
    "mips": ("qemu-mips", "mips-linux-gnu"),
    "mipsel": ("qemu-mipsel", "mipsel-linux-gnu"),
    "powerpc": ("qemu-ppc", "powerpc-linux-gnu"),
}


def _runs(data: bytes, trials: tuple[tuple[str, ...], ...], folder: Path, before: tuple[str, ...] = ()) -> list[object]:
    program = folder / hashlib.sha256(data).hexdigest()
    if not program.exists():
        program.write_bytes(data)
        program.chmod(0o755)
    out: list[object] = []
    for trial in trials:
        try:
            command = [*before, str(program), *trial]
            done = subprocess.run(command, capture_output=True, timeout=5, check=False, env={}, cwd=folder)
            out.append((done.returncode, done.stdout))
        except OSError as problem:
            out.append(problem.errno)
        except subprocess.TimeoutExpired:
            out.append("no end")
    return out


@pytest.mark.parametrize(
    "architecture", ["x86-64", *(pytest.param(name, marks=pytest.mark.slow) for name in EMULATORS)]
)
def test_programs_behave_as_labelled(architecture: str, tmp_path: Path) -> None:
    """Where programs can be run: honest builds act alike, and a tampering that is said to show does show."""
    before: tuple[str, ...] = ()
    if architecture != "x86-64":
        emulator, triplet = EMULATORS[architecture]
        if shutil.which(emulator) is None:
            pytest.skip(f"{emulator} is absent: behaviour for {architecture} is NOT checked")
        before = (emulator, "-L", f"/usr/{triplet}")
    elif platform.machine() != "x86_64":
        pytest.skip("programs for x86-64 cannot be run here: behaviour is NOT checked")
    only = Choice(formats=frozenset({"elf-executable"}), architectures=frozenset({architecture}))
    chosen = [p for p in pairs(only) if p.trials]
    if not chosen:
        pytest.skip(f"no compiler for {architecture}: behaviour is NOT checked")
    usual: dict[bytes, list[object]] = {}
    shown = Counter[str]()
    for pair in chosen:
        honest = [data for data in (pair.a, pair.base) if data is not None]
        for data in honest:
            if data not in usual:
                usual[data] = _runs(data, pair.trials, tmp_path, before)
        assert usual[honest[-1]] == usual[pair.a], pair.id
        if pair.behaviour:
            same = _runs(pair.b, pair.trials, tmp_path, before) == usual[pair.a]
            assert same == (pair.behaviour == "same"), pair.id
            shown[pair.behaviour] += 1
    assert shown["differ"] >= 15
    assert shown["same"] >= 15
    payload = next(p for p in chosen if p.id.endswith("-note-to-load"))
    said = b"owned\n" if architecture == "x86-64" else b""
    assert _runs(payload.b, (("status", "x"),), tmp_path, before) == [(42, said)]


# --- measuring, page -------------------------------------------------------------------------------------------------


def test_measuring_counts_holes_and_refusals() -> None:
    """Identity alone accepts no tampering and refuses all that is harmless; its opposite does the reverse."""
    quick = Choice(formats=frozenset({"tar", "zip", "elf-made"}))
    least = measure(identical_only, quick)
    most = measure(lambda _: "equivalent/metadata", quick)

    assert least.accepted == []
    assert least.total.refused == least.total.harmless > 0
    assert most.total.accepted == most.total.tampered == len(most.accepted) > 50
    assert most.refused == []
    assert least.formats["tar"].tampered == sum(r.format == "tar" and r.tampered for r in recipes().values())
    assert "tar" in least.text()
    with pytest.raises(ValueError, match="no verdict"):
        measure(lambda _: "equal", quick)


def test_the_same_every_time(tmp_path: Path) -> None:
    """A second process makes the same bytes, and what is written out is what was made."""
    only = Choice(groups=frozenset({"signature", "revival", "compression"}), pure=True)
    text = (
        "import hashlib; from banbury.compare.corpus import Choice, generate;"
        "c = Choice(groups=frozenset({'signature', 'revival', 'compression'}), pure=True);"
        "print(hashlib.sha256(b''.join(p.a + p.b for p in generate(only=c))).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True, check=True,
        env={"PYTHONPATH": str(CHECKOUT / "src"), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )  # fmt: skip
    made = [pair for pair in generate(tmp_path, only) if isinstance(pair, Pair)]

    assert done.stdout.decode().strip() == hashlib.sha256(b"".join(p.a + p.b for p in made)).hexdigest()
    assert (tmp_path / made[0].id / "shipped").read_bytes() == made[0].b
    assert made[0].id in (tmp_path / "labels.json").read_text()


def test_the_page_is_current() -> None:
    """docs/equivalence-corpus.md is what the recipes say."""
    assert (CHECKOUT / "docs" / "equivalence-corpus.md").read_text("utf-8") == page()
