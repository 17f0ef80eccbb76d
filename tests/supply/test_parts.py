"""What is built into a kernel: from facts to what is known of a source file."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from msgspec import to_builtins

from banbury.formats.view import View
from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._kallsyms import kallsyms
from banbury.inspect.inspectors._kernelparts import table
from banbury.inspect.inspectors.kernel_parts import INSPECTORS, KernelModules, KernelOptions, KernelSymbols
from banbury.inspect.names import holds, pack, unpack
from banbury.model.evaluation import File, Node
from banbury.model.facts import Fact
from banbury.model.supply import KernelParts
from banbury.model.tree import Kind
from banbury.supply.match.code import built, foreign_reason
from banbury.supply.parts import kernels_of, parts_of
from tests.inspect.kallsyms_builder import NAMES
from tests.inspect.kallsyms_builder import table as made_table
from tests.supply.matching import component

LINUX = component("linux", "5.10")
FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware" / "openwrt-mr3020"


def plain(fact: Fact) -> dict[str, object]:
    """A fact as the evaluation holds it."""
    found = to_builtins(fact)
    assert isinstance(found, dict)
    return found


def kernel(*facts: Fact, modules: tuple[str, ...] = (), machine: str = "MIPS") -> KernelParts:
    """What follows from facts and shipped modules."""
    files = {"k": File(sha256="k", size=1, facts=[plain(fact) for fact in facts])}
    nodes = []
    for at, name in enumerate(modules):
        files[name] = File(sha256=name, size=1, facts=[{"fact": "elf.identity", "machine": machine}])
        nodes.append(Node(id=at, parent=-1, name=f"lib/modules/5.10/{name}", locator=name, where=name,
                          kind=Kind.FILE, sha256=name))  # fmt: skip
    (found,) = kernels_of([LINUX], nodes, files)
    return found


def symbols(*names: str, parts: tuple[str, ...] = ()) -> KernelSymbols:
    """A decoded table."""
    return KernelSymbols(count=len(names), functions=len(names), names=pack(names), parts=list(parts))


def test_by_symbols_and_modules() -> None:
    """A folder with none of its functions and modules is not built; one with a function is not decided as a whole."""
    found = kernel(symbols("btrfs_mount", parts=("fs/btrfs/",)), modules=("tun.ko", "cls_u32.ko"))
    assert built("fs/btrfs/super.c", found) is None
    assert built("fs/f2fs/super.c", found) is False
    assert built("drivers/net/tun.c", found) is True
    assert built("net/sched/cls_u32.c", found) is True
    assert built("net/sched/cls_flower.c", found) is None  # it may be built in: no list says
    assert built("kernel/fork.c", found) is True
    assert built("kernel/trace/trace.c", found) is None
    assert built("fs/f2fs/f2fs.h", found) is None


def test_symbols_without_modules() -> None:
    """Without the modules, a folder that can be loadable is not known; one that cannot be is."""
    found = kernel(symbols("a"))
    assert built("fs/f2fs/super.c", found) is None
    assert built("net/mptcp/protocol.c", found) is False


def test_by_configuration() -> None:
    """What is off is not built, nor what is a module that is not shipped."""
    options = KernelOptions(built_in=["INET"], loadable=["BTRFS_FS"], modules=True)
    shipped = kernel(options, modules=("tun.ko",))
    assert built("net/ipv4/tcp.c", shipped) is True
    assert built("fs/btrfs/super.c", shipped) is False
    assert built("fs/f2fs/super.c", shipped) is False
    assert built("fs/btrfs/super.c", kernel(options)) is None
    both = kernel(options, KernelOptions(built_in=["BTRFS_FS"], loadable=[], modules=True))
    assert built("fs/f2fs/super.c", both) is None  # which configuration is this kernel's is not known


def test_a_whole_list_of_built_in_modules() -> None:
    """A file that is a module by itself is not built where no list has it."""
    builtin = KernelModules(sort="builtin", modules=["net/sched/sch_htb"], complete=True)
    found = kernel(builtin, modules=("tun.ko",))
    assert built("net/sched/sch_htb.c", found) is True
    assert built("net/sched/cls_flower.c", found) is False
    assert built("net/sched/cls_api.c", found) is None
    short = KernelModules(sort="builtin", modules=["net/sched/sch_htb"], complete=False)
    assert built("net/sched/cls_flower.c", kernel(short, modules=("tun.ko",))) is None


def test_other_machines() -> None:
    """What is for another machine is not built; an unknown machine decides nothing."""
    assert built("arch/x86/kernel/cpu/bugs.c", kernel(modules=("tun.ko",))) is False
    assert built("arch/mips/kernel/setup.c", kernel(modules=("tun.ko",))) is None
    assert built("arch/x86/kernel/cpu/bugs.c", kernel(modules=("tun.ko",), machine="V800")) is None


def test_a_file_of_another_machine_is_not_built_whatever_it_is() -> None:
    """Headers, device trees and Kconfig of another machine, and drivers that only another has; but AArch64 builds some
    of arch/arm."""
    mips = kernel(modules=("tun.ko",))
    for path in ("arch/arm64/boot/dts/a.dtsi", "arch/parisc/Kconfig", "arch/x86/include/asm/msr.h",
                 "drivers/s390/crypto/pkey_api.c", "drivers/acpi/acpica/dbnames.c"):  # fmt: skip
        assert built(path, mips) is False, path
    assert built("arch/mips/include/asm/io.h", mips) is None
    arm64 = kernel(modules=("tun.ko",), machine="AArch64")
    assert built("arch/arm/xen/enlighten.c", arm64) is None
    assert built("arch/arm/mm/fault.c", arm64) is False
    assert built("drivers/acpi/acpica/dbnames.c", arm64) is None


def test_a_modules_name_alone_is_not_its_source() -> None:
    """cfg80211.c and bridge.c are files of many drivers: the folder counts, and without one a name of several words."""
    shipped = ("cfg80211.ko", "bridge.ko", "ppp_generic.ko", "ppp_async.ko", "xt_mark.ko")
    flat = kernel(symbols("a"), modules=shipped)
    brcm = "drivers/net/wireless/broadcom/brcm80211/brcmfmac/cfg80211.c"
    assert built(brcm, flat) is False  # brcmfmac has no function here and no module
    assert built("drivers/net/ethernet/mellanox/mlx5/core/esw/bridge.c", flat) is False
    assert built("drivers/net/wireless/acme/cfg80211.c", flat) is None
    assert built("drivers/net/ppp/ppp_async.c", flat) is True
    assert built("net/netfilter/xt_mark.c", flat) is True
    placed = kernel(modules=("kernel/drivers/net/macsec.ko.xz", "kernel/drivers/net/ppp/ppp_async.ko"))
    assert placed.places == ["drivers/net/macsec", "drivers/net/ppp/ppp_async"]
    assert built("drivers/net/macsec.c", placed) is True
    assert built("drivers/net/ppp/ppp_async.c", placed) is True
    assert built("drivers/net/ethernet/mellanox/mlx5/core/en_accel/macsec.c", placed) is None
    assert built("sound/soc/ppp_async.c", placed) is None  # its place is known, and is another
    builtin = KernelModules(sort="builtin", modules=["drivers/net/phy/micrel"], complete=True)
    assert built("drivers/net/phy/micrel.c", kernel(builtin)) is True


def test_packed_modules_are_modules() -> None:
    """One module in clear beside packed ones: the packed ones are not absent."""
    shipped = ("kernel/fs/btrfs/btrfs.ko.zst", "extra/vendor.ko")
    assert built("fs/btrfs/super.c", kernel(symbols("a"), modules=shipped)) is None
    assert built("fs/f2fs/super.c", kernel(symbols("a"), modules=shipped)) is False


def test_backported_modules_are_another_kernels() -> None:
    """OpenWrt's mac80211 is built from a later kernel, with the module "compat"."""
    found = kernel(modules=("compat.ko", "mac80211.ko", "cfg80211.ko"))
    assert foreign_reason(["net/mac80211/iface.c", "net/core/dev.c"], found) is not None
    assert foreign_reason(["net/core/dev.c"], found) is None
    assert foreign_reason(["net/mac80211/iface.c"], kernel(modules=("mac80211.ko",))) is None


