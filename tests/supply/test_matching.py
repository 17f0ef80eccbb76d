"""Matching: a made record for each trap."""

from __future__ import annotations

import pytest

from banbury.inspect.names import pack
from banbury.model.supply import (
    Component,
    Identity,
    Justification,
    KernelParts,
    Match,
    Parts,
    Standing,
    State,
    Technique,
)
from banbury.supply.feeds.query import Exploited, Leaf, Node, Probability, Stated
from banbury.supply.match.code import applets_named, functions_named
from banbury.supply.match.rank import reach
from banbury.supply.match.reasons import reasons
from tests.supply.matching import SNAPSHOT, Feeds, component, leaf, matched, only

ID = "CVE-2024-0001"
LINUX = component("linux", "3.10.49")
WINDOWS = Leaf("cpe:microsoft:windows", stated=Stated.NOT_STATED, vulnerable=False, part="o", says="-")
LINUX_LEAF = Leaf("cpe:linux:linux_kernel", stated=Stated.NOT_STATED, vulnerable=False, part="o", says="-")
HARDWARE = Leaf("cpe:acme:router", stated=Stated.NOT_STATED, vulnerable=False, part="h", says="-")


def kinds(found: Match) -> set[str]:
    """The kinds of its reasons."""
    return {item.kind for item in found.reasons}


def running_on(vulnerable: Leaf, *platforms: Leaf, negate: bool = False) -> Node:
    """NVD's usual shape: the vulnerable name AND one of the platforms."""
    return Node("AND", children=[Node("OR", leaves=[vulnerable]), Node("OR", negate, leaves=list(platforms))])


def test_a_version_in_range_is_a_candidate() -> None:
    """Nothing but a version: a candidate, with the range, the feed and an evidence digest."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:thekelleys:dnsmasq", "2.0", "2.80"))
    feeds.say("CVE-2024-0002", leaf("cpe:thekelleys:dnsmasq", "2.80", "2.90"))
    found = only(feeds, component("dnsmasq", "2.73"))
    assert (found.vulnerability, found.state, found.justification) == (ID, State.CANDIDATE, None)
    assert kinds(found) == {"version-in-range"}
    assert found.snapshots[0][0] == SNAPSHOT
    assert ">=2.0 <2.80" in found.why
    assert len(found.evidence) == 64
    assert found.network is True


@pytest.mark.parametrize(
    ("platforms", "others", "state", "kind"),
    [
        ([WINDOWS], [LINUX], State.NOT_AFFECTED, "running-on-absent"),
        ([WINDOWS], [], State.ANALYST, "running-on-unknown"),
        ([LINUX_LEAF], [LINUX], State.CANDIDATE, "running-on-present"),
        ([WINDOWS, LINUX_LEAF], [LINUX], State.CANDIDATE, "running-on-present"),
        ([HARDWARE], [LINUX], State.ANALYST, "running-on-unknown"),
        ([leaf("cpe:openssl:openssl", "1.0.1", "1.0.2", vulnerable=False)], [component("openssl", "1.0.1j")],
         State.CANDIDATE, "running-on-present"),
        ([leaf("cpe:openssl:openssl", "1.0.1", "1.0.2", vulnerable=False)], [component("openssl", "3.0.1")],
         State.NOT_AFFECTED, "running-on-absent"),
        ([leaf("cpe:openssl:openssl", "1.0.1", "1.0.2", vulnerable=False)], [LINUX],
         State.ANALYST, "running-on-unknown"),
    ],
)  # fmt: skip
def test_running_on(platforms: list[Leaf], others: list[Component], state: State, kind: str) -> None:
    """Known there, known not to be there, not known: each is another state."""
    vulnerable = leaf("cpe:openvpn:openvpn", "2.0", "2.5")
    feeds = Feeds()
    feeds.say(ID, vulnerable, tree=running_on(vulnerable, *platforms))
    found = only(feeds, component("openvpn", "2.3.4"), *others)
    assert (found.state, kind in kinds(found)) == (state, True)


def test_what_it_runs_on_is_never_matched() -> None:
    """A kernel that only carries the vulnerable program is no match (the Chrome CVE on the kernel)."""
    vulnerable = leaf("cpe:google:chrome", "1", "100")
    feeds = Feeds()
    feeds.say(ID, vulnerable, LINUX_LEAF, tree=running_on(vulnerable, LINUX_LEAF))
    assert matched(feeds, LINUX).matches == []


def test_another_branch_does_not_count() -> None:
    """OR over two products with platforms of their own: the other's platform says nothing of this one."""
    mine, other = leaf("cpe:openvpn:openvpn", "2.0", "2.5"), leaf("cpe:haxx:curl", "7.0", "8.0")
    tree = Node("OR", children=[running_on(mine, WINDOWS), running_on(other, LINUX_LEAF)])
    feeds = Feeds()
    feeds.say(ID, mine, tree=tree)
    found = only(feeds, component("openvpn", "2.3.4"), component("curl", "7.38"), LINUX)
    assert found.state is State.NOT_AFFECTED


