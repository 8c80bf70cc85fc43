"""What a running guest says, compared: with what was expected, with a second boot, with another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.runs.prove.expected import Expected
    from unclone.runs.prove.guest_report import GuestReport

_ID = re.compile(r"[0-9a-f]{32}")
#: Tags of blkid that are identifiers.
_TAGS = ("UUID", "UUID_SUB", "PARTUUID", "PTUUID")
#: Kinds of identifier that the first disk layer shows, whether or not a volume on it is opened.
_ON_DISK = re.compile(r"/dev/(sd[a-z]+|md)\d*")
#: The instance-id that cloud-init gives every machine that has no seed.
_NO_SEED = "iid-datasource-none"
#: What systemd puts on a machine-id that is not stored.
_TRANSIENT = "/etc/machine-id"


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
    if expected.host_name and expected.host_name.partition(".")[0] != name.partition(".")[0]:
        yield Difference("host name", expected.host_name, name or "none")
    if expected.instance_id and expected.instance_id != said.first("instance-id"):
        yield Difference("instance-id", expected.instance_id, said.first("instance-id") or "none")
    for mac in expected.macs:
        if mac not in said.macs:
            yield Difference("MAC address", mac, ", ".join(said.macs) or "no network card")
    yield from _host_keys(expected, said)
    yield from _mounts(expected, said)
    yield from _identifiers(expected, said)
    yield from _retired(expected, said)
    if said.first("state") == "maintenance":
        yield Difference("state", "running", "emergency or rescue mode")
    elif said.first("state") not in {"running", "degraded"}:
        jobs = [line.split() for line in said.values.get("job", ())]
        names = ", ".join(job[1] for job in jobs if job[-1:] == ["running"] and len(job) > 2)
        yield Difference("state", "running", f"still starting: {names or 'no job is named'}")


def failed_units(said: GuestReport, before: Sequence[str]) -> Iterator[Difference]:
    """The units that failed, but for those that failed *before*."""
    for unit in said.failed_units:
        if unit not in before:
            yield Difference(f"unit {unit}", "active", "failed")


def between_boots(first: GuestReport, second: GuestReport) -> Iterator[Difference]:
    """What should be the same in two boots of one machine, and is not."""
    for key, name in (("machine-id", "machine-id"), ("hostname", "host name")):
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
    both = said.host_keys.items() & original.host_keys.items()
    yield from sorted((f"host key {path}", fingerprint) for path, fingerprint in both)
    theirs = set(_identifiers_seen(original))
    yield from sorted(set(_identifiers_seen(said)) & theirs)


def _machine_id(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    found, dbus = said.machine_id, said.first("dbus-machine-id")
    if expected.machine_id and found != expected.machine_id:
        yield Difference("machine-id", expected.machine_id, found or "none")
    elif not _ID.fullmatch(found) and (expected.init == "systemd" or found):
        yield Difference("machine-id", "32 hexadecimal digits", found or "none")
    # Without systemd only D-Bus may have one.
    if dbus and dbus != found and (found or expected.init == "systemd"):
        yield Difference("D-Bus machine-id", found or "none", dbus)
    for told in dict.fromkeys(said.values.get("told-machine-id", ())):
        if found and told.strip() not in {found, dbus}:
            yield Difference("machine-id that programs are told", found, told)
    if _TRANSIENT in said.mounts:
        yield Difference("machine-id", "stored", "made anew at each start: /etc is read-only")


def _host_keys(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    for path, fingerprint in expected.host_keys:
        found = said.host_keys.get(f"{path}.pub")
        if path.startswith("/etc/ssh/ssh_host_") and found not in {None, fingerprint}:
            yield Difference(f"host key {path}", fingerprint, str(found))
        elif path.startswith("/etc/ssh/ssh_host_") and found is None and said.host_keys:
            yield Difference(f"host key {path}", fingerprint, "none")


def _mounts(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    for place, uuid, options in expected.mounts:
        mount = said.mounts.get(place)
        if mount is None:
            yield Difference(f"mount {place}", uuid or "mounted", "not mounted")
        elif uuid and mount.uuid and _plain(uuid) != _plain(mount.uuid):
            yield Difference(f"mount {place}", uuid, mount.uuid)
        elif "ro" in mount.options and place == "/" and "ro" not in options:
            yield Difference("mount /", "writable", "read-only")
    active = len(said.values.get("swap", ()))
    if active < len(expected.swaps):
        names = ", ".join(expected.swaps)
        yield Difference("swap", names, f"{active} of {len(expected.swaps)} active")


def _identifiers(expected: Expected, said: GuestReport) -> Iterator[Difference]:
    seen = {_plain(value) for _, value in _identifiers_seen(said)}
    if not seen:
        return
    for kind, device, value in expected.identifiers:
        if _ON_DISK.fullmatch(device) and _plain(value) not in seen:
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
