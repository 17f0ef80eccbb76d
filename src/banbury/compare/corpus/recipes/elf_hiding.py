"""Attacks that hide bytes in an ELF file, and those that show tools one file and the loader another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

from banbury.compare.corpus.codeedit import branches, payload
from banbury.compare.corpus.elfedit import Elf, Segment
from banbury.compare.corpus.pairs import Made, Missing, Patch, Recipe, attack
from banbury.compare.corpus.recipes._gate import Subject, built, gate, subject, tampered
from banbury.compare.corpus.toolchain import TARGETS, program, within

SECRET = b"\x90\x90hidden: this is not part of the program\n\0"
_PAGE = 0x10000
#: Sections of debug information behind whose last record bytes are put.
_DEBUG = (
    "debug_str", "debug_info", "debug_abbrev", "debug_line", "debug_line_str", "debug_aranges", "debug_loclists",
    "debug_rnglists",
)  # fmt: skip


def overlay(s: Subject) -> Patch:
    patch = s.patch
    patch.append(SECRET * 8)
    return patch


def _code(elf: Elf) -> Segment:
    for seg in elf.segments:
        if seg.type == 1 and seg.flags & 1:
            return seg
    raise Missing("no segment of code")


def _slack(elf: Elf, room: int) -> int:
    """The first unused file offset behind the segment of code that is mapped with its last page."""
    end = _code(elf).offset + _code(elf).size
    end += -end % 4
    if any(elf.data[end : end + room]) or end % 4096 == 0 or end % 4096 + room > 4096:
        raise Missing("the last page of the code has no room")
    return end


def slack(s: Subject) -> Patch:
    return s.patch.put(_slack(s.elf, len(SECRET)), SECRET)


def _at_slack(s: Subject) -> tuple[Patch, int, int]:
    raw = payload(s.elf)
    at = _slack(s.elf, len(raw))
    return s.patch.put(at, raw), at, at - _code(s.elf).offset + _code(s.elf).address


def slack_entry(s: Subject) -> Patch:
    patch, _, address = _at_slack(s)
    return patch.put(24, s.elf.pack_word(address))


def slack_grown(s: Subject) -> Patch:
    """As above, and the segment's sizes cover the payload."""
    patch, at, address = _at_slack(s)
    seg = _code(s.elf)
    size = s.elf.pack_word(at - seg.offset + len(payload(s.elf)))
    patch.put(s.elf.field(seg, "size"), size).put(s.elf.field(seg, "memory"), size)
    return patch.put(24, s.elf.pack_word(address))


def note_to_load(s: Subject) -> Patch:
    """A note's program header becomes that of a segment with code, behind the file's end."""
    patch = s.patch
    at = patch.append(payload(s.elf).ljust(64, b"\0"), _PAGE)
    address = 0x1000000
    elf, seg = s.elf, s.elf.segment(4)
    fields = {"type": 1, "flags": 5}
    sizes = {"offset": at, "address": address, "physical": address, "size": 64, "memory": 64, "align": _PAGE}
    for name, value in fields.items():
        patch.put(elf.field(seg, name), elf.pack("I", value))
    for name, value in sizes.items():
        patch.put(elf.field(seg, name), elf.pack_word(value))
    return patch.put(24, elf.pack_word(address))


def comment(s: Subject) -> Patch:
    section = s.elf.section(".comment")
    return s.patch.put(section.offset + 5, b"rm -rf / #"[: section.size - 6])


def short_note(s: Subject) -> Patch:
    """The build-id says that it is four bytes long; the other sixteen are free for anything."""
    section = s.elf.section(".note.gnu.build-id")
    return s.patch.put(section.offset + 4, s.elf.pack("I", 4)).put(section.offset + 20, b"sixteen bytes :)")


def note_type(s: Subject) -> Patch:
    """The build-id's note is of another type, which nothing asks to be an identity."""
    section = s.elf.section(".note.gnu.build-id")
    return s.patch.put(section.offset + 8, s.elf.pack("I", 0x77))


def split(s: Subject) -> Patch:
    """The section header of the code leads to a clean copy behind the end; the loaded code is tampered with."""
    text = s.elf.section(".text")
    patch = s.patch
    at = patch.append(s.elf.content(".text"), 16)
    patch.put(text.header + (24 if s.elf.wide else 16), s.elf.pack_word(at))
    place, inverted, _ = branches(s.elf, s.full.symbol("check"))[0]
    return patch.put(place, inverted)


def no_sections(s: Subject) -> Patch:
    """The section table is gone from the header, and the code is tampered with."""
    patch = s.patch
    patch.put(40 if s.elf.wide else 32, s.elf.pack_word(0))
    patch.put(60 if s.elf.wide else 48, s.elf.pack("HH", 0, 0))
    place, inverted, _ = branches(s.elf, s.full.symbol("check"))[0]
    return patch.put(place, inverted)


def identification(s: Subject) -> Patch:
    """Bytes of the identification that nothing reads."""
    return s.patch.put(9, b"payload")


def gap(s: Subject) -> Patch:
    """Bytes between two sections, in no section."""
    rows = sorted((x.offset, x.offset + x.size) for x in s.elf.sections if x.size and x.type not in (0, 8))
    loaded = [(seg.offset, seg.offset + seg.size) for seg in s.elf.segments if seg.type == 1]
    for (_, end), (start, _) in pairwise(rows):
        if start - end >= 2 and not any(low <= end < high for low, high in loaded):
            return s.patch.put(end, b"\xca\xfe"[: start - end])
    raise Missing("no gap between sections that is not loaded")


