"""What words in a text say: that a value is a version, a date or a text for people; or that something is chosen by it,
allowed, secret, or ends.
"""

from __future__ import annotations

import re
from typing import Final

#: The parts of a field's name, and those that say that its value is a version, a date, or a text for people.
PARTS: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STATING: Final = frozenset(
    b"version ver release revision rev build built buildid pretty description title generator generated updated "
    b"modified timestamp stamp epoch copyright created changed published commit".split()
)
_MADE: Final = frozenset(
    b"source package install installed compile compiled image firmware change modify create creation".split()
)
#: What has a version, and what that is like; names whose versions are declared are more of them.
_NEUTRAL: Final = frozenset(
    b"firmware kernel package software product os api schema id name string str text number no num full short long lib "
    b"library app application system module program tool file config project distrib distribution openwrt board cc "
    b"compiler image branch major minor micro patch head git svn vcs abi base core platform model doc document "
    b"format meta metadata data spec specification manifest my our the x y pot po plugin component artifact bundle "
    b"gcc linux x11 original vendor upstream debian deb rpm ipk pkg sys soft hw sw fw hardware".split()
)
#: Fields of texts for people, in whose words a version may be.
_TEXTS: Final = frozenset(
    b"name title description descr text message msg comment note notes info banner label summary motd issue header "
    b"footer about greeting product model firmware software program package system os producer creator "
    b"manufacturer".split()
)
_DAY: Final = (b"date", b"time", b"day")  # of a field of which all other parts state, or which is alone
#: Parts of names by which something is chosen, allowed or ends, and secrets, in small letters.
_CHOOSING: Final = re.compile(
    rb"pass|secret|psk|key|token|communit|credential|pin\b|expir|revok|rollback|downgrad|condition|calendar|ban\b|banned|"
    rb"elements|auth|login|user|valid|min|max|requir|record|allow|den[yi]|permit|reject|accept|block|black|white|before|"
    rb"after|until|since|limit|depend|conflict|replace|break|prefer|prior|upgrad|trust|licen[cs]e|serial|src|dst|filter|"
    rb"match|rule|option|ssl|tls|cipher|proto|end|stop|start|lowest|highest|oldest|newest|support|vulnerab|compat|floor|"
    rb"trial|\bnot|other|target|default|pinned|pw\b|psw|insecur|unlock|approv|skip|ignor|exclu|includ|forbid|known|good|"
    rb"bad|safe|assert|refus|deny|drop|only|exact|eol|life|(?<!re)lease|secur|\bacl\b|access|\bsrc\b|iptables|\s-{1,2}[a-z]",
)
#: Words behind which, alone or by a particle, a version or date is one.
_SAID: Final = re.compile(
    rb"\b(?:version|release|released|revision|built|build|generated|updated|dated|published|copyright|date)"
    rb"(?:[ \t]+(?:on|of|at|is|from|in|by|no|\(c\)))?[ \t]*[:=]?[ \t]*[(\"'v]{0,2}\Z",
    re.IGNORECASE,
)
_NEXT: Final = re.compile(rb"[ \t]v?\d[\w.+-]{3,31},?[ \t]+(?:of|on|from)?[ \t]*\(?\Z")
_SAYING: Final = 80  # bytes in which they are
_DONE: Final = (
    rb"den(?:y|ied)|allow(?:ed)?|block(?:ed)?|permit(?:ted)?|reject(?:ed)?|accept(?:ed)?|forbid(?:den)?|refused?|revoked?"
    rb"|banned|minimum|maximum|min|max|at[ _-]least|at[ _-]most|pinned|(?:black|white|deny|allow)list(?:ed)?|expired"
    rb"|unlock(?:ed)?|rollback|downgrade|gte?|lte?"
)
#: Fields, elements and settings by which a text decides something, with what they decide alone behind them; and
#: comparing signs as a whole value.
_ACTS: Final = re.compile(
    rb"""(?:[:=>{,]|^|\b(?:option|list)[ \t])[ \t]{0,8}["'<]?
        (?:action|operat(?:or|ion)|op|comparator|compare|comparison|effect|verdict|decision|constraint|condition)["']?
        (?:[ \t]{0,8}[:=>]|[ \t])[ \t]{0,8}["']?[\w<>=!~]{1,16}["']?[ \t\r]{0,8}(?:$|[,;}<>/\s])
      |(?:[:=\[]|,[ \t]{0,8}(?=["'])|\b(?:option|list)[ \t]{1,8}\w{1,80}[ \t])[ \t]{0,8}["']?(?:%(acts)s)["']?
        [ \t\r]{0,8}(?:$|[,;}\]#]|/>)
      |>\s{0,8}(?:%(acts)s)\s{0,8}<|[:=][ \t]{0,8}["'](?:[<>=!~]=?|~>|\^|&[lg]t;=?)["']
      |(?:^|[\s{,<])["']?(?:den(?:y|ied)|allow(?:ed)?|blocked|forbidden|refused|revoked|banned|minimum|maximum|min|max|floor
        |pinned|(?:black|white|deny|allow)list)["']?[ \t]{0,8}[:=]"""
    % {b"acts": _DONE},
    re.MULTILINE | re.VERBOSE,
)
#: Short names of what holds a choice, which are ordinary words elsewhere.
_HOLDING: Final = re.compile(
    rb"\b(?:if|when|unless|where|ranges?|from|to|on|case|switch|select|policy|policies|do|then|else|[lg]te?|eq|ne|than"
    rb"|criteri(?:a|on)|query|check|expect|expected|compare|guard|constraints?|versions)\b"
)
#: What stands beside a value: texts so short (bytes) that they may name it; what is on, off, a number or empty.
_SHORT: Final = 64
_SWITCH: Final = re.compile(rb"\s*(?:true|false|yes|no|on|off|[\d.]*)\s*", re.IGNORECASE)
#: What a comment or heading speaks of, in whose text a version is more than that.
SECRET: Final = re.compile(
    rb"secret|passw|passphrase|credential|token|\bpsk\b|revoked|denied|allowed|banned|blocked|minimum|maximum|rollback",
    re.IGNORECASE,
)
#: Words of a date in capitals.
_ZONE: Final = re.compile(
    "UTC|GMT|UT|[ECMP][SD]T|AK[SD]T|HST|C?E?E?S?T|WES?T|CES?T|EES?T|BST|IST|MSK|JST|KST|HKT|SGT|A[ECW][SD]T|NZ[SD]T|"
    "SAST|WAT|CAT|EAT|BRT|ART|PKT|AM|PM|[MTWFSJADON][A-Z]{2}"
)


