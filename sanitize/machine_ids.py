"""The machine-ids of a guest as they are now, and what the person wants instead.

They are in two files, and may be on a kernel command line or in a credential of systemd as well.
Every step around the machine-id asks here which ids this run takes away, so that all of them agree.

References: machine-id(5); kernel-command-line(7); systemd.system-credentials(7); systemd
src/shared/machine-id-setup.c (the order in which PID 1 looks for an id; since v254 a credential
fills a file that is empty, ``uninitialized`` or missing); dbus-uuidgen(1).
"""

from __future__ import annotations

import posixpath
import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize import credentials
from unclone.sanitize.boot.kernel_arguments import ArgumentKind, read_uki, values

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.boot.kernel_arguments import KernelArgumentFile
    from unclone.sanitize.credentials import Credential
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.step import PlanningContext

STEP = "machine-id"
KERNEL_STEP = "kernel-machine-id"
CREDENTIAL_STEP = "credential-machine-id"
SYSTEMD = "/etc/machine-id"
DBUS = "/var/lib/dbus/machine-id"

#: On the kernel command line it overrides a valid file; ``firmware`` (systemd 257) names no id.
ARGUMENT = "systemd.machine_id"
HARMLESS = ("firmware",)

#: The credential that fills ``/etc/machine-id`` when that holds no id.
CREDENTIAL = "system.machine_id"

#: A valid file has 33 bytes. What is larger is something else and is never read.
SIZE_LIMIT = 4096

_ID = re.compile(r"[0-9a-f]{32}")
_DASHED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class State(StrEnum):
    """What a machine-id file can be."""

    ABSENT = "absent"
    EMPTY = "empty"
    UNINITIALIZED = "uninitialized"
    ID = "id"
    #: A symlink into /run, which is made anew at every boot.
    VOLATILE = "volatile"


class MachineIdFile(NamedTuple):
    """One of the two files. *id* is set in state ID; *physical* is where the content is."""

    path: str
    state: State
    id: str = ""
    is_link: bool = False
    physical: str = ""


class Mode(StrEnum):
    """What is to become of ``/etc/machine-id``; SET is ``random`` or 32 given digits."""

    AUTO = "auto"
    REMOVE = "remove"
    EMPTY = "empty"
    UNINITIALIZED = "uninitialized"
    SET = "set"


def requested(context: PlanningContext) -> tuple[Mode, str]:
    """The mode asked for, and the new id when it is known beforehand.

    Where a partition is /var only for its machine-id, the default is a new id.

    Raises :class:`UsageError` for anything but the documented values.
    """
    asked = context.options.machine_id
    if asked == "random" or (asked == Mode.AUTO and _is_needed(context)):
        return Mode.SET, context.new_values.machine_id
    if _ID.fullmatch(asked) and asked.strip("0"):
        return Mode.SET, asked
    if asked in set(Mode) - {Mode.SET}:
        return Mode(asked), ""
    raise UsageError(
        f"{printable(asked)} is not a machine-id mode",
        hint="Use auto, remove, empty, uninitialized, random, or 32 lower-case hex digits that "
        "are not all zero.",
    )


def _is_needed(context: PlanningContext) -> bool:
    """Whether the guest needs an id that is known now; it asks for a first boot otherwise."""
    if context.var_partition is None:
        return False
    return read_systemd(context.guest).state is not State.UNINITIALIZED


def retiring(context: PlanningContext) -> tuple[str, ...]:
    """The ids this run takes away: in the two files, or on a kernel command line.

    Not among them is the id that is asked for, and one that stays on a kernel command line. Empty
    when the machine-id step is disabled: what is named after an id that stays, stays too.
    """
    guest, disable = context.guest, context.options.disable
    if STEP in disable:
        return ()
    _, new = requested(context)
    stays = {new}
    found = [read_systemd(guest).id, read_dbus(guest).id]
    for file, text in context.facts.kernel_argument_texts:
        fixed = KERNEL_STEP in disable or is_signed(guest, file)
        (stays.update if fixed else found.extend)(baked_ids(file, text))
    (stays.update if CREDENTIAL_STEP in disable else found.extend)(
        credential_id(one) for one in credential_files(context.facts)
    )
    return tuple(dict.fromkeys(old for old in found if old and old not in stays))


class Baked(NamedTuple):
    """A kernel argument that gives an id. *id* is "" when it is not a valid one."""

    name: str
    prefix: str  # what its value begins with, before the id
    value: str
    id: str


def baked(file: KernelArgumentFile, text: str) -> list[Baked]:
    """The arguments of one file that give a machine-id, but for those that leave it to firmware."""
    return [
        Baked(name, prefix, value, _parse(given)[1])
        for name, prefix in (
            (ARGUMENT, ""),
            (credentials.ARGUMENT, f"{CREDENTIAL}:"),
            (credentials.BINARY_ARGUMENT, f"{CREDENTIAL}:"),
        )
        for value in values(text, file.kind, name)
        if value.startswith(prefix)
        and (given := credentials.decoded(name, value) if prefix else value) not in HARMLESS
    ]


