"""Attacks on code: patched instructions, and programs built from sources with a back door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from banbury.compare.corpus.codeedit import branches, fill, redirect
from banbury.compare.corpus.elfedit import Elf
from banbury.compare.corpus.pairs import Made, Missing, Patch, Recipe, attack
from banbury.compare.corpus.recipes._gate import LONGER_RELEASE, RELEASE, Subject, built, gate, tampered
from banbury.compare.corpus.sources import BACKDOORS
from banbury.compare.corpus.toolchain import TARGETS

#: A longer version, which both sides declare, shifts what lies behind it.
SHIFT = LONGER_RELEASE


def _branch(s: Subject, index: int, removed: bool) -> Patch:
    found = branches(s.elf, s.full.symbol("check"))
    if len(found) <= index:
        raise Missing("the compiler wrote no such branch")
    at, inverted, nothing = found[index]
    return s.patch.put(at, nothing if removed else inverted)


def branch_inverted(s: Subject) -> Patch:
    return _branch(s, 0, removed=False)


def branch_removed(s: Subject) -> Patch:
    return _branch(s, 0, removed=True)


def second_branch_inverted(s: Subject) -> Patch:
    return _branch(s, 1, removed=False)


def fill_replaced(s: Subject) -> Patch:
    return s.patch.put(*fill(s.elf))


def call_redirected(s: Subject) -> Patch:
    patch = s.patch
    for at, raw in redirect(s.elf, "check", "deny", "grant", s.full):
        patch.put(at, raw)
    return patch


def text_changed(old: bytes, new: bytes, section: str = ".rodata") -> Callable[[Subject], Patch]:
    def change(s: Subject) -> Patch:
        at = s.elf.section(section).offset + s.elf.content(section).index(old)
        return s.patch.put(at, new)

    return change


def table_changed(s: Subject) -> Patch:
    symbol = s.full.symbol("weights")
    return s.patch.put(s.elf.offset(symbol.value) + 3, b"\x07")


PATCHES = (
    ("branch-inverted", "code", "The password is accepted when it is wrong.", branch_inverted, True),
    (
        "branch-removed",
        "code",
        "The test of the password no longer branches: any password passes.",
        branch_removed,
        True,
    ),
    ("branch-inverted-2", "code", "The test of the user's name is inverted.", second_branch_inverted, True),
    (
        "fill-replaced",
        "code",
        "Alignment is replaced by other instructions, a foothold for code.",
        fill_replaced,
        False,
    ),
    (
        "call-redirected",
        "code",
        "The jump to the function that refuses leads to the one that grants.",
        call_redirected,
        True,
    ),
    (
        "password",
        "data",
        "The expected password is another, of the same length.",
        text_changed(b"correct horse", b"incorrect hor"),
        True,
    ),
    (
        "path-lookalike",
        "declared-lookalike",
        "A path of configuration is another of the same length, no build root.",
        text_changed(b"/etc/gate/shadow", b"/tmp/gate/shadow"),
        True,
    ),
    ("table", "data", "One byte of a table of constants is another.", table_changed, False),
    (
        "format",
        "data",
        "A format string writes to memory (%n) instead of printing.",
        text_changed(b"guest %s is %s\n", b"guest %s is %n\n"),
        False,
    ),
)


#: Back doors that a plain run does not open.
_UNSEEN = ("counter", "environment")


def _source(
    target: str, options: tuple[str, ...], *, shift: bool = False, seen: bool = True, symbols: bool = False
) -> Made:
    shifted = SHIFT if shift else ()
    a = gate(target, options=RELEASE if shift else (), strip=not symbols)
    base = gate(target, vendor=True, options=shifted)
    made = built(target, a, gate(target, vendor=True, options=(*shifted, *options)), base=base)
    made.behaviour = "differ" if seen else ""
    if shift:
        assert made.record_b is not None
        made.record_b = {**made.record_b, "versions": {"gate": "2.4.1+b1-vendor"}}
    return made


def _shift_call(target: str, *, symbols: bool = False) -> Made:
    options = SHIFT
    base, full = (Elf(gate(target, vendor=True, options=options, strip=s)) for s in (True, False))
    patch = Patch(base.data)
    for at, raw in redirect(base, "check", "deny", "grant", full):
        patch.put(at, raw)
    return _shifted(target, patch, symbols=symbols)


def _shift_pointer(target: str, *, symbols: bool = False) -> Made:
    """The table's handler for "guest" is the maintenance shell."""
    options = SHIFT
    base, full = (Elf(gate(target, vendor=True, options=options, strip=s)) for s in (True, False))
    return _shifted(target, repoint(Patch(base.data), base, full, "commands", 4, "do_shell"), symbols=symbols)


def repoint(patch: Patch, elf: Elf, full: Elf, table: str, index: int, to: str) -> Patch:
    """Make the ``index``-th pointer of a table point to another function, through its relocation or in place."""
    address = full.symbol(table).value + index * elf.width
    target = full.symbol(to).value
    for name in (".rela.dyn", ".rela.plt"):
        if elf.has(name):
            for where, _, _, _, at in elf.relocations(name):
                if where == address:
                    return patch.put(at + 2 * elf.width, elf.pack_word(target))
    return patch.put(elf.offset(address), elf.pack_word(target))


def _shifted(target: str, patch: Patch, *, symbols: bool) -> Made:
    made = built(
        target, gate(target, options=RELEASE, strip=not symbols), bytes(patch.data), base=patch.base, behaviour="differ"
    )
    made.touched = tuple(sorted(patch.touched))
    assert made.record_b is not None
    made.record_b = {**made.record_b, "versions": {"gate": "2.4.1+b1-vendor"}}
    return made


def recipes() -> Iterator[Recipe]:
    for target in TARGETS:
        for key, group, note, change, differ in PATCHES:
            yield attack(
                f"elf-{target}-{key}",
                "elf-executable",
                group,
                note,
                tampered(target, change, differ=differ),
                architecture=target,
                pure=False,
            )
        names = list(BACKDOORS) if target == "x86-64" else ["master-password"]
        for name in names:
            options = (f"-DBACKDOOR={BACKDOORS[name]}",)
            yield attack(
                f"elf-{target}-backdoor-{name}",
                "elf-executable",
                "source-backdoor",
                f"Built from a source with a back door ({name}).",
                partial(_source, target, options, seen=name not in _UNSEEN),
                architecture=target,
                pure=False,
            )
        yield attack(
            f"elf-{target}-constant",
            "elf-executable",
            "code",
            "A limit of 100 became 101 in the source.",
            partial(_source, target, ("-DLIMIT=101",)),
            architecture=target,
            pure=False,
        )
        shifts: tuple[tuple[str, str, Callable[..., Made]], ...] = (
            ("constant", "a limit of 100 became 101", partial(_source, target, ("-DLIMIT=101",), shift=True)),
            (
                "reference",
                "one reference leads to another string",
                partial(_source, target, ("-DWHO=guest_name",), shift=True),
            ),
            ("call", "one jump leads to another function", partial(_shift_call, target)),
            ("pointer", "one relocated pointer leads to the maintenance shell", partial(_shift_pointer, target)),
        )
        for key, what, make in shifts:
            for symbols, ending, note in ((False, "", ""), (True, "-symbols", " The rebuilt file has its symbols.")):
                yield attack(
                    f"elf-{target}-shift-{key}{ending}",
                    "elf-executable",
                    "redirect",
                    f"The declared version shifts the layout; {what}.{note}",
                    partial(make, symbols=symbols),
                    architecture=target,
                    pure=False,
                )
