"""What a run of ``unclone clone`` is asked for, and what a machine was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone import __version__
from unclone.images.chain import read_chain
from unclone.images.errors import UsageError
from unclone.images.fingerprint import disk_state
from unclone.images.text import shown
from unclone.sanitize.options import Options
from unclone.seeds.blueprint import Blueprint, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.runs.request import Request
    from unclone.sanitize.identities.ledger.place import Place


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
class Own:
    """What one machine of an order has of its own: its host name, and what is in its seed.

    ``hostname`` is "" for what the order says. Of ``row`` only lists, time zone and values count.
    ``network`` is about its first network card, as :func:`nic_option.describe` takes it.
    """

    hostname: str = ""
    row: Row = field(default_factory=Row)
    network: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Machines to make from one golden image.

    ``request`` names the golden image with its disks, how it is opened, and the options of the
    steps. ``hostname`` has ``{name}`` where the machine's name goes. ``own`` is by the machine's
    name; most have no entry.
    """

    request: Request
    names: tuple[str, ...]
    folder: Path
    mode: Mode = Mode.OVERLAY
    definition: Path | None = None
    blueprint: Blueprint | None = None
    seed: SeedPolicy = SeedPolicy.AUTO
    #: Whether each machine gets a new password for its users.
    generate_password: bool = False
    hostname: str = "{name}"
    oui: bytes = b""
    avoid: tuple[Path, ...] = ()
    ledger: Place | None = None
    replace: bool = False
    #: Whether only those are replaced that are not what they would be made as.
    keep_unchanged: bool = False
    dry_run: bool = False
    #: What the machines' UEFI variables are copied from; None for the golden machine's.
    nvram: Path | None = None
    #: Where prepared images go; None for beside the golden image.
    cache: Path | None = None
    own: Mapping[str, Own] = field(default_factory=dict)

    def hostname_of(self, name: str) -> str:
        """The host name of the machine called *name*."""
        own = self.own.get(name)
        return (own.hostname if own else "") or self.hostname.replace("{name}", name)

    def gets_seed(self, *, cloud_init: bool) -> bool:
        """Whether each machine gets a seed; *cloud_init*: the guest has it."""
        described = self.blueprint is not None or self.generate_password
        wanted = self.seed is SeedPolicy.AUTO and (described or cloud_init)
        return wanted or self.seed is SeedPolicy.ALWAYS


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What machines were made from: when this is the same, one need not be made again."""

    images: tuple[dict[str, Any], ...]
    definition: dict[str, str] | None
    mode: str
    #: SHA-256 of each setting that is not the default, in hexadecimal, by the option's name.
    settings: Mapping[str, str]
    #: Of machines that have some of their own: all settings, by the machine's name.
    own: Mapping[str, Mapping[str, str]]
    #: Host names that are not the machine's name, by that.
    hostnames: Mapping[str, str]
    #: A salted digest of what is asked that may be secret: ``SALT:SCRYPT``; "" of nothing.
    asked: str = ""
    version: str = field(default=__version__)

    def to_json(self, name: str) -> dict[str, Any]:
        """Of the machine *name*, as documented in ``unclone/schemas/machine-1.json``."""
        settings = dict(self.own.get(name, self.settings))
        if name in self.hostnames:
            settings["hostname"] = _digest(self.hostnames[name])
        return {
            "images": list(self.images),
            "definition": self.definition,
            "mode": self.mode,
            "options": _digest(settings),
            "settings": settings,
            "asked": self.asked,
            "version": self.version,
        }


def made_from(order: Order) -> MadeFrom:
    """What the machines of *order* are made from. Raises UncloneError for an image that is gone."""
    definition = None
    if order.definition is not None:
        path = str(order.definition.absolute())
        content = _content(order.definition, "--definition takes that of the golden machine.")
        definition = {"path": path, "sha256": hashlib.sha256(content).hexdigest()}
    common = _common_settings(order)
    return MadeFrom(
        images_of(order),
        definition,
        str(order.mode),
        common,
        {name: _own_settings(order, name, common) for name in order.names if name in order.own},
        {name: said for name in order.names if (said := order.hostname_of(name)) != name},
    )


def has_secrets(order: Order) -> bool:
    """Whether a key or a password is among what *order* says, or will be in what is made."""
    key = order.request.options.identities.key
    return bool(key or order.generate_password or (order.blueprint and order.blueprint.password))


def images_of(order: Order) -> tuple[dict[str, Any], ...]:
    """The state of the golden image's files. Raises UncloneError for one that is gone."""
    images = []
    for disk in order.request.disks:
        image = read_chain(disk.path, disk.format, allow=order.request.allow)
        images.append({"path": str(image.path.absolute()), **asdict(disk_state(image))})
    return tuple(json.loads(json.dumps(images)))