def baked_ids(file: KernelArgumentFile, text: str) -> list[str]:
    """The valid ids that one file gives on a kernel command line."""
    return [one.id for one in baked(file, text) if one.id]


def credential_files(facts: Facts) -> list[Credential]:
    """The credentials that give a machine-id, or may: what is encrypted is not known."""
    return [
        one for one in facts.credentials if one.name.lower() == CREDENTIAL and not _is_harmless(one)
    ]


def credential_id(credential: Credential) -> str:
    """The valid id that a credential gives, or ""."""
    return _parse(credential.text)[1]


def _is_harmless(credential: Credential) -> bool:
    return credential.text.strip() in HARMLESS


def is_signed(guest: Guest, file: KernelArgumentFile) -> bool:
    """Whether *file* is an EFI program in which nothing can be changed."""
    inside = read_uki(guest, file.path) if file.kind is ArgumentKind.UKI else None
    return inside is not None and inside.signed


def is_id(text: str) -> bool:
    """Whether *text* is a machine-id as systemd writes it."""
    return _ID.fullmatch(text) is not None


def read_systemd(guest: Guest) -> MachineIdFile:
    """``/etc/machine-id``. Raises :class:`RefusedError` when it is no machine-id file."""
    found = guest.lstat(SYSTEMD)
    if found is None:
        return MachineIdFile(SYSTEMD, State.ABSENT)
    is_link = found.kind is Kind.SYMLINK
    named, physical = SYSTEMD, SYSTEMD
    if is_link:
        target = guest.readlink(SYSTEMD)
        written = posixpath.normpath(posixpath.join("/etc", target))
        if written.startswith("/run/"):
            return MachineIdFile(SYSTEMD, State.VOLATILE, is_link=True, physical=written)
        named = f"{SYSTEMD} -> {printable(target, 200)}"
        try:
            physical = guest.resolve(SYSTEMD)
        except OSError as error:
            raise _refused(f"{named} cannot be followed: {error.strerror}") from None
        found = guest.stat(SYSTEMD)
        if found is None:
            raise _refused(f"{named} is a dangling symlink")
    if found.kind is not Kind.FILE:
        raise _refused(f"{named} is a {_word(found.kind)}, not a file")
    if found.size > SIZE_LIMIT:
        raise _refused(f"{named} has {found.size} bytes, too many for a machine-id")
    state, value = _parse(guest.read_text(SYSTEMD, SIZE_LIMIT))
    if state is None:
        raise _refused(f"{named} holds something that is not a machine-id")
    return MachineIdFile(SYSTEMD, state, value, is_link, physical)


def read_dbus(guest: Guest) -> MachineIdFile:
    """D-Bus' copy. A link that leads to ``/etc/machine-id`` has no state of its own: ABSENT.

    A regular file counts whatever it holds; it is removed, and an id in it is retired.
    """
    found = guest.lstat(DBUS)
    if found is None or _place(guest, DBUS) == _place(guest, SYSTEMD):
        return MachineIdFile(DBUS, State.ABSENT)
    if found.kind is Kind.SYMLINK:
        physical = _resolved_or_empty(guest, DBUS)
        if physical and physical in {_place(guest, SYSTEMD), _resolved_or_empty(guest, SYSTEMD)}:
            return MachineIdFile(DBUS, State.ABSENT, is_link=True, physical=physical)
        return MachineIdFile(DBUS, State.VOLATILE, is_link=True, physical=physical)
    if found.kind is not Kind.FILE:
        raise _refused(f"{DBUS} is a {_word(found.kind)}, not a file")
    text = guest.text_or_empty(DBUS, SIZE_LIMIT) if found.size <= SIZE_LIMIT else ""
    state, value = _parse(text)
    return MachineIdFile(DBUS, state or State.EMPTY, value, physical=_place(guest, DBUS))


def _parse(text: str) -> tuple[State | None, str]:
    """The state *text* stands for, and the id as 32 lower-case digits; None when it is neither."""
    word = text.strip().lower()
    if not word:
        return State.EMPTY, ""
    if word == "uninitialized":
        return State.UNINITIALIZED, ""
    if _DASHED.fullmatch(word) or _ID.fullmatch(word):
        value = word.replace("-", "")
        return State.ID, value if value.strip("0") else ""  # all zeros are no machine's id
    return None, ""


def _refused(message: str) -> RefusedError:
    return RefusedError(
        message,
        hint=f"Look at it in the guest and correct it, or leave it alone with --disable {STEP}.",
    )


def _resolved_or_empty(guest: Guest, path: str) -> str:
    try:
        return guest.resolve(path)
    except OSError:
        return ""


def _place(guest: Guest, path: str) -> str:
    """Where the name *path* itself is, its folder's symlinks followed and its own not."""
    folder, _, name = path.rpartition("/")
    return f"{_resolved_or_empty(guest, folder).rstrip('/')}/{name}"


def _word(kind: Kind) -> str:
    return "device or socket" if kind is Kind.OTHER else kind.value
