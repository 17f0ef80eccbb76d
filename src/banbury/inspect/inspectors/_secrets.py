"""Secrets in plain text: passwords, keys and communities in settings files. Values are masked in every fact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._crypt import algorithm_of
from banbury.inspect.inspectors._defaults import default_passwords
from banbury.inspect.inspectors._lines import at_most, basename, blank_blocks, hide, line_span, mask, unquote, within
from banbury.model.facts import Fact, Span

_LONGEST: Final = 2000
_XML_CAP: Final = 2 << 20


class Credential(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="account.credential"):
    """A secret that a settings file holds. ``where`` is the setting's name, ``source`` the file's grammar, ``user``
    whose it is if stated. ``form`` is ``plaintext``, ``hash`` or ``reference`` (to an account's password).
    ``masked`` shows at most its first and last character, ``length`` counts its characters, ``well_known`` says
    that it is in the list of default passwords or a default SNMP community."""

    where: str
    source: str
    user: str = ""
    form: str = "plaintext"
    masked: str
    length: int
    well_known: bool = False


_WORDS: Final = r"(?:pass|passwd|password|passphrase|passwort|pwd|psk|psk2|secret|community)"
_UCI_KEY: Final = re.compile(
    rf"(?:[\w.-]*_)?{_WORDS}|key[1-4]?|wpa_key|wep_key[0-4]?|(?:private|preshared|shared|api)_?key|token",
    re.IGNORECASE,
)
_SETTING: Final = re.compile(
    rf"(?:set\s|export\s)?\s*[\"']?([\w.:\[\]-]*?{_WORDS}|wep_key[0-3])\d?[\"']?\s*=\s*(\S.*)", re.IGNORECASE
)
#: An element's content; a pair of attributes "name" and "value"; an attribute, or an element with its "value".
_XML: Final = re.compile(
    rf"<([\w.:-]{{0,60}}{_WORDS})(?:\s[^<>]{{0,200}})?>([^<>]{{1,200}})</"
    rf"|name=\"([\w.:-]{{0,60}}{_WORDS})\"\s+value=\"([^\"<>]{{1,200}})\""
    rf"|(?<![\w.:-])([\w.:-]{{0,60}}{_WORDS})(?:\s+value)?\s?=\s?\"([^\"<>]{{1,200}})\"",
    re.IGNORECASE,
)
_COMMUNITY: Final = re.compile(r"(r[ow]community6?)\s+(\S+)|(com2sec6?)\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+(\S+)")
_CREATE_USER: Final = re.compile(r"(createUser)\s+(?:-e\s+\S+\s+)?(\S+)\s+(?:MD5|SHA\S*)\s+(\"[^\"]+\"|\S+)")
_SECRETS: Final = re.compile(r"(\"[^\"]*\"|\S+)\s+(?:\"[^\"]*\"|\S+)\s+(\"[^\"]*\"|\S+)(?:\s.*)?")

_NOT_A_WORD: Final = re.compile(
    r"(?:yes|no|on|off|true|false|none|null|nil|disabled?|enabled?|required|optional|prompt|ask|[*]+|x+|\d)?",
    re.IGNORECASE,
)
_SETTINGS_FILE: Final = re.compile(
    r"(?:^|/)(?:[^/]*\.(?:conf|cfg|cnf|ini|nvram|properties|default|defaults|env)|[^/]*nvram[^/]*|default_?config[^/]*)$",
    re.IGNORECASE,
)


def _grammar(file: FileView) -> str:
    """How the file writes its settings, by its path and, for XML under other names, its first byte."""
    path, name = file.path, basename(file.path)
    if name in {"chap-secrets", "pap-secrets"}:
        return name
    if name.startswith("snmpd") and name.endswith((".conf", ".local")):
        return "snmpd"
    if re.search(r"(?:^|/)etc/config/[^/]+$", path):
        return "uci"
    if name.endswith(".xml") or (_SETTINGS_FILE.search(path) and file.view.startswith(b"<")):
        return "xml"
    return "setting" if _SETTINGS_FILE.search(path) else ""


def _is_secret(value: str) -> bool:
    """False for empty values, switches, and values that name something else: a variable, a file, a template."""
    if _NOT_A_WORD.fullmatch(value) or re.fullmatch(r"\$[A-Za-z_][\w:.]*", value):
        return False
    return not value.startswith(("$(", "${", "/", "%", "<", "{", "@", "file:"))


class Credentials(FileInspector):
    name = "credentials"
    title = "Secrets in settings"
    question = "Which passwords, keys and communities do settings files hold in plain text?"
    version = 1
    blind_spots = (
        "Only settings files are read: UCI, snmpd, PPP secrets, key=value files, XML.",
        "Secrets in programs, in databases, and in encrypted or encoded settings are not found.",
        "A setting is recognised by its name; one that is called something else is missed.",
    )
    references = (
        "OpenWrt documentation, 'The UCI system'",
        "snmpd.conf(5) of Net-SNMP, 'Access control'; pppd(8), 'Authentication'",
    )
    facts = (Credential,)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return len(file.view) > 0 and _grammar(file) != "" and file.view.find(b"\0", 0, 4096) < 0

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file)
        yield from at_most(self._secrets(file))

    @staticmethod
    def _secrets(file: FileView) -> Iterator[Fact]:
        source = _grammar(file)
        section = ""
        if source == "xml":
            within(file, _XML_CAP)
            yield from _xml(file)
            return
        for offset, line in file.lines:
            text = line.strip()
            if not text or text[0] in "#;" or len(text) > _LONGEST:
                continue
            if source == "uci" and text.startswith("config"):
                section = ".".join(unquote(word) for word in text.split()[1:3])
                continue
            for where, user, value in _secrets_of(source, text, section):
                yield from _credential(source, (where, user, value), line_span(file, offset), line)


def _xml(file: FileView) -> Iterator[Credential]:
    """The secrets of an XML file, which often is one long line. Decoded so that a character is a byte."""
    text = blank_blocks(file.data, b"<!--", b"-->").decode("latin-1")
    for match in _XML.finditer(text):
        where, value = next((match[i], match[i + 1]) for i in (1, 3, 5) if match[i])
        yield from _credential("xml", (where, "", value), Span(match.start(), len(match[0])), match[0])


def _secrets_of(source: str, text: str, section: str) -> Iterator[tuple[str, str, str]]:
    """(name of the setting, user, value) of each secret in a line."""
    if source in {"chap-secrets", "pap-secrets"}:
        if match := _SECRETS.fullmatch(text):
            yield source, unquote(match[1]), unquote(match[2])
    elif source == "uci":
        words = text.split(None, 2)
        if len(words) == 3 and words[0] in {"option", "list"} and _UCI_KEY.fullmatch(unquote(words[1])):
            yield f"{section}.{unquote(words[1])}".lstrip("."), "", unquote(words[2])
    elif source == "snmpd":
        if match := _COMMUNITY.match(text):
            yield match[1] or match[3], "", match[2] or match[4]
        elif match := _CREATE_USER.match(text):
            yield match[1], match[2], unquote(match[3])
    elif match := _SETTING.fullmatch(text):
        value = match[2].split(" #", 1)[0].rstrip(" ,;")
        if value[:1] in "'\"" or " " not in value:
            yield match[1], "", unquote(value)


def _credential(source: str, found: tuple[str, str, str], at: Span, line: str) -> Iterator[Credential]:
    where, user, value = found
    community = "community" in where.lower() or where.startswith("com2sec")
    if not _is_secret(value) or (where.endswith("key") and len(value) < 5):
        return
    form = "plaintext"
    if value.startswith("$p$"):
        form = "reference"
    elif value.startswith("$") and algorithm_of(value) != "unknown":
        form = "hash"
    yield Credential(
        where=where,
        source=source,
        user=user,
        form=form,
        masked=mask(value),
        length=len(value),
        well_known=value in default_passwords() or (community and value in {"public", "private"}),
        at=at,
        text=hide(line, value),
    )
