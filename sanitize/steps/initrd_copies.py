"""Copies of the machine's own files inside initrds: they become what the files become.

A file that a step removes, writes or makes anew has its copy removed, written or made anew as well,
whatever step it is. Where the file is gone already (a run before, a package that was removed), the
copy goes. What cannot follow is named.

References: dracut modules.d (lvm, iscsi, nvmf, multipath, systemd); open-iscsi,
debian/extra/initramfs.hook; dropbear, debian/initramfs/dropbear-hook; dracut-sshd,
46sshd/module-setup.sh; mkinitcpio-dropbear and mkinitcpio-tinyssh, install hooks.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import credentials, initrds, machine_ids
from unclone.sanitize.actions.follow_in_initrd import ACTION, SIZE_LIMIT, is_gone
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.step import StepInfo
from unclone.sanitize.steps import boot_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.step import PlanningContext

#: What is done to a file as a whole. References are rewritten in an initrd by their own steps.
_WHOLE = {
    *("remove", "write", "truncate", "blank", "drop-lines", "replace-text"),
    "generate-ssh-host-key",
}
#: Steps that edit files and correct the initrds' copies themselves.
_CORRECTING = {"mac-pins", "boot-entries"}
#: Other steps take care of their copies.
_OTHERS = ("etc/machine-id", "var/lib/dbus/machine-id")
#: A host name's copy follows however the file is changed.
_HOST_NAME = "etc/hostname"

#: Where a member comes from when not from the path it has: the first folder that has the file.
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "etc/dropbear": ("/etc/dropbear/initramfs", "/etc/dropbear-initramfs", "/etc/dropbear"),
    "etc/ssh": ("/etc/ssh/dracut_", "/etc/ssh"),
}

#: Goes with its file, by the step that removes that: an initrd that was made before still has it.
_GONE_WITH: Mapping[str, str] = {
    "etc/iscsi/initiatorname.iscsi": "iscsi-initiator-name",
    "etc/lvm/devices/system.devices": "lvm-devices",
    "etc/nvme/hostid": "nvme-host",
    "etc/nvme/hostnqn": "nvme-host",
    "var/lib/systemd/random-seed": "random-seed",
    **dict.fromkeys(
        (
            f".extra/credentials/{machine_ids.CREDENTIAL}.cred",
            f".extra/global_credentials/{machine_ids.CREDENTIAL}.cred",
            *(f"{store[1:]}/{machine_ids.CREDENTIAL}" for store in credentials.STORES),
            f"run/credentials/@initrd/{machine_ids.CREDENTIAL}",
        ),
        machine_ids.CREDENTIAL_STEP,
    ),
}

#: Secrets and names that identify the machine. Where nothing changes them, they are named.
_NAMED: Mapping[str, str] = {
    "etc/dropbear/*_host_key": "a private host key",
    "etc/ssh/ssh_host_*_key": "a private host key",
    "etc/tinyssh/sshkeydir/.*": "a private host key",
    "etc/initiatorname.iscsi": "the iSCSI initiator name",
    "etc/wireguard/*": "a WireGuard key",
    "etc/krb5.keytab": "Kerberos keys",
}


class InitrdCopies:
    """Makes copies follow, in every initrd."""

    info = StepInfo(
        id="initrd-copies",
        title="copies of identity files inside initrds",
        why="the initrd has a copy of its own, which each clone would go on using",
        sources=(
            "dracut.cmdline(7)",
            "https://github.com/gsauthof/dracut-sshd",
            "open-iscsi: debian/extra/initramfs.hook",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each initrd, a note for each copy that stays."""
        guest = context.guest
        later = boot_entries.renamed_entries(context)
        changes, notes = [], []
        for path in initrds.find(guest):
            survey = initrds.look_into(guest.read(path, initrds.SIZE_LIMIT), ())
            if survey.unreadable:
                notes.append(self._unread(f"the initrd {printable(path)}", survey))
                continue
            copies = dict(_copies(context, survey))
            survey = _with_contents(guest, path, copies)
            copies = {m: s for m, s in copies.items() if guest.exists(s) or not is_gone(survey, m)}
            large = [m for m, s in copies.items() if _size(guest, s) > SIZE_LIMIT]
            notes += [self._kept(path, m, "a copy of a large file") for m in large]
            copies = {m: s for m, s in copies.items() if m not in large}
            notes += [self._kept(path, *one) for one in _left(survey, copies)]
            if copies:
                shown = ", ".join(f"/{member}" for member in copies)
                place = boot_entries.at_the_end(path, later)
                why, details = self.info.why, {"members": copies}
                changes.append(
                    Change(self.info.id, ACTION, place, why, printable(shown, 400), "", details)
                )
        for path, program in context.facts.efi_programs.items():
            for content in program.initrds:
                survey = initrds.look_into(content, ())
                if survey.unreadable:
                    notes.append(self._unread(f"the initrd inside {printable(path)}", survey))
                copies = dict(_copies(context, survey))
                stays = [(member, "a copy of a file that is changed") for member in copies]
                notes += [self._kept(path, *one) for one in (*stays, *_left(survey, copies))]
        return StepPlan(tuple(changes), tuple(dict.fromkeys(notes)))

    def _kept(self, path: str, member: str, what: str) -> Note:
        text = f"the initrd in {printable(path)} keeps {what} ({printable(member)})"
        return Note(self.info.id, Level.KEPT, f"{text}: make the initrd anew in the machine")

    def _unread(self, what: str, survey: Survey) -> Note:
        text = f"{what} cannot be read ({survey.unreadable}): it may hold copies of the machine's"
        return Note(self.info.id, Level.WARNING, f"{text} keys and names, which would stay")


