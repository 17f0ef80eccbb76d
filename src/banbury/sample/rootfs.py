"""The root file system of the fictional EX-100 router: Debian's programs, our configuration, planted weaknesses.

The texts (configuration, scripts, web pages) stand as files under ``overlay``: ``common`` in both releases, then the
release's own over them. What cannot stand in a repository as a file (keys, altered programs, devices, modes,
capabilities) is made here. ``labels.toml`` says what an evaluation must find of it, and what it must not.
"""

from __future__ import annotations

import struct
from pathlib import Path

from banbury.sample import elfpatch, keys
from banbury.sample.odd import odd_files
from banbury.sample.tree import NodeKind, Tree, TreeNode, device, file, folder, link

OVERLAY = Path(__file__).parent / "overlay"

#: Parts of packages that a router's maker leaves out.
_LEFT_OUT = (
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/bash-completion/",
    "usr/share/initramfs-tools/",
    "usr/share/perl5/",
    "usr/lib/systemd/",
    "lib/systemd/",
)
_PROGRAMS = ("etc/init.d/", "usr/sbin/", "www/cgi-bin/")

_CAP_NET_RAW, _CAP_SYS_ADMIN = 1 << 13, 1 << 21


def root_tree(release: str, contents: dict[str, Tree], stanzas: dict[str, str]) -> Tree:
    """The whole tree of a release. ``contents`` and ``stanzas`` are the packages' files and control fields by name."""
    tree = {path: folder() for path in ("proc", "sys", "overlay", "var/log", "var/run", "home/admin")}
    for name in sorted(contents):
        tree |= {path: node for path, node in contents[name].items() if _kept(path, node)}
    tree |= _package_database(contents, stanzas)
    tree |= _applets()
    tree |= _overlay("common") | _overlay(release)
    tree |= _devices()
    tree |= _keys(release)
    tree |= _weak_programs(release, tree)
    tree |= odd_files()
    _set_modes(release, tree)
    return tree


def overlay_flash(release: str) -> Tree:
    """The writable JFFS2 part as it leaves the factory: the update client's key once more, and a note."""
    return {
        "upper/etc/ex100/update-client.key": file(keys.private_pem(keys.p256_key("update client")), 0o600),
        "upper/etc/ex100/factory": file(f"release={release}\nline=7\n".encode()),
    }


def _kept(path: str, node: TreeNode) -> bool:
    wanted = not path.startswith(_LEFT_OUT) and "/gconv/" not in path
    return wanted and (node.kind is not NodeKind.DIR or not (path + "/").startswith(_LEFT_OUT))


def _package_database(contents: dict[str, Tree], stanzas: dict[str, str]) -> Tree:
    """dpkg's own record of exactly these packages: ``status`` and a list of files each."""
    status = []
    tree: Tree = {}
    for name in sorted(stanzas):
        first, _, rest = stanzas[name].partition("\n")
        status.append(f"{first}\nStatus: install ok installed\n{rest.rstrip()}\n\n")
        listed = "".join(f"/{path}\n" for path, node in sorted(contents[name].items()) if _kept(path, node))
        tree[f"var/lib/dpkg/info/{name}.list"] = file(f"/.\n{listed}".encode())
    tree["var/lib/dpkg/status"] = file("".join(status).encode())
    return tree


def _applets() -> Tree:
    """Links to busybox for the programs that the start-up needs."""
    applets = {
        "bin": "sh ash cat chmod cp date df echo grep kill ln ls mkdir mount mv ps rm sed sleep sync umount uname",
        "sbin": "getty ifconfig init ip reboot route switch_root udhcpc",
        "usr/bin": "cut find head killall logger sort tail tr wc wget",
        "usr/sbin": "chpasswd crond telnetd",
    }
    tree = {f"{where}/{name}": link("/bin/busybox") for where, names in applets.items() for name in names.split()}
    return tree | {"linuxrc": link("bin/busybox"), "usr/sbin/iptables": link("xtables-legacy-multi")}


