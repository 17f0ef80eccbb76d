"""Files that lie to the inspectors. See :mod:`tests.hostile.corpus`."""

from __future__ import annotations

import struct

from tests.hostile.case import MIB, Files, case


@case()
def elf_of_2_32_sections() -> bytes:
    """Extended section numbering (gABI, e_shnum 0): section 0 states 2^32 - 1 sections, and as many names."""
    head = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 64, 0, 64, 56, 0xFFFF, 64, 0, 0xFFFF)
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return head + section * 2000


@case()
def elf_whose_tables_overlap() -> bytes:
    """Every segment a PT_DYNAMIC or PT_NOTE over the whole file, every section a symbol table over it too."""
    count = 2000
    phoff, shoff = 64, 64 + 56 * count
    size = shoff + 64 * count + 65536
    head = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, phoff, shoff, 0, 64, 56, count, 64, count, 0)
    segments = b"".join(struct.pack("<IIQQQQQQ", 2 + 2 * (i & 1), 7, 0, 0, 0, size, size, 1) for i in range(count))
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, (2, 11, 6, 7, 9, 4)[i % 6], 7, 0, 0, size, i + 1, i, 1, 24) for i in range(count)
    )
    return head + segments + sections + bytes(range(256)) * 256


@case()
def pem_of_one_long_line() -> Files:
    begin, end = b"-----BEGIN RSA PRIVATE KEY-----\n", b"\n-----END RSA PRIVATE KEY-----\n"
    return {"etc/key.pem": begin + b"A" * (8 * MIB) + end, "etc/begins.pem": begin * 100_000}


@case(slow=True)
def pem_of_a_line_of_100_mb() -> Files:
    return {"etc/key.pem": b"-----BEGIN CERTIFICATE-----\n" + b"A" * (100 * MIB) + b"\n-----END CERTIFICATE-----\n"}


@case()
def many_accounts() -> Files:
    shadow = b"".join(b"u%d:$1$%08d$aaaaaaaaaaaaaaaaaaaaaa:1:0:9:7:::\n" % (i, i) for i in range(20_000))
    passwd = b"".join(b"u%d:x:%d:0::/:/bin/sh\n" % (i, i % 3) for i in range(20_000))
    return {"root/etc/shadow": shadow, "root/etc/passwd": passwd}


@case(slow=True)
def a_million_accounts() -> Files:
    return {
        "a/etc/passwd": b"".join(
            b"u%d:$1$%d$aaaaaaaaaaaaaaaaaaaaaa:%d:0::/:/bin/sh\n" % (i, i, i) for i in range(1_000_000)
        )
    }


@case()
def hashes_of_a_billion_rounds() -> Files:
    rows = [
        b"root:$6$rounds=999999999$saltsalt$" + b"a" * 86,
        b"b:$5$rounds=999999999$saltsalt$" + b"a" * 43,
        b"c:$2b$31$" + b"a" * 53,
        b"d:$7$" + b"z" * 100,
        b"e:$y$jD5" + b"z" * 60,
        b"f:$argon2id$v=19$m=2147483647,t=2147483647,p=255$c2FsdHNhbHQ$aGFzaA",
        b"g:$gy$j9T$x$y",
        b"h:$sha1$4294967295$salt$" + b"a" * 28,
    ]
    return {"v/etc/shadow": b"".join(r + b":1:0:9:7:::\n" for r in rows * 50)}


def der(tag: int, body: bytes) -> bytes:
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


@case()
def certificate_of_absurd_nesting() -> Files:
    body = b"\x05\0"
    for _ in range(20_000):
        body = der(0x30, body)
    endless = b"\x30\x80" * 100_000
    integer = der(0x30, der(0x02, b"\0") + der(0x02, b"\x7f" + b"\xff" * 500_000) + der(0x02, b"\1\0\1"))
    claims = b"\x30\x84\xff\xff\xff\xff" * 10_000
    return {"etc/a.der": body, "etc/b.der": endless, "etc/c.key": integer, "etc/d.crt": claims}


