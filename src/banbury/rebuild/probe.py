"""What was in force: measured in the sandbox, by a script that runs where the build runs, before it.

Also the toolchain's strings. The answers are text from a root file system that may be the vendor's: data, not proof.
"""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(r"@([a-z-]+)=([ -~]{0,400})")
#: Prints ``@key=value`` lines. Only what every Debian system has; what is missing leaves its key out.
SCRIPT: Final = r"""
say() { printf '@%s=%s\n' "$1" "$2"; }
say path "$(pwd)"
say clock "$(date +%s)"
say zone "$(date +%z)"
say locale "$(locale charmap 2>/dev/null) $LC_ALL"
say user "$(id -un):$(id -u)"
say host "$(uname -n) $(hostname -f 2>/dev/null)"
say umask "$(umask)"
say order "$(ls -U | head -n 400 | cksum)"
say cpus "$(nproc)"
say home "$HOME"
say shell "$SHELL"
say environment "$(env | cut -d= -f1 | tr '\n' ' ')"
say network "$(cat /proc/net/dev 2>/dev/null | grep -c :)"
say capabilities "$(grep -i capeff /proc/self/status)"
say filter "$(sed -n 's/^Seccomp:[^0-9]*//p' /proc/self/status)"
say kernel "$(uname -srm)"
release=/etc/os-release; [ -r $release ] || release=/usr/lib/os-release
say os "$(sed -n 's/^PRETTY_NAME=//p' $release 2>/dev/null || true)"
say system "$(sed -n 's/^ID=//p;s/^VERSION_ID=//p' $release 2>/dev/null | sort -r | tr -d '"' | tr '\n' ' ')"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
for tool in "${CC:-cc}" "${CXX:-c++}" ld as ar make cmake dpkg-buildpackage; do
    path=$(command -v "$tool" 2>/dev/null) || continue
    real=$(readlink -f "$path")
    package=$(dpkg -S "$real" 2>/dev/null | head -n 1 | sed 's/: .*//')
    version=$([ -z "$package" ] || dpkg-query -W -f '${Version}' "$package" 2>/dev/null)
    say tool "$tool|$real|$package|$version|$("$tool" --version 2>/dev/null | head -n 1 | cut -c1-120)"
done
d=$(mktemp -d) && echo 'int x;' >"$d/x.c" && "${CC:-cc}" -c -o "$d/x.o" "$d/x.c" 2>/dev/null &&
    readelf -p .comment "$d/x.o" 2>/dev/null | sed -n 's/^ *\[ *[0-9a-f]*\] *//p' | head -n 3 |
    while read -r line; do say producer "$line"; done
rm -rf "$d"
true
"""


def answers(log: bytes) -> dict[str, list[str]]:
    """The probe's lines, by key; anything else is left out. At most 64 of them."""
    out: dict[str, list[str]] = {}
    for number, line in enumerate(log[: 1 << 18].decode("utf-8", "replace").splitlines()):
        match = _LINE.fullmatch(line.strip())
        if match and number < 64:
            out.setdefault(match[1], []).append(match[2].strip())
    return out