def options_said(options: Options) -> list[Any]:
    """What is said about the steps, in plain types. No secret is in it."""
    said: list[Any] = [bool(options.identities.key)]
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name not in ("identities", "macs", "disk_serials"):
            said.append([each.name, sorted(value) if isinstance(value, frozenset) else value])
    return said


#: What a field of the options or of the seed is called on the command line and in a fleet file.
_CALLED = {
    "users": "user",
    "ssh_keys": "ssh-key",
    "user_keys": "user-key",
    "write_files": "write-file",
    "packages": "package",
    "templates": "template",
    "values": "set",
}
#: Of the seed: what one machine may have of its own.
_OF_A_ROW = ("users", "ssh_keys", "packages", "run", "timezone", "values")
#: What may have a password in it: so much of a digest tells a change, and confirms no guess.
_SHORT = 4
_MAY_BE_SECRET = frozenset(
    {
        *("run", "values", "user_data", "templates", "vendor_data", "network_config", "meta_data"),
        "write_files",
    }
)


def _common_settings(order: Order) -> dict[str, str]:
    """A digest of each setting that is not the default. No secret is in it: it can be guessed."""
    options, usual = order.request.options, Options()
    said = {
        "seed": str(order.seed) if order.seed is not SeedPolicy.AUTO else None,
        "generate-password": order.generate_password or None,
        "oui": order.oui.hex() or None,
        "derive-from": bool(options.identities.key) or None,
        "nvram": hashlib.sha256(_content(order.nvram, "")).hexdigest() if order.nvram else None,
        "catalogue": [_content(Path(path), "").hex() for path in options.catalogues] or None,
    }
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name in ("identities", "macs", "disk_serials", "catalogues", "hostname"):
            continue
        plain = sorted(value) if isinstance(value, frozenset) else value
        said[each.name] = plain if value != getattr(usual, each.name) else None
    said |= _of_seed(order.blueprint or Blueprint())
    return _digests(said)


def _own_settings(order: Order, name: str, common: Mapping[str, str]) -> dict[str, str]:
    """The settings of a machine that has some of its own: as if they were said of all."""
    own, blueprint = order.own[name], order.blueprint or Blueprint()
    whole = {
        "users": (*blueprint.users, *own.row.users),
        "ssh_keys": (*blueprint.ssh_keys, *own.row.ssh_keys),
        "packages": (*blueprint.packages, *own.row.packages),
        "run": (*blueprint.run, *own.row.run),
        "timezone": own.row.timezone or blueprint.timezone,
        "values": {**blueprint.values, **own.row.values},
    }
    network: dict[str, list[str]] = {}
    for key, value in own.network:
        network.setdefault(key, []).append(value)
    digests = _digests({each: whole[each] or None for each in _OF_A_ROW} | network)
    replaced = {_CALLED.get(each, each) for each in _OF_A_ROW}
    return {key: value for key, value in common.items() if key not in replaced} | digests


def _of_seed(blueprint: Blueprint) -> dict[str, Any]:
    usual = Blueprint()
    said: dict[str, Any] = {}
    for each in fields(blueprint):
        value = getattr(blueprint, each.name)
        if value == getattr(usual, each.name):
            said[each.name] = None
        elif each.name == "password":
            said["password-file"] = True  # not which: a digest of it can be guessed
        else:
            said[each.name] = dict(value) if each.name == "values" else repr(value)
        if each.name in _OF_A_ROW and said[each.name] is not None:
            said[each.name] = value
    return said


def _digests(said: Mapping[str, Any]) -> dict[str, str]:
    return {
        _CALLED.get(key, key.replace("_", "-")): (
            _digest(value)[: _SHORT if key in _MAY_BE_SECRET else None]
        )
        for key, value in said.items()
        if value is not None
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _content(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror}", hint=hint) from error
