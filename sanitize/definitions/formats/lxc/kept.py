"""Places of an LXC configuration that are called as identities are, and stay without a word.

References: lxc.container.conf(5) of LXC 6.0.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "a program of the host, or what every container may do",
        (
            *("lxc.hook.*", "lxc.net.#.script.*", "lxc.network.script.*", "lxc.seccomp.*"),
            *("lxc.apparmor.*", "lxc.selinux.*", "lxc.cgroup.*", "lxc.cgroup2.*", "lxc.cap.*"),
            *("lxc.init.*", "lxc.execute.*", "lxc.prlimit.*", "lxc.sysctl.*", "lxc.proc.*"),
        ),
    ),
    Kept(
        "which part of the host's users is mapped: the root file system has it, too",
        ("lxc.idmap", "lxc.id_map"),
    ),
    Kept(
        "which network the card is on, and how the guest reaches it",
        (
            *("lxc.net.#.*.id", "lxc.net.#.type", "lxc.net.#.*.gateway", "lxc.net.#.*.mode"),
            *("lxc.network.vlan.id", "lxc.network.type", "lxc.network.*.gateway"),
        ),
    ),
    Kept("a namespace of another container or process", ("lxc.namespace.share.*",)),
)
