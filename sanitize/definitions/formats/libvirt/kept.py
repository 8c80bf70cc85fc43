"""Places of a libvirt domain that are called as identities are, and stay without a word.

References: domaincommon.rng of libvirt 9.0.0 and 11.3.0.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

#: A domain, alone or in a snapshot or a status.
TOP = "(?:domain/|inactiveDomain/)?"
KEPT = (
    Kept(
        "a place on a bus inside the machine, the same in every copy",
        ("devices/*/address", "devices/*/target/@port", "devices/channel/target/@address"),
    ),
    Kept(
        "a number that other elements of the definition use",
        (
            *("cpu", "cputune", "numatune", "iothreadids", "vcpus", "features", "idmap"),
            *("devices/audio/@id", "devices/*/audio/@id", "devices/interface/vlan/tag/@id"),
            "devices/*/driver/iothreads",
        ),
    ),
    Kept(
        "what other programs say of the operating system",
        ("metadata/libosinfo", "metadata/instance/ports/port/ip"),
    ),
    Kept("the number that libvirt gives a running machine", ("@id",)),
    Kept(
        "a program, a firmware or a network of the host, for every machine",
        (
            *("os/loader", "os/kernel", "os/initrd", "os/dtb", "devices/emulator"),
            *("devices/filesystem/binary/@path", "devices/*/rom/@file", "os/nvram/@template"),
            *("devices/graphics/listen/@address", "devices/interface/portForward/@address"),
            *("devices/interface/route", "devices/hostdev/route", "devices/filesystem/target"),
            *("devices/interface/script", "devices/interface/downscript"),
        ),
    ),
    Kept(
        "how the disk is reached: it changes with the disk",
        (
            *("blkiotune/device/path", "devices/disk/source/host", "devices/disk/source/config"),
            "devices/disk/source/dataStore/source/host",
            "devices/disk/source/dataStore/source/config",
            "devices/disk/source/dataStore/source/knownHosts",
            *("devices/disk/source/slices", "devices/disk/*/format", "devices/disk/source/@index"),
            *("devices/disk/source/knownHosts", "devices/disk/source/identity"),
        ),
    ),
    Kept(
        "both machines read it and neither writes to it, or the report names the job",
        ("devices/disk/backingStore", "devices/disk/mirror"),
    ),
    Kept(
        "the other end of a connection, or a network that several machines share",
        (
            *("devices/interface/source/@address", "devices/interface/source/local/@address"),
            "devices/interface/source/route",
        ),
    ),
    Kept(
        "what kind of device it is, or how much it may send",
        (
            *("devices/interface/source/vendor", "devices/interface/source/product"),
            *("devices/interface/bandwidth", "devices/interface/source/@macTableManager"),
        ),
    ),
    Kept(
        "a switch or a profile of it, which many machines have",
        (
            "devices/interface/virtualport/parameters/@managerid",
            "devices/interface/virtualport/parameters/@typeid",
            "devices/interface/virtualport/parameters/@typeidversion",
            "devices/interface/source/@switchid",
            "devices/interface/source/@portgroupid",
            "devices/interface/source/@connectionid",
        ),
    ),
)

#: Places of rules that do not say a word where their condition is not met.
UNMET = (
    Kept(
        "libvirt chooses it at every start",
        ("devices/graphics/@port", "devices/graphics/@tlsPort", "devices/graphics/@websocket"),
    ),
    Kept(
        "a terminal that libvirt finds at every start",
        tuple(f"devices/{name}/source/@path" for name in ("console", "serial", "parallel")),
    ),
    Kept(
        "the other end of a connection, or a network that several machines share",
        ("devices/interface/source/@port", "devices/interface/source/local/@port"),
    ),
    Kept("how the variables are reached: it changes with them", ("os/nvram/source/host",)),
)
