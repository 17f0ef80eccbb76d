"""Calls that certainly never return: nothing that is made of an address goes on behind them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from banbury.compare.equivalence.machines import never
from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.carried import Function
from banbury.compare.equivalence.machines.resized import Places, Room
from banbury.compare.equivalence.machines.stretches import Stretches
from banbury.compare.equivalence.relayout_functions import Functions
from banbury.formats import _elf_types as t
from tests.equivalence.test_numbers import _code

_BASE = 0x400000
_OUTSIDE = _BASE + 0x4000
_NAMES = {_OUTSIDE: "exit", _OUTSIDE + 0x10: "puts", _OUTSIDE + 0x20: "_exit", _OUTSIDE + 0x30: "__assert"}
_PUTS = "call .text+0x4010;"
#: Calls, and whether they never return. At the label 2 is the function that is called.
_CASES = {
    "call .text+0x4000": True,
    "call .text+0x4010": False,  # returns
    "call .text+0x4030": True,
    "call .text+0x4040": False,  # not known
    "call *.text+0x4020(%rip)": True,
    "call *.text+0x4010(%rip)": False,
    "call *.text+0x4050(%rip)": False,
    "call *%rax": False,
    "call *0x4020(%rax)": False,
    "call 2f; ret; 2: call .text+0x4000": True,
    "call 2f; ret; 2: jmp .text+0x4000": True,
    "call 2f; ret; 2: jmp .text+0x4010": False,
    "call 2f; ret; 2: jmp .text+0x4040": False,
    "call 2f; ret; 2: ret": False,
    "call 2f; ret; 2: call .text+0x4010; ret": False,
    "call 2f; ret; 2: call .text+0x4010; call .text+0x4020": True,
    "call 2f; ret; 2: test %eax,%eax; je 3f; call .text+0x4000; 3: ret": False,
    "call 2f; ret; 2: test %eax,%eax; je 3f; call .text+0x4000; 3: call .text+0x4020": True,
    "call 2f; ret; 2: test %eax,%eax; je .text+0x4000; call .text+0x4020": True,
    "call 2f; ret; 2: test %eax,%eax; je .text+0x4010; call .text+0x4020": False,
    "call 2f; ret; 2: pause; jmp 2b": True,
    "call 2f; ret; 2: call *%rax; jmp 2b": True,
    "call 2f; ret; 2: loop 3f; call .text+0x4000; 3: ret": False,
    "call 2f; ret; 2: jmp *%rax": False,
    "call 2f; ret; 2: jmp *.text+0x4020(%rip)": False,
    "call 2f; ret; 2: call 3f; ret; 3: call .text+0x4000": True,
    "call 2f; ret; 2: call 3f; 3: call .text+0x4000": True,  # tells its own place
    "call 2f; ret; 2: call 3f; call .text+0x4000; 3: ret": True,
    "call 2f; ret; 2: test %eax,%eax; je 3f; call 2b; 3: call .text+0x4000": True,
    "call 2f; ret; 2: test %eax,%eax; je 3f; call 2b; ret; 3: call .text+0x4000": False,  # calls itself
    "call 2f; ret; 2: call 3f; ret; 3: test %eax,%eax; je 4f; call 2b; ret; 4: call .text+0x4000": False,
    "call 2f; ret; 2: ud2; .byte 0x90": False,  # who handles it may go on, to where the section ends
    "call 2f; ret; 2: ud2; call .text+0x4000": True,
    "call 2f; ret; 2: call 3f; 4: pause; jmp 4b; 3: lea 8(%rsp),%rsp; ret": False,  # a thunk that returns
    "call 2f; ret; 2: call 3f; 4: pause; jmp 4b; 3: mov %rax,(%rsp); ret": False,
    "call 2f; ret; 3: add $8,%rsp; ret; 2: call 3b; 4: jmp 4b": False,
    "call 2f; ret; 3: pop %rax; ret; .fill 200,1,0x90; 2: call 3b; 4: jmp 4b": False,
    "call 2f; ret; 3: xor %eax,%eax; add $8,%rsp; ret; 2: call 3b; 4: jmp 4b": False,
    "call 2f; ret; 3: leave; ret; 2: push %rbp; mov %rsp,%rbp; call 3b; 4: jmp 4b": False,
    "call 2f; ret; 3: push %rax; pop %rax; ret; 2: call 3b; 4: jmp 4b": True,
    "call 2f; ret; 3: call 5f; ret; 5: sub $-8,%rsp; ret; 2: call 3b; 4: jmp 4b": False,
    "call 2f; ret; 3: addq $2,(%rsp); ret; 2: call 3b; 4: jmp 4b": False,
    "call 2f; ret; 2: lcall *(%rax); 3: jmp 3b": False,
    "call 2f; ret; 2: mov $15,%eax; syscall; 3: jmp 3b": False,  # returns from a signal
    "call 2f; ret; 2: mov $119,%eax; int $0x80; 3: jmp 3b": False,
    "call 2f; ret; 2: lret; 3: jmp 3b": False,
    "call 2f; ret; 2: iretq; 3: jmp 3b": False,
    "call 2f; ret; 2: xbegin 3f; 4: jmp 4b; 3: ret": False,
    "call 2f+1; ret; 2: mov $0xfeeb,%eax; jmp 2b": False,  # into an instruction
    "call 2f; ret; 2: jmp 3f+1; 3: mov $0xfeeb,%eax": False,
}


def _calls(code: Any, **more: Any) -> Called:
    return Called(t.EM_X86_64, False, code, _BASE, names=_NAMES.get, **more)


def _first(code: Any) -> int:
    """The offset that the call at the beginning leads to, as the function's own rows say."""
    function = _function(code, None)
    return int(function.rows.callee[0])


