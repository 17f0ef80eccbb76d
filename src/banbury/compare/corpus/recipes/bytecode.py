"""Compiled Python and Java: headers that vary, and code that was changed.

Python: PEP 3147, PEP 552; the marshalled object is written by this interpreter. Java: JVMS 17, chapter 4.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from types import CodeType

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Patch, Recipe, attack, harmless

SOURCE = """
LIMIT = 3
def check(user, password):
    if password != 'correct horse':
        return False
    return user in ('operator', 'admin')
def attempts(n):
    return n < LIMIT
"""


@cache
def _code(root: str, source: str = SOURCE) -> CodeType:
    return compile(source, f"{root}/gate.py", "exec", dont_inherit=True, optimize=0)


def pyc(
    code: CodeType, *, mtime: int = LAB["clock"], size: int = len(SOURCE), flags: int = 0, version: int = 4,
    digest: bytes = b"",
) -> bytes:  # fmt: skip
    """A compiled module; ``flags`` 1: named by the source's hash, unchecked (3: checked)."""
    digest = digest or hashlib.blake2b(SOURCE.encode(), digest_size=8).digest()
    rest = digest if flags else struct.pack("<II", mtime, size)
    return importlib.util.MAGIC_NUMBER + struct.pack("<I", flags) + rest + marshal.dumps(code, version)


_ROOTS = LAB["roots"][0], VENDOR["roots"][0]


def _python(b: bytes, *, clean: bool = True, a: bytes = b"") -> Made:
    base = pyc(_code(_ROOTS[1]), mtime=VENDOR["clock"]) if clean else None
    return Made(a=a or pyc(_code(_ROOTS[0])), b=b, base=base)


def _changed(old: str, new: str) -> bytes:
    """Compiled from another source, with the honest source's time and size in the header."""
    return pyc(_code(_ROOTS[1], SOURCE.replace(old, new)), mtime=VENDOR["clock"])


def _vendor(*, flags: int = 0) -> bytes:
    return pyc(_code(_ROOTS[1]), mtime=VENDOR["clock"], flags=flags)


def _hidden_constant() -> bytes:
    code = _code(_ROOTS[1])
    return pyc(code.replace(co_consts=(*code.co_consts, b"nc -l -p 4444")), mtime=VENDOR["clock"])


def _constants(root: str, *more: object, version: int = 4, mtime: int = LAB["clock"]) -> bytes:
    """The honest module with more constants that no code uses."""
    code = _code(root)
    return pyc(code.replace(co_consts=(*code.co_consts, *more)), mtime=mtime, version=version)


def _file_constant() -> Made:
    """Both sides hold the path of a file among their constants: the program opens it."""
    honest, evil = (_constants(_ROOTS[1], root + "/gate.py", mtime=VENDOR["clock"]) for root in _ROOTS)
    return Made(a=_constants(_ROOTS[0], _ROOTS[0] + "/gate.py"), b=evil, base=honest)


def _sets(old: bytes, new: bytes, *, clean: bool = True) -> Made:
    """A constant set, whose texts are changed for others of the same length in the second file."""
    a, base = (_constants(_ROOTS[0], frozenset({"adm", "ops"}), version=2, mtime=t) for t in (1, 2))
    at = a.index(b">\2\0\0\0")
    whole = base[at:].replace(b"adm", b"<1>").replace(b"ops", new).replace(b"<1>", old)
    return Made(a=a, b=base[:at] + whole, base=base if clean else None)


def _shared_code() -> Made:
    inner = _code(_ROOTS[1]).co_consts[1]
    honest, evil = (_constants(_ROOTS[1], *more, mtime=VENDOR["clock"]) for more in ((), ((inner, inner),)))
    return Made(a=_constants(_ROOTS[0]), b=evil, base=honest)


def _lines() -> bytes:
    """Another line table, as another version of the source would give: tracebacks only."""
    return pyc(_code(_ROOTS[1], "\n\n" + SOURCE), mtime=VENDOR["clock"])


# --- Java ------------------------------------------------------------------------------------------------------------


class _Pool:
    def __init__(self, first: Sequence[bytes]) -> None:
        self.rows: list[bytes] = []
        self.long: set[int] = set()
        for raw in first:
            self.add(raw)

    def add(self, raw: bytes) -> int:
        if raw not in self.rows:
            self.rows.append(raw)
        return self.rows.index(raw) + 1

    def text(self, value: str) -> int:
        return self.add(b"\1" + struct.pack(">H", len(value)) + value.encode())

    def type(self, name: str) -> int:
        return self.add(b"\7" + struct.pack(">H", self.text(name)))

    def string(self, value: str) -> int:
        return self.add(b"\x08" + struct.pack(">H", self.text(value)))

    def method(self, owner: str, name: str, kind: str) -> int:
        both = self.add(b"\x0c" + struct.pack(">HH", self.text(name), self.text(kind)))
        return self.add(b"\x0a" + struct.pack(">HH", self.type(owner), both))