def test_negated_condition() -> None:
    """NOT on a platform that is there."""
    vulnerable = leaf("cpe:openvpn:openvpn", "2.0", "2.5")
    feeds = Feeds()
    feeds.say(ID, vulnerable, tree=running_on(vulnerable, LINUX_LEAF, negate=True))
    assert only(feeds, component("openvpn", "2.3.4"), LINUX).state is State.NOT_AFFECTED


def test_target_software() -> None:
    """A name for another platform alone is not this one's; an edition that is not known is for a person."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:openvpn:openvpn", "2.0", "2.5", narrowed="target_sw=windows"))
    feeds.say("CVE-2024-0002", leaf("cpe:openvpn:openvpn", "2.0", "2.5", narrowed="sw_edition=enterprise"))
    found = {item.vulnerability: item.state for item in matched(feeds, component("openvpn", "2.3.4"), LINUX).matches}
    assert found == {ID: State.NOT_AFFECTED, "CVE-2024-0002": State.ANALYST}


def test_alias_is_said() -> None:
    """A further name of the product matches, and which it was is a reason."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:dnsmasq:dnsmasq", "2.0", "2.80"))
    found = only(feeds, component("dnsmasq", "2.73"))
    assert next(item for item in found.reasons if item.kind == "alias").evidence == {"name": "cpe:dnsmasq:dnsmasq"}


@pytest.mark.parametrize("stated", [Stated.NOT_STATED, Stated.EVERY])
def test_no_version_stated_ranks_low(stated: Stated) -> None:
    """``-`` and unbounded statements are a class of their own, below those with a version."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:thekelleys:dnsmasq", stated=stated), cvss=10.0)
    feeds.say("CVE-2024-0002", leaf("cpe:thekelleys:dnsmasq", "2.0", "2.80"), cvss=5.0)
    first, second = matched(feeds, component("dnsmasq", "2.73")).matches
    assert (first.vulnerability, second.flags) == ("CVE-2024-0002", ["no version stated"])


def test_backport_named_in_package_data() -> None:
    """A patch that package data name is fixed; another CVE of a distribution's package stays open, and says why."""
    feeds = Feeds()
    for id_ in (ID, "CVE-2024-0002"):
        feeds.say(id_, leaf("cpe:openssl:openssl", "1.0", "1.2"), summary="A flaw in the function ssl3_read_bytes().")
    openssl = component("openssl", "1.1.1n", manager="dpkg", package_version="1.1.1n-0+deb11u5", patched=[ID])
    parts = Parts(component=openssl.id, functions=["ssl3_read_bytes"])
    found = {item.vulnerability: item for item in matched(feeds, openssl, parts=[parts]).matches}
    assert found[ID].state is State.FIXED
    other = found["CVE-2024-0002"]
    assert other.state is State.CANDIDATE
    assert {"distribution-revision", "function-present"} <= kinds(other)