def test_the_prefixes_of_a_file_are_its_own() -> None:
    """A function that begins as a file's says that the file is built: "xfrm_" is in every kernel with IPsec, "sr_" in
    the driver of CD-ROMs, "dm_" in the device mapper, "rndis_" and "acm_" in gadgets."""
    common = ("xfrm_", "sr_", "dm_", "rndis_", "acm_", "net_", "usb_", "tcp_", "ip_", "loop_", "hwsim_", "fb_", "null_")
    for path, part in table().parts.items():
        if path.endswith(".c"):
            assert not set(part.symbols) & set(common), path


def test_two_kernels_say_nothing() -> None:
    """Which facts are whose is not known."""
    assert kernels_of([LINUX, component("linux", "4.4")], [], {}) == []


def test_one_busybox_has_the_applets() -> None:
    """Where there is one BusyBox, each table of applets in the release is its own; where there are two, it is not."""
    file = File(sha256="b", size=1, facts=[{"fact": "busybox.applets", "applets": ["ash", "wget"]}])
    one = component("busybox", "1.22.1")
    (found,) = parts_of([one], {"b": file})
    assert (found.applets, found.complete["applets"]) == (["ash", "wget"], True)
    assert parts_of([one, component("busybox", "1.30.0")], {"b": file}) == []


