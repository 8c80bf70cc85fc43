"""What a running guest says, compared: with what was expected, with a second boot, with another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.runs.prove.expected import Expected
    from unclone.runs.prove.guest_report import GuestReport, Mounted

_ID = re.compile(r"[0-9a-f]{32}")
#: Tags of blkid that are identifiers.
_TAGS = ("UUID", "UUID_SUB", "PARTUUID", "PTUUID")
#: Kinds of identifier that the first disk layer shows, whether or not a volume on it is opened.
_ON_DISK = re.compile(r"/dev/(sd[a-z]+|md)\d*")
#: The instance-id that cloud-init gives every machine that has no seed.
_NO_SEED = "iid-datasource-none"
#: What systemd puts on a machine-id that is not stored.
_TRANSIENT = "/etc/machine-id"
_IN_MEMORY = {"tmpfs", "ramfs", "rootfs"}
#: Types that are never writable.
_READ_ONLY = {"iso9660", "squashfs", "erofs", "cramfs", "romfs", "udf", "overlay"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be. Texts may be the guest's own: not yet printable."""

    what: str  # "machine-id", "mount /srv", "unit ssh.service"
    expected: str
    found: str


def compare(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    """What *said* differs in from *expected*, but for units that failed."""
    yield from _machine_id(expected, said)
    name = said.first("hostname")
    if expected.host_name and not _same_name(expected.host_name, name):
        yield Difference("host name", expected.host_name, name or "none")
    yield from _instance_id(expected, said)
    for mac in expected.macs:
        if mac not in said.macs:
            yield Difference("MAC address", mac, ", ".join(said.macs) or "no network card")
    yield from _host_keys(expected, said)
    yield from _mounts(expected, said)
    yield from _swaps(expected, said)
    for mapped in expected.mapped:
        if mapped not in said.values.get("mapped", ()):
            yield Difference(f"crypttab {mapped}", "opened", "not opened")
    yield from _identifiers(expected, said)
    yield from _retired(expected, said)
    if said.first("state") == "maintenance":
        yield Difference("state", "running", "emergency or rescue mode")
    elif said.first("state") not in {"running", "degraded"}:
        jobs = [line.split() for line in said.values.get("job", ())]
        names = ", ".join(job[1] for job in jobs if job[-1:] == ["running"] and len(job) > 2)
        yield Difference("state", "running", f"still starting: {names or 'no job is named'}")
    elif said.first("state") == "degraded" and not said.failed_units:
        yield Difference("state", "running", "degraded, and no unit that failed is named")


def failed_units(said: GuestReport, before: Sequence[str]) -> Iterator[Difference]:
    """The units that failed, but for those that failed *before*."""
    for unit in said.failed_units:
        if unit not in before:
            yield Difference(f"unit {unit}", "active", "failed")


def missing_services(said: GuestReport, original: GuestReport) -> Iterator[Difference]:
    """The services that run in the original and not here, though they did not fail."""
    here = {*said.values.get("active", ()), *said.failed_units}
    for unit in sorted(original.services - here):
        yield Difference(f"unit {unit}", "running, as in the original", "not running")


def between_boots(first: GuestReport, second: GuestReport) -> Iterator[Difference]:
    """What should be the same in two boots of one machine, and is not."""
    for key, name in (
        ("machine-id", "machine-id"),
        ("dbus-machine-id", "D-Bus machine-id"),
        ("hostname", "host name"),
        ("instance-id", "instance-id"),
    ):
        if first.first(key) != second.first(key):
            found = f"{second.first(key) or 'none'} after a restart"
            yield Difference(name, first.first(key) or "none", found)
    for path, fingerprint in first.host_keys.items():
        if second.host_keys.get(path) != fingerprint:
            found = second.host_keys.get(path, "none")
            yield Difference(f"host key {path}", fingerprint, f"{found} after a restart")


def shared(said: GuestReport, original: GuestReport) -> Iterator[tuple[str, str]]:
    """Kind and value of each identity that both have. The host name is none: DHCP names both."""
    for key in ("machine-id", "dbus-machine-id", "instance-id"):
        value = said.first(key)
        if value and value == original.first(key) and value != _NO_SEED:
            yield key, value
    prints = {*original.host_keys.values()} - {"none"}
    keys = ((f"host key {path}", each) for path, each in said.host_keys.items() if each in prints)
    yield from sorted(keys)
    # By value: the same partition may have another name on another bus.
    theirs = {_plain(value) for _, value in _identifiers_seen(original)}
    yield from sorted({each for each in _identifiers_seen(said) if _plain(each[1]) in theirs})


def _machine_id(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    found, dbus = said.machine_id, said.first("dbus-machine-id")
    systemd = expected.init == "systemd"
    if expected.machine_id and found != expected.machine_id:
        yield Difference("machine-id", expected.machine_id, found or "none")
    elif not _is_id(found) and (systemd or found):
        yield Difference("machine-id", "32 hexadecimal digits", found or "none")
    # Without systemd only D-Bus may have one.
    if dbus and dbus != found and (found or systemd):
        yield Difference("D-Bus machine-id", found or "none", dbus)
    elif expected.dbus_machine_id and dbus != expected.dbus_machine_id:
        yield Difference("D-Bus machine-id", expected.dbus_machine_id, dbus or "none")
    elif dbus and not _is_id(dbus):
        yield Difference("D-Bus machine-id", "32 hexadecimal digits", dbus)
    for told in dict.fromkeys(said.values.get("told-machine-id", ())):
        if found and told.strip() not in {found, dbus}:
            yield Difference("machine-id that programs are told", found, told)
    if _TRANSIENT in said.mounts:
        yield Difference("machine-id", "stored", "made anew at each start: /etc is read-only")
    elif systemd and not expected.machine_id and _is_in_memory(said):
        yield Difference("machine-id", "stored", "made anew at each start: /etc is in memory")


def _is_id(value: str) -> bool:
    """Whether systemd takes *value*: it refuses one that is nothing but zeros."""
    return _ID.fullmatch(value) is not None and len({*value}) > 1


def _is_in_memory(said: GuestReport) -> bool:
    mount = said.mounts.get("/etc") or said.mounts.get("/")
    return mount is not None and mount.type in _IN_MEMORY


def _same_name(expected: str, found: str) -> bool:
    """Whether both are one host name, with or without its domain."""
    if "." in expected and "." in found:
        return expected == found
    return expected.partition(".")[0] == found.partition(".")[0]


def _instance_id(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    wanted, found = expected.instance_id, said.first("instance-id")
    if wanted and wanted != found:
        yield Difference("instance-id", wanted, found or "none")
    elif wanted and wanted != said.first("instance-now"):
        why = "stored by an earlier boot: cloud-init did not read the seed in this one"
        yield Difference("instance-id", wanted, why)


def _host_keys(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    for path, fingerprint in expected.host_keys:
        found = said.host_keys.get(f"{path}.pub", "none")
        if path.startswith("/etc/ssh/ssh_host_") and found != fingerprint:
            yield Difference(f"host key {path}", fingerprint, found)


def _mounts(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    subvolumes = dict(expected.subvolumes)
    for place, uuid, options in expected.mounts:
        mount = said.mounts.get(place)
        if mount is None or mount.type == "autofs":
            yield Difference(f"mount {place}", uuid or "mounted", "not mounted")
            continue
        found = _uuid_of(mount, said)
        if uuid and _plain(uuid) != _plain(found):
            unknown = f"{mount.source or 'a device'} ({mount.type or 'unknown'}) without a UUID"
            yield Difference(f"mount {place}", uuid, found or unknown)
        elif (
            "ro" in mount.options
            and "ro" not in options
            and (uuid or place == "/")
            and mount.type not in _READ_ONLY
        ):
            yield Difference(f"mount {place}", "writable", "read-only")
        elif (inside := _subvolume(mount)) and inside != subvolumes.get(place, inside):
            yield Difference(f"mount {place}", f"subvolume {subvolumes[place]}", inside)


def _uuid_of(mount: Mounted, said: GuestReport) -> str:
    """The UUID of what is mounted; "" where the guest did not say it."""
    if mount.uuid:
        return mount.uuid
    if mount.target == "/" and mount.type == "overlay" and "/sysroot" in said.mounts:
        return _uuid_of(said.mounts["/sysroot"], said)  # OSTree's root is made of it
    if mount.source in {"/dev/root", "rootfs"} and (device := said.first("root-device")):
        return said.uuid_of(f"/dev/{device}")
    return said.uuid_of(mount.source.partition("[")[0])


def _subvolume(mount: Mounted) -> str:
    found = (each.removeprefix("subvol=") for each in mount.options if each.startswith("subvol="))
    return next(found, "").strip("/") if mount.type == "btrfs" else ""


def _swaps(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    """Swap in memory (zram) stands for no area of fstab."""
    active = [_swap(*line.split()) for line in said.values.get("swap", ()) if line.strip()]
    left = [(name, uuid or said.uuid_of(name)) for name, uuid in active if "/zram" not in name]
    missing = []
    # What names any device comes last: it takes what the others leave.
    for spec in sorted(expected.swaps, key=lambda each: not each.startswith(("UUID=", "/"))):
        same = [each for each in left if _is_swap(spec, *each)]
        if same:
            left.remove(same[0])
        else:
            missing.append(spec)
    if missing:
        number = len(expected.swaps)
        found = f"{number - len(missing)} of {number} active"
        yield Difference("swap", ", ".join(missing), found)


def _swap(name: str, second: str = "", *_: str) -> tuple[str, str]:
    """The name and UUID in a line of ``swapon --show``, or of /proc/swaps."""
    return name, "" if second in {"partition", "file"} else second


def _is_swap(spec: str, name: str, uuid: str) -> bool:
    if spec.startswith("UUID="):
        return _plain(spec.removeprefix("UUID=")) == _plain(uuid) or not uuid
    # A device has several names: only a file's name says which one it is.
    is_file = spec.startswith("/") and not spec.startswith("/dev/")
    return spec == name or (not is_file and name.startswith("/dev/"))


def _identifiers(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    seen = {_plain(value) for _, value in _identifiers_seen(said)}
    wanted = [each for each in expected.identifiers if _ON_DISK.fullmatch(each[1])]
    if wanted and not said.devices:
        yield Difference("identifiers of devices", "listed", "the guest has no blkid to list them")
        return
    for kind, device, value in wanted:
        if _plain(value) not in seen:
            yield Difference(f"{kind} {device}", value, "not seen")


def _identifiers_seen(said: GuestReport) -> Iterator[tuple[str, str]]:
    for device in said.devices:
        for tag in _TAGS:
            if value := device.tags.get(tag):
                yield f"{tag} of {device.name}", value
    for key in ("volume", "array"):
        for line in said.values.get(key, ()):
            for word in line.replace("=", " ").split():
                if len(_plain(word)) == 32:
                    yield f"{key} identifier", word


def _retired(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    lines = [
        (key, line.encode("utf-8", "surrogateescape"))
        for key, values in said.values.items()
        for line in values
    ]
    for kind, value in expected.retired:
        spelled = spellings(value)
        where = {key for key, line in lines if any(each in line for each in spelled)}
        if where:
            yield Difference(kind, "seen nowhere", f"{value} in {', '.join(sorted(where))}")


def _plain(value: str) -> str:
    """*value* without what separates its digits, and the number of an MBR partition."""
    return re.sub("[-:]", "", value).lower().removeprefix("0x")
