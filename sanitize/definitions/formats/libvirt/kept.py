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
            *("os/loader", "os/kernel", "os/initrd", "os/dtb", "os/acpi", "devices/emulator"),
            *("devices/filesystem/binary/@path", "devices/*/rom/@file", "os/nvram/@template"),
            *("devices/graphics/listen/@address", "devices/interface/portForward/@address"),
            *("devices/interface/route", "devices/hostdev/route", "devices/filesystem/target"),
        ),
    ),
    Kept(
        "how the disk is reached: it changes with the disk",
        (
            *("blkiotune/device/path", "devices/disk/source/host", "devices/disk/source/config"),
            *("devices/disk/source/slices", "devices/disk/*/format", "devices/disk/source/@index"),
            *("devices/disk/source/knownHosts", "devices/disk/source/identity"),
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
