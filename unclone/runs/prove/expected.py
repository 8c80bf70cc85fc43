"""Who a machine should be when it runs: read offline from its image, and from a sanitize report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unclone.images import fstab, mount_units
from unclone.images.device_names import DeviceNames
from unclone.images.errors import UsageError
from unclone.images.text import shown
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.images.guest import Guest

#: Bytes of a sanitize report that are read.
_REPORT_LIMIT = 64 * 1024 * 1024
#: Types of file systems that need a network, which a proof has none of.
_REMOTE = re.compile(
    r"nfs4?|cifs|smb3?|smbfs|ceph|glusterfs|lustre|afs|davfs|fuse\.(sshfs|ceph|glusterfs)"
)
#: A name in crypttab that is a file's name in /dev/mapper as it is.
_MAPPED = re.compile(r"[\w.+-]+", re.ASCII)
_TABLE_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Expected:
    """What the running guest should say. A text that is empty may be anything."""

    init: str
    #: The id, and "" where the first boot makes one.
    machine_id: str = ""
    #: Of /var/lib/dbus/machine-id, where that is a file of its own.
    dbus_machine_id: str = ""
    host_name: str = ""
    instance_id: str = ""
    macs: tuple[str, ...] = ()
    #: Fingerprints of SSH host keys by the path of the private key.
    host_keys: tuple[tuple[str, str], ...] = ()
    #: Kind, device and value of each identifier of a device.
    identifiers: tuple[tuple[str, str, str], ...] = ()
    #: Mount points of fstab, with the UUID of the file system where it is known, and options.
    mounts: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    #: The btrfs subvolumes at mount points.
    subvolumes: tuple[tuple[str, str], ...] = ()
    #: Swap areas of fstab: ``UUID=`` where the area is on a disk of the guest, else as fstab says.
    swaps: tuple[str, ...] = ()
    #: What crypttab opens, by its name in /dev/mapper.
    mapped: tuple[str, ...] = ()
    #: Kind and value of what must be seen nowhere.
    retired: tuple[tuple[str, str], ...] = ()
    #: What cannot be compared.
    notes: tuple[str, ...] = ()


def read_offline(guest: Guest, init: str) -> Expected:
    """What the guest in an image, whose init system is *init*, should say."""
    inventory = take_inventory(guest, Options())
    ids = {each.path: each.id for each in inventory.machine_ids}
    uuids = {fs.device: fs.uuid for fs in guest.file_systems()}
    table = fstab.parse(guest.text_or_empty("/etc/fstab", _TABLE_LIMIT)).entries
    wanted = [entry for entry in _entries(guest, table, init) if "noauto" not in entry.options]
    root = guest.layout.mounts["/"]
    mounts = {"/": (uuids.get(root.device, ""), _options(table))}
    local = [entry for entry in wanted if not _is_remote(entry)]
    for entry in local:
        if entry.mount_point.startswith("/") and entry.mount_point != "/":
            place = guest.layout.mounts.get(entry.mount_point)
            uuid = uuids.get(place.device, "") if place else ""
            mounts[entry.mount_point] = (uuid, entry.options)
    crypttab = guest.text_or_empty("/etc/crypttab", _TABLE_LIMIT)
    names = DeviceNames(guest.file_systems(), crypttab)
    subvolumes = {place: guest.layout.subvolume_at(place) for place in guest.layout.mounts}
    return Expected(
        init,
        machine_id=ids.get("/etc/machine-id", ""),
        host_name=_host_name(guest),
        host_keys=tuple((k.path, k.fingerprint) for k in inventory.ssh_host_keys if k.fingerprint),
        identifiers=tuple((str(i.kind), i.device, i.value) for i in guest.identifiers()),
        mounts=tuple((place, *rest) for place, rest in mounts.items()),
        subvolumes=tuple((place, found[1]) for place, found in subvolumes.items() if found),
        swaps=tuple(_swap(entry, names) for entry in local if entry.type == "swap"),
        mapped=tuple(_opened(crypttab)),
        notes=tuple(
            f"{entry.mount_point} is not compared: it needs a network"
            for entry in wanted
            if entry not in local
        ),
    )


def _entries(guest: Guest, table: Sequence[fstab.Entry], init: str) -> Sequence[fstab.Entry]:
    """What is mounted at boot: by fstab, and by mount units of the guest's own."""
    if init != "systemd":
        return table
    merged = mount_units.merged(table, guest)
    return [e for e in merged if not e.unit or (e.unit.startswith("/etc/") and e.started)]