@pytest.mark.parametrize(
    "other",
    [
        component("busybox", "1.30.1", manager="opkg", package_version="1.30.1-6"),
        component("busybox", "1.30.1", manager="apk", package_version="1.30.1-r6"),
    ],
)
def test_what_a_distribution_may_have_patched_is_never_affected(other: Component) -> None:
    """OpenWrt 19.07 has busybox 1.30.1-6, which holds patches that the version does not show."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:busybox:busybox", "1.16.0", "1.34"), summary="A use-after-free in Busybox's awk applet.")
    parts = Parts(component=other.id, applets=["awk"], complete={"applets": True})
    (found,) = matched(feeds, other, parts=[parts]).matches
    assert (found.state, kinds(found) >= {"applet-present", "distribution-revision"}) == (State.CANDIDATE, True)
    own = component("busybox", "1.30.1")
    (found,) = matched(feeds, own, parts=[parts]).matches
    assert found.state is State.AFFECTED


def test_a_distributions_kernel_is_never_affected_by_its_version() -> None:
    feeds = Feeds()
    feeds.say(ID, leaf("cna:linux:linux", "5.10", "6.1.94"), source="cve", files=["net/ipv4/route.c"])
    for matched_text, state in (
        ("Linux version 6.1.20-v7+ (vendor@host) (gcc", State.AFFECTED),
        ("Linux version 6.1.20-200.fc36.x86_64 (mockbuild@host) (gcc", State.CANDIDATE),
        ("vermagic=6.1.0-50-4kc-malta SMP mod_unload", State.CANDIDATE),
    ):
        seen = Identity(product="linux", technique=Technique.BANNER, standing=Standing.ASSERTED, version="6.1.20",
                        matched=matched_text)  # fmt: skip
        linux = component("linux", "6.1.20", type="operating-system", identities=[seen])
        kernel = KernelParts(component=linux.id, files=["net/ipv4/route.c"])
        (found,) = matched(feeds, linux, kernels=[kernel]).matches
        assert found.state is state, matched_text


def test_flags_are_kept_and_rejected_left_out() -> None:
    """Disputed stays, flagged and never "affected"; rejected is no match."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:boa:boa", at="0.94.14.21"), flags=["disputed"], summary="In the function parse_uri().")
    feeds.say("CVE-2024-0002", leaf("cpe:boa:boa", at="0.94.14.21"), flags=["rejected"])
    boa = component("boa", "0.94.14rc21")
    found = only(feeds, boa, parts=[Parts(component=boa.id, functions=["parse_uri"])])
    assert (found.state, found.flags) == (State.CANDIDATE, ["disputed"])
    assert "disputed" in kinds(found)


def test_vendor_is_preferred_and_the_disagreement_said() -> None:
    """OpenSSL's own list does not count this version; NVD does."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:openssl:openssl", "1.0.1", "1.0.2"))
    feeds.say(ID, leaf("cna:openssl:openssl", "1.0.1", "1.0.1i"), source="openssl")
    feeds.say("CVE-2024-0002", leaf("cpe:openssl:openssl", "1.0.1", "1.0.2"))
    found = {item.vulnerability: item for item in matched(feeds, component("openssl", "1.0.1j")).matches}
    assert found[ID].state is State.NOT_AFFECTED
    assert found[ID].justification is Justification.CODE_NOT_PRESENT
    assert {"vendor-excludes", "sources-disagree"} <= kinds(found[ID])
    assert found["CVE-2024-0002"].state is State.CANDIDATE


@pytest.mark.parametrize(
    ("version", "ranges", "state"),
    [
        ("1.0.1j", [("1.0.2", "1.0.2y"), ("1.1.1", "1.1.1j")], State.CANDIDATE),  # 1.0.1 had ended: left out
        ("1.0.2z", [("1.0.2", "1.0.2y"), ("1.1.1", "1.1.1j")], State.NOT_AFFECTED),  # mended
        ("3.0.1", [("1.0.2", "1.0.2y"), ("1.1.1", "1.1.1j")], State.NOT_AFFECTED),  # newer than all of them
        ("1.1.0k", [("1.0.2", "1.0.2y"), ("1.1.1", "1.1.1j")], State.CANDIDATE),
        ("3.0.7", [("3.0.0", "3.0.7")], State.NOT_AFFECTED),
        ("3.1.4", [("3.0.0", "3.0.7"), ("3.2.0", "3.2.1")], State.CANDIDATE),
    ],
)
def test_a_branch_that_a_list_leaves_out(version: str, ranges: list[tuple[str, str]], state: State) -> None:
    """OpenSSL's list says nothing of branches that had ended when it was written: silence is no exclusion."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:openssl:openssl", "0.9.8", "4.0"))
    feeds.say(ID, *(leaf("cna:openssl:openssl", *bounds) for bounds in ranges), source="openssl")
    found = only(feeds, component("openssl", version))
    assert found.state is state
    assert ("vendor-silent" in kinds(found)) == (state is State.CANDIDATE)


