"""Disks and network cards of a QEMU command line, moved to virtio.

References: qemu(1) on -drive if=, -nic model=; ``qemu-system-x86_64 -device virtio-blk-pci,help``
for what the device can have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Moved
from unclone.sanitize.definitions.formats.qemu.cards import EMULATED
from unclone.sanitize.definitions.text.splicing import Edit

if TYPE_CHECKING:
    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.formats.qemu.options import Option, Pair
    from unclone.sanitize.definitions.text.source import Source

DISKS = ("ide-hd", "scsi-hd")
BLOCK, NETWORK = "virtio-blk-pci", "virtio-net-pci"
#: What virtio-blk has not got: places on another bus, and what only those disks say.
_ONLY_DISKS = frozenset(
    (
        *("bus", "unit", "channel", "scsi-id", "lun", "wwn", "port_wwn", "port_index"),
        *("rotation_rate", "model", "ver", "vendor", "product", "device_id", "dpofua", "cyls"),
        *("heads", "secs", "bios-chs-trans", "removable"),
    )
)
_ONLY_CARDS = frozenset(("bus", "addr", "romfile", "mitigation", "autonegotiation"))
_VIRTIO_SCSI = ("virtio-scsi", "vhost-scsi")
_IDE = ("", "ide", "scsi", "sd")
#: A virtio disk shows so many characters of its serial number to the guest.
SERIAL_LENGTH = 20
_STEP = "virtio"


class _Moving:
    def __init__(self, source: Source, machine: MachineOptions) -> None:
        self.source = source
        self.machine = machine
        self.edits: list[Edit] = []
        self.notes: list[Note] = []
        self.labels: dict[str, str] = {}
        self.drives = 0  # how many -drive options there are so far, old and new

    def say(self, option: Option, old: str, new: str) -> None:
        message = f"{option.place}: {old} is now {new}"
        self.notes.append(Note(_STEP, Level.INFO, printable(message, 300)))

    def value(self, option: Option, pair: Pair, new: str) -> None:
        """Another value for *pair*."""
        place = pair.place()
        if place is None:
            raise self.unreadable(option)
        self.edits.append(Edit(place.start, place.end, place.spell(new)))

    def added(self, option: Option, text: str) -> None:
        """*text* behind the argument of *option*."""
        end = option.argument.place(0, len(option.argument.chars)) if option.argument else None
        if end is None or end.depends:
            raise self.unreadable(option)
        self.edits.append(Edit(end.end, end.end, text))

    def without(self, option: Option, keys: frozenset[str]) -> None:
        """Take keys that the new device has not got out of *option*."""
        for pair in option.pairs:
            if pair.key in keys:
                start = pair.start - len(pair.key) - len(",=")
                place = pair.word.place(start, pair.end)
                if option.argument is None or option.argument.value.startswith("{"):
                    raise self.unreadable(option)
                if place is None:
                    raise self.unreadable(option)
                self.edits.append(Edit(place.start, place.end, ""))

    def unreadable(self, option: Option) -> RefusedError:
        where = self.source.position(option.start)
        return RefusedError(
            f"{where}: {option.place} cannot be moved to virtio: it is made of variables or JSON",
            hint="Write the option out as KEY=VALUE, or leave out --virtio.",
        )


def moved(source: Source, machine: MachineOptions) -> Moved:
    """What changes. Raises RefusedError for a machine without PCI."""
    for option in machine.options:
        if option.name == "machine" and option.get("type") in ("isapc", "none"):
            raise RefusedError(
                f"{source.shown}: the machine type {option.get('type')} has no PCI bus for virtio",
                hint="Leave out --virtio.",
            )
    moving = _Moving(source, machine)
    for option in machine.options:
        match option.name:
            case "hda" | "hdb" | "hdc" | "hdd" | "image":
                _shorthand(moving, option)
            case "drive":
                _drive(moving, option)
            case "device":
                _device(moving, option)
            case "nic" | "net":
                _card(moving, option)
    return Moved(tuple(moving.edits), tuple(moving.notes), moving.labels)


def _shorthand(moving: _Moving, option: Option) -> None:
    """``-hda FILE`` is short for ``-drive file=FILE,index=0,media=disk``."""
    argument = option.argument
    place = argument.place(0, len(argument.chars)) if argument else None
    if argument is None or place is None or place.depends or "," in argument.value:
        raise moving.unreadable(option)
    name = "" if option.name == "image" else option.name
    if name:
        moving.edits.append(Edit(option.start, option.end, "-drive"))
    before = "file=" if name else "-drive file="
    moving.edits.append(Edit(argument.start, argument.start, before))
    moving.edits.append(Edit(argument.end, argument.end, ",media=disk,if=virtio"))
    moving.labels[moving.machine.label(option)] = f"drive{moving.drives}"
    moving.drives += 1
    moving.say(option, name or "the first disk", "a virtio disk")


def _drive(moving: _Moving, option: Option) -> None:
    number, moving.drives = moving.drives, moving.drives + 1
    label, machine = moving.machine.label(option), moving.machine
    new = option.get("id") or f"drive{number}"
    if label != new:
        moving.labels[label] = new
    if machine.is_removable(option) or machine.is_flash(option) or option.get("if") not in _IDE:
        return
    pair = option.pair("if")
    if pair is not None:
        moving.value(option, pair, "virtio")
    else:
        moving.added(option, ",if=virtio")
    moving.without(option, frozenset(("bus", "unit")))
    moving.labels[label] = new
    moving.say(option, f"a disk on {option.get('if') or 'its bus by default'}", "a virtio disk")
    _check_serial(moving, option)


def _device(moving: _Moving, option: Option) -> None:
    driver = option.pair("driver")
    if driver is None:
        return
    if driver.value in EMULATED:
        moving.value(option, driver, NETWORK)
        if driver.value in ("usb-net", "ne2k_isa"):
            moving.without(option, _ONLY_CARDS | {"iobase", "irq", "port"})
        else:
            moving.without(option, frozenset(("mitigation", "autonegotiation")))
        moving.say(option, driver.value, NETWORK)
    elif driver.value in DISKS and not _on_virtio_scsi(moving.machine, driver.value):
        moving.value(option, driver, BLOCK)
        moving.without(option, _ONLY_DISKS)
        label = option.get("drive")
        moving.labels[label] = label
        moving.say(option, driver.value, BLOCK)
        _check_serial(moving, option)


def _card(moving: _Moving, option: Option) -> None:
    kind = option.get("type")
    if kind == "none" or (option.name == "net" and kind != "nic"):
        return
    model = option.pair("model")
    if model is not None and model.value.startswith("virtio"):
        return
    if model is not None:
        moving.value(option, model, NETWORK)
    else:
        moving.added(option, f",model={NETWORK}")
    moving.say(option, model.value if model else "the default card", NETWORK)


def _on_virtio_scsi(machine: MachineOptions, driver: str) -> bool:
    """Whether SCSI disks are on a controller that is virtio already."""
    drivers = (o.get("driver") for o in machine.options if o.name == "device")
    return driver == "scsi-hd" and any(each.startswith(_VIRTIO_SCSI) for each in drivers)


def _check_serial(moving: _Moving, option: Option) -> None:
    if len(option.get("serial")) > SERIAL_LENGTH:
        message = f"{option.place}: the guest sees {SERIAL_LENGTH} characters of the serial number"
        moving.notes.append(Note(_STEP, Level.WARNING, message))
