"""Guards on the repository itself: what it must hold, what it must never hold, and that the README is true."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

#: Path prefixes of one machine. Firmware has such paths too: a line that speaks of firmware's own says so.
_MACHINE_PATHS = re.compile(r"(?<![\w.!/])/(?:work|root|home|Users|workspace)/[\w.]+")
_MEANT = "firmware path"
_INDEX_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|deb\.debian\.org|snapshot\.debian\.org|registry\.npmjs\.org|crates\.io|--index-url|"
    r"--extra-index-url|artifactregistry|devpi",
    re.IGNORECASE,
)


@cache
def tracked() -> list[Path]:
    """Every file that is committed or staged, as it stands here. What else lies in the checkout is the user's."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True)
    return [path for name in listed.stdout.decode().split("\0") if name and (path := CHECKOUT / name).is_file()]


def _lines(*suffixes: str) -> list[tuple[str, int, str]]:
    """(file, line number, line) of every tracked text file, but for this one."""
    found = []
    for path in tracked():
        if path == Path(__file__).resolve() or (suffixes and path.suffix not in suffixes):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(CHECKOUT).as_posix()
        found += [(name, number, line) for number, line in enumerate(text.splitlines(), 1)]
    return found


def test_no_path_of_one_machine() -> None:
    """Code and documents work wherever the checkout is. Paths within firmware stand in tests and samples only,
    and none there is that of this checkout."""
    firmware = ("tests/", "src/banbury/sample/overlay/", "src/banbury/judge/rules/", "src/banbury/inspect/data/")
    wrong = []
    for name, number, line in _lines():
        found = _MACHINE_PATHS.findall(line)
        if name.startswith(firmware):
            found = [path for path in found if path.startswith(f"{CHECKOUT}/")]
        if found and _MEANT not in line:
            wrong.append(f"{name}:{number}: {found[0]}")
    assert wrong == []


def test_no_package_index_is_named() -> None:
    """Where packages come from is the user's setting: neither files nor locks name a host."""
    wrong = [f"{name}:{number}" for name, number, line in _lines() if _INDEX_HOSTS.search(line)]
    assert wrong == []
    assert [path.name for path in tracked() if path.name in {"uv.lock", "poetry.lock", "Pipfile.lock"}] == []


def test_no_firmware_and_nothing_large() -> None:
    """No third-party image is committed, and no file is larger than a source file may be. Mined knowledge (facts that
    our own command read off packages) may have two megabytes."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}: {path.stat().st_size} bytes"
        for path in tracked()
        if path.stat().st_size > (2_000_000 if path.suffix == ".bundle" else 400_000)
        or path.suffix in {".bin", ".img", ".deb", ".ipk", ".trx", ".squashfs"}
    ]
    assert wrong == []


def test_no_private_key() -> None:
    """Keys for samples are made when they are needed."""
    # firmware's keys in tests are made too: a whole PEM block of key length in a file is a key
    block = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+(?:[A-Za-z0-9+/=]{40,}\s+)+-----END")
    assert [path.name for path in tracked() if block.search(path.read_bytes())] == []


# --- locks -----------------------------------------------------------------------------------------------------------


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _locked(name: str) -> dict[str, str]:
    """Package to version in a lock; the last one where a package has several, by Python version."""
    text = (CHECKOUT / "requirements" / name).read_text()
    return {_normal(m[1]): m[2] for m in re.finditer(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", text)}


@pytest.mark.parametrize("name", ["bootstrap.txt", "runtime.txt", "test.txt", "scale.txt"])
def test_lock_is_hashed_throughout(name: str) -> None:
    """Every requirement is pinned and followed by SHA-256 hashes; there is nothing else in the file."""
    text = (CHECKOUT / "requirements" / name).read_text().replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[^\]]*\])?==\S+( ;[^#]*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), (
            line
        )
    assert _locked(name)


def test_locks_cover_what_the_project_asks_for() -> None:
    """Each dependency stands in the lock that its group is installed from, in a version that the project allows."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    groups = {
        "runtime.txt": project["dependencies"] + extras["longtail"],
        "test.txt": project["dependencies"] + extras["longtail"] + extras["test"],
        "scale.txt": project["dependencies"] + extras["scale"],
    }
    assert set(extras) == {"longtail", "test", "scale"}
    for lock, wanted in groups.items():
        for requirement in wanted:
            name, bound = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?:>=([0-9.]+))?", requirement).groups()  # type: ignore[union-attr]
            version = _locked(lock).get(_normal(name))
            assert version, f"{requirement} is not in requirements/{lock}: run ./lab lock"
            assert not bound or _parts(version) >= _parts(bound), f"{requirement}: {version} in requirements/{lock}"


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def test_locks_agree() -> None:
    """A package has one version, whatever was set up."""
    for lock in ("test.txt", "scale.txt"):
        for name, version in _locked("runtime.txt").items():
            assert _locked(lock).get(name, version) == version, name