def loaded_gap(s: Subject) -> Patch:
    """The same within a segment: padding for alignment, which is mapped."""
    rows = sorted((x.offset, x.offset + x.size) for x in s.elf.sections if x.size and x.type not in (0, 8))
    for (_, end), (start, _) in pairwise(rows):
        inside = any(seg.type == 1 and seg.offset <= end < seg.offset + seg.size for seg in s.elf.segments)
        if start - end >= 2 and inside:
            return s.patch.put(end, b"\xca\xfe")
    raise Missing("no gap between loaded sections")


def extra_section(s: Subject) -> Patch:
    """A new section header table behind the end, with one more section."""
    elf, patch = s.elf, s.patch
    at = patch.append(SECRET, 16)
    rows = elf.data[elf.shoff : elf.shoff + elf.shnum * elf.shentsize]
    layout = "IIQQQQIIQQ" if elf.wide else "IIIIIIIIII"
    name = elf.sections[1].header
    row = elf.pack(layout, elf.unpack("I", name)[0], 1, 0, 0, at, len(SECRET), 0, 0, 1, 0)
    table = patch.append(rows + row, 16)
    patch.put(40 if elf.wide else 32, elf.pack_word(table))
    return patch.put(60 if elf.wide else 48, elf.pack("H", elf.shnum + 1))


PATCHES: tuple[tuple[str, str, str, Callable[[Subject], Patch], bool], ...] = (
    ("overlay", "hiding-place", "Bytes stand behind the file's end.", overlay, False),
    ("slack", "hiding-place", "The rest of the code's last page, which is mapped, is not empty.", slack, False),
    ("slack-entry", "hiding-place", "Code in the last page's rest is where execution starts.", slack_entry, True),
    ("slack-grown", "hiding-place", "The same, with the segment's sizes made to cover it.", slack_grown, True),
    (
        "note-to-load",
        "hiding-place",
        "A note's header loads code from behind the end, where execution starts.",
        note_to_load,
        True,
    ),
    ("comment", "hiding-place", "The producer's string holds something else.", comment, False),
    ("short-note", "hiding-place", "The build-id is shorter, and the rest holds something else.", short_note, False),
    ("note-type", "hiding-place", "The build-id's note is of an unknown type.", note_type, False),
    ("identification", "hiding-place", "Unused bytes of the identification hold something.", identification, False),
    ("gap", "hiding-place", "Alignment between sections that are not loaded holds something.", gap, False),
    ("loaded-gap", "hiding-place", "Alignment between loaded sections holds something.", loaded_gap, False),
    ("extra-section", "hiding-place", "One more section, behind the end.", extra_section, False),
    ("split", "split", "The section table shows clean code; the loaded code is tampered with.", split, True),
    (
        "no-sections",
        "split",
        "There is no section table to look into; the loaded code is tampered with.",
        no_sections,
        True,
    ),
)


def _with_section(target: str, data: bytes, name: str, content: bytes, *, how: str) -> bytes:
    copy = program(TARGETS[target], "objcopy")
    return within({"in": data, "part": content}, [copy, how, f"{name}=part", "in", "out"], out="out")


def _debug_tail(target: str, name: str) -> Made:
    """The payload is appended to a debug section; the base was rewritten by the same tool."""
    full = gate(target, vendor=True, options=("-g",), strip=False)
    elf = Elf(full)
    base = _with_section(target, full, name, elf.content(name), how="--update-section")
    b = _with_section(target, full, name, elf.content(name) + SECRET, how="--update-section")
    return built(target, gate(target, options=("-g",), strip=False), b, base=base, behaviour="same")


def _debug_link(target: str, grown: bool) -> Made:
    """A link to debug data whose name is followed by something else, or whose checksum is."""
    name = b"7e" * 19 + b".debug"
    link = name + bytes(4 - len(name) % 4) + b"\x12\x34\x56\x78"
    a = _with_section(target, gate(target), ".gnu_debuglink", link[:-4] + b"\1\2\3\4", how="--add-section")
    clean = subject(target).elf.data
    base = _with_section(target, clean, ".gnu_debuglink", link, how="--add-section")
    other = link + SECRET if grown else b"../../../tmp/evil".ljust(len(link) - 4, b"\0") + link[-4:]
    return built(
        target,
        a,
        _with_section(target, clean, ".gnu_debuglink", other, how="--add-section"),
        base=base,
        behaviour="same",
    )


def _comment_grown(target: str) -> Made:
    clean = subject(target).elf
    content = clean.content(".comment")
    base = _with_section(target, clean.data, ".comment", content, how="--update-section")
    b = _with_section(target, clean.data, ".comment", content + SECRET, how="--update-section")
    return built(target, gate(target), b, base=base, behaviour="same")


def recipes() -> Iterator[Recipe]:
    for target in TARGETS:
        make = partial(attack, architecture=target, pure=False)
        for key, group, note, change, differ in PATCHES:
            yield make(f"elf-{target}-{key}", "elf-executable", group, note, tampered(target, change, differ=differ))
        for part in _DEBUG:
            if target == "x86-64" or part == "debug_str":
                yield make(
                    f"elf-{target}-{part.replace('_', '-')}",
                    "elf-executable",
                    "hiding-place",
                    f"Bytes stand behind the last record of .{part}.",
                    partial(_debug_tail, target, f".{part}"),
                )
        yield make(
            f"elf-{target}-debuglink-grown",
            "elf-executable",
            "hiding-place",
            "Bytes stand behind the checksum of the link to debug data.",
            partial(_debug_link, target, True),
        )
        yield make(
            f"elf-{target}-debuglink-path",
            "elf-executable",
            "hiding-place",
            "The link to debug data leads out of its folder.",
            partial(_debug_link, target, False),
        )
        yield make(
            f"elf-{target}-comment-grown",
            "elf-executable",
            "hiding-place",
            "Bytes stand behind the producer's string.",
            partial(_comment_grown, target),
        )
