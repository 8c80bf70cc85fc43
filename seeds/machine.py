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
    from unclone.seeds.network import Network

#: useradd's own rule (Debian and Fedora), without the names that end in '$'.
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_TIME_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known about one machine. Everything but a name may be left out.

    ``users`` are administrators: ``sudo`` without a password, like the default user of a cloud
    image, which is not made when users are named. Without any, keys and password go to the
    default user. ``password`` may be a crypt(5) hash; another is hashed, and never stored.

    Raises :class:`SeedError` for a name that is none.
    """

    hostname: str = ""
    fqdn: str = ""
    instance_id: str = ""
    generation: int = 1
    users: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    password: str = field(default="", repr=False)
    packages: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    timezone: str = ""
    disk_grow: bool = False
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
        if self.users:
            return {"users": [self._user(name) for name in self.users]}
        data: dict[str, Any] = {}
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
        if self.ssh_keys:
            user["ssh_authorized_keys"] = list(self.ssh_keys)
        return user
