"""Single files that are decided: mutation gates worked out from the formats, and second opinions by other tools."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import random
import re
import shutil
import struct
import subprocess
import textwrap
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from banbury.compare import corpus
from banbury.compare.corpus.recipes import bytecode, efi
from banbury.compare.corpus.writers.signed import key
from banbury.compare.corpus.writers.signed import module as signed_module
from banbury.compare.equivalence import BuildRecord, Verdict
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._jar import sections
from banbury.compare.equivalence.leaves._classpool import Numbers
from banbury.compare.equivalence.leaves._marshal import Reader, Values
from banbury.compare.equivalence.leaves.javaclass import ClassFile
from banbury.compare.equivalence.leaves.pe import Program
from banbury.compare.equivalence.leaves.registry import claimed_leaf, decide, leaves
from banbury.compare.equivalence.model import FileVerdict
from banbury.compare.equivalence.signature import unsigned
from banbury.formats.view import View
from tests.equivalence.test_container_mutation import accepted

_ROOTS = ("/build/laboratory", "/srv/vendor/build")
_RECORDS = tuple(BuildRecord(roots={"0": root}) for root in _ROOTS)


def verdict(
    a: bytes, b: bytes, record_a: BuildRecord | None = None, record_b: BuildRecord | None = None
) -> FileVerdict | None:
    """The verdict of the comparator that claims both, ``None`` where none does."""
    leaf = claimed_leaf(View(a), View(b))
    return decide(leaf, View(a), View(b), record_a, record_b) if leaf else None


def same(a: bytes, b: bytes) -> bool:
    found = verdict(a, b)
    return found is not None and found.verdict.equivalent


def mutants(sample: bytes, *, from_: int = 0, step: int = 1, values: int = 6) -> Iterator[tuple[int, bytes]]:
    """Single-byte changes: every byte before ``from_``, then one in ``step``."""
    rng = random.Random(5)
    for at in [*range(from_), *range(from_, len(sample), step)]:
        was = sample[at]
        for value in {was ^ 1, was ^ 0x80, 0, 0xFF, *rng.sample(range(256), values)} - {was}:
            yield at, sample[:at] + bytes([value]) + sample[at + 1 :]


def told(name: str) -> str:
    """A tool's path; skips where it is not there."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there: no second opinion")
    return found


# --- Python ----------------------------------------------------------------------------------------------------------


