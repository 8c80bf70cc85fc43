"""Opening containers: LUKS, LVM and MD.

At its start the appliance assembles MD arrays and activates volume groups on the disks. LUKS
containers, and containers inside of them, are opened here, level by level.

A key is given to the appliance as a file in memory (a memfd here, tmpfs there), byte for byte:
never on a command line or a disk.

References: cryptsetup-open(8) ``--key-file``; pvscan(8) ``--cache --activate``; dm-crypt device
naming ``luks-<uuid>`` as systemd-gpt-auto-generator(8) and udisks use it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.devices import read_devices
from unclone.images.errors import EngineError, RefusedError
from unclone.images.identifiers import luks
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.engine import Keys
    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.engines.guestfs.devices import Device

#: Levels of containers inside of each other; a guest with more is refused.
MAX_DEPTH = 8

_KEY_FILE = "/run/unclone-key"


def open_containers(
    appliance: Appliance, keys: Keys, drives: Sequence[str] = ()
) -> Sequence[Device]:
    """Open every container on *drives* (all when empty); return all devices after that.

    Raises RefusedError for LUKS that none of the keys opens, because the identities inside cannot
    be read and changed.
    """
    opened: set[str] = set()
    for _ in range(MAX_DEPTH):
        devices = read_devices(appliance, drives)
        closed = [d for d in devices if d.type == "crypto_LUKS" and d.name not in opened]
        if not closed:
            return devices
        for device in closed:
            _open_luks(appliance, device, _mapping_name(device, devices), keys)
            opened.add(device.name)
        appliance.shell("udevadm settle; lvm pvscan --cache --activate ay; udevadm settle")
    raise RefusedError(
        f"encrypted containers are inside of each other, more than {MAX_DEPTH} levels"
    )


def _open_luks(appliance: Appliance, device: Device, name: str, keys: Keys) -> None:
    uuid = device.tags.get("UUID", "")
    tried = 0
    reason = ""
    for key in keys(f"{device.name} (LUKS {printable(uuid)})"):
        tried += 1
        try:
            _upload(appliance, key)
            # The message of cryptsetup is for the error; status 2 is "no such key".
            appliance.shell(
                f"cryptsetup open --type luks --tries 1 --disable-keyring --key-file {_KEY_FILE} "
                f"{device.node} {name} 2>&1"
            )
        except EngineError as error:
            reason = error.message
        else:
            return
        finally:
            appliance.shell(f"rm -f {_KEY_FILE}")
    raise luks.refusal(f"{device.name} (LUKS {printable(uuid)})", tried, reason)


def _upload(appliance: Appliance, key: bytes) -> None:
    memory = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(memory, key)
        upload = appliance.binding.debug_upload
        appliance.call(lambda: upload(f"/proc/self/fd/{memory}", _KEY_FILE, 0o600))
    finally:
        os.close(memory)


def _mapping_name(device: Device, devices: Sequence[Device]) -> str:
    """The device-mapper name for the opened container; two copies of one have the same UUID."""
    uuid = device.tags.get("UUID", "")
    twins = [other for other in devices if other.tags.get("UUID") == uuid]
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid) and twins[0] == device:
        return f"luks-{uuid}"
    return "luks-" + device.name.removeprefix("/dev/").replace("/", "-")
