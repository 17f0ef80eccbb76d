"""Installed packages, by the package managers' own records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from msgspec import structs

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors import _rpmdb as rpmdb
from banbury.inspect.inspectors._control import Paragraph, paragraphs, relation_names
from banbury.inspect.inspectors._lines import basename, clip, within
from banbury.inspect.inspectors._packagefacts import InstalledPackage, PackageControl, PackageFiles
from banbury.inspect.inspectors.changelogs import MOST, PackageChangelog, vulnerabilities
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span

_CAP: Final = 64 << 20
#: The longest text of a field that is kept. A version of megabytes must not use up what is kept of all other packages.
_LONG: Final = 400

#: Which record a path is: (pattern, record). The first that matches counts.
_RECORDS: Final = tuple(
    (re.compile(pattern), record)
    for pattern, record in (
        (r"(?:^|/)(?:usr/lib|var/lib|lib|etc)/opkg/status$|(?:^|/)(?:usr/lib|etc)/ipkg/status$", "opkg status"),
        (r"(?:^|/)(?:opkg|ipkg)/info/[^/]+\.control$", "opkg control"),
        (r"(?:^|/)(?:opkg|ipkg)/info/[^/]+\.list$", "opkg list"),
        (r"(?:^|/)var/lib/dpkg/status$|(?:^|/)var/lib/dpkg/status\.d/(?!.*\.md5sums$)[^/]+$", "dpkg status"),
        (r"(?:^|/)var/lib/dpkg/info/[^/]+\.list$", "dpkg list"),
        (r"(?:^|/)lib/apk/db/installed$", "apk"),
        (r"(?:^|/)rpm/(?:Packages|Packages\.db|rpmdb\.sqlite)$", "rpm"),
        (r"(?:^|/)[^/]+\.dist-info/METADATA$|\.egg-info(?:/PKG-INFO)?$", "python"),
        (r"(?:^|/)package\.json$", "npm"),
        (r"\.rockspec$", "luarocks"),
        (r"(?:^|/)control$", "control"),
    )
)


#: Where a tree keeps programs and libraries.
_PROGRAM: Final = re.compile(rb"(?:^|/)(?:s?bin|libexec|cgi-bin)/[^/]+$|\.so(?:\.[0-9.]+)?$")


def _record(path: str) -> str:
    return next((record for pattern, record in _RECORDS if pattern.search(path)), "")


def _cut(fact: Fact) -> Fact:
    """The fact with its texts cut to a length that any honest one has, and how long they were."""
    longer = {
        name: f"{value[:_LONG]}… ({len(value)} characters)"
        for name in fact.__struct_fields__
        if isinstance(value := getattr(fact, name), str) and len(value) > _LONG
    }
    return structs.replace(fact, **longer) if longer else fact


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1


def _from_paragraph(
    kind: type[InstalledPackage | PackageControl], manager: str, paragraph: Paragraph, database: str
) -> Fact:
    fields = paragraph.fields
    size = _number(fields.get("installed-size", ""))
    return kind(
        manager=manager,
        name=fields["package"],
        version=fields.get("version", ""),
        architecture=fields.get("architecture", ""),
        status=fields.get("status", ""),
        depends=relation_names(", ".join(filter(None, (fields.get("pre-depends"), fields.get("depends"))))),
        provides=relation_names(fields.get("provides", "")),
        source=fields.get("source", ""),
        license=fields.get("license", ""),
        maintainer=fields.get("maintainer", "")[:200],
        section=fields.get("section", ""),
        essential=fields.get("essential", "") == "yes",
        size=size * 1024 if manager == "dpkg" and size >= 0 else size,
        database=database,
        at=Span(paragraph.start, paragraph.end - paragraph.start),
        text=clip(f"Package: {fields['package']} Version: {fields.get('version', '')}"),
    )


def _control(file: FileView, record: str) -> Iterator[Fact]:
    manager = {"opkg status": "opkg", "opkg control": "opkg", "dpkg status": "dpkg"}.get(record, "")
    read = False
    for paragraph in paragraphs(file):
        if paragraph.fields.get("package"):
            read = True
            gone = paragraph.fields.get("status", "").endswith((" not-installed", " config-files"))
            kind = InstalledPackage if record.endswith("status") and not gone else PackageControl
            yield _from_paragraph(kind, manager, paragraph, record)
    if not read and record != "control":
        raise Malformed("no paragraph names a package", offset=0)


def _list(file: FileView, record: str) -> Iterator[Fact]:
    name = basename(file.path).removesuffix(".list").partition(":")[0]
    lines = [line for line in file.data.split(b"\n") if line]
    programs = [line[:200].decode("utf-8", "replace").lstrip("./") for line in lines if _PROGRAM.search(line[:400])]
    yield PackageFiles(manager=record.partition(" ")[0], name=name, files=len(lines), programs=programs[:500])


def _apk(file: FileView) -> Iterator[Fact]:
    """Alpine's database: paragraphs of one-letter fields (apk-tools, ``apk-v2`` database format)."""
    fields: dict[str, str] = {}
    start = files = 0
    for offset, line in [*file.lines, (len(file.view), "")]:
        if line:
            if not fields:
                start = offset
            if line.startswith("R:"):
                files += 1
            elif line[1:2] == ":":
                fields.setdefault(line[0], line[2:])
            continue
        if fields.get("P"):
            yield InstalledPackage(
                manager="apk",
                name=fields["P"],
                version=fields.get("V", ""),
                architecture=fields.get("A", ""),
                status="installed",
                depends=_apk_names(fields.get("D", "")),
                provides=_apk_names(fields.get("p", "")),
                source=fields.get("o", ""),
                license=fields.get("L", ""),
                maintainer=fields.get("m", "")[:200],
                size=_number(fields.get("I", "")),
                files=files,
                database="apk",
                at=Span(start, max(0, offset - 1 - start)),
                text=clip(f"P:{fields['P']} V:{fields.get('V', '')}"),
            )
        elif fields:
            raise Malformed("apk record without a package name", offset=start)
        fields, files = {}, 0