def java(
    *,
    expected: str = "correct horse",
    branch: int = 0x99,
    debug: bool = True,
    first: Sequence[str] = (),
    version: int = 55,
    tail: bytes = b"",
    unknown: bytes = b"",
    access: int = 9,
    source: str = "Gate.java",
    unused: str = "",
    dead: bytes = b"",
    lines: Sequence[int] = (0, 3, 9, 4),
    inside: bytes = b"",
    order: int = 1,
) -> bytes:
    """A class with one method, ``check(String)``, which compares with ``expected``. ``branch``: the opcode of its test;
    ``first``: texts that stand first in the pool; ``unknown``: an attribute that no machine reads;
    ``lines``: pairs of an instruction's place and its line; ``inside``: an attribute of the class by that name of
    debug data that only code has; ``order`` -1: attributes the other way round."""
    pool = _Pool([b"\1" + struct.pack(">H", len(t)) + t.encode() for t in first])
    equals = pool.method("java/lang/Object", "equals", "(Ljava/lang/Object;)Z")
    literal = pool.string(expected)
    # aload_0, ldc, invokevirtual, ifeq +5, iconst_1, ireturn, iconst_0, ireturn
    code = (
        bytes((0x2A, 0x12, literal, 0xB6)) + struct.pack(">H", equals) + bytes((branch, 0, 5, 4, 0xAC, 3, 0xAC)) + dead
    )
    frames = struct.pack(">HIH", pool.text("StackMapTable"), 3, 1) + bytes([11])
    table = b""
    if debug:
        size = 2 + 2 * len(lines)
        lines_at = pool.text("LineNumberTable")
        table = struct.pack(f">HIH{len(lines)}H", lines_at, size, len(lines) // 2, *lines)
    inner = struct.pack(">H", 2 if debug else 1) + b"".join((frames, table)[::order])
    body = struct.pack(">HHI", 2, 1, len(code)) + code + struct.pack(">H", 0) + inner
    method = struct.pack(">HHHH", access, pool.text("check"), pool.text("(Ljava/lang/String;)Z"), 1)
    method += struct.pack(">HI", pool.text("Code"), len(body)) + body
    own, above = pool.type("gate/Gate"), pool.type("java/lang/Object")
    attributes = []
    if debug:
        attributes.append(struct.pack(">HIH", pool.text("SourceFile"), 2, pool.text(source)))
    if inside:
        attributes.append(struct.pack(">HI", pool.text("LineNumberTable"), len(inside)) + inside)
    if unknown:
        attributes.append(struct.pack(">HI", pool.text("Payload"), len(unknown)) + unknown)
    if unused:
        pool.string(unused)
    out = struct.pack(">IHH", 0xCAFEBABE, 0, version) + struct.pack(">H", len(pool.rows) + 1) + b"".join(pool.rows)
    out += struct.pack(">HHHH", 0x21, own, above, 0) + struct.pack(">HH", 0, 1) + method
    return out + struct.pack(">H", len(attributes)) + b"".join(attributes) + tail


def _java(b: bytes, *, clean: bool = True) -> Made:
    return Made(a=java(), b=b, base=java(debug=False) if clean else None)


_NOT_SURE = frozenset({"equivalent/metadata", "equivalent/relayout", "functional", "unexplained"})


def recipes() -> Iterator[Recipe]:
    tampered = (
        (
            "pyc",
            "constant",
            "content",
            "Another password.",
            lambda: _python(_changed("correct horse", "correct mouse")),
        ),
        ("pyc", "operator", "code", "The comparison is inverted.", lambda: _python(_changed("!= 'c", "== 'c"))),
        ("pyc", "limit", "data", "A limit is another number.", lambda: _python(_changed("LIMIT = 3", "LIMIT = 9"))),
        (
            "pyc",
            "backdoor",
            "source-backdoor",
            "Compiled from a source with a back door.",
            lambda: _python(_changed("    if password", "    if user == 'debug': return True\n    if password")),
        ),
        (
            "pyc",
            "unchecked",
            "header",
            "Its header says that the source is never to be looked at.",
            lambda: _python(_vendor(flags=1)),
        ),
        (
            "pyc",
            "trailing",
            "trailing",
            "Bytes stand behind the object.",
            lambda: _python(_vendor() + b"nc -l -p 4444"),
        ),
        (
            "pyc",
            "hidden-constant",
            "hidden-space",
            "A constant that no code uses.",
            lambda: _python(_hidden_constant()),
        ),
        (
            "pyc",
            "name-lookalike",
            "declared-lookalike",
            "The file's name is in a folder that nobody declared.",
            lambda: _python(pyc(_code("/srv/evil"), mtime=VENDOR["clock"])),
        ),
        (
            "pyc",
            "flags-reserved",
            "header",
            "Its header has a flag that no interpreter knows.",
            lambda: _python(_vendor(flags=2)),
        ),
        (
            "pyc",
            "file-constant",
            "declared-lookalike",
            "A path that the program opens is in the other root, as a constant.",
            _file_constant,
        ),
        ("pyc", "shared-code", "hidden-space", "A constant that holds code twice.", _shared_code),
        ("pyc", "set-value", "data", "A constant set holds another text.", lambda: _sets(b"adm", b"dev")),
        (
            "class",
            "constant",
            "content",
            "Another password.",
            lambda: _java(java(debug=False, expected="correct mouse")),
        ),
        ("class", "branch", "code", "The test is inverted.", lambda: _java(java(debug=False, branch=0x9A))),
        ("class", "access", "attribute", "The method is private.", lambda: _java(java(debug=False, access=10))),
        (
            "class",
            "trailing",
            "trailing",
            "Bytes stand behind the class.",
            lambda: _java(java(debug=False, tail=b"payload")),
        ),
        (
            "class",
            "unknown",
            "hidden-space",
            "An attribute that no machine reads.",
            lambda: _java(java(debug=False, unknown=b"payload" * 9)),
        ),
        (
            "class",
            "unused",
            "hidden-space",
            "A constant that nothing refers to.",
            lambda: _java(java(debug=False, unused="nc -l -p 4444")),
        ),
        (
            "class",
            "swapped",
            "redirect",
            "Constants stand in another order, and the code refers to another one.",
            lambda: Made(
                a=java(unused="second"),
                b=java(expected="second", unused="correct horse", first=("second",)),
                base=java(unused="second", first=("second",)),
            ),
        ),
        (
            "class",
            "lines-payload",
            "hidden-space",
            "Line numbers of places where no instruction stands.",
            lambda: Made(
                a=java(debug=False), b=java(lines=(0, 3, *range(20_000, 20_040))), base=java(source="Gate.java")
            ),
        ),
        (
            "class",
            "misplaced",
            "hidden-space",
            "The class has an attribute that is debug data elsewhere.",
            lambda: _java(java(debug=False, inside=b"nc -l -p 4444")),
        ),
        (
            "class",
            "version",
            "header",
            "It asks for another version of Java.",
            lambda: _java(java(debug=False, version=50)),
        ),
        (
            "class",
            "bit",
            "code",
            "The constant that is returned is another.",
            lambda: Patch(java(debug=False)).put(java(debug=False).index(b"\x99\0\5\4\xac") + 3, b"\3").made(java()),
        ),
    )
    for form, key, group, note, make in tampered:
        yield attack(f"{form}-{key}", form, group, note, make)
    same = (
        (
            "pyc",
            "time",
            "clock",
            "The header has the source's other time.",
            lambda: _python(pyc(_code(_ROOTS[0]), mtime=VENDOR["clock"]), clean=False),
            None,
        ),
        (
            "pyc",
            "path",
            "path",
            "The file's name is in the other declared folder.",
            lambda: _python(_vendor(), clean=False),
            None,
        ),
        (
            "pyc",
            "references",
            "allocation",
            "Objects are marked for sharing otherwise.",
            lambda: _python(pyc(_code(_ROOTS[0]), version=2), clean=False),
            None,
        ),
        (
            "pyc",
            "hash",
            "identity",
            "The source is named by its hash, and another comment gives another.",
            lambda: _python(
                pyc(_code(_ROOTS[0]), flags=3), clean=False, a=pyc(_code(_ROOTS[0]), flags=3, digest=b"another.")
            ),
            None,
        ),
        (
            "pyc",
            "set",
            "order",
            "A constant set lists its texts in another order.",
            lambda: _sets(b"ops", b"adm", clean=False),
            None,
        ),
        (
            "pyc",
            "checked",
            "identity",
            "The source is named by its hash, and checked.",
            lambda: _python(pyc(_code(_ROOTS[0]), flags=3), clean=False),
            _NOT_SURE,
        ),
        (
            "pyc",
            "lines",
            "debug",
            "Line numbers differ: tracebacks show it, and so can the program.",
            lambda: _python(_lines(), clean=False),
            _NOT_SURE,
        ),
        (
            "class",
            "debug",
            "debug",
            "Line numbers and the source's name are left out.",
            lambda: _java(java(debug=False), clean=False),
            None,
        ),
        (
            "class",
            "pool",
            "order",
            "Constants stand in another order.",
            lambda: _java(java(first=("Code", "check", "correct horse", "StackMapTable")), clean=False),
            None,
        ),
        (
            "class",
            "attributes",
            "order",
            "The attributes of the code stand in another order.",
            lambda: _java(java(order=-1), clean=False),
            None,
        ),
        (
            "class",
            "source",
            "debug",
            "The source has another name.",
            lambda: _java(java(source="Gate2.java"), clean=False),
            _NOT_SURE,
        ),
    )
    for form, key, group, note, make, expected in same:
        yield harmless(
            f"{form}-same-{key}", form, group, note, make, expected=expected or frozenset({"equivalent/metadata"})
        )