def _with_contents(guest: Guest, path: str, members: Mapping[str, str]) -> Survey:
    return initrds.look_into(guest.read(path, initrds.SIZE_LIMIT), (), read=members)


def _copies(context: PlanningContext, survey: Survey) -> Iterator[tuple[str, str]]:
    """Each member that has to follow, and the path of what it follows."""
    guest, disabled = context.guest, context.options.disable
    changed = {each.target for each in context.changes if each.step not in _CORRECTING}
    whole = {each.target for each in context.changes if each.action in _WHOLE} & changed
    for member, found in survey.members.items():
        if found.header.is_directory or member in _OTHERS:
            continue
        source = _source(guest, member)
        step = _GONE_WITH.get(member)
        if step == machine_ids.CREDENTIAL_STEP and machine_ids.STEP in disabled:
            continue
        followed = _is_changed(source, whole) or (member == _HOST_NAME and source in changed)
        if followed or (step and step not in disabled and not guest.exists(source)):
            yield member, source


def _source(guest: Guest, member: str) -> str:
    """The path on disk that *member* is a copy of."""
    folder, _, name = member.rpartition("/")
    for other in _SOURCES.get(folder, ()):
        path = f"{other}{name}" if other.endswith("_") else f"{other}/{name}"
        if guest.exists(path):
            return path
    return f"/{member}"


def _size(guest: Guest, path: str) -> int:
    stat = guest.stat(path)
    return stat.size if stat else 0


def _is_changed(path: str, changed: set[str]) -> bool:
    """Whether the file at *path* is changed as a whole, or with a folder above it."""
    while path not in {"", "/"}:
        if path in changed:
            return True
        path = path.rpartition("/")[0]
    return False


def _left(survey: Survey, copies: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """What identifies the machine and stays: the member, and what it is."""
    return [
        (member, what)
        for member, found in survey.members.items()
        if member not in copies and found.header.size and not found.header.is_directory
        if not is_gone(survey, member)
        for pattern, what in _NAMED.items()
        if fnmatch.fnmatchcase(member, pattern)
    ]
