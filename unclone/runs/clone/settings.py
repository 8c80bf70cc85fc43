"""What can be said of a machine: in a fleet file, in its tables, and as options of ``clone``.

One table. A fleet file's keys are the options' names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from unclone.images.formats.header import Format
from unclone.runs.clone.order import Mode, SeedPolicy
from unclone.sanitize.options import SSH_HOST_KEYS, UUIDS, Profile


class Form(StrEnum):
    """How a setting is written, as messages say it."""

    TEXT = "text"
    FLAG = "true or false"
    FILE = "the name of a file"
    FOLDER = "the name of a folder"
    #: The same, where nothing need be yet.
    PATH = "a path"
    TEXTS = "text, or a list of texts"
    FILES = "the name of a file, or a list of them"
    FOLDERS = "the name of a folder, or a list of them"
    PATHS = "a path, or a list of paths"
    LEDGER = "a path, or postgresql://HOST/DATABASE"
    #: Public keys, and files of them.
    KEYS = "a public key or the name of a file, or a list of them"
    #: The name of a file, or a public key, for something that has a name.
    ASSIGNED = "NAME=FILE, or a list of them"
    #: Values for templates.
    VALUES = "a mapping of names to texts"


LISTS = {Form.TEXTS, Form.FILES, Form.FOLDERS, Form.PATHS, Form.KEYS, Form.ASSIGNED}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. *parameter* is what the option's value is called in the program."""

    parameter: str
    form: Form = Form.TEXT
    choices: tuple[str, ...] = ()
    #: Whether it describes the seed.
    of_seed: bool = False
    default: str = ""


def _names(kinds: type[StrEnum]) -> tuple[str, ...]:
    return tuple(map(str, kinds))


#: Of a machine, of the defaults, and of a golden image.
SETTINGS = {
    "mode": Setting("mode", choices=_names(Mode), default="overlay"),
    "hostname": Setting("hostname", default="{name}"),
    "definition": Setting("definition", Form.FILE),
    "nvram": Setting("nvram", Form.FILE),
    "seed": Setting("seed", choices=_names(SeedPolicy), default="auto"),
    "user": Setting("users", Form.TEXTS, of_seed=True),
    "ssh-key": Setting("ssh_keys", Form.KEYS, of_seed=True),
    "password-file": Setting("password_file", Form.FILE, of_seed=True),
    "generate-password": Setting("generate_password", Form.FLAG, of_seed=True),
    "package": Setting("packages", Form.TEXTS, of_seed=True),
    "run": Setting("run", Form.TEXTS, of_seed=True),
    "timezone": Setting("timezone", of_seed=True),
    "disk-grow": Setting("disk_grow", Form.FLAG, of_seed=True),
    "user-key": Setting("user_keys", Form.ASSIGNED, of_seed=True),
    "write-file": Setting("write_files", Form.ASSIGNED, of_seed=True),
    "dsmode": Setting("dsmode", choices=("local", "net"), of_seed=True),
    "user-data": Setting("user_data", Form.FILES, of_seed=True),
    "template": Setting("templates", Form.FILES, of_seed=True),
    "set": Setting("values", Form.VALUES, of_seed=True),
    "network-config": Setting("network_config", Form.FILE, of_seed=True),
    "vendor-data": Setting("vendor_data", Form.FILES, of_seed=True),
    "address": Setting("address", Form.TEXTS, of_seed=True),
    "gateway": Setting("gateway", Form.TEXTS, of_seed=True),
    "dns": Setting("dns", Form.TEXTS, of_seed=True),
    "oui": Setting("oui"),
    "machine-id": Setting("machine_id", default="auto"),
    "ssh-host-keys": Setting("ssh_host_keys", choices=SSH_HOST_KEYS, default="auto"),
    "uuids": Setting("uuids", choices=UUIDS, default="renew"),
    "profile": Setting("profile", choices=_names(Profile), default="identity"),
    "enable": Setting("enable", Form.TEXTS),
    "disable": Setting("disable", Form.TEXTS),
    "strict": Setting("strict", Form.FLAG),
    "delete-snapshots": Setting("delete_snapshots", Form.FLAG),
    "catalogue": Setting("catalogues", Form.FILES),
    "engine": Setting("engine", choices=("auto", "guestfs", "direct", "appliance"), default="auto"),
    "format": Setting("image_format", choices=_names(Format)),
    "add-disk": Setting("add_disks", Form.FILES),
    "allow-dir": Setting("allow", Form.FOLDERS),
    "key-file": Setting("key_files", Form.FILES),
}

#: Of the whole fleet: who owns an identity, and where everything is, is one thing.
FLEET = {
    "output-dir": Setting("folder", Form.PATH),
    "ledger": Setting("ledger", Form.LEDGER),
    "avoid": Setting("avoid", Form.PATHS),
    "cache": Setting("cache", Form.FOLDER),
    "derive-from": Setting("derive_from", Form.FILE),
}

#: Settings of the network that a fleet file has in place of `network-config`.
ADDRESSES = ("address", "gateway", "dns")

#: Of a machine alone: which it is.
MACHINE = ("name", "count", "start", "table", "golden")