def test_a_range_without_a_beginning_makes_nothing_affected() -> None:
    """Where nobody found out when a flaw came in, the code that is there may be older than it."""
    feeds = Feeds()
    feeds.say(ID, leaf("cna:linux:linux", "", "6.1"), files=["drivers/net/tun.c"])
    feeds.say("CVE-2024-0002", leaf("cna:linux:linux", "2.6.35", "6.1"), files=["drivers/net/tun.c"])
    kernel = KernelParts(component=LINUX.id, files=["drivers/net/tun.c"])
    found = {item.vulnerability: item for item in matched(feeds, LINUX, kernels=[kernel]).matches}
    assert [found[id_].state for id_ in (ID, "CVE-2024-0002")] == [State.CANDIDATE, State.AFFECTED]
    assert "kernel-file-built" in kinds(found[ID])


def test_routines_of_a_record() -> None:
    """Functions that a record lists are looked for as those of its text are; they decide nothing."""
    feeds = Feeds()
    for number, names in enumerate((["tcp_v4_rcv"], ["nft_do_chain"], ["Manager.Get", "no name"])):
        id_ = f"CVE-2024-000{number}"
        feeds.say(id_, leaf("cna:linux:linux", "2.6.35", "6.1"))
        feeds.called[id_] = names
    kernel = KernelParts(component=LINUX.id, names=[pack(["tcp_v4_rcv", "tcp_sendmsg"])])
    found = {item.vulnerability: item for item in matched(feeds, LINUX, kernels=[kernel]).matches}
    said = [sorted(k for k in kinds(found[f"CVE-2024-000{n}"]) if k.startswith("function")) for n in range(3)]
    assert said == [["function-present"], ["function-not-seen"], []]
    assert {item.state for item in found.values()} == {State.CANDIDATE}


def test_the_kernels_own_list_is_preferred() -> None:
    """A stream's list that was last written years ago says "outstanding"; the kernel's CNA says that 6.1.80 mended it.
    A record of another's without files is not the CNA's, and decides nothing."""
    feeds = Feeds()
    for id_, files in ((ID, ["net/core/dev.c"]), ("CVE-2024-0002", [])):
        feeds.say(id_, leaf("kernel:linux", "6.1", "6.2"), source="kernel-6.1", flags=["outstanding"])
        feeds.say(id_, leaf("cna:linux:linux", "4.0", "6.1.80"), source="cve", files=files)
    found = {item.vulnerability: item for item in matched(feeds, component("linux", "6.1.158")).matches}
    assert (found[ID].state, kinds(found[ID]) >= {"vendor-excludes", "sources-disagree"}) == (State.NOT_AFFECTED, True)
    assert found["CVE-2024-0002"].state is State.CANDIDATE
    older = {item.vulnerability: item.state for item in matched(feeds, component("linux", "6.1.70")).matches}
    assert older[ID] is State.CANDIDATE


