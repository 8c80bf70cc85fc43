"""QEMU's command line for a guest that may be hostile.

Every device is named here (``-nodefaults``), every file by its complete description in JSON, and
sockets are inherited: no text of a guest or a definition becomes an option. QEMU gives up what it
does not need (``-sandbox``); its network is its own and leads nowhere (``restrict``).

References: QEMU system/invocation, system/security; qapi/block-core.json (BlockdevOptions).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images.boot.hardware import CARDS, CONTROLLERS, DISKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.images.boot.firmware import Ovmf
    from unclone.images.boot.hardware import Hardware

PROGRAM = "qemu-system-x86_64"

#: The name of the virtio port on which the guest reports.
PORT = "org.unclone.report"

#: What QEMU gives up.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

#: The channels to QEMU, as :data:`Channels` has a descriptor for each.
CHANNELS = ("qmp", "console", "report", "serial")


@dataclass(frozen=True, slots=True)
class Machine:
    """What is started: *disks* are QEMU's descriptions, *firmware* has a store of its own."""

    hardware: Hardware
    disks: Sequence[Mapping[str, Any]]
    kvm: bool
    firmware: Ovmf | None = None
    seed: Path | None = None

    def arguments(self, channels: Mapping[str, int]) -> list[str]:
        """The command; *channels* has the descriptor of a connected socket for each channel."""
        hardware = self.hardware
        return [
            *(PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-sandbox", SANDBOX),
            *("-machine", f"{hardware.chipset},smm=off" if self.kvm else hardware.chipset),
            *self._processor(),
            *("-m", str(hardware.memory)),
            *(("-uuid", hardware.uuid) if hardware.uuid else ()),
            *(f for text in hardware.oem_strings for f in ("-smbios", f"type=11,value={text}")),
            *("-vga", "std", "-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng"),
            *self._firmware(),
            *self._disks(),
            *self._seed(),
            *self._cards(),
            *_channels(channels),
        ]

    def _processor(self) -> Sequence[str]:
        """With software emulation the guest's clock counts its instructions, 2 ns each.

        On a loaded host the guest is then slow without noticing it: nothing in it reaches a time
        limit because of that.
        """
        if self.kvm:
            return ("-accel", "kvm", "-cpu", "host", "-smp", "2")
        emulated = ("-accel", "tcg,thread=single", "-icount", "shift=1")
        return (*emulated, "-cpu", "max", "-smp", "1")

    def _firmware(self) -> Iterator[str]:
        if self.firmware is None:
            return
        files = (("code", self.firmware.code, True), ("variables", self.firmware.variables, False))
        for number, (name, path, read_only) in enumerate(files):
            yield from _blockdev(name, {**_file(path), "read-only": read_only})
            yield from ("-machine", f"pflash{number}={name}")

    def _disks(self) -> Iterator[str]:
        made = set()
        for number, (disk, bus) in enumerate(zip(self.disks, self.hardware.disks, strict=True)):
            name = f"disk{number}"
            # Nothing of it is kept: it need not be durable.
            yield from _blockdev(name, {**disk, "cache": {"direct": False, "no-flush": True}})
            controller, model = DISKS[bus]
            if bus == "scsi":
                controller = CONTROLLERS[self.hardware.controller]
            if controller and bus not in made:
                yield from ("-device", f"{controller},id={bus}")
            made.add(bus)
            place = self.hardware.disks[:number].count(bus)
            options = [model, f"drive={name}", f"bootindex={number + 1}"]
            if bus == "scsi":
                options += ["bus=scsi.0", f"scsi-id={place}"]
            elif bus == "sata":
                options.append(f"bus=sata.{place}")
            elif bus == "ide":
                options += self._ide(place)
            elif bus == "nvme":
                options.append(f"serial=nvme{place}")
            yield from ("-device", ",".join(options))

    def _ide(self, place: int) -> list[str]:
        """Q35 has one disk on each of its ports, PC two."""
        if self.hardware.chipset == "q35":
            return [f"bus=ide.{place}"]
        return [f"bus=ide.{place // 2}", f"unit={place % 2}"]

    def _seed(self) -> Iterator[str]:
        """A CD; a read-only disk where the disks are virtio: such a kernel may have no CD driver.

        cloud-init finds a seed by its label, on any device.
        """
        if self.seed is None:
            return
        yield from _blockdev("seed", {**_file(self.seed), "read-only": True})
        if self.hardware.disks[0] == "virtio":
            yield from ("-device", "virtio-blk-pci,drive=seed")
        elif self.hardware.disks[0] == "scsi":
            yield from ("-device", "scsi-cd,drive=seed,bus=scsi.0,scsi-id=6")
        else:
            yield from ("-device", "ich9-ahci,id=cd", "-device", "ide-cd,drive=seed,bus=cd.0")

    def _cards(self) -> Iterator[str]:
        for number, card in enumerate(self.hardware.cards):
            yield from ("-netdev", f"user,id=net{number},restrict=on")
            model = CARDS[card.model]
            yield from ("-device", f"{model},netdev=net{number},mac={card.mac},romfile=")


def _channels(channels: Mapping[str, int]) -> Iterator[str]:
    for name in CHANNELS:
        yield from ("-chardev", f"socket,id={name},fd={channels[name]}")
    yield from ("-mon", "chardev=qmp,mode=control")
    yield from ("-serial", "chardev:console", "-serial", "chardev:serial")
    yield from ("-device", "virtio-serial-pci")
    yield from ("-device", f"virtserialport,chardev=report,name={PORT}")


def _file(path: Path) -> dict[str, Any]:
    return {"driver": "raw", "file": {"driver": "file", "filename": str(path)}}


def _blockdev(name: str, node: Mapping[str, Any]) -> Sequence[str]:
    # Without ASCII escapes a name that is not UTF-8 could not be said.
    return ("-blockdev", json.dumps({**node, "node-name": name}, ensure_ascii=False))
