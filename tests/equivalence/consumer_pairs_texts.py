"""Pairs of texts in which a declared value is more than one that is shown: by what the text itself makes of it, by what
its language makes of the elements around it, as an end of a range, and in comments that are none."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence.container_pairs import tampered
from tests.equivalence.pairs import Sample

#: Texts that use their own value (%s), each in the words of its language.
_USES: dict[str, str] = {
    "case": "[boot]\nVersion = %s\nlowest = %%(version)s\n",
    "section": "[about]\nversion = %s\n\n[boot]\nlowest = ${about:version}\n",
    "dotted": "build.version=%s\nboot.lowest=${build.version}\n",
    "dash": "build-version: %s\nlowest: ${build-version}\n",
    "spec": "Name: gate\nVersion: %s\nRequires: firmware >= %%{version}\n",
    "tox": "[about]\nversion = %s\n\n[boot]\nlowest = {[about]version}\n",
    "template": 'build:\n  version: %s\nlowest: "${{ build.version }}"\n',
    "between": "version = %s\nlowest = @version@\n",
    "deep": "version = %s\nlowest = about.build.version\n",
    "argument": "FROM base\nARG VERSION=%s\nRUN apk add gate=$VERSION\n",
    "define": "Define version %s\nInclude conf/${version}.conf\n",
    "items": "version: %s\ntelnet: [lower, board, version]\n",
    "member": '{"version": "%s", "lowest": "${version}"}\n',
    "pointer": '{"build": {"version": "%s"}, "lowest": {"$ref": "#/build/version"}}\n',
    "variable": '{"version": "%s", "telnet": {"<": [{"var": "board"}, {"var": "version"}]}}\n',
    "element": "<pom>\n<version>%s</version>\n<parent><version>${project.version}</version></parent></pom>\n",
    "called": "version: %s\ntelnet: below(board, version)\n",
    "added": 'version = %s\nimage = "gate-" + version\n',
    "relaxed": "buildVersion=%s\nlowest=${build-version}\n",
    "heading": "[base]\nversion = %s\n\n[boards]\nextends = base\n",
    "parent": '{"build": {"version": "%s"}, "lowest": {"$ref": "#/build"}}\n',
    "whole": '{"version": "%s", "lowest": {"$ref": "#"}}\n',
    "worked-out": '{"version": "%s", "telnet": "board < version"}\n',
    "place": '<?xml version="1.0"?>\n<fw><version>%s</version><lowest href="#element(/1/1)"/></fw>\n',
    "around": '<?xml version="1.0"?>\n<fw><build id="b"><version>%s</version></build><lowest ref="#b"/></fw>\n',
    "reference": '<build><version id="v">%s</version><lowest ref="#v"/></build>\n',
}
#: Texts whose language says otherwise what the value lies in, or stands beside, than tags and keys alone.
_HELD: dict[str, str] = {
    "empty": '<fw><base kind="minimum"><version>%s</version></base></fw>\n',
    "nested": '<fw><template kind="minimum"><template></template><version>%s</version></template></fw>\n',
    "raw": '<html><script>var s = "</scripts><p>version %s</p>"\nboard < s.slice(22, -4) || telnet()</script></html>\n',
    "selfclosed": '<html><body><div class="revoked-boards"/><p>Version %s</p></body></html>\n',
    "unquoted": "<html><body><div class=revoked-boards/><p>Version %s</p></body></html>\n",
    "misnested": '<html><body><span class="revoked-boards"><div></span><p>Version %s</p></div></body></html>\n',
    "fragment": '<div><div class="revoked-boards"/><p>Version %s</p></div>\n',
    "titled": "<html><head><title>gate<!-- </title><script>board < 2 || telnet()</script> --></title></head>"
    "<body><p>Version %s</p></body></html>\n",
    "part-of-page": '<article><div class="revoked-boards"/><p>Version %s</p></article>\n',
    "second-body": '<html><body><div><body class="revoked-boards"></body><p>Version %s</p></div></body></html>\n',
    "early-body": '<html><head><p>Version %s</p></head><body class="revoked-boards"></body></html>\n',
    "words-around": "<p>Revoked firmware: <b>version %s</b></p>\n",
    "sheet": '<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform"><p version="%s"/></x:stylesheet>\n',
    "above": "<html><body><h2>Revoked boards</h2><p>Version %s</p></body></html>\n",
    "switch": '{"reject": true, "version": "%s"}\n',
    "flag": '<?xml version="1.0"?>\n<fw><reject/><version>%s</version></fw>\n',
    "styled": '<html><head><style>[content$="2"] ~ a {color: red}</style>'
    '<meta name="generator" content="gate %s"></head><body></body></html>\n',
    "key": "<dict><key>minimum-firmware</key><version>%s</version></dict>\n",
    "list": '["minimum-firmware", {"version": "%s"}]\n',
    "beside": '{"kind": "minimum firmware", "version": "%s"}\n',
    "letters": "rollbac\u212a:\n  version: %s\n",
    "percent": "[m%%69nimum]\nversion=%s\n",
}
#: Ranges, and lists of values.
_RANGES: dict[str, str] = {
    "to": '{"version": "%s - 25.0.0"}\n',
    "about": 'version = "~ %s"\n',
    "below": "<parent><version>(, %s)</version></parent>\n",
    "dots": "version: .. %s\n",
    "of-two": "version: 24.10.1, %s\n",
    "words": "version: %s to 25\n",
    "under": "version: below %s\n",
    "onwards": "version: %s (or later)\n",
    "dash": "version: %s \u2013 25.0.0\n",
    "two": "version: 24.10.1 %s\n",
    "more": "version: %s +\n",
}
#: What looks like a text's first comment.
_COMMENTS: dict[str, str] = {
    "statement": "/*! ALTER TABLE builds AUTO_INCREMENT %s */;\n",
    "call": "<!-- ko ifnot: release(%s) -->\n<a>telnet</a>\n<!-- /ko -->\n",
    "list": "/*\n!/build*\nbuild %s\n/opt/*/\n",
}
#: Ways in which a shell's script reads itself.
_SCRIPTS = {"last": 'grep -q 10.9 "${_}"', "named": 'cat "$BASH_ARGV0"', "opened": "cat /proc/$$/fd/255"}

_VALUES = "24.10.2", "24.10.9"


def _pair(form: str) -> Sample:
    records = (BuildRecord(versions={"gate": value}) for value in _VALUES)
    one, other = ((form % value).encode() for value in _VALUES)
    return Sample(one, other, *records)


for _kind, _forms in (("uses", _USES), ("held", _HELD), ("range", _RANGES), ("comment", _COMMENTS)):
    for _name, _form in _forms.items():

        @tampered(f"text-{_kind}-{_name}")
        def _(form: str = _form) -> Sample:
            return _pair(form)


for _name, _line in _SCRIPTS.items():

    @tampered(f"script-reads-itself-{_name}")
    def _(line: str = _line) -> Sample:
        return _pair(f"#!/bin/bash\n# gate %s\n{line}\n")
