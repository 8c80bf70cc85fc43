"""The identities of a guest that rules know: of devices, of files, of the catalogue's rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.volumes import Kind
from unclone.sanitize import machine_ids
from unclone.sanitize.actions.blank import values
from unclone.sanitize.actions.drop_lines import split
from unclone.sanitize.audit.forms import may_identify
from unclone.sanitize.audit.values import Found, digest
from unclone.sanitize.boot.kernel_arguments import values as arguments
from unclone.sanitize.catalogue.row import PLACES_LIMIT
from unclone.sanitize.dhcp.identities import fixed_identities
from unclone.sanitize.facts import Facts
from unclone.sanitize.identifiers import is_none
from unclone.sanitize.inventory.boot_host_names import boot_host_names
from unclone.sanitize.inventory.host_names import host_names
from unclone.sanitize.inventory.network import network
from unclone.sanitize.mac_pins.pins import addresses
from unclone.sanitize.options import Profile
from unclone.sanitize.ssh.host_keys import find_host_keys, orphans
from unclone.sanitize.ssh.key import KEY_LIMIT, NotAKeyError, read_public
from unclone.sanitize.ssh.sshd import sshd_config
from unclone.sanitize.steps.dhcp_identities import DHCP
from unclone.sanitize.steps.kernel_identities import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest
    from unclone.images.volumes import FileSystem, Identifier
    from unclone.sanitize.catalogue.row import CatalogueRow, CatalogueStep

#: Bytes of a file that are compared, and files of one row: a row may name a whole folder.
CONTENT_LIMIT = 1024 * 1024
FILES_LIMIT = 500

_NOTHING_STATED = re.compile(rb"(?m)^[ \t\r]*(?:[#;].*)?(?:\n|\Z)")

#: cloud-init's own words where nothing gave the machine an id.
_NO_INSTANCE = ("iid-datasource-none", "nocloud", "i-00000000")


def known(guest: Guest, rows: Iterable[CatalogueStep]) -> Iterator[Found]:
    """Every identity of *guest* that a rule knows, and what it shares with others by design.

    *rows* are the catalogue.
    """
    facts = Facts(guest)
    yield from of_devices(guest.identifiers(), guest.file_systems())
    yield from _machine_ids(guest, facts)
    yield from _keys(guest)
    for name in host_names(guest, boot_host_names(facts)):
        yield from (Found("host-name", name.value, path) for path in name.paths)
    fixed = network(guest)
    for mac in fixed.macs:
        yield from (Found("mac-address", mac.value, path) for path in mac.paths)
    for address in fixed.addresses:
        bare = address.value.partition("/")[0]
        yield from (Found("ip-address", bare, path) for path in address.paths)
    for path, file in fixed_identities(guest, {}).items():
        for sent in (*(each.value for each in file.goes), *file.named):
            yield Found(DHCP, sent, path)
    for place, text in facts.kernel_argument_texts:
        for named in addresses(text):
            yield Found("mac-address", named, place.path)
        for argument in ARGUMENTS:
            for value in arguments(text, place.kind, argument.name):
                yield Found(argument.file.rpartition("/")[2], value, place.path)
    instance = guest.text_or_empty("/var/lib/cloud/data/instance-id", 256).strip()
    if instance:
        why = (
            "cloud-init calls every machine so that has no seed" if instance in _NO_INSTANCE else ""
        )
        yield Found("instance-id", instance, "/var/lib/cloud/data/instance-id", why)
    for step in rows:
        yield from _of_row(guest, facts, step)


def of_devices(
    identifiers: Iterable[Identifier], file_systems: Iterable[FileSystem]
) -> Iterator[Found]:
    """What is on the devices of a machine: also where no system can be read from them."""
    for each in identifiers:
        if not is_none(each.value):
            yield Found(str(each.kind), each.value, each.device)
    for fs in file_systems:
        if fs.partition_type:
            why = "it says what kind of partition this is"
            yield Found("partition-type", fs.partition_type, fs.device, why)


def _machine_ids(guest: Guest, facts: Facts) -> Iterator[Found]:
    for read in (machine_ids.read_systemd, machine_ids.read_dbus):
        try:
            found = read(guest)
        except UncloneError:  # it is not what its name says; the row of unknown values has it
            continue
        if found.id:
            yield Found(machine_ids.STEP, found.id, found.path)
    for file, text in facts.kernel_argument_texts:
        for value in machine_ids.baked_ids(file, text):
            yield Found(machine_ids.STEP, value, file.path)
    for credential in machine_ids.credential_files(facts):
        value = machine_ids.credential_id(credential)
        if value:
            yield Found(machine_ids.STEP, value, credential.path)


def _keys(guest: Guest) -> Iterator[Found]:
    keys = find_host_keys(guest, sshd_config(guest)).keys.values()
    for key in keys:
        name = key.old.fingerprint if key.old else digest(guest.read(key.path, KEY_LIMIT))
        yield Found("ssh-host-key", name, key.path)
    for path in orphans(guest, keys):
        try:
            public = read_public(guest.text_or_empty(path, KEY_LIMIT))
        except NotAKeyError:
            continue
        yield Found("ssh-host-key", public.fingerprint, path)


def _of_row(guest: Guest, facts: Facts, step: CatalogueStep) -> Iterator[Found]:
    row = step.row
    if row.profile is not Profile.IDENTITY:
        return
    try:
        for path in step.places(guest, facts, PLACES_LIMIT):
            yield from _at(guest, row, path)
    except OSError:  # what cannot be looked at is not claimed to be there
        return


def _at(guest: Guest, row: CatalogueRow, path: str) -> Iterator[Found]:
    found = guest.lstat(path)
    if found is not None and found.kind is Kind.DIRECTORY:
        for number, member in enumerate(guest.walk(path, limit=CONTENT_LIMIT)):
            if number >= FILES_LIMIT:
                return
            # Others in a folder are marks, versions and settings.
            if member.content and may_identify(member.content):
                yield Found(row.id, digest(_stated(member.content)), member.path)
    elif found is not None and found.kind is Kind.FILE and found.size:
        content = guest.read(path, CONTENT_LIMIT)
        if row.lines:
            kept, _ = split(content, row.lines)
            lines = set(content.splitlines()) - set(kept.splitlines())
            yield from (Found(row.id, digest(line.strip()), path) for line in sorted(lines))
        elif row.values:
            text = content.decode("utf-8", "surrogateescape")
            for value in dict.fromkeys(values(text, row.values)):
                yield Found(row.id, digest(value.encode("utf-8", "surrogateescape")), path)
        else:
            size = str(found.size).encode() if found.size > CONTENT_LIMIT else b""
            yield Found(row.id, digest(_stated(content) + size), path)


def _stated(content: bytes) -> bytes:
    """*content*; of a text, without comments and blank lines, which are no part of an identity."""
    return content if b"\0" in content else _NOTHING_STATED.sub(b"", content).strip()