def test_collisions_and_strangers() -> None:
    """Another ecosystem's product of the same name is not matched; what no feed knows is listed as such."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:mongoosejs:mongoose", "1", "9"))
    result = matched(feeds, component("mongoose", "6.0"), component("no-such", "1"))
    assert result.matches == []
    assert result.unmatched == ["mongoose@6.0", "no-such@1"]


APPLETS = Parts(component="busybox@1.22.1", applets=["ash", "sh", "tar", "wget"], complete={"applets": True})


@pytest.mark.parametrize(
    ("text", "state", "kind"),
    [
        ("A use-after-free in Busybox's awk applet leads to denial of service", State.NOT_AFFECTED, "applet-absent"),
        ("Directory traversal in the wget applet", State.AFFECTED, "applet-present"),
        ("A flaw in the awk applet and the tar applet", State.AFFECTED, "applet-present"),
        ("A flaw in networking/udhcp/dhcpc.c allows", State.NOT_AFFECTED, "applet-absent"),
        ("A flaw in archival/libarchive/decompress_gunzip.c allows", State.AFFECTED, "applet-present"),
        ("In wget in BusyBox through 1.37.0, local users can", State.AFFECTED, "applet-present"),
        ("In netstat in BusyBox through 1.37.0, local users can", State.NOT_AFFECTED, "applet-absent"),
        ("A flaw in the frobnicate applet", State.CANDIDATE, ""),
        ("A flaw that names nothing", State.CANDIDATE, ""),
    ],
)
def test_busybox_applets(text: str, state: State, kind: str) -> None:
    """The list of applets decides; a word that is no applet of any BusyBox decides nothing."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:busybox:busybox", "1.16", "1.33"), summary=text)
    found = only(feeds, component("busybox", "1.22.1"), parts=[APPLETS])
    assert found.state is state
    assert kinds(found) & {"applet-absent", "applet-present"} == ({kind} if kind else set())


def test_an_open_list_of_applets_proves_nothing() -> None:
    """An applet that is not in a list that may be short is not known to be absent."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:busybox:busybox", "1.16", "1.33"), summary="in the awk applet")
    parts = Parts(component="busybox@1.22.1", applets=["ash"], complete={"applets": False})
    assert only(feeds, component("busybox", "1.22.1"), parts=[parts]).state is State.CANDIDATE


def test_functions() -> None:
    """A function that is seen is told, and decides nothing; nor does one that is not seen, which is said."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:zlib:zlib", "1.0", "1.2.12"), summary="an over-read in inflate_fast() with crafted input")
    zlib = component("zlib", "1.2.8")
    seen = only(feeds, zlib, parts=[Parts(component=zlib.id, names=[pack(["inflate_fast", "crc32"])])])
    assert (seen.state, "function-present" in kinds(seen)) == (State.CANDIDATE, True)
    unseen = only(feeds, zlib, parts=[Parts(component=zlib.id, functions=["inflate"])])
    assert unseen.state is State.CANDIDATE
    assert any("stripped files" in item.says for item in unseen.reasons)
    whole = only(feeds, zlib, parts=[Parts(component=zlib.id, functions=["inflate"], complete={"functions": True})])
    assert (whole.state, "function-absent" in kinds(whole)) == (State.CANDIDATE, True)


@pytest.mark.parametrize(
    ("files", "state", "kind"),
    [
        (["net/netfilter/nf_tables_api.c"], State.NOT_AFFECTED, "kernel-file-not-built"),
        (["drivers/net/tun.c"], State.AFFECTED, "kernel-file-built"),
        (["net/netfilter/nf_tables_api.c", "drivers/net/tun.c"], State.AFFECTED, "kernel-file-built"),
        (["net/netfilter/nf_tables_api.c", "mm/slub.c"], State.CANDIDATE, "kernel-file-unknown"),
        (["include/net/netfilter/nf_tables.h"], State.CANDIDATE, "kernel-file-unknown"),
        (["drivers/net/x.c", "drivers/net/x.h"], State.NOT_AFFECTED, "kernel-file-not-built"),
        (["drivers/net/x.c", "include/linux/x.h"], State.CANDIDATE, "kernel-file-unknown"),
        (["drivers/net/x.h"], State.CANDIDATE, "kernel-file-unknown"),
        ([], State.CANDIDATE, ""),
    ],
)
def test_kernel_files(files: list[str], state: State, kind: str) -> None:
    """Built, known not to be built, not known; a header decides nothing."""
    feeds = Feeds()
    feeds.say(ID, leaf("cna:linux:linux", "3.0", "4.0"), source="cve", files=files)
    parts = KernelParts(
        component=LINUX.id, files=["drivers/net/tun.c"], absent=["net/netfilter/nf_tables*", "drivers/net/"]
    )
    found = only(feeds, LINUX, kernels=[parts])
    assert found.state is state
    assert {item for item in kinds(found) if item.startswith("kernel")} == ({kind} if kind else set())


