"""One machine, and the cloud-config and meta-data that describe it.

What an image may have set against a seed is set back in vendor-data: where a host name is given,
``preserve_hostname`` is off and the name's line in /etc/hosts is kept right; ``ssh_deletekeys`` is
on, because a copied image carries another's host keys. Vendor-data beats the image and loses to
user-data, where it can be set otherwise.

References: cloud-init ``doc/rtd/reference/modules.rst`` (Set Hostname, Users and Groups, SSH, Set
Passwords, Package Update Upgrade Install, Runcmd, Timezone, Growpart, Resizefs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unclone.seeds.errors import SeedError
from unclone.seeds.instance_id import checked_instance_id, instance_id
from unclone.seeds.names import host_name_problem
from unclone.seeds.password import hashed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.seeds.guest_file import GuestFile
    from unclone.seeds.network import Network

#: useradd's own rule (Debian and Fedora), without the names that end in '$'.
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_TIME_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known about one machine. Everything but a name may be left out.

    ``users`` are administrators: ``sudo`` without a password, like the default user of a cloud
    image, which is not made when users are named. Without any, keys and password go to the
    default user. ``user_keys`` are keys of one account more: of one of ``users``, or root.
    ``password`` may be a crypt(5) hash; another is hashed, and never stored. ``dsmode`` is local
    or net: whether cloud-init uses the seed before the network is up.

    Raises :class:`SeedError` for a name that is none.
    """

    hostname: str = ""
    fqdn: str = ""
    instance_id: str = ""
    generation: int = 1
    users: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    user_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    password: str = field(default="", repr=False)
    packages: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    timezone: str = ""
    disk_grow: bool = False
    write_files: tuple[GuestFile, ...] = ()
    dsmode: str = ""
    network: Network | None = None

    def __post_init__(self) -> None:
        """Refuse names that the guest would refuse."""
        for what, name in (("host name", self.hostname), ("FQDN", self.fqdn)):
            problem = host_name_problem(name) if name else ""
            if problem:
                raise SeedError(f"{name!r} cannot be a {what}: {problem}")
        if self.fqdn and "." not in self.fqdn:
            raise SeedError(
                f"{self.fqdn!r} is no FQDN: it has no domain",
                hint=f"Give it as --hostname {self.fqdn}.",
            )
        for user in self.users:
            if not _USER_NAME.fullmatch(user):
                raise SeedError(
                    f"{user!r} cannot be a user name",
                    hint="Lower-case letters, digits, '_' and '-', not beginning with a digit.",
                )
        for user in self.user_keys:
            if user != "root" and user not in self.users:
                raise SeedError(
                    f"there are keys for {user!r}, who is no user of this machine",
                    hint=f"Add --user {user}; root is always there.",
                )
        if self.dsmode not in {"", "local", "net"}:
            raise SeedError(f"dsmode cannot be {self.dsmode!r}", hint="It is local or net.")
        if self.timezone and not _TIME_ZONE.fullmatch(self.timezone):
            raise SeedError(f"{self.timezone!r} is no time zone", hint="Write it as Europe/Berlin.")
        if self.instance_id:
            checked_instance_id(self.instance_id)
        if not self.name and not self.instance_id:
            raise SeedError(
                "nothing says which machine this is",
                hint="Give a host name or an instance-id: cloud-init knows machines by it.",
            )

    @property
    def name(self) -> str:
        """The longest name it has."""
        return self.fqdn or self.hostname

    @property
    def identity(self) -> str:
        """The instance-id: the one given, or the one that follows from the name."""
        return self.instance_id or instance_id(self.name, self.generation)

    def meta_data(self) -> dict[str, Any]:
        """The file ``meta-data``; the host name is here so that any user-data leaves it alone."""
        data = {"instance-id": self.identity}
        if self.name:
            data["local-hostname"] = self.name
        if self.dsmode:
            data["dsmode"] = self.dsmode
        return data

    def cloud_config(self) -> dict[str, Any]:
        """What has to be said in user-data; empty when meta-data says it all."""
        data: dict[str, Any] = {}
        if self.hostname and self.fqdn and self.fqdn.split(".")[0] != self.hostname:
            data |= {"hostname": self.hostname, "fqdn": self.fqdn}
        data |= self._accounts()
        if self.packages:
            data |= {"package_update": True, "packages": list(self.packages)}
        if self.run:
            data["runcmd"] = list(self.run)
        if self.write_files:
            data["write_files"] = [file.to_config() for file in self.write_files]
        if self.timezone:
            data["timezone"] = self.timezone
        if self.disk_grow:
            data["growpart"] = {"mode": "auto", "devices": ["/"], "ignore_growroot_disabled": False}
            data["resize_rootfs"] = True
        return data

    def defaults(self) -> dict[str, Any]:
        """What is said in vendor-data."""
        data: dict[str, Any] = {}
        if self.name:
            # "localhost" changes only the line of 127.0.1.1, where the old name may be.
            data |= {"preserve_hostname": False, "manage_etc_hosts": "localhost"}
        return data | {"ssh_deletekeys": True}

    def _accounts(self) -> dict[str, Any]:
        root = self._root()
        if self.users:
            return {"users": [*map(self._user, self.users), *root]}
        data: dict[str, Any] = {"users": ["default", *root]} if root else {}
        shared = set(self.ssh_keys) & set(self.user_keys.get("root", ()))
        if shared:
            # cloud-init puts the default user's keys into root's file, too, where they only say
            # that root is disabled.
            if shared != set(self.ssh_keys):
                raise SeedError(
                    "root has some keys of the default user, and not all",
                    hint="Name a user (--user), so that each account has keys of its own.",
                )
            data["disable_root"] = False
        if self.ssh_keys:
            data["ssh_authorized_keys"] = list(self.ssh_keys)
        if self.password:
            # Set for the default user; it does not have to be changed at the first login.
            data["password"] = hashed(self.password, f"{self.identity}/default")
            data["chpasswd"] = {"expire": False}
        return data

    def _user(self, name: str) -> dict[str, Any]:
        user: dict[str, Any] = {
            "name": name,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": not self.password,
        }
        if self.password:
            user["passwd"] = hashed(self.password, f"{self.identity}/{name}")
        keys = dict.fromkeys((*self.ssh_keys, *self.user_keys.get(name, ())))
        if keys:
            user["ssh_authorized_keys"] = list(keys)
        return user

    def _root(self) -> list[dict[str, Any]]:
        """The entry for root, whose password is left as it is in the image."""
        keys = self.user_keys.get("root", ()) if "root" not in self.users else ()
        if not keys:
            return []
        return [{"name": "root", "lock_passwd": False, "ssh_authorized_keys": list(keys)}]
