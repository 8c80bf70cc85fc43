"""Takes the inventory: before a run for ``inspect``, after one for what the report calls kept."""

from __future__ import annotations

import glob
from itertools import islice
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.sanitize.facts import Facts
from unclone.sanitize.hostname.verifying import old_names
from unclone.sanitize.inventory.boot_host_names import boot_host_names
from unclone.sanitize.inventory.host_names import host_names
from unclone.sanitize.inventory.inventory import Inventory, MachineId, SshHostKey
from unclone.sanitize.inventory.network import network
from unclone.sanitize.inventory.optional_steps import optional_steps, told
from unclone.sanitize.inventory.users import users
from unclone.sanitize.machine_ids import read_dbus, read_systemd
from unclone.sanitize.ssh.host_keys import find_host_keys
from unclone.sanitize.ssh.sshd import sshd_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Plan
    from unclone.sanitize.options import Options

#: Where certificates and their keys are called after the host they were made for.
CERTIFICATE_FOLDERS = (
    "/etc/ssl",
    "/etc/ssl/certs",
    "/etc/ssl/private",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/private",
    "/etc/apache2/ssl",
    "/etc/cups/ssl",
    "/etc/httpd/ssl",
    "/etc/ipsec.d/certs",
    "/etc/ipsec.d/private",
    "/etc/letsencrypt/live",
    "/etc/letsencrypt/renewal",
    "/etc/nginx/ssl",
    "/etc/pki/nginx",
    "/etc/pki/nginx/private",
    "/etc/postfix/ssl",
    "/etc/swanctl/private",
    "/etc/swanctl/x509",
    "/var/lib/icinga2/certs",
)

#: Certificates and host keys that are named; names that certificates are looked for by.
_LIMIT = 50


def take_inventory(guest: Guest, options: Options, plan: Plan | None = None) -> Inventory:
    """Look at *guest* as it is now. *options* say which steps are part of the run.

    Certificates may be called after a name that *plan*, which was carried out, has taken away.
    """
    facts = Facts(guest)
    names = host_names(guest, boot_host_names(facts))
    called = (*(name.value for name in names), *(old_names(plan) if plan else ()))
    fixed = network(guest)
    return Inventory(
        machine_ids=tuple(_machine_ids(guest)),
        host_names=names,
        users=users(guest),
        addresses=fixed.addresses,
        macs=fixed.macs,
        ssh_host_keys=tuple(_ssh_host_keys(guest))[:_LIMIT],
        certificates=tuple(_certificates(guest, called))[:_LIMIT],
        optional_steps=optional_steps(guest, facts, options),
        told=told(guest, facts, options),
    )


def _machine_ids(guest: Guest) -> Iterator[MachineId]:
    for read in (read_systemd, read_dbus):
        try:
            found = read(guest)
        except UncloneError:  # the step refuses such a guest, and says why
            continue
        yield MachineId(found.path, str(found.state), found.id)


def _ssh_host_keys(guest: Guest) -> Iterator[SshHostKey]:
    for key in find_host_keys(guest, sshd_config(guest)).keys.values():
        yield SshHostKey(key.path, key.kind, key.old.fingerprint if key.old else "")


def _certificates(guest: Guest, names: Iterable[str]) -> Iterator[str]:
    patterns = [glob.escape(name) for name in islice(names, _LIMIT)]
    seen: set[str] = set()
    for folder in CERTIFICATE_FOLDERS:
        for pattern in patterns:
            for suffix in ("", ".*", "-*", "_*"):
                for path in guest.glob(f"{folder}/{pattern}{suffix}"):
                    if path not in seen:
                        seen.add(path)
                        yield path
