"""Samples for the inspector of kernel modules."""

from __future__ import annotations

from tests.inspect.case import Case
from tests.inspect.elf_builder import MIPS, Linked, Relocatable, pkcs7, sign

NAME = "kernel-module"
_INFO = (
    "license=GPL v2",
    "depends=usbcore,mii",
    "alias=usb:v0001p0002*",
    "alias=usb:v0001p0003*",
    "parm=debug: verbose messages",
    "parmtype=debug:int",
    "parmtype=channel:uint",
    "firmware=vendor/fw.bin",
    "retpoline=Y",
    "name=net_thing",
    "vermagic=5.10.146 SMP mod_unload ",
)
_MODULE = Relocatable(modinfo=_INFO)


CASES = [
    Case(
        NAME,
        "positive",
        "modern",
        _MODULE.build,
        expect=[
            {
                "fact": "kernel.module",
                "name": "net_thing",
                "kernel": "5.10.146",
                "license": "GPL v2",
                "depends": ["usbcore", "mii"],
                "aliases": 2,
                "parameters": {"debug": "verbose messages", "channel": "(uint)"},
                "firmware": ["vendor/fw.bin"],
                "retpoline": "yes",
                "intree": "no",
                "staging": False,
                "signed": False,
            }
        ],
    ),
    Case(
        NAME,
        "positive",
        "signed",
        lambda: sign(_MODULE.build(), pkcs7("Vendor kernel key", bytes.fromhex("0badcafe"))),
        expect=[
            {"signed": True, "signer": "Vendor kernel key", "signer_serial": "0badcafe", "signature_hash": "sha256"}
        ],
    ),
    Case(
        NAME,
        "positive",
        "old, MIPS big-endian, without name or vermagic",
        Relocatable(bits=32, big=True, machine=MIPS, modinfo=("license=GPL",), embedded_name="nf_nat_irc").build,
        expect=[{"name": "nf_nat_irc", "kernel": "", "intree": "cannot tell", "retpoline": "cannot tell"}],
    ),
    Case(NAME, "negative", "a plain object", Relocatable().build),
    Case(NAME, "negative", "a program", Linked().build),
    Case(
        NAME,
        "malformed",
        "a signature longer than the file",
        lambda: sign(_MODULE.build(), b"")[:-32] + b"\xff\xff\xff\xff~Module signature appended~\n",
        expect=[],
        never=[{"signature_note": ""}],
    ),
    Case(
        NAME,
        "malformed",
        "a signature of noise",
        lambda: sign(_MODULE.build(), b"\x30\x84\xff\xff\xff\xff"),
        never=[{"signature_note": ""}, {"signed": False}],
    ),
    Case(
        NAME,
        "malformed",
        "a signature without its parts",
        lambda: sign(_MODULE.build(), pkcs7("k", b"\1").replace(b"\x02\x01\x01\x30", b"\x02\x01\x01\x04")),
        never=[{"signature_note": "", "signer": "k"}, {"signed": False}],
    ),
    Case(NAME, "malformed", "cut short", lambda: _MODULE.build()[:200], never=[{"fact": "kernel.module"}]),
]