def chooses(part: bytes) -> bool:
    """Whether a part of a text speaks of what is chosen, allowed, secret or ends."""
    return _CHOOSING.search(part.lower()) is not None


def holds_choice(name: bytes) -> bool:
    """Whether the name of what holds other things (an element's tag, a member's name, a heading) speaks of a choice."""
    return chooses(name) or _HOLDING.search(name.lower()) is not None


def acts(text: bytes) -> bool:
    """Whether a field, an element or a setting anywhere in a text says that something is done with what stands beside
    it: the version in an entry whose action is "deny" is what is denied."""
    return _ACTS.search(text.lower()) is not None


def is_switch(text: bytes) -> bool:
    """Whether a whole text is on, off, a number or empty, so that its name may say what is done."""
    return _SWITCH.fullmatch(text) is not None


def beside_chooses(text: bytes) -> bool:
    """Whether a whole text beside a value is short and speaks of a choice: what has the value may be named by it."""
    return len(text) <= _SHORT and (chooses(text) or acts(text))


def states(name: bytes, names: frozenset[bytes]) -> bool:
    """Whether a field's name says that it is a version, date or description, of nothing but what has one."""
    parts = [part.lower() for part in PARTS.findall(name) if not part.isdigit()]
    days = [part for part in parts if part in _DAY]
    others = [part for part in parts if part not in _DAY]
    if days and others:
        return all(part in _STATING or part in _MADE for part in others)
    known = all(part in _STATING or part in _MADE or part in _NEUTRAL or part in names for part in others)
    return bool(days) or (known and any(part in _STATING for part in others))


def plain_name(name: bytes) -> bool:
    """Whether a field's name is that of what has a version, or of words for people."""
    parts = {part.lower() for part in PARTS.findall(name)}
    return bool(parts) and parts <= _STATING | _MADE | _NEUTRAL | _TEXTS


def for_people(name: bytes) -> bool:
    """Whether a field of this name holds words for people."""
    parts = [part.lower() for part in PARTS.findall(name)]
    return bool(parts) and parts[-1] in _TEXTS


def said(before: bytes, names: frozenset[bytes]) -> bool:
    """Whether what stands right before a value, or before a version and this value ("gate 1.2.3 of 2026-01-05"), says
    what it is."""
    near = before[-_SAYING:]
    beyond = _NEXT.search(near)
    for part in (near, near[: beyond.start()] if beyond else b""):
        words = part.rstrip(b" \t(v[\"'").rsplit(maxsplit=1)
        if (words and words[-1].strip(b"\"'([").lower() in names) or _SAID.search(part):
            return True
    return False


def same_sort(old: str, new: str) -> bool:
    """Whether two dates are made of as many words, and of no word that is no date's: what a vendor declares as one may
    end in a word by which a line means something else."""
    ours, theirs = (re.split(r"[ ,]+", one) for one in (old, new))
    words = [word for one in (*ours, *theirs) for word in re.findall(r"[A-Z]{2,}", one)]
    return len(ours) == len(theirs) and all(_ZONE.fullmatch(word) for word in words)
