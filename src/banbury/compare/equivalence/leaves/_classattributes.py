"""The attributes of Java classes, fields, methods, code and record components: what each refers to.

Source: The Java Virtual Machine Specification, Java SE 22 edition, 4.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.leaves._classcode import Cursor, stack_map

_DEPTH: Final = 40
_CONSTANTS: Final = {
    **dict.fromkeys(b"BCISZ", (3,)), ord("D"): (6,), ord("F"): (4,), ord("J"): (5,), ord("s"): (1,),
}  # fmt: skip
#: Bytes of a type annotation's target, by its type; -1: a table of three numbers.
_TARGETS: Final = {
    **dict.fromkeys((0x00, 0x01), 1), 0x10: 2, **dict.fromkeys((0x11, 0x12), 2), **dict.fromkeys((0x13, 0x14, 0x15), 0),
    0x16: 1, 0x17: 2, 0x40: -1, 0x41: -1, **dict.fromkeys(range(0x42, 0x47), 2), **dict.fromkeys(range(0x47, 0x4C), 3),
}  # fmt: skip


def _one(*tags: int) -> Callable[[Cursor], None]:
    def read(cursor: Cursor) -> None:
        cursor.refer(*tags)

    return read


def _many(*tags: int) -> Callable[[Cursor], None]:
    def read(cursor: Cursor) -> None:
        for _ in range(cursor.number(2)):
            cursor.refer(*tags)

    return read


def _empty(cursor: Cursor) -> None:
    pass


def _inner(cursor: Cursor) -> None:
    for _ in range(cursor.number(2)):
        cursor.refer(7)
        cursor.refer(7, optional=True)
        cursor.refer(1, optional=True)
        cursor.number(2)


def _enclosing(cursor: Cursor) -> None:
    cursor.refer(7)
    cursor.refer(12, optional=True)


def _parameters(cursor: Cursor) -> None:
    for _ in range(cursor.number(1)):
        cursor.refer(1, optional=True)
        cursor.number(2)


def _element(cursor: Cursor, depth: int = 0) -> None:
    if depth > _DEPTH:
        raise Refused(cursor.where, "annotations within one another beyond reason")
    tag = cursor.number(1)
    if tag in _CONSTANTS:
        cursor.refer(*_CONSTANTS[tag])
    elif tag == ord("e"):
        cursor.refer(1)
        cursor.refer(1)
    elif tag == ord("c"):
        cursor.refer(1)
    elif tag == ord("@"):
        _annotation(cursor, depth + 1)
    elif tag == ord("["):
        for _ in range(cursor.number(2)):
            _element(cursor, depth + 1)
    else:
        raise Refused(cursor.where, f"an element of the unknown kind {tag}")


def _annotation(cursor: Cursor, depth: int = 0) -> None:
    cursor.refer(1)
    for _ in range(cursor.number(2)):
        cursor.refer(1)
        _element(cursor, depth)


def _annotations(cursor: Cursor) -> None:
    for _ in range(cursor.number(2)):
        _annotation(cursor)


def _parameter_annotations(cursor: Cursor) -> None:
    for _ in range(cursor.number(1)):
        _annotations(cursor)


def _type_annotations(cursor: Cursor) -> None:
    for _ in range(cursor.number(2)):
        target = cursor.number(1)
        if target not in _TARGETS:
            raise Refused(cursor.where, f"an annotation of the unknown place {target}")
        size = _TARGETS[target]
        cursor.number(6 * cursor.number(2) if size < 0 else size)
        cursor.number(2 * cursor.number(1))
        _annotation(cursor)


def _module(cursor: Cursor) -> None:
    cursor.refer(19)
    cursor.number(2)
    cursor.refer(1, optional=True)
    for _ in range(cursor.number(2)):
        cursor.refer(19)
        cursor.number(2)
        cursor.refer(1, optional=True)
    for _ in range(2):
        for _ in range(cursor.number(2)):
            cursor.refer(20)
            cursor.number(2)
            _many(19)(cursor)
    _many(7)(cursor)
    for _ in range(cursor.number(2)):
        cursor.refer(7)
        _many(7)(cursor)


_COMMON: Final[dict[bytes, Callable[[Cursor], None]]] = {
    b"Synthetic": _empty, b"Deprecated": _empty, b"Signature": _one(1),
    b"RuntimeVisibleAnnotations": _annotations, b"RuntimeInvisibleAnnotations": _annotations,
    b"RuntimeVisibleTypeAnnotations": _type_annotations, b"RuntimeInvisibleTypeAnnotations": _type_annotations,
}  # fmt: skip
#: What is known in which place: the attribute's name and its reader.
KNOWN: Final[dict[str, dict[bytes, Callable[[Cursor], None]]]] = {
    "class": {
        **_COMMON, b"SourceFile": _one(1), b"InnerClasses": _inner, b"EnclosingMethod": _enclosing,
        b"NestHost": _one(7), b"NestMembers": _many(7), b"PermittedSubclasses": _many(7), b"Module": _module,
        b"ModulePackages": _many(20), b"ModuleMainClass": _one(7),
    },
    "field": {**_COMMON, b"ConstantValue": _one(3, 4, 5, 6, 8)},
    "method": {
        **_COMMON, b"Exceptions": _many(7), b"MethodParameters": _parameters, b"AnnotationDefault": _element,
        b"RuntimeVisibleParameterAnnotations": _parameter_annotations,
        b"RuntimeInvisibleParameterAnnotations": _parameter_annotations,
    },
    "code": {n: _COMMON[n] for n in (b"RuntimeVisibleTypeAnnotations", b"RuntimeInvisibleTypeAnnotations")}
    | {b"StackMapTable": stack_map},
    "component": dict(_COMMON),
}  # fmt: skip