def _apk_names(value: str) -> list[str]:
    return list(dict.fromkeys(re.sub(r"[<>=~].*", "", word) for word in value.split(None, 200)[:200]))


def _rpm(file: FileView) -> Iterator[Fact]:
    view = file.view
    if view.startswith(b"SQLite format 3\0"):
        blobs = rpmdb.sqlite(file.data)
    elif view.startswith(b"RpmP"):
        blobs = rpmdb.ndb(view)
    elif view.startswith(b"\x61\x15\x06\x00", 12) or view.startswith(b"\x00\x06\x15\x61", 12):
        blobs = rpmdb.berkeley(view)
    else:
        raise Malformed("no RPM database that is known here", offset=0)
    for blob in blobs:
        head = rpmdb.header(blob)
        epoch = f"{head['epoch']}:" if head.get("epoch") else ""
        requires, provides, size, files = (head.get(k) for k in ("requires", "provides", "size", "files"))
        yield InstalledPackage(
            manager="rpm",
            name=str(head["name"]),
            version=f"{epoch}{head.get('version', '')}-{head.get('release', '')}",
            architecture=str(head.get("arch", "")),
            status="installed",
            depends=list(dict.fromkeys(requires))[:200] if isinstance(requires, list) else [],
            provides=list(dict.fromkeys(provides))[:200] if isinstance(provides, list) else [],
            source=str(head.get("source", "")),
            license=str(head.get("license", "")),
            maintainer=str(head.get("vendor", "")),
            section=str(head.get("group", "")),
            size=size if isinstance(size, int) else -1,
            files=files if isinstance(files, int) else -1,
            database="rpm",
        )
        if ids := vulnerabilities(changes if isinstance(changes := head.get("changes"), bytes) else b""):
            yield PackageChangelog(
                source=str(head["name"]),
                version=f"{epoch}{head.get('version', '')}-{head.get('release', '')}",
                vulnerabilities=ids[:MOST],
                more=max(len(ids) - MOST, 0),
            )


