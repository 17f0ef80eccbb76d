"""Whether a text without an interpreter's line looks like the source of a program: what such a text calls a version is
what the program acts on.

Sources: POSIX.1-2017, XCU 2; the Python, Lua, Tcl and GNU make manuals (facts only).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

#: Lines of programs' sources (shell, Python, Lua, Tcl, expect, awk, make, JavaScript, PHP), and signs of them anywhere.
_PROGRAM: Final = re.compile(
    rb"""^[ \t]*(?:
        def[ ]\w{1,80}[ ]?\(|class[ ]\w{1,80}[ ]?[(:]|import[ ][\w., ]{1,200}$|from[ ][\w.]{1,200}[ ]import[ ]
        |local[ ]\w{1,80}[ ]?(?:=|$)
        |(?:end|fi|esac|done|then|do|else|endif|endef)[ \t]{0,8}$|export[ ]\w{1,80}[ ]?(?:=|$)
        |source[ ][./$"]|unset[ ]\w{1,80}$|\.[ ][\w./$"]|proc[ ]\S{1,80}[ ]\{|set[ ]\w{1,80}[ ]["\[{0-9]
        |(?:BEGIN|END)[ ]?\{|(?:puts|spawn|expect|send|return|print|echo)[ ]["'\[{$(-]|(?:ifeq|ifneq|ifdef|ifndef)[ ]
        |\w{1,80}[ ]?[:?+]=)
      |\bfunction\b[ ]?\w{0,80}[ ]?\(|\brequire[ ]?[("']|(?<![=!])[=!]==?(?!=)|\(\)[ ]?\{|[\w)][ ]=>[ ]|\$[(<@]
      |\b(?:if|elif|while)\b[ ]?[\[(]|\b(?:os|sys|io|string|self)\.\w{1,80}[(.]|<\?php|<%
      |^[ \t]*\((?:define|let|lambda|setq|defun|if|when|unless|cond|begin|import|use)\b""",
    re.MULTILINE | re.VERBOSE,
)
_SIGNS: Final = 2  # of a program


def is_program(text: bytes) -> bool:
    """Whether a text looks like the source of a program, or is settings that are read in by one as its own."""
    return len(list(islice(_PROGRAM.finditer(text), _SIGNS))) == _SIGNS
