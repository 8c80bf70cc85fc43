"""What a run of ``unclone clone`` is asked for, and what a machine was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from unclone import __version__
from unclone.images.chain import read_chain
from unclone.images.errors import UsageError
from unclone.images.fingerprint import disk_state
from unclone.images.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.request import Request
    from unclone.sanitize.options import Options
    from unclone.seeds.blueprint import Blueprint


class Mode(StrEnum):
    """What a machine's disk is."""

    #: A qcow2 with the golden image as its backing file.
    OVERLAY = "overlay"
    #: A copy that shares its blocks with the golden image (XFS, btrfs, bcachefs).
    REFLINK = "reflink"
    #: A copy that needs nothing else.
    COPY = "copy"


class SeedPolicy(StrEnum):
    """Whether a machine gets a seed."""

    #: Where the guest has cloud-init, or an option describes the seed.
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Order:
    """Machines to make from one golden image.

    ``request`` names the golden image with its disks, how it is opened, and the options of the
    steps. ``hostname`` has ``{name}`` where the machine's name goes.
    """

    request: Request
    names: tuple[str, ...]
    folder: Path
    mode: Mode = Mode.OVERLAY
    definition: Path | None = None
    blueprint: Blueprint | None = None
    seed: SeedPolicy = SeedPolicy.AUTO
    hostname: str = "{name}"
    oui: bytes = b""
    avoid: tuple[Path, ...] = ()
    ledger: Path | None = None
    replace: bool = False
    dry_run: bool = False
    #: Where prepared images go; None for beside the golden image.
    cache: Path | None = None

    def hostname_of(self, name: str) -> str:
        """The host name of the machine called *name*."""
        return self.hostname.replace("{name}", name)


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What a machine was made from: when this is the same, it need not be made again."""

    images: tuple[dict[str, Any], ...]
    definition: dict[str, str] | None
    mode: str
    #: SHA-256 of the options, in hexadecimal.
    options: str
    version: str = field(default=__version__)

    def to_json(self) -> dict[str, Any]:
        """As documented in ``unclone/schemas/machine-1.json``."""
        return asdict(self) | {"images": list(self.images)}


def made_from(order: Order) -> MadeFrom:
    """What the machines of *order* are made from. Raises UncloneError for an image that is gone."""
    images = []
    for disk in order.request.disks:
        image = read_chain(disk.path, disk.format, allow=order.request.allow)
        images.append({"path": str(image.path.absolute()), **asdict(disk_state(image))})
    definition = None
    if order.definition is not None:
        try:
            content = order.definition.read_bytes()
        except OSError as error:
            raise UsageError(
                f"{shown(order.definition)} cannot be read: {error.strerror}",
                hint="--definition takes the file of the golden machine's definition.",
            ) from error
        path = str(order.definition.absolute())
        definition = {"path": path, "sha256": hashlib.sha256(content).hexdigest()}
    return MadeFrom(
        tuple(json.loads(json.dumps(images))), definition, str(order.mode), _digest(order)
    )


def options_said(options: Options) -> list[Any]:
    """What is said about the steps, in plain types. No secret is in it."""
    said: list[Any] = [bool(options.identities.key)]
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name not in ("identities", "macs", "disk_serials"):
            said.append([each.name, sorted(value) if isinstance(value, frozenset) else value])
    return said


def _digest(order: Order) -> str:
    """Of what is said about the machines. No secret is in it: a digest of one can be guessed."""
    said = {
        "options": options_said(order.request.options),
        "blueprint": repr(order.blueprint),
        "seed": str(order.seed),
        "hostname": order.hostname,
        "oui": order.oui.hex(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
