"""How the options of one machine belong together: which device has which drive, what is a pflash.

References: qemu(1) on -blockdev, -drive, -device and -machine pflash0=.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.sanitize.definitions.formats.qemu.options import Option

_REMOVABLE = ("ide-cd", "scsi-cd", "floppy", "isa-fdc")
#: Options with one plain value that is a disk, as QEMU's shorthands.
SHORTHANDS = ("hda", "hdb", "hdc", "hdd", "sd", "mtdblock", "image")
REMOVABLE_SHORTHANDS = ("cdrom", "fda", "fdb")
_CHAIN_LIMIT = 20
#: What is below a block node, as keys of it: its file, the copies of a quorum, a data file, ...
_LAYER = r"(?:file|data-file|image|raw|test|log|target|header|(?:children|extents)\.\d+)\."
_LAYERED = re.compile(rf"((?:{_LAYER})*)(.+)", re.DOTALL)
#: Layers that hold no disk by themselves.
_PARTS = re.compile(r"(?:.*\.)?(?:data-file|log|header)\.")


def layers(key: str) -> tuple[str, str]:
    """The layers that a key of a block node is below (``file.file.``), and the rest of it.

    What is below a backing file has none: nobody writes to it.
    """
    found = _LAYERED.fullmatch(key)
    return (found[1], found[2]) if found else ("", key)


def is_part(layer: str) -> bool:
    """Whether what is below *layer* is only a part of a disk: its data file, its log."""
    return bool(_PARTS.match(layer))


def _without_files(layer: str) -> str:
    return re.sub(r"(?<![\w-])file\.", "", layer).removesuffix(".")


class MachineOptions:
    """The options of one machine."""

    def __init__(self, options: Iterable[Option], text: str, *, starts: bool = True) -> None:
        """*options* in the order they are given; *text* is the file they stand in.

        *starts*: it is all that QEMU is told, not a file that a command line names.
        """
        self.options = tuple(options)
        self.text = text
        self.starts = starts

    @cached_property
    def devices(self) -> dict[str, Option]:
        """The devices, by the drive they have."""
        return {o.get("drive"): o for o in self.options if o.name == "device" and o.get("drive")}

    @cached_property
    def _above(self) -> dict[str, str]:
        """Which block node is on top of which: the qcow2 format over its file."""
        nodes = (o for o in self.options if o.name == "blockdev")
        return {o.get("file"): o.get("node-name") for o in nodes if o.get("file")}

    @cached_property
    def _flash(self) -> set[str]:
        machines = (o for o in self.options if o.name == "machine")
        return {p.value for o in machines for p in o.pairs if p.key in ("pflash0", "pflash1")}

    def top(self, option: Option) -> str:
        """What devices call the disk that *option* describes, or a part of it."""
        name = option.get("id", "node-name")
        for _ in range(_CHAIN_LIMIT):
            above = self._above.get(name)
            if above is None:
                break
            name = above
        return name

    def is_flash(self, option: Option) -> bool:
        """Whether it is a chip with the firmware or its variables."""
        if option.name == "pflash" or option.get("if") == "pflash":
            return True
        return bool(self.top(option)) and self.top(option) in self._flash

    def is_read_only(self, option: Option) -> bool:
        """Whether the machine cannot write to it, or what it writes is thrown away."""
        top = self._option(self.top(option))
        keys = ("readonly", "read-only", "snapshot")
        return any(each.is_on(key) for each in (option, top or option) for key in keys)

    def is_removable(self, option: Option) -> bool:
        """Whether it is a CD or a floppy."""
        if option.name in REMOVABLE_SHORTHANDS or option.get("media") == "cdrom":
            return True
        device = self.devices.get(self.top(option))
        return option.get("if") == "floppy" or (
            device is not None and device.get("driver") in _REMOVABLE
        )

    def label(self, option: Option, key: str = "") -> str:
        """What a person calls the disk or card; *key* says which, where an option has several."""
        if layer := _without_files(layers(key)[0]):
            return f"{self.label(option)}.{layer}"
        if option.name in (*SHORTHANDS, *REMOVABLE_SHORTHANDS):
            return option.name
        if option.name in ("drive", "blockdev"):
            return self.top(option) or f"{option.name}{option.number - 1}"
        return option.get("id") or option.get("netdev") or f"{option.name}{option.number - 1}"

    def is_server(self, option: Option) -> bool:
        """Whether a character device waits for others to connect."""
        return option.is_on("server")

    def _option(self, node: str) -> Option | None:
        return self._named.get(node) if node else None

    @cached_property
    def _named(self) -> dict[str, Option]:
        """The first disk or block node of each name."""
        named = [o for o in self.options if o.name in ("drive", "blockdev")]
        return {o.get("node-name", "id"): o for o in reversed(named)}
