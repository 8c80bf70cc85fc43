"""Who a machine should be when it runs: read offline from its image, and from a sanitize report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unclone.images import fstab
from unclone.images.errors import UsageError
from unclone.images.text import shown
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unclone.images.guest import Guest

#: Bytes of a sanitize report that are read.
_REPORT_LIMIT = 64 * 1024 * 1024
#: What fstab may mount that is no device of the guest.
_PLACES = re.compile(r"/.*")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Expected:
    """What the running guest should say. A text that is empty may be anything."""

    init: str
    #: The id, and "" where the first boot makes one.
    machine_id: str = ""
    host_name: str = ""
    instance_id: str = ""
    macs: tuple[str, ...] = ()
    #: Fingerprints of SSH host keys by the path of the private key.
    host_keys: tuple[tuple[str, str], ...] = ()
    #: Kind, device and value of each identifier of a device.
    identifiers: tuple[tuple[str, str, str], ...] = ()
    #: Mount points of fstab, with the UUID of the file system where it is known, and options.
    mounts: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    #: Swap areas of fstab, as it names them.
    swaps: tuple[str, ...] = ()
    #: Kind and value of what must be seen nowhere.
    retired: tuple[tuple[str, str], ...] = ()


def read_offline(guest: Guest, init: str) -> Expected:
    """What the guest in an image, whose init system is *init*, should say."""
    inventory = take_inventory(guest, Options())
    ids = {each.path: each.id for each in inventory.machine_ids}
    uuids = {fs.device: fs.uuid for fs in guest.file_systems()}
    table = fstab.parse(guest.text_or_empty("/etc/fstab", 1024 * 1024)).entries
    wanted = [entry for entry in table if "noauto" not in entry.options]
    root = guest.layout.mounts["/"]
    mounts = {"/": (uuids.get(root.device, ""), _options(table))}
    for entry in wanted:
        if entry.mount_point.startswith("/") and entry.mount_point != "/":
            place = guest.layout.mounts.get(entry.mount_point)
            uuid = uuids.get(place.device, "") if place else ""
            mounts[entry.mount_point] = (uuid, entry.options)
    return Expected(
        init,
        machine_id=ids.get("/etc/machine-id", ""),
        host_name=_host_name(guest),
        host_keys=tuple((k.path, k.fingerprint) for k in inventory.ssh_host_keys if k.fingerprint),
        identifiers=tuple((str(i.kind), i.device, i.value) for i in guest.identifiers()),
        mounts=tuple((place, *rest) for place, rest in mounts.items()),
        swaps=tuple(entry.spec for entry in wanted if entry.type == "swap"),
    )


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
        return [result for result in document["results"] if "identifiers" in result]
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
        ids = {each["path"]: str(each["id"]) for each in inventory["machine_ids"]}
        keys = ((str(k["path"]), str(k["fingerprint"])) for k in inventory["ssh_host_keys"])
        identifiers = result["identifiers"]
        renamed = result.get("host_name") or {}
        old = [
            (f"old {change['details'].get('kind', 'identifier')}", str(change["old"]))
            for change in result["changes"]
            if change["action"] == "set-identifier"
        ]
        retired = [(f"old {each['kind']}", str(each["value"])) for each in result["retired"]]
        return replace(
            expected,
            machine_id=ids.get("/etc/machine-id", ""),
            host_name=str(renamed.get("new", "")) or expected.host_name,
            host_keys=tuple((path, print_) for path, print_ in keys if print_),
            identifiers=tuple(
                (str(i["kind"]), str(i["device"]), str(i["value"])) for i in identifiers
            )
            or expected.identifiers,
            retired=tuple(
                dict.fromkeys((kind, value) for kind, value in [*old, *retired] if value)
            ),
        )
    except (LookupError, TypeError, AttributeError):
        raise UsageError(f"{report} is no complete report of unclone sanitize") from None