def test_source_files_named_in_a_text() -> None:
    """NVD's records have no list of files; their text often says where the flaw is."""
    kernel = KernelParts(component=LINUX.id, files=["drivers/net/tun.c"], absent=["drivers/usb/gadget/"])
    feeds = Feeds()
    texts = {
        "CVE-2022-25375": "An issue was discovered in drivers/usb/gadget/function/rndis.c in the Linux kernel.",
        "CVE-2022-0001": "A flaw in tun_get_user in drivers/net/tun.c in the Linux kernel.",
        "CVE-2022-0002": "BUG: KASAN in drivers/usb/gadget/function/rndis.c. Call Trace: a b",
        "CVE-2022-0003": "See https://example.com/drivers/usb/gadget/function/rndis.c",
    }
    for id_, text in texts.items():
        feeds.say(id_, leaf("cpe:linux:linux_kernel", "2.6", "6.0"), summary=text)
    found = {item.vulnerability: item.state for item in matched(feeds, LINUX, kernels=[kernel]).matches}
    assert found == {
        "CVE-2022-25375": State.NOT_AFFECTED, "CVE-2022-0001": State.AFFECTED,
        "CVE-2022-0002": State.CANDIDATE, "CVE-2022-0003": State.CANDIDATE,
    }  # fmt: skip


def test_a_version_that_is_not_known() -> None:
    """Without a version everything said of the product is for a person; bounds leave out what lies outside them."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:freetype:freetype", "2.0", "2.9"))
    feeds.say("CVE-2024-0002", leaf("cpe:freetype:freetype", "2.0", "2.11"))
    unknown = component("freetype", "")
    assert {item.state for item in matched(feeds, unknown).matches} == {State.ANALYST}
    bracket = Identity(
        product="freetype", technique=Technique.SYMBOLS, standing=Standing.ASSERTED, low="2.10.1", high="2.11.0"
    )
    (found,) = matched(feeds, component("freetype", "", identities=[bracket])).matches
    assert found.vulnerability == "CVE-2024-0002"
    assert "component-version-bracket" in kinds(found)


@pytest.mark.parametrize(
    "version", ["2019-08-08-ca8c2bd2", "2024.07.14~c9dfc1fe", "9c97d5ecd795709c8584e972bfdf3aee3a5b846d", "\u202e2.9"]
)
def test_a_version_that_has_no_place_in_the_order(version: str) -> None:
    """A snapshot's day is not newer than every release, and a text that is no version lies in no range: not known."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:w1.fi:hostapd", "2.0", "2.10"))
    found = only(feeds, component("hostapd", version))
    assert (found.state, "component-version-unknown" in kinds(found)) == (State.ANALYST, True)