def _function(code: Any, calls: Called | None) -> Function:
    bounds = (0, len(code))
    return Stretches(t.EM_X86_64, False, code, _BASE, [bounds], np.arange(0)).function([bounds], calls)


@pytest.mark.parametrize("text", _CASES)
def test_which_calls_never_return(tmp_path: Path, text: str) -> None:
    code = _code(tmp_path, "", text)
    calls = _calls(code)
    assert (calls.never(0, _first(code)) is not None) is _CASES[text]
    assert (calls.never(0, _first(code)) is not None) is _CASES[text]  # as it was remembered


def test_what_is_not_followed_may_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _code(tmp_path, "", "call 2f; ret; 2: call 3f; 3: call 4f; ret; 4: call .text+0x4000")
    callee = _first(code)
    assert _calls(code).never(0, callee)
    assert _calls(code, anywhere=True).never(0, callee) is None
    assert _calls(code, pads=[(_BASE, _BASE + 5, _BASE + 5)]).never(0, callee) is None
    assert Called(t.EM_X86_64, False, code, _BASE).never(0, callee) is None
    for limit, value in (("_DEEP", 0), ("_MOST", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(never, limit, value)
            assert _calls(code).never(0, callee) is None
    foreign = _code(tmp_path, "", "call .text+0x4000")
    assert _calls(foreign, anywhere=True).never(0, _first(foreign)) == frozenset()
    for machine in (t.EM_AARCH64, t.EM_MIPS, t.EM_PPC):
        assert Called(machine, False, foreign, _BASE, names=_NAMES.get).never(0, _first(foreign)) is None
    unknown = np.frombuffer(b"\xe8\x00\x01\x00\x00\x06", np.uint8)
    assert _calls(unknown).never(0, 0x105) is None


def test_what_is_made_of_an_address_goes_no_further(tmp_path: Path) -> None:
    """Only by direct branches; what hands on a sum is seen at the call itself; what is read is as before."""
    for text, direct in (
        ("call .text+0x4000; add %rcx,%rbx; mov (%rbx),%eax; ret", False),
        ("call .text+0x4010; add %rcx,%rbx; mov (%rbx),%eax; ret", True),
        ("call 2f; add %rcx,%rbx; mov (%rbx),%eax; ret; 2: call *.text+0x4020(%rip)", True),  # perhaps in itself
        ("call 2f; add %rcx,%rbx; mov (%rbx),%eax; ret; 2: call *%rax; ret", True),
        ("test %eax,%eax; je 1f; call .text+0x4000; 1: add %rcx,%rbx; mov (%rbx),%eax; ret", True),
        ("call 3f; 4: add %rcx,%rbx; mov (%rbx),%eax; call .text+0x4000; 3: jmp 4b", True),  # goes on behind it
        ("lea 8(%rbx),%rdi; call .text+0x4000; ret", True),
        ("lea 8(%rbx),%rbp; call .text+0x4000; mov (%rbp),%eax; ret", False),
    ):
        code = _code(tmp_path, "", f"lea 0x1000(%rip),%rbx; {text}")
        looked = _function(code, _calls(code))
        assert looked.joined([0], room=Room(0, 0)) is direct, text
        assert looked.joined([0]), text
        plain = _function(code, Called(t.EM_X86_64, False, code, _BASE))
        assert looked.read(Places([0])) is plain.read(Places([0])), text


def test_what_is_called_of_the_section_is_followed(tmp_path: Path) -> None:
    code = _code(
        tmp_path, "", "lea 0x1000(%rip),%rbx; call 2f; add %rcx,%rbx; mov (%rbx),%eax; ret; 2: call .text+0x4000"
    )
    calls, own = _calls(code), (0, len(code) - 5)
    looked = Stretches(t.EM_X86_64, False, code, _BASE, [own], np.arange(0))
    assert looked.function([own], calls).joined([0], room=Room(0, 0)) is False
    assert looked.function([own], Called(t.EM_X86_64, False, code, _BASE)).joined([0], room=Room(0, 0))


def test_what_is_read_behind_such_a_call_is_seen(tmp_path: Path) -> None:
    code = _code(tmp_path, "", "lea 0x1000(%rip),%rbx; call .text+0x4000; mov (%rbx),%eax; ret")
    assert _function(code, _calls(code)).read(Places([0]))


def test_names_of_other_files_functions() -> None:
    """Of functions that the file does not define, in words of the table of addresses that nothing else fills."""
    names = ["", "exit", "puts", "abort", "_exit", "__assert"]
    symbols = [SimpleNamespace(name=x, section=9 if x == "abort" else 0, value=0x100) for x in names]
    got, data = 0x3000, 0x4000
    rows = [
        (got, 6, 1, 0), (got + 8, 7, 2, 0), (got + 16, 6, 3, 0), (got + 24, 7, 4, 0), (data, 6, 1, 0),
        (got + 32, 6, 1, 0), (got + 32, 6, 2, 0), (got + 40, 6, 2, 0), (got + 40, 6, 1, 0), (got + 48, 6, 1, 8),
        (got + 56, 1, 1, 0), (got + 64, 7, 1, 0), (got + 72, 7, 5, 0),
    ]  # fmt: skip
    columns = (np.array(x, np.int64) for x in zip(*rows, strict=True))
    found = SimpleNamespace(**dict(zip(("offsets", "types", "symbols", "addends"), columns, strict=True)))
    plt = 0x2000
    stubs = [b"\xff\x25" + (got - plt - 6).to_bytes(4, "little") + bytes(2)]  # .plt.got
    stubs += [b"\xf3\x0f\x1e\xfa\xff\x25" + (got + 24 - plt - 18).to_bytes(4, "little") + bytes(2)]
    stubs += [b"\xff\x35" + bytes(4), b"\xff\x25" + (got + 8 - plt - 32).to_bytes(4, "little")]
    part = SimpleNamespace(loaded=True, name=".rela.plt")
    parts = [
        SimpleNamespace(name=name, addr=low, size=0x100, index=number, loaded=False)
        for number, (name, low) in enumerate(((".plt.sec", plt), (".got", got), (".data", data)))
    ]
    elf = SimpleNamespace(
        dynamic_symbols=symbols, sections={3: None}, section_relocations=lambda section: found,
        section_data=lambda name: b"", versions_needed=[("libc.so.6", ["GLIBC_2.4"])], big=False,
    )  # fmt: skip
    part.index = 3
    section_at = lambda x: next((p for p in parts if p.addr <= x < p.addr + p.size), None)  # noqa: E731
    sides = SimpleNamespace(
        a=SimpleNamespace(elf=elf, sections=[*parts, part], section_at=section_at),
        raw={0: (np.frombuffer(b"".join(stubs), np.uint8),)},
    )
    functions = Functions.__new__(Functions)
    functions.__dict__ |= {"sides": sides, "_slots": {got + 64: 0x100, got + 24: plt + 6}}
    assert functions._foreign == {got: "exit", got + 8: "", got + 24: "_exit", got + 72: ""}
    assert functions._name(got) == "exit"
    assert functions._name(plt) == "exit"
    assert functions._name(plt + 8) == "_exit"
    assert functions._name(got + 8) == ""
    assert [functions._name(x) for x in (plt + 4, plt + 20, got + 16, data, 0)] == [None] * 5