def _shape(code: CodeType) -> tuple[object, ...]:
    """Everything that a code object holds, types told apart."""
    fields = ("argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code", "names",
              "varnames", "freevars", "cellvars", "filename", "name", "firstlineno", "linetable")  # fmt: skip
    consts = tuple(_shape(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts)
    return (*(getattr(code, f"co_{field}") for field in fields), consts)


@pytest.mark.parametrize("version", [2, 4])
def test_mutants_of_a_python_module(version: int) -> None:
    """Of the header, time and size are free; an accepted change of the body loads as the same code by CPython."""
    sample = bytecode.pyc(bytecode._code(_ROOTS[0]), version=version)
    honest = _shape(marshal.loads(sample[16:]))
    header, body = set(), 0
    for at, mutant in mutants(sample):
        if same(sample, mutant):
            if at < 16:
                header.add(at)
            else:
                body += 1
                assert _shape(marshal.loads(mutant[16:])) == honest, at
    assert header == set(range(8, 16))
    assert body < 60
    assert not any(same(sample, sample[:cut]) for cut in range(len(sample)))


def test_python_modules_as_this_interpreter_sees_them() -> None:
    """Of modules of the standard library: the same code objects as CPython loads; other roots are let go, declared."""
    folder = Path(str(importlib.util.__file__)).parent.parent
    seen = 0
    for path in [Path(str(f.__file__)) for f in (io, json, tokenize, textwrap, zipfile, random)] + [
        folder / "argparse.py", folder / "typing.py", folder / "enum.py",
    ]:  # fmt: skip
        source = path.read_bytes()
        a, b = (bytecode.pyc(compile(source, f"{root}/{path.name}", "exec", dont_inherit=True)) for root in _ROOTS)
        values = Values()
        reader = Reader(View(a), 16, "3.11", values, bytes)
        reader.module()
        assert len(reader.codes) == _count(marshal.loads(a[16:]))
        found = verdict(a, b, *_RECORDS)
        assert found is not None
        assert found.verdict is Verdict.METADATA, path
        assert not same(a, b)
        seen += 1
    assert seen == 9


def _count(code: CodeType) -> int:
    return 1 + sum(_count(c) for c in code.co_consts if isinstance(c, CodeType))


def test_hostile_python_modules_are_refused_in_time() -> None:
    """Deep nesting, references to oneself and sharing that doubles with each level."""
    head = bytecode.pyc(bytecode._code(_ROOTS[0]))[:16]
    code = struct.pack("<B5i", 0xE3, 0, 0, 0, 1, 0)
    deep = head + code + b")\x01" * 5000
    loop = head + code + b"\xa9\x01r\1\0\0\0"
    double = b"\xa9\x00" + b"".join(
        b"\xa9\x02r" + struct.pack("<I", n) + b"r" + struct.pack("<I", n) for n in range(1, 60)
    )
    bomb = head + code + b"s\0\0\0\0" + b"(" + struct.pack("<I", 60) + double
    for raw in (deep, loop, bomb, head + code + b"(\xff\xff\xff\x7f"):
        found = verdict(raw, raw[:4] + b"\0\0\0\0" + b"\1" + raw[9:])
        assert found is not None
        assert not found.verdict.equivalent


# --- Java ------------------------------------------------------------------------------------------------------------


def test_mutants_of_a_java_class() -> None:
    """Nothing of a class is free; of debug data that one side lacks, what is still an instruction's line or a name."""
    sample, bare = bytecode.java(), bytecode.java(debug=False)
    assert [at for at, mutant in mutants(sample) if same(sample, mutant)] == []
    assert [at for at, mutant in mutants(bare) if same(bare, mutant)] == []
    table = sample.index(struct.pack(">IHHHHH", 10, 2, 0, 3, 9, 4)) + 6
    name = sample.index(b"Gate.java")
    starts = {0, 1, 3, 6, 9, 10, 11, 12, 13}
    some = 0
    for at, mutant in mutants(sample):
        wanted = table <= at < table + 8 and set(struct.unpack_from(">HxxH", mutant, table)) <= starts
        if name <= at < name + 9:
            wanted = re.fullmatch(rb"[A-Za-z0-9_$+-]+\.[a-z]+", mutant[name : name + 9]) is not None
        assert same(bare, mutant) == wanted, (at, sample[at], mutant[at])
        some += wanted
    assert some > 20


_JAVA = """
import java.util.function.*;
public class Gate<T extends Comparable<T>> {
  record Point(@Deprecated int x, String y) {}
  enum Kind { ONE, TWO }
  static final long BIG = 0x1234567890L; static final double D = 2.5;
  int which(String s) { switch (s) { case "a": return 1; case "bb": return 2; default: return s.length(); } }
  long sum(int[] all) { long n = BIG; for (int i : all) n += i %s 3; return n; }
  Function<String, Integer> f() { return s -> which(s) + 1; }
  String join(int n, Object o) { return "n=" + n + " o=" + o; }
  int wide() { int[][] m = new int[2][3]; return m[1][2] + (int) D; }
}
"""


@pytest.mark.slow
def test_classes_as_javac_and_javap_see_them(tmp_path: Path) -> None:
    """With and without debug data: equal. Another operator: its method is named. The pool has javap's constants."""
    javac, javap = told("javac"), told("javap")
    made = {}
    for name, operator, options in (("g", "*", "-g"), ("none", "*", "-g:none"), ("changed", "+", "-g:none")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Gate.java").write_text(_JAVA % operator)
        subprocess.run([javac, options, "-d", folder, folder / "Gate.java"], check=True, capture_output=True)
        made[name] = {f.name: f.read_bytes() for f in sorted(folder.glob("*.class"))}
    assert len(made["g"]) == 3
    for name, raw in made["g"].items():
        assert same(raw, made["none"][name]), name
        text = subprocess.run([javap, "-v", tmp_path / "g" / name], check=True, capture_output=True, text=True).stdout
        pool = ClassFile(View(raw), Numbers()).pool
        assert len(re.findall(r"^ +#\d+ = ", text, re.M)) == sum(1 for tag in pool.tags if tag), name
        assert not pool.unused(), name
    found = verdict(made["none"]["Gate.class"], made["changed"]["Gate.class"])
    assert found is not None
    assert [f.name for f in found.functions] == ["sum([I)J"]
    assert found.verdict is Verdict.FUNCTIONAL


# --- UEFI ------------------------------------------------------------------------------------------------------------


def test_mutants_of_a_program_for_uefi() -> None:
    """With the checksum right: the times and the debug identity are free, and nothing else."""
    sample = efi.program()
    times, debug = efi._PE + 8, 0x600 + 0x40
    guid = sample.index(b"RSDS") + 4
    free = {*range(times, times + 4), *range(debug + 4, debug + 8), *range(guid, guid + 16)}
    sums = range(efi._PE + 24 + 64, efi._PE + 24 + 68)
    found = set()
    for at, mutant in mutants(sample, from_=0x700, step=13, values=1):
        if at not in sums:
            assert not same(sample, mutant), at
            raw = bytearray(mutant)
            struct.pack_into("<I", raw, sums.start, efi.checksum(mutant))
            if same(sample, bytes(raw)):
                found.add(at)
    assert found == free


def test_mutants_of_a_signature_are_refused() -> None:
    """Nothing in a program's certificates may be another byte."""
    record = BuildRecord(keys=[key("vendor").public])
    plain, signed = efi.program(), efi.program(signer="vendor")
    assert (v := verdict(plain, signed, None, record)) is not None
    assert v.verdict is Verdict.METADATA
    for at in range(len(plain), len(signed)):
        raw = bytearray(signed)
        raw[at] ^= 1 << at % 8
        struct.pack_into("<I", raw, efi._PE + 24 + 64, efi.checksum(bytes(raw)))
        found = verdict(plain, bytes(raw), None, record)
        assert found is not None
        assert not found.verdict.equivalent, at


def test_programs_as_other_tools_see_them(tmp_path: Path) -> None:
    """The sections are objdump's, and the digest is that of osslsigncode."""
    path = tmp_path / "gate.efi"
    path.write_bytes(efi.program(signer="vendor"))
    program = Program(View(path.read_bytes()))
    text = subprocess.run([told("objdump"), "-h", path], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^ +\d+ (\S+) +\S+ +\S+ +\S+ +([0-9a-f]{8})", text, re.M)
    assert [(s.name.decode(), s.start) for s in program.sections] == [(n, int(at, 16)) for n, at in rows]
    said = subprocess.run([told("osslsigncode"), "verify", path], check=False, capture_output=True, text=True).stdout
    assert f"Calculated message digest : {program.digest('sha256').hex().upper()}" in said


# --- jars and Android packages ---------------------------------------------------------------------------------------


def test_mutants_of_a_signing_block_are_refused() -> None:
    """Without the declared key a signed package is refused, and with it there is no byte that may be another."""
    name = "apk-same-signed"
    (pair,) = corpus.generate(only=corpus.Choice(ids=frozenset({name})))
    assert isinstance(pair, corpus.Pair)
    signed = pair.b
    start = (
        signed.index(b"APK Sig Block 42")
        + 16
        - struct.unpack_from("<Q", signed, signed.index(b"APK Sig Block 42") - 8)[0]
        - 8
    )
    assert not accepted(pair.a, signed)
    for at in range(start, signed.index(b"PK\1\2")):
        raw = bytearray(signed)
        raw[at] ^= 1 << at % 8
        assert not accepted(pair.a, bytes(raw)), at


@pytest.mark.parametrize(
    "raw", [b"", b"A: b", b" x\n", b"A: b\n\0\n", b"A: b\nA: c\n", b"A: b\rC: d\n", b"\nA: b\n", b"A b\n"]
)
def test_manifests_that_two_readers_could_read_differently_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        sections(raw)


def test_manifest_lines_are_joined() -> None:
    (main, second) = sections(b"Built-By: some\r\n one\r\nX: y\r\n\r\nName: a\r\n\r\n")
    assert main.get(b"built-by") == b"someone"
    assert second.get(b"name") == b"a"
    assert main.raw + second.raw == b"Built-By: some\r\n one\r\nX: y\r\n\r\nName: a\r\n\r\n"


def test_every_comparator_has_a_rule_and_refuses_nonsense() -> None:
    """The registry finds them, and truncated or random files are never equivalent."""
    assert [leaf.name for leaf in leaves()] == ["class", "pe", "pyc"]
    rng = random.Random(9)
    for sample in (bytecode.pyc(bytecode._code(_ROOTS[0])), bytecode.java(), efi.program(signer="vendor")):
        for _ in range(300):
            raw = bytearray(sample[: rng.randrange(16, len(sample))])
            for _ in range(rng.randrange(4)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            assert not same(sample, bytes(raw))


def test_mutants_of_a_module_signature_are_refused() -> None:
    """Nothing in the signature that the kernel's build appends may be another byte but the name
    by which the kernel looks the key up."""
    body, own = b"a module's bytes " * 9, key("vendor")
    sample = signed_module(body, own)
    assert _module_verifies(sample, own.public)
    loose = [
        (at, bit)
        for at in range(len(body), len(sample))
        for bit in range(8)
        if _module_verifies(sample[:at] + bytes([sample[at] ^ 1 << bit]) + sample[at + 1 :], own.public)
    ]
    issuer = sample.index(b"vendor")
    assert {at for at, _ in loose} <= {*range(issuer - 11, issuer + 6), *range(issuer + 8, issuer + 17)}, loose


def _module_verifies(raw: bytes, public: str) -> bool:
    try:
        inner, signature = unsigned(View(raw))
    except Refused:
        return False
    return signature is not None and signature.verified_by(inner.take(0, len(inner)), [public])