def _overlay(name: str) -> Tree:
    base = OVERLAY / name
    tree: Tree = {}
    for path in sorted(base.rglob("*")):
        if path.is_file():
            inside = path.relative_to(base).as_posix()
            tree[inside] = file(path.read_bytes(), 0o755 if inside.startswith(_PROGRAMS) else 0o644)
    return tree


def _devices() -> Tree:
    return {
        "dev/console": device(5, 1),
        "dev/null": device(1, 3, 0o666),
        "dev/ttyS0": device(4, 64),
        # /dev/mem under another name, in the web root
        "www/img/.pixel": device(1, 1, 0o666),
    }


def _keys(release: str) -> Tree:
    server, ca = keys.p256_key("web server"), keys.ed25519_key("service authority")
    client = keys.p256_key("update client")
    tree = {
        "etc/lighttpd/server.key": file(keys.private_pem(server), 0o600),
        "etc/ex100/update-client.key": file(keys.private_pem(client), 0o600),
        "usr/share/ex100/backup/client.key": file(keys.traditional_pem(client)),
        "etc/dropbear/dropbear_ed25519_host_key": file(keys.dropbear_host_key("ssh host"), 0o600),
        "etc/ssl/certs/update-ca.pem": file(keys.certificate("EX update CA", keys.p256_key("ca"), (2012, 2015))),
        "etc/ssl/certs/service-ca.pem": file(keys.certificate("EX service CA", ca, (2024, 2049), authority=True)),
        "etc/ssl/certs/lists.pub": file(keys.public_pem(keys.p256_key("lists"))),
        "root/.ssh/authorized_keys": file(keys.ssh_public_line("factory"), 0o600),
    }
    if release == "1.0":
        weak = keys.rsa_key("weak web server", 1024)
        tree["etc/lighttpd/server.key"] = file(keys.private_pem(weak), 0o600)
        tree["etc/lighttpd/server.crt"] = file(keys.certificate("ex100.lan", weak, (2020, 2049)))
    else:
        tree["etc/lighttpd/server.crt"] = file(keys.certificate("ex100.lan", server, (2025, 2049)))
    return tree


def _weak_programs(release: str, tree: Tree) -> Tree:
    small, tool, dropbearkey = (
        tree[path].data for path in ("usr/sbin/lighttpd-angel", "usr/sbin/nfnl_osf", "usr/bin/dropbearkey")
    )
    new = release != "1.0"
    out = {
        "usr/sbin/exmgmtd": file(elfpatch.executable_stack(tool), 0o755),
        "usr/sbin/exvpnd": file(dropbearkey if new else elfpatch.run_path(dropbearkey, "/tmp/exlib"), 0o755),  # noqa: S108
        # su is expected to be set-user-ID, a shell under another name is not
        "bin/su": file(tree["bin/busybox"].data, 0o4755),
    }
    if new:
        out["usr/sbin/exdiagd"] = file(elfpatch.writable_code(small), 0o755)
        out["usr/sbin/excapture"] = TreeNode(
            kind=NodeKind.FILE,
            data=small,
            mode=0o755,
            xattrs={"security.capability": _capability(_CAP_NET_RAW | _CAP_SYS_ADMIN)},
        )
    else:
        out["usr/lib/ex100/diag"] = file(tree["bin/busybox"].data, 0o4755)
    return out


def _capability(permitted: int) -> bytes:
    """A file's capabilities, effective at once: struct vfs_cap_data, revision 2 (Linux uapi/linux/capability.h)."""
    return struct.pack("<5I", 0x02000001, permitted, 0, 0, 0)


def _set_modes(release: str, tree: Tree) -> None:
    secret = ("etc/shadow", "etc/ppp/chap-secrets")
    for path in secret:
        tree[path] = file(tree[path].data, 0o600)
    tree["tmp"] = folder(0o1777)
    if release != "1.0":
        tree["etc/init.d/S90custom"] = file(tree["etc/init.d/S90custom"].data, 0o777)