def test_records_of_one_vulnerability_are_one_match() -> None:
    """NVD, the CVE list and an OSV record with an alias: one match under the CVE id, each source named."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:haxx:curl", "7.0", "8.0"))
    feeds.say("OSV-2024-1", leaf("osv:oss-fuzz:curl", "7.0", "8.0"), source="osv", aliases=[ID])
    found = only(feeds, component("curl", "7.38.0"))
    assert (found.vulnerability, found.aliases) == (ID, ["OSV-2024-1"])
    assert {item.evidence.get("source") for item in found.reasons} >= {"nvd", "osv"}


def test_order() -> None:
    """KEV before EPSS before reach before CVSS; what is settled comes last."""
    feeds = Feeds()
    local = "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
    name = "cpe:haxx:curl"
    feeds.say("CVE-2024-0001", leaf(name, "7", "8"), cvss=10.0, vector=local)
    feeds.say("CVE-2024-0002", leaf(name, "7", "8"), cvss=4.0)
    feeds.say("CVE-2024-0003", leaf(name, "7", "8"), cvss=3.0, vector=local)
    feeds.say("CVE-2024-0004", leaf(name, "7", "8"), cvss=2.0, vector=local)
    feeds.say("CVE-2024-0005", leaf(name, "7", "8"), cvss=10.0)
    feeds.say("CVE-2024-0006", leaf(name, "7", "8"), cvss=9.0)
    feeds.listed["CVE-2024-0004"] = Exploited(
        id="CVE-2024-0004", added="2024-02-01", due="", ransomware=False, name="", snapshot=SNAPSHOT
    )
    feeds.scores["CVE-2024-0003"] = Probability(
        id="CVE-2024-0003", score=0.9, percentile=0.99, day="", snapshot=SNAPSHOT
    )
    found = matched(feeds, component("curl", "7.38", patched=["CVE-2024-0005"])).matches
    assert [item.vulnerability[-1] for item in found] == ["4", "3", "6", "2", "1", "5"]
    assert found[0].exploited == "2024-02-01"


@pytest.mark.parametrize(
    ("vector", "letter"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "N"),
        ("CVSS:4.0/AV:A/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "A"),
        ("AV:L/AC:L/Au:N/C:P/I:P/A:P", "L"),
        ("(AV:N/AC:L/Au:N/C:P/I:P/A:P)", "N"),
        ("AV:X/AC:L", ""),
        ("CVSS:3.1/AC:L", ""),
        ("", ""),
        ("AV:N/" + "A" * 4000, ""),
    ],
)
def test_attack_vectors(vector: str, letter: str) -> None:
    """The attack vector of every version of CVSS; anything else is none."""
    assert reach(vector) == letter


def test_evidence_is_of_reasons_not_of_feeds() -> None:
    """The digest stays when another snapshot says the same, and changes with the version or a reason."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:haxx:curl", "7", "8"))
    first = only(feeds, component("curl", "7.38"))
    feeds.rows = [(type(head)(**{**{f: getattr(head, f) for f in head.__struct_fields__}, "snapshot": "f" * 64}), a, b)
                  for head, a, b in feeds.rows]  # fmt: skip
    assert only(feeds, component("curl", "7.38")).evidence == first.evidence
    assert only(feeds, component("curl", "7.39")).evidence != first.evidence
    feeds.say(ID, leaf("cna:curl:curl", "7", "8"), source="cve")
    assert only(feeds, component("curl", "7.38")).evidence != first.evidence


def test_the_table_of_reasons() -> None:
    """Every state that is not affected has a justification; kinds are unique."""
    for row in reasons().values():
        assert row.title
        assert (row.vex is not None) == (row.state is State.NOT_AFFECTED), row.kind


def test_names_in_texts() -> None:
    """Names are taken where the text calls them so, and from nowhere else."""
    assert applets_named("a crafted awk pattern in the evaluate function") == []
    assert functions_named("in the evaluate function, next_token() and function xmlParseFile") == [
        "next_token", "xmlParseFile"
    ]  # fmt: skip
    assert functions_named("the function in question, a function of the kernel") == []
    # what every program has says nothing (CVE-2025-47917, CVE-2022-1011)
    assert functions_named("calls x509_string_to_names() and then free(); triggers write()") == ["x509_string_to_names"]
    assert applets_named("execute code if netstat is used to print a name; if caution is used") == ["netstat"]


def test_hostile_texts_and_trees() -> None:
    """Long texts and deep trees end soon, and decide nothing."""
    feeds = Feeds()
    vulnerable = leaf("cpe:haxx:curl", "7", "8")
    tree = Node("AND", leaves=[vulnerable, WINDOWS])
    for _ in range(60):
        tree = Node("AND", children=[tree])
    feeds.say(ID, vulnerable, tree=tree, summary="function " * 200_000 + "applet " * 200_000)
    assert only(feeds, component("curl", "7.38"), LINUX).state is State.ANALYST
