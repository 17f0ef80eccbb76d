"""Samples of account files, password hashes and secrets in settings."""

from __future__ import annotations

from tests.inspect.case import Case

# crypt(3) of "admin" with the salts shown, by libxcrypt 4.4.
_MD5_ADMIN = "$1$abcdefgh$l/LAqC8oJERu7Cmx6trtY/"
_SHA512_LONG = "$6$saltsaltsalt$" + "a" * 86

PASSWD = (
    b"# users\n"
    b"root:x:0:0:root:/root:/bin/ash\n"
    b"support:" + _MD5_ADMIN.encode() + b":0:0:Support:/tmp:/bin/sh\n"
    b"nobody:*:65534:65534:nobody:/var:/bin/false\n"
    b"cli::500:500::/home:/usr/bin/vendor-cli\n"
)
SHADOW = b"root::0:0:99999:7:::\ndaemon:*:0:0:99999:7:::\nold:!" + _MD5_ADMIN.encode() + b":17000:0:99999:7:::\n"
MASTER = b"root:*:0:0::0:0:Charlie &:/root:/bin/csh\ntoor::0:0::0:0:Bourne:/root:/bin/sh\n"

UCI = b"""
config wifi-iface 'home'
\toption ssid 'Net'
\toption encryption 'psk2'
\toption key 'correct horse'
\toption disabled '0'
config login
\toption username 'root'
\toption password '$p$root'
config uhttpd 'main'
\toption key '/etc/uhttpd.key'
"""

CASES = [
    Case(
        "accounts",
        "positive",
        "passwd",
        lambda: PASSWD,
        path="etc/passwd",
        expect=[
            {"fact": "account.user", "name": "root", "uid": 0, "password": "shadowed", "login": "yes"},
            {
                "fact": "account.user",
                "name": "support",
                "extra_root": True,
                "password": "hash",
                "algorithm": "MD5-crypt",
                "salted": "yes",
                "default": "yes",
                "default_password": "admin",
            },
            {"fact": "account.user", "name": "nobody", "password": "locked", "login": "no"},
            {"fact": "account.user", "name": "cli", "password": "empty", "default": "yes", "login": "cannot tell"},
        ],
        never=[{"fact": "account.user", "name": "root", "extra_root": True}],
    ),
    Case(
        "accounts",
        "positive",
        "passwd under another name",
        lambda: PASSWD[8:],
        path="etc/passwd.default",
        expect=[{"fact": "account.user", "name": "root", "source": "passwd"}],
    ),
    Case(
        "accounts",
        "positive",
        "shadow",
        lambda: SHADOW,
        path="rom/etc/shadow",
        expect=[
            {"fact": "account.user", "source": "shadow", "name": "root", "password": "empty", "default": "yes"},
            {"name": "old", "password": "locked", "algorithm": "MD5-crypt", "default": "yes", "last_changed": 17000},
        ],
    ),
    Case(
        "accounts",
        "positive",
        "master.passwd",
        lambda: MASTER,
        path="etc/master.passwd",
        expect=[{"name": "toor", "uid": 0, "extra_root": True, "password": "empty", "shell": "/bin/sh"}],
    ),
    Case(
        "accounts",
        "positive",
        "htpasswd",
        lambda: b"admin:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\nguest:$apr1$x$notahash\n",
        path="etc/.htpasswd",
        expect=[
            {"source": "htpasswd", "name": "admin", "default": "yes", "default_password": "admin", "salted": "no"},
            {"name": "guest", "algorithm": "unknown", "default": "cannot tell"},
        ],
    ),
    Case(
        "accounts",
        "positive",
        "group",
        lambda: b"root:x:0:\nwheel:x:10:alice,bob\n",
        path="etc/group",
        expect=[{"fact": "account.group", "name": "wheel", "gid": 10, "members": ["alice", "bob"]}],
    ),
    Case("accounts", "negative", "colons", lambda: b"time: 10:20:30\na:b:c:d:e:f:g\n", path="var/notes"),
    Case("accounts", "negative", "pam", lambda: b"auth required pam_unix.so\n", path="etc/pam.d/passwd"),
    Case("accounts", "malformed", "no account", lambda: b"this is no passwd file\n" * 3, path="etc/passwd"),
    Case(
        "accounts",
        "malformed",
        "endless rounds",
        lambda: b"root:$6$rounds=999999999$" + _SHA512_LONG[3:].encode() + b":1:0:9:7:::\n",
        path="etc/shadow",
        never=[{"default": "yes"}, {"default": "no"}],
    ),
    Case(
        "password-hashes",
        "positive",
        "in a script",
        lambda: b"#!/bin/sh\necho 'admin:" + _MD5_ADMIN.encode() + b":0:0::/:/bin/sh' > /etc/passwd\n",
        path="etc/init.d/rcS",
        expect=[{"fact": "account.hash", "user": "admin", "default_password": "admin", "container": "script"}],
    ),
    Case("password-hashes", "negative", "replacement text", lambda: b"s/a(b)c/x$1$2$6$y/ and $1$ or $6$salt$ again"),
    Case("password-hashes", "malformed", "cut", lambda: b"\0" * 40 + _MD5_ADMIN[:-3].encode(), expect=[]),
    Case(
        "credentials",
        "positive",
        "uci",
        lambda: UCI,
        path="etc/config/wireless",
        expect=[
            {"where": "wifi-iface.home.key", "form": "plaintext", "masked": "c…e", "length": 13, "source": "uci"},
            {"where": "login.password", "form": "reference"},
        ],
        never=[{"where": "uhttpd.main.key"}, {"masked": "correct horse"}],
    ),
    Case(
        "credentials",
        "positive",
        "snmp communities",
        lambda: b"rocommunity public 10.0.0.0/8\ncom2sec local default s3cr3tcomm\n# rwcommunity private\n",
        path="etc/snmp/snmpd.conf",
        expect=[
            {"where": "rocommunity", "well_known": True},
            {"where": "com2sec", "well_known": False, "masked": "s…m"},
        ],
        never=[{"where": "rwcommunity"}],
    ),
    Case(
        "credentials",
        "positive",
        "ppp secrets",
        lambda: b'#USERNAME  PROVIDER  PASSWORD  IPADDRESS\n"isp-user" * "hunter22" *\n',
        path="etc/ppp/chap-secrets",
        expect=[{"where": "chap-secrets", "user": "isp-user", "masked": "h…2", "text": '"isp-user" * "h…2" *'}],
    ),
    Case(
        "credentials",
        "positive",
        "xml",
        lambda: (
            b'<a><WebPassword>admin</WebPassword><sysPassword value="s3same" /><p name="wpa_psk" value="12345678"/>'
            b'<u encodePassword="enable" userPassword="hunter22"/><!-- <Password>no</Password> --></a>'
        ),
        path="etc/default.cfg",
        expect=[
            {"source": "xml", "where": "WebPassword", "well_known": True, "length": 5},
            {"where": "sysPassword", "masked": "s…e"},
            {"where": "wpa_psk", "length": 8},
            {"where": "userPassword", "masked": "h…2"},
        ],
        never=[{"where": "encodePassword"}, {"where": "Password"}],
    ),
    Case(
        "credentials",
        "negative",
        "switches and prompts",
        lambda: b"PasswordAuth=on\nuse_passwd = yes\npassword = $PASS\nsecret =\npasswd: files\nkey=/etc/x.key\n",
        path="etc/app.conf",
    ),
    Case("credentials", "malformed", "binary", lambda: b"password=\0\xff\xfe", path="etc/app.conf"),
]