def _is_remote(entry: fstab.Entry) -> bool:
    return bool(_REMOTE.fullmatch(entry.type)) or "_netdev" in entry.options


def _swap(entry: fstab.Entry, names: DeviceNames) -> str:
    found = {fs.uuid for fs in names.find(entry.spec) if fs.type == "swap" and fs.uuid}
    return f"UUID={found.pop()}" if len(found) == 1 else entry.spec


def _opened(crypttab: str) -> Iterator[str]:
    for words in map(str.split, crypttab.splitlines()):
        options = words[3].split(",") if len(words) > 3 else ()
        if (
            len(words) > 1
            and _MAPPED.fullmatch(words[0])
            and not {"noauto", "_netdev"} & {*options}
        ):
            yield words[0]


def _options(table: Sequence[fstab.Entry]) -> tuple[str, ...]:
    return next((entry.options for entry in table if entry.mount_point == "/"), ())


def _host_name(guest: Guest) -> str:
    """The first name in /etc/hostname; "" for one that systemd replaces."""
    lines = guest.text_or_empty("/etc/hostname", 4096).splitlines()
    names = (line.strip() for line in lines if not line.strip().startswith("#"))
    name = next((name for name in names if name), "")
    return "" if name in {"localhost", "localhost.localdomain"} or "?" in name else name


def read_report(path: Path) -> Sequence[Mapping[str, Any]]:
    """The results in a document of ``unclone sanitize --json``. Raises UsageError."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_REPORT_LIMIT))
        if document["schema"] != "unclone.sanitize/1":
            raise ValueError  # noqa: TRY301 (said once below)
        return [each for each in document["results"] if "identifiers" in {**each}]
    except OSError as error:
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(
            f"{shown(path)} is no report of unclone sanitize",
            hint="Make one: unclone sanitize --json IMAGE > report.json",
        ) from None


def result_for(
    image: Path, results: Sequence[Mapping[str, Any]], report: Path
) -> Mapping[str, Any]:
    """The result about *image*: by its path, by its name, or the only one. Raises UsageError."""
    for same in (
        lambda name: name == str(image),
        lambda name: name.rpartition("/")[2] == image.name,
        lambda _: len(results) == 1,
    ):
        found = [each for each in results if same(str(each.get("result", "")))]
        if len(found) == 1:
            return found[0]
    raise UsageError(
        f"{shown(report)} has no result for {shown(image)}",
        hint="Name the report of the run that made it.",
    )


def with_report(expected: Expected, result: Mapping[str, Any], report: str) -> Expected:
    """*expected* with what the *result* of sanitize promises. Raises UsageError."""
    try:
        inventory = result["inventory"]
        ids = {_text(each["path"]): _text(each["id"]) for each in inventory["machine_ids"]}
        keys = ((_text(k["path"]), _text(k["fingerprint"])) for k in inventory["ssh_host_keys"])
        identifiers = result["identifiers"]
        renamed = result.get("host_name") or {}
        old = [
            (f"old {change['details'].get('kind', 'identifier')}", _text(change["old"]))
            for change in result["changes"]
            if change["action"] == "set-identifier"
        ]
        retired = [(f"old {each['kind']}", _text(each["value"])) for each in result["retired"]]
        return replace(
            expected,
            machine_id=ids.get("/etc/machine-id", ""),
            dbus_machine_id=ids.get("/var/lib/dbus/machine-id", ""),
            host_name=_text(renamed.get("new", "")) or expected.host_name,
            host_keys=tuple((path, print_) for path, print_ in keys if print_),
            identifiers=tuple(
                (_text(i["kind"]), _text(i["device"]), _text(i["value"])) for i in identifiers
            )
            or expected.identifiers,
            retired=tuple(
                dict.fromkeys((kind, value) for kind, value in [*old, *retired] if value)
            ),
        )
    except (LookupError, TypeError, AttributeError):
        raise UsageError(f"{report} is no complete report of unclone sanitize") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