def _python(file: FileView) -> Iterator[Fact]:
    """Core metadata (PyPA specification): the first paragraph is the record, the rest is the description."""
    paragraph = next(paragraphs(file), None)
    fields = paragraph.fields if paragraph else {}
    if not fields.get("name") or not fields.get("version"):
        raise Malformed("metadata without name and version", offset=0)
    yield InstalledPackage(
        manager="python",
        name=fields["name"][:200],
        version=fields["version"][:200],
        license=fields.get("license-expression", fields.get("license", ""))[:200],
        maintainer=fields.get("author-email", fields.get("author", ""))[:200],
        database="python",
    )


def _npm(file: FileView) -> Iterator[Fact]:
    try:
        record = json.loads(file.data)
    except (ValueError, RecursionError) as problem:
        raise Malformed(f"package.json: {problem}", offset=0) from problem
    if not isinstance(record, dict):
        raise Malformed("package.json is no object", offset=0)
    name, version, license_ = record.get("name"), record.get("version"), record.get("license")
    dependencies = record.get("dependencies")
    if isinstance(name, str) and isinstance(version, str):
        kind = InstalledPackage if "node_modules/" in file.path else PackageControl
        yield kind(
            manager="npm",
            name=name[:214],
            version=version[:200],
            license=license_[:200] if isinstance(license_, str) else "",
            depends=[str(d) for d in dependencies][:200] if isinstance(dependencies, dict) else [],
            database="npm",
        )


def _luarocks(file: FileView) -> Iterator[Fact]:
    found = {
        m[1].decode(): m[2].decode("utf-8", "replace")
        for m in re.finditer(rb"^\s{0,8}(package|version)\s{0,8}=\s{0,8}[\"']([^\"'\n]{1,200})", file.data, re.M)
    }
    if "package" not in found or "version" not in found:
        raise Malformed("rockspec without package and version", offset=0)
    yield InstalledPackage(
        manager="luarocks", name=found["package"], version=found["version"], status="installed", database="luarocks"
    )


class Packages(FileInspector):
    name = "packages"
    title = "Installed packages"
    question = "Which packages do the package managers' own records state, in which versions?"
    version = 4
    blind_spots = (
        "Software that no package manager installed is in none of these records.",
        "A record states what was installed when the image was built; files changed since do not show here.",
        "A version is the packager's: patches applied to it are not visible in the number.",
        "Changes to an RPM database that stand only in the write-ahead log beside it are not read.",
        "Java, Go, Rust and PHP packages are not read from their own records.",
    )
    references = (
        "Debian Policy Manual, 5 'Control files and their fields'; opkg uses the same grammar",
        "Alpine Linux wiki, 'Apk spec', installed database v2",
        "RPM documentation, 'RPM V4 Package format'; rpmpkg.c of RPM (NDB); Berkeley DB db_page.h",
        "Python Packaging User Guide, 'Core metadata specifications'; npm documentation, 'package.json'",
    )
    facts = (InstalledPackage, PackageControl, PackageFiles, PackageChangelog)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        record = _record(file.path)
        if record == "control":
            return file.view.startswith(b"Package:") and file.view.find(b"\nVersion:", 0, 1 << 14) > 0
        return record != "" and (len(file.view) > 0 or record.endswith("list"))

    def inspect(self, file: FileView) -> Iterator[Fact]:
        record = _record(file.path)
        within(file, 1 << 30 if record == "rpm" else _CAP)
        yield from map(_cut, self._facts(file, record))

    def _facts(self, file: FileView, record: str) -> Iterator[Fact]:
        if record.endswith("list"):
            yield from _list(file, record)
        elif record == "apk":
            yield from _apk(file)
        elif record == "rpm":
            yield from _rpm(file)
        elif record == "python":
            yield from _python(file)
        elif record == "npm":
            yield from _npm(file)
        elif record == "luarocks":
            yield from _luarocks(file)
        else:
            yield from _control(file, record)


INSPECTORS = (Packages(),)
