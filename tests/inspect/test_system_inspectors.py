"""The inspectors of a system's files: algorithms with known answers, one fingerprint per key, hostile input, and
what they say about real root file systems."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from banbury.formats.registry import readers
from banbury.formats.testing import Read, read_bytes
from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView, Skip, TreeInspector
from banbury.inspect.inspectors import _keyparts as keyparts
from banbury.inspect.inspectors._crypt import algorithm_of, try_defaults
from banbury.inspect.inspectors._defaults import LIMIT, default_passwords
from banbury.inspect.inspectors._scriptuses import LANGUAGES, uses
from banbury.inspect.registry import inspectors
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Tri
from tests.inspect.case import Case
from tests.inspect.test_inspectors import CASES

FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"
FILES = (
    *("accounts", "password-hashes", "credentials", "keys", "packages", "startup", "kernel", "scripts"),
    "web-server",
)
TREES = ("startup-links", "permissions", "webroots")


def facts_of(name: str, data: bytes, path: str = "") -> list[Fact]:
    inspector = inspectors()[name]
    assert isinstance(inspector, FileInspector)
    file = FileView(View(data), path)
    return list(inspector.inspect(file)) if inspector.applies(file) else []


# Password hashing ----------------------------------------------------------------------------------------------------


#: (password, what crypt(3) of libxcrypt 4.4 and, for apr1, ``openssl passwd`` yield).
KNOWN_HASHES = (
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    ("This is just a test", "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
    ("password", "$1$12345678$o2n/JiO/h5VviOInWJ4OQ/"),
    ("", "$1$a$8CfZSfErbeskipdhZHtvu."),
    ("password", "$apr1$12345678$9pHAGSBYtlmFtid2xxNog0"),
    ("foob", "arlEKn0OzVJn."),
    ("", "zZO7u0HfQST3A"),
    ("longer than eight", "./yPRzyX/WeSM"),
    ("admin", "{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc="),
)


@pytest.mark.parametrize(("password", "stored"), KNOWN_HASHES, ids=lambda v: v[:12])
def test_a_known_password_is_found_among_candidates(password: str, stored: str) -> None:
    assert try_defaults(stored, ["wrong", password]) == (Tri.YES, password, 2)
    assert try_defaults(stored, ["wrong", password[:7] + "X"])[0] is Tri.NO


def test_hashes_that_cannot_be_tried_are_not_called_unmatched() -> None:
    bcrypt = "$2b$10$" + "a" * 53
    assert algorithm_of(bcrypt) == "bcrypt"
    assert try_defaults(bcrypt, ["admin"]) == (Tri.UNKNOWN, "", 0)
    costly = "$6$rounds=999999999$salt$" + "a" * 86
    assert try_defaults(costly, ["admin"]) == (Tri.UNKNOWN, "", 0)
    odd_salt = "$5$rounds=9salt$" + "a" * 43
    assert try_defaults(odd_salt, ["admin"]) == (Tri.NO, "", 1)


def test_one_account_costs_less_than_half_a_second() -> None:
    stored = ("$6$salt$" + "a" * 86, "$1$salt$" + "a" * 22, "ab" + "a" * 11)
    start = time.process_time()
    assert [try_defaults(s, list(default_passwords()))[2] for s in stored] == [len(default_passwords())] * 3
    assert time.process_time() - start < 1.5


def test_the_list_of_default_passwords_fits_its_limit() -> None:
    assert 40 <= len(default_passwords()) <= LIMIT
    assert default_passwords()[:2] == ("", "admin")


# Keys ----------------------------------------------------------------------------------------------------------------


@cache
def keys() -> list[Any]:
    return [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        dsa.generate_private_key(1024),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
    ]


@pytest.mark.parametrize("index", range(7))
def test_every_encoding_of_a_key_has_the_fingerprint_of_its_public_half(index: int) -> None:
    key = keys()[index]
    plain = NoEncryption()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = hashlib.sha256(spki).hexdigest()
    assert keyparts.from_spki(spki).fingerprint == expected
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain)
    if index < 4:
        pem += key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, plain)
    if index in {0, 1, 2, 4}:
        pem += key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, plain)
        pem += key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" a@b\n"
    facts = facts_of("keys", pem)
    assert len(facts) == 1 + (index < 4) + 2 * (index in {0, 1, 2, 4})
    assert {getattr(f, "fingerprint", "") for f in facts} == {expected}


def test_dropbear_rsa_and_dss_host_keys() -> None:
    def mpint(value: int) -> bytes:
        raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return len(raw).to_bytes(4, "big") + raw

    numbers = keys()[0].private_numbers()
    public = numbers.public_numbers
    blob = b"\0\0\0\7ssh-rsa" + b"".join(mpint(i) for i in (public.e, public.n, numbers.d, numbers.p, numbers.q))
    (fact,) = facts_of("keys", blob)
    expected = keyparts.rsa(public.n, public.e).fingerprint
    assert msgspec.to_builtins(fact).items() >= {"format": "Dropbear", "bits": 1024, "fingerprint": expected}.items()


def test_a_key_s_body_stands_in_no_fact() -> None:
    pem = b"".join(k.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for k in keys())
    bodies = [line.decode() for line in pem.split(b"\n") if line and not line.startswith(b"-")]
    told = msgspec.json.encode(facts_of("keys", pem)).decode()
    assert told.count("key.private") == len(keys())
    assert not [b for b in bodies if b[:24] in told]


def test_a_secret_s_value_stands_in_no_fact() -> None:
    for case in CASES:
        if case.inspector in {"credentials", "scripts"} and case.sort == "positive":
            assert case.make is not None
            told = msgspec.json.encode(facts_of(case.inspector, case.make(), case.path)).decode()
            assert not [s for s in ("hunter22", "correct horse", "s3cr3tcomm", "s3same", "letmein1") if s in told]


# Scripts -------------------------------------------------------------------------------------------------------------


def test_every_use_has_known_languages_and_bounded_gaps() -> None:
    assert len(uses()) > 25
    for use in uses():
        assert use.languages <= LANGUAGES
        assert use.words
        assert not [gap for gap in (".*", ".+", "[^\\n]*", "[^\\n]+", "[^)]*") if gap in use.pattern.pattern]


# Hostile input -------------------------------------------------------------------------------------------------------

SAMPLES = [c for c in CASES if c.inspector in FILES and c.make is not None and c.sort == "positive"]
INSERTS = (b"\0", b"\xff" * 8, b"\n", b"::", b"=", b"-----BEGIN ", b"\x30\x82", b"$1$", b'"', b"\\", b"9" * 21, b"${A}")


def mutant(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 6))):
        at = rng.randrange(len(out) + 1)
        action = rng.random()
        if action < 0.5 and at < len(out):
            out[at] = rng.randrange(256)
        elif action < 0.7:
            out[at:at] = rng.choice(INSERTS)
        elif action < 0.85:
            del out[at : at + rng.randrange(1, 40)]
        else:
            del out[at:]
    return bytes(out)


@pytest.mark.parametrize("case", SAMPLES, ids=lambda c: f"{c.inspector}-{c.name}")
def test_damaged_samples_never_escape_the_contract(case: Case) -> None:
    """Changed or cut anywhere, a file is refused with a reason, or its facts are well formed and lie within it."""
    assert case.make is not None
    data = case.make()
    rng = random.Random(f"{case.inspector}-{case.name}")
    allowed = tuple(inspectors()[case.inspector].facts)
    for _ in range(30):
        damaged = mutant(rng, data)
        try:
            facts = facts_of(case.inspector, damaged, case.path)
        except (Malformed, Skip):
            continue
        for fact in facts:
            assert isinstance(fact, allowed)
            assert len(fact.text) <= 120
            assert fact.at is None or 0 <= fact.at.start <= fact.at.start + fact.at.length <= len(damaged)
            assert msgspec.json.decode(msgspec.json.encode(fact), type=type(fact)) == fact


#: (inspector, path, what is repeated): each would take minutes if something were quadratic in its size.
FLOODS = (
    ("keys", "", b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 30),
    ("keys", "", b"\0\x30\x82\xff\x00\x02\x01\x00\x02\x82"),
    ("keys", "", b"AAAAB3NzaC1"),
    ("kernel", "", b"\0bootcmd=a"),
    ("kernel", "", b"console=a "),
    ("password-hashes", "x", b"$1$"),
    ("credentials", "etc/a.xml", b"<password"),
    ("startup", "etc/init.d/x", b"procd_set_param command $A "),
    ("startup", "etc/ld.so.preload", b"a:"),
    ("scripts", "x.sh", b"wget chmod -R iptables -A INPUT "),
    ("scripts", "x.sh", b"cat <<A\n"),
    ("scripts", "x.php", b"/*`a$"),
    ("packages", "usr/lib/opkg/status", b"Package: a\n b\n"),
)


@pytest.mark.parametrize(("name", "path", "piece"), FLOODS, ids=lambda v: str(v)[:30])
def test_floods_cost_time_in_proportion(name: str, path: str, piece: bytes) -> None:
    data = (piece * ((1 << 20) // len(piece)))[: (1 << 20) - 1]
    start = time.process_time()
    with contextlib.suppress(Malformed, Skip):
        facts_of(name, data, path)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("usr/lib/opkg/status", "Package: {}\nVersion: {}\nStatus: install user installed\n\n"),
        ("lib/apk/db/installed", "P:{}\nV:{}\n\n"),
    ],
)
def test_a_version_of_megabytes_hides_no_other_package(path: str, record: str) -> None:
    """It is cut, which is said in it; what is kept of the others does not shrink."""
    rows = [("a", "1.0"), ("b", "1." * 4_000_000), ("c" * 4_000_000, "2"), ("d", "4.0")]
    facts = facts_of("packages", "".join(record.format(*row) for row in rows).encode(), path)
    found = [msgspec.to_builtins(fact) for fact in facts]
    assert [(one["name"], one["version"]) for one in found[::3]] == [("a", "1.0"), ("d", "4.0")]
    assert found[1]["version"].endswith("… (8000000 characters)")
    assert max(len(str(value)) for one in found for value in one.values()) < 500


# Real root file systems ----------------------------------------------------------------------------------------------


@cache
def root_file_system(name: str) -> Read:
    image = FIRMWARE / name
    if not image.exists():
        pytest.skip(f"no {name}: the folder of real firmware is not beside the checkout")
    data = image.read_bytes()
    start = max(data.find(b"hsqs"), 0)
    read = read_bytes(readers()["squashfs"], data[start:])
    assert read is not None
    assert not read.dissection.error
    return read


@cache
def observed(name: str) -> list[tuple[str, dict[str, Any]]]:
    """(path, fact as plain data) of everything that the inspectors say about a root file system."""
    read = root_file_system(name)
    out: list[tuple[str, dict[str, Any]]] = []
    for path, content in read.contents.items():
        for tool in FILES:
            out += [(path, msgspec.to_builtins(f)) for f in facts_of(tool, content, path)]
    for tool in TREES:
        inspector = inspectors()[tool]
        assert isinstance(inspector, TreeInspector)
        out += [("", msgspec.to_builtins(f)) for f in inspector.inspect(read.dissection)]
    return out


def some(image: str, /, **fields: object) -> list[tuple[str, dict[str, Any]]]:
    return [(p, f) for p, f in observed(image) if fields.items() <= f.items()]


OPENWRT = {"openwrt-mr3020/mr3020-demtech.bin": 66, "openwrt-mr3020/mr3020-viktor.bin": 72}
VENDOR = "formats/squashfs_v2.bin"


@pytest.mark.parametrize("image", OPENWRT)
def test_packages_of_openwrt(image: str) -> None:
    """The database, the control files and the file lists name the same packages."""
    installed = [f["name"] for _, f in some(image, fact="package.installed")]
    assert len(installed) == len(set(installed)) == OPENWRT[image]
    assert {f["name"] for _, f in some(image, fact="package.control")} == set(installed)
    lists = {f["name"]: f["files"] for _, f in some(image, fact="package.files")}
    assert lists.keys() == set(installed)
    assert lists["busybox"] > 100


@pytest.mark.parametrize("image", OPENWRT)
def test_what_openwrt_starts_and_who_may_log_in(image: str) -> None:
    (root,) = some(image, fact="account.user", source="shadow", name="root")
    assert root[1]["password"] == "empty"
    assert root[1]["default"] == "yes"
    assert not some(image, fact="account.user", extra_root=True)
    (console,) = some(image, fact="startup.console")
    assert console[1]["login"] == "no"
    telnet = some(image, fact="startup.network-listener", program="telnetd")
    assert {p for p, _ in telnet} == {"etc/init.d/telnet", "lib/preinit/99_10_failsafe_login"}
    (enabled,) = some(image, fact="startup.enablement", name="telnet")
    assert enabled[1] | {"enabled": "yes", "order": 50, "path": "etc/rc.d/S50telnet"} == enabled[1]
    assert not some(image, fact="account.credential")
    assert not some(image, fact="account.hash")


def test_the_only_private_keys_of_openwrt_are_openssl_s_own_for_its_speed_test() -> None:
    found = some("openwrt-mr3020/mr3020-viktor.bin", fact="key.private")
    assert [(p, f["bits"], f["container"]) for p, f in found] == [
        ("usr/bin/openssl", bits, "elf") for bits in (4096, 2048, 1024, 512)
    ]
    assert not some("openwrt-mr3020/mr3020-demtech.bin", fact="key.private")


def test_a_vendor_s_root_file_system_of_2009() -> None:
    """It ships an SSH host key, consoles without a password, inetd, default SNMP communities and PPP secrets."""
    ((path, key),) = some(VENDOR, fact="key.private")
    assert (path, key["format"], key["type"], key["bits"]) == ("etc/rsa_host_key", "Dropbear", "RSA", 1040)
    assert [f["login"] for _, f in some(VENDOR, fact="startup.console")] == ["no", "no"]
    assert len(some(VENDOR, fact="startup.network-listener", mechanism="inetd")) == 12
    secrets = {(p, f["where"], f.get("well_known", False)) for p, f in some(VENDOR, fact="account.credential")}
    assert secrets == {
        ("etc/default.cfg", "readCommunity", True),
        ("etc/default.cfg", "writeCommunity", True),
        ("etc/ppp/chap-secrets", "chap-secrets", False),
        ("etc/ppp/pap-secrets", "pap-secrets", False),
    }
    ((_, web),) = some(VENDOR, fact="webroot.directory")
    assert (web["path"], web["types"]["html"], web["index"]) == ("webs", 133, "webs/index.html")


def test_the_kernel_of_openwrt() -> None:
    image = FIRMWARE / "openwrt-mr3020/mr3020-viktor.bin"
    if not image.exists():
        pytest.skip("the folder of real firmware is not beside the checkout")
    kernel = read_bytes(readers()["lzma"], image.read_bytes()[512:])
    assert kernel is not None
    facts = [msgspec.to_builtins(f) for f in facts_of("kernel", next(iter(kernel.contents.values())))]
    (plain,) = [f for f in facts if f["fact"] == "kernel.banner"]
    assert (plain["version"], plain["builder"], plain["build"]) == ("3.10.49", "viktor@ubuntu-home", "#1")


def test_a_root_file_system_takes_less_than_a_second() -> None:
    """654 files; about 0.15 s where this was written. Imports and the reader's work do not count."""
    read = root_file_system("openwrt-mr3020/mr3020-viktor.bin")
    observed("openwrt-mr3020/mr3020-viktor.bin")
    start = time.process_time()
    for path, content in read.contents.items():
        file = FileView(View(content), path)
        for name in FILES:
            inspector = inspectors()[name]
            assert isinstance(inspector, FileInspector)
            if inspector.applies(file):
                list(inspector.inspect(file))
    assert time.process_time() - start < 1