# --- documents -------------------------------------------------------------------------------------------------------


def test_licence_and_changelog() -> None:
    """The licence is the one that the package states; the changelog has a place for the next change."""
    assert "Apache License" in (CHECKOUT / "LICENSE").read_text()
    assert 'license = "Apache-2.0"' in (CHECKOUT / "pyproject.toml").read_text()
    assert re.search(r"(?m)^## \[Unreleased\]$", (CHECKOUT / "CHANGELOG.md").read_text())


def _commands(document: Path) -> list[list[str]]:
    """The commands in a document's code blocks, indented or fenced, that begin with one of ours."""
    found = []
    for line in document.read_text().splitlines():
        command = line.strip().removeprefix("$ ")
        if line.startswith(("    ", "./lab", "banbury", ".venv", "$ ")) and re.match(
            r"(\.venv/bin/)?banbury |\./lab ", command
        ):
            found.append(shlex.split(command.partition("#")[0], posix=True))
    return found


@cache
def _help(*command: str) -> str:
    from click.testing import CliRunner

    from banbury.cli import main

    result = CliRunner().invoke(main, [*command, "--help"])
    return result.output if result.exit_code == 0 else ""


def _documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md" and path.name != "CHANGELOG.md"]


def test_documented_commands_exist() -> None:
    """Every command and option that a document shows is one that the program has."""
    usage = (CHECKOUT / "lab").read_text()
    lab = set(re.findall(r"(?m)^    ([a-z]+)(?:\|[-a-z|]+)?\)", usage))
    assert {"demo", "test", "setup", "lint", "bench", "lock"} <= lab
    for document in _documents():
        for program, *words in _commands(document):
            shown = f"{document.name}: {program} {' '.join(words)}"
            if program == "./lab":
                assert words, shown
                assert words[0] in lab, shown
                continue
            if words[0].startswith("-"):
                assert words[0] in _help(), shown
                continue
            text = _help(words[0])
            assert text, shown
            if "COMMAND [ARGS]" in text and len(words) > 1 and not words[1].startswith("-"):
                text = _help(words[0], words[1])
                assert text, shown
            for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
                assert option in text, f"{shown}: no {option}"


def test_readme_shows_the_two_commands() -> None:
    """A newcomer finds the command that does the job and the one that runs the tests."""
    readme = (CHECKOUT / "README.md").read_text()
    if not readme.strip():
        pytest.skip("NO README yet")
    assert "./lab demo" in readme
    assert "./lab test" in readme


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file that is there."""
    wrong = []
    for document in _documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            path = target.partition("#")[0]
            if path and "://" not in path and not path.startswith("mailto:") and not (document.parent / path).exists():
                wrong.append(f"{document.relative_to(CHECKOUT)}: {target}")
    assert wrong == []


# --- the script ------------------------------------------------------------------------------------------------------


def test_scripts_parse_and_are_executable() -> None:
    """The two entry points are POSIX sh and bash, and can be started."""
    for script, shell in (("lab", "sh"), (".ci/run", "bash")):
        path = CHECKOUT / script
        assert path.stat().st_mode & 0o111, script
        subprocess.run([shell, "-n", str(path)], check=True)
    assert (CHECKOUT / "lab").read_text().startswith("#!/bin/sh\n")


def test_unknown_command_is_refused() -> None:
    """A typing mistake shows the usage and installs nothing."""
    done = subprocess.run(["sh", str(CHECKOUT / "lab"), "dmeo"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "./lab demo" in done.stderr
    assert "no command dmeo" in done.stderr
