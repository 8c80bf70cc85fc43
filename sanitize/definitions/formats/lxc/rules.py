"""Every field of an LXC container's configuration that identifies it.

``where`` is a key; the names before LXC 2.1 (``lxc.utsname``, ``lxc.network.hwaddr``) come after
today's.

References: lxc.container.conf(5) of LXC 6.0; lxc-update-config(1) for the old names; lxc-copy(1)
for what another tool changes.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

_MANUAL = "https://linuxcontainers.org/lxc/manpages/man5/lxc.container.conf.5.html"
_KEEP, _FOLLOW = Treatment.KEEP, Treatment.FOLLOW

RULES = rules(
    _MANUAL,
    (
        "name",
        FieldKind.NAME,
        Treatment.NAME,
        ("lxc.uts.name", "lxc.utsname"),
        "it is the container's host name; LXC itself calls the container by its folder",
    ),
    (
        "mac",
        FieldKind.MAC,
        Treatment.RENEW,
        ("lxc.net.#.hwaddr", "lxc.network.hwaddr", "lxc.network.#.hwaddr"),
        "two cards with one address on a network lose each other's packets",
    ),
    (
        "rootfs",
        FieldKind.DISK,
        Treatment.MOVE,
        ("lxc.rootfs.path", "lxc.rootfs"),
        "two containers that write to one root file system destroy it; give --disk rootfs=NEW",
    ),
    (
        "interface",
        FieldKind.INTERFACE,
        _FOLLOW,
        (
            *("lxc.net.#.veth.pair", "lxc.network.veth.pair", "lxc.network.#.veth.pair"),
            "lxc.net.#.vlan.pair",
        ),
        "a host has one interface of a name",
    ),
    (
        "address",
        FieldKind.OTHER,
        _KEEP,
        tuple(
            f"{net}.{key}"
            for net in ("lxc.net.#", "lxc.network", "lxc.network.#")
            for key in ("ipv4.address", "ipv6.address", "ipv4", "ipv6")
        ),
        "the source has this address too: it has to be the new container's own",
        Level.WARNING,
    ),
    (
        "host-interface",
        FieldKind.OTHER,
        _KEEP,
        ("lxc.net.#.link", "lxc.network.link"),
        "an interface of the host belongs to one running container: give the new one another",
        Level.WARNING,
    ),
    (
        "log",
        FieldKind.FILE,
        _FOLLOW,
        (
            *("lxc.console.logfile", "lxc.console", "lxc.log.file", "lxc.logfile"),
            "lxc.console.path",
        ),
        "two containers would write into one file",
    ),
    (
        "mounts-file",
        FieldKind.OTHER,
        _KEEP,
        ("lxc.mount.fstab", "lxc.mount"),
        "what it mounts is the source's: give the new container a file of its own",
        Level.WARNING,
    ),
    (
        "shared-folder",
        FieldKind.OTHER,
        _KEEP,
        "lxc.mount.entry",
        "both containers see the same folder; give the new one its own where they must not",
    ),
    (
        "cgroup",
        FieldKind.OTHER,
        _FOLLOW,
        ("lxc.cgroup.dir", "lxc.cgroup.dir.container", "lxc.cgroup.dir.monitor"),
        "a group of processes that is called like the source is the source's",
    ),
    (
        "environment",
        FieldKind.OTHER,
        _KEEP,
        ("lxc.environment", "lxc.environment.runtime", "lxc.environment.hooks"),
        "the guest's init gets it, and only you know whether it is one container's own",
    ),
    (
        "include",
        FieldKind.OTHER,
        _KEEP,
        "lxc.include",
        "what that file says is not looked at: it is every container's that names it",
    ),
)
