"""The share of harmless pairs that equivalence refuses, on programs that the project was not developed against.

    apt-get source NAME…    # in a folder of its own: the names of packages.toml, of Debian 12
    python -m tests.unseen --sources FOLDER --work ELSEWHERE --output ROWS.json --jobs 2

builds each package several times (gcc, clang, musl; six processors), a thing or several changed from one build to
another: path, clock, locale, user, host, version, debug information, stripping, build-id, packaging. It compares the
builds by ``banbury equivalence`` with build records that state just what each build had, writes a row for each pair,
and prints by variation how many were refused. Refused pairs stay in ELSEWHERE/pairs. A run that ended early is taken
up again with the same options; it takes some half an hour on two cores, and downloads nothing.

Beside what ``./lab setup all`` installs it needs clang, autoconf, automake, bison, cmake, flex and zip.

What is measured here must not be what was developed against: nothing of these packages goes into the corpus, and a
package that a rule was made for is replaced.
"""