@case()
def package_status_of_many_megabytes() -> Files:
    row = b"Package: p%06d\nVersion: 1\nStatus: install ok installed\nDepends: " + b"a, " * 40 + b"\n\n"
    return {
        "var/lib/dpkg/status": b"".join(row % i for i in range(20_000)),
        "usr/lib/opkg/status": b"Package: a\n" + b" continued\n" * 500_000,
        "lib/apk/db/installed": b"P:" + b"a" * (4 * MIB),
    }


@case(slow=True)
def package_status_of_200_mb() -> Files:
    row = b"Package: p%07d\nVersion: 1\nStatus: install ok installed\n\n"
    return {"var/lib/dpkg/status": b"".join(row % i for i in range(3_400_000))}


@case(slow=True)
def script_of_one_line_of_100_mb() -> Files:
    return {"www/a.php": b"<?php " + b"system($_GET['a']);" * (5 * MIB), "bin/s": b"#!/bin/sh\n" + b"a" * (100 * MIB)}


@case()
def text_full_of_words_that_rules_look_for() -> Files:
    """Every line a lure: what the inspectors search for, again and again, never finished."""
    lures = (
        b"password=",
        b"eval ",
        b"wget http://",
        b"BEGIN ",
        b"root:",
        b"key ",
        b"$(",
        b"`",
        b"telnetd -l ",
        b"/bin/sh ",
    )
    line = b" ".join(lures) + b" "
    return {"bin/lure": b"#!/bin/sh\n" + line * 20_000, "etc/config/lure": (line + b"\n") * 20_000}


#: What the quantifiers of the inspectors' patterns accept: runs of these make a backtracking matcher work.
RUNS = (
    b" ",
    b"\t",
    b"\n",
    b"a",
    b"A",
    b"0",
    b"/",
    b"/a",
    b"a.",
    b"-",
    b"=",
    b'"',
    b"'",
    b"\\",
    b"\\n",
    b"$",
    b"${",
    b"(",
    b"[",
    b":",
    b";",
    b",",
    b"*",
    b"* ",
    b"<",
    b"<a ",
    b"#",
    b"%",
    b"a=",
    b"a ",
    b'" ',
    b'"a"',
    b"a:",
    b"\r\n",
    b"+/",
    b"\x80",
    b"\xff",
)
LEADS = (
    b"",
    b"#!/bin/sh\n",
    b"password ",
    b"-----BEGIN RSA PRIVATE KEY-----",
    b'RUN+="',
    b'["exec",',
    b"config ",
    b"<?php ",
    b"* * * * ",
    b"procd_set_param command ",
    b"start-stop-daemon ",
    b"A=",
    b"PrivateKey = ",
    b"Linux version 3.1",
    b"createUser -e ",
)
PLACES = (
    "etc/passwd",
    "etc/shadow",
    "etc/init.d/s",
    "etc/inittab",
    "etc/crontab",
    "etc/config/c",
    "etc/lighttpd.conf",
    "usr/lib/opkg/status",
    "lib/systemd/system/x.service",
    "etc/udev/rules.d/x.rules",
    "www/cgi-bin/x.sh",
    "etc/snmp/snmpd.conf",
    "etc/xinetd.d/x",
    "etc/inetd.conf",
    "x.conf",
    "x.xml",
    "x.json",
    "x.lua",
    "x.py",
    "x.js",
    "x.html",
    "etc/ppp/chap-secrets",
    "etc/hotplug.json",
    "etc/apache2/httpd.conf",
    "etc/nginx/nginx.conf",
    "lib/preinit/x",
    "etc/profile",
    "root/.htpasswd",
)


def regex_lures(size: int) -> Files:
    """A run of everything, after every lead, at every kind of place (each lure once: places take turns)."""
    files: Files = {}
    for number, (lead, run) in enumerate((lead, run) for lead in LEADS for run in RUNS):
        content = lead + run * (size // len(run))
        files[f"r{number}/{PLACES[number % len(PLACES)]}"] = content
        if not lead:
            for place in PLACES:
                files[f"p{number}/{place}"] = content
    return files


@case()
def regex_lures_small() -> Files:
    return regex_lures(1 << 10)


@case(slow=True)
def regex_lures_large() -> Files:
    return regex_lures(256 << 10)