def test_packed_names() -> None:
    """All that were put in are in it, another is not, and garbage is an empty set."""
    text = pack(["a", "b"])
    assert (holds(text, "a"), holds(text, "b"), holds(text, "c"), holds("", "a")) == (True, True, False, False)
    assert unpack("\x00 no base85") == frozenset()


def test_a_damaged_table_of_symbols_gives_no_other_names() -> None:
    """Cut anywhere, or with a byte changed: nothing, or names of which markers and index still hold; never an error."""
    data = made_table(NAMES)
    whole = kallsyms(View(data))
    assert whole is not None
    assert [a + b for a, b in whole.names] == NAMES
    for at in range(0, len(data), 211):
        kallsyms(View(data[:at]))
        kallsyms(View(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]))
    assert kallsyms(View(data[: data.rindex(b"\x22" * 64) - 300])) is None
    assert kallsyms(View(b"".join(b"%d\0" % digit for digit in range(10)) * 50_000)) is None


def test_rows_of_the_table() -> None:
    """Every row can be seen by something, and paths are folders, files or beginnings."""
    for path, part in table().parts.items():
        assert part.options, path
        assert part.symbols, path
        assert path.endswith(("/", "*", ".c")), path
        assert not any("-" in module for module in part.modules), path


@pytest.mark.parametrize("name", ["mr3020-demtech.bin", "mr3020-viktor.bin"])
def test_real_kernels(name: str) -> None:
    """The MIPS kernels 3.10 of two OpenWrt images: every function that their modules call is in the decoded table."""
    image = FIRMWARE / name
    if not image.exists():
        pytest.skip(f"{image.name} is not here: the decoder is not checked on a real kernel")
    raw = image.read_bytes()
    unpacked = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE).decompress(raw[0x200:0x180000], 1 << 25)
    (found,) = INSPECTORS[0].inspect(FileView(View(unpacked)))
    assert isinstance(found, KernelSymbols)
    assert found.count > 12_000
    assert all(holds(found.names, function) for function in ("tcp_sendmsg", "schedule", "do_fork", "squashfs_readpage"))
    assert "net/ipv4/tcp.c" in found.parts
    assert "fs/squashfs/" in found.parts
    assert "fs/btrfs/" not in found.parts
