"""Will a copy of this guest find its disks? What in it counts on the machine it was on.

Identifiers follow the disk. Names of devices follow the machine: ``/dev/sda1`` is ``/dev/vda1``
where the disk hangs on virtio, and ``/dev/disk/by-id`` has the serial number of the disk that was
copied from. Labels are copied and stay equal. None of this is changed here; the report says it.

References: fstab(5), crypttab(5), systemd.mount(5), kernel-parameters.txt (``root=``), GRUB manual
("Device map"); systemd ``rules.d/60-persistent-storage.rules.in`` (what by-id and by-path are made
of); Debian grub-pc.postinst (``grub-pc/install_devices``).
"""

from __future__ import annotations

import re
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from unclone.images import fstab
from unclone.images.text import printable
from unclone.sanitize.actions.delete_subvolume import deletions
from unclone.sanitize.boot import kernel_arguments
from unclone.sanitize.boot.kernel_arguments import ArgumentKind
from unclone.sanitize.change import Level, Note
from unclone.sanitize.drivers import missing_drivers
from unclone.sanitize.renewal import Renewals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.change import Change
    from unclone.sanitize.facts import Facts

#: Names a kernel gives to disks in the order it meets them, by the bus they are on.
_BY_ORDER = r"/dev/(?:(?:s|v|xv|h)d[a-z]+\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?)"
#: Names made of the disk's hardware: its serial number, the slot it is in.
_BY_HARDWARE = r"/dev/disk/by-(?:id|path|diskseq)/[^\s\"',;)|]+"
_DEVICE = re.compile(rf"(?<![\w/.:-])(?P<order>{_BY_ORDER})(?![\w/])|(?P<hardware>{_BY_HARDWARE})")
#: These names under by-id are not the hardware's but the volume group's, the array's ...
_NOT_HARDWARE = re.compile(r"/dev/disk/by-id/(?:dm-|lvm-|md-)")

_BY_LABEL = re.compile(r"(?:LABEL=|/dev/disk/by-label/)(?P<quote>[\"']?)(?P<label>.+)(?P=quote)")

#: Settings of programs that put a boot loader or an initrd together, and the units of systemd.
_SETTINGS = (
    "/etc/initramfs-tools/conf.d/*",
    "/etc/default/grub_installdevice",
    "/boot/grub/device.map",
    "/boot/grub2/device.map",
)
_READ_AT_BOOT = (
    "/etc/mdadm.conf",
    "/etc/mdadm/mdadm.conf",
    "/etc/lvm/lvm.conf",
    "/etc/lvm/lvmlocal.conf",
)
_UNITS = tuple(
    f"{folder}/*.{kind}"
    for folder in ("/etc/systemd/system", "/usr/local/lib/systemd/system")
    for kind in ("mount", "automount", "swap", "device", "service")
)
#: What a unit's name, escaped, or a setting in it says.
_OF_UNIT = re.compile(r"(?m)^[ \t]*(?:What|BindsTo|Requires|After|Wants|Exec\w+)[ \t]*=(.*)$")
_ESCAPED = re.compile(r"dev-disk-by\\x2d(?:id|path|diskseq)-[^\s/]+?(?=\.(?:device|swap)\b)")
_DEBCONF = "/var/cache/debconf/config.dat"

_LIMIT = 1024 * 1024  # bytes; no file of these is larger
_DEBCONF_LIMIT = 16 * 1024 * 1024
_MOST = 8  # names that a note lists


def notes(
    guest: Guest,
    facts: Facts,
    initrds: Mapping[str, Survey] = MappingProxyType({}),
    renewals: Renewals | None = None,
    changes: Sequence[Change] = (),
) -> tuple[Note, ...]:
    """What a report about *guest* should say, the worst first. Nothing for one that is ready.

    *initrds* are those that were unpacked anyway, by physical path: only they are looked into.
    A name that is one of *renewals* follows the definition, and is no matter; nor is a snapshot
    that one of *changes* deletes.
    """
    found = [
        *_device_names(guest, facts, renewals or Renewals()),
        *_labels(guest, facts),
        *_other_systems(guest, changes),
        *_volume_snapshots(guest),
        *(_note(level, text) for level, text in missing_drivers(guest, initrds)),
    ]
    return tuple(sorted(found, key=lambda note: note.level is not Level.WARNING))


def _other_systems(guest: Guest, changes: Sequence[Change]) -> Iterator[Note]:
    """Snapshots and subvolumes that are not mounted, and what of the original is in each."""
    deleted = deletions(changes)
    deletable = {(each.device, each.subvolume) for each in guest.layout.snapshots if not each.stays}
    for device in dict.fromkeys(other.device for other in guest.layout.other_systems):
        others = [
            other
            for other in guest.layout.other_systems
            if other.device == device and other.subvolume not in deleted.get(device, ())
        ]
        if not others:
            continue
        named = "; ".join(
            f"{printable(other.subvolume or '(top level)', 80)}: "
            f"{', '.join(printable(file, 80) for file in other.files[:_MOST]) or 'not looked into'}"
            for other in others[:_MOST]
        )
        more = f"; and {len(others) - _MOST} more" if len(others) > _MOST else ""
        text = (
            f"{len(others)} snapshots or subvolumes of {printable(device)} that are not mounted "
            f"keep the original's identity ({named}{more}). "
        )
        if unseen := sum(not other.files for other in others):
            text += f"{unseen} of them were not looked into. "
        of_snapshots = sum((device, other.subvolume) in deletable for other in others)
        text += (
            f"--delete-snapshots deletes {of_snapshots} of them: those that are snapshots."
            if of_snapshots
            else "Delete them in the guest before it is copied."
        )
        yield _note(Level.KEPT, text)


def _volume_snapshots(guest: Guest) -> Iterator[Note]:
    """LVM's: what is in them is as old as they are, and what a run changes is kept in them."""
    named = _listed([f"{name} (of {origin})" for name, origin in guest.layout.volume_snapshots])
    if named:
        yield _note(
            Level.KEPT,
            f"snapshots on LVM keep the original's identity: {named}. They are not looked into; "
            "`lvremove` in the guest before it is copied takes them away.",
        )


def _device_names(guest: Guest, facts: Facts, renewals: Renewals) -> Iterator[Note]:
    for path, text, level in _texts(guest, facts):
        yield from _named(path, renewals.rewriter.rewritten_text(text), text, level)


def _texts(guest: Guest, facts: Facts) -> Iterator[tuple[str, str, Level]]:
    """What may name a device: the file, what it says, and how much that matters."""
    # What the next boot reads matters most. A medium that may be missing does no harm.
    table = fstab.parse(guest.text_or_empty("/etc/fstab", _LIMIT)).entries
    needed = " ".join(entry.spec for entry in table if not entry.optional)
    yield ("/etc/fstab", needed, Level.WARNING)
    yield ("/etc/crypttab", "\n".join(_containers(guest)), Level.WARNING)
    for pattern in _UNITS:
        for path in guest.glob(pattern):
            what = [path, *_OF_UNIT.findall(guest.text_or_empty(path, _LIMIT))]
            yield (path, _unescaped("\n".join(what)), Level.WARNING)
    booted: dict[str, list[str]] = {}
    for line in facts.kernel_command_lines:
        booted.setdefault(line.path, []).extend(line.arguments)
    for path, words in booted.items():
        yield (path, "\n".join(words), Level.WARNING)
    for file, text in facts.kernel_argument_texts:
        if file.kind in {ArgumentKind.ASSIGNMENTS, ArgumentKind.TEMPLATE}:
            words = [w for line in kernel_arguments.arguments(text, file.kind) for w in line]
            yield (file.path, "\n".join(words), Level.INFO)
    for patterns, level in ((_READ_AT_BOOT, Level.WARNING), (_SETTINGS, Level.INFO)):
        for path in (path for pattern in patterns for path in guest.glob(pattern)):
            yield (path, _without_comments(guest.text_or_empty(path, _LIMIT)), level)
    for question in guest.text_or_empty(_DEBCONF, _DEBCONF_LIMIT).split("\n\n"):
        if question.lstrip().startswith("Name: grub-pc/install_devices\n"):
            answer = re.findall(r"(?m)^Value: (.*)$", question)
            yield (_DEBCONF, "\n".join(answer), Level.INFO)


def _named(path: str, after: str, text: str, level: Level) -> Iterator[Note]:
    """One note for the names of devices in *text* of *path* that are there *after* the run, too."""
    order, hardware = [], []
    stays = {match[0] for match in _DEVICE.finditer(after)}
    for match in _DEVICE.finditer(text):
        if match[0] not in stays:
            continue
        if match["order"]:
            order.append(match["order"])
        elif not _NOT_HARDWARE.match(match["hardware"]):
            hardware.append(match["hardware"])
    consequence = (
        "it is read at boot"
        if level is Level.WARNING
        else "it counts when a boot loader, an initrd or a boot entry is next made"
    )
    for names, why in (
        (order, "the same disk has another name on another bus or beside other disks"),
        (
            hardware,
            "the name is made of the disk's serial number or slot, which differ in a copy",
        ),
    ):
        if names:
            yield _note(
                level,
                f"{printable(path)} names {_listed(names)}: {why}, and {consequence}. "
                "Name it by UUID in the image.",
            )


def _labels(guest: Guest, facts: Facts) -> Iterator[Note]:
    users: dict[str, str] = {}
    for entry in fstab.parse(guest.text_or_empty("/etc/fstab", _LIMIT)).entries:
        match = _BY_LABEL.fullmatch(entry.spec)
        if match and not entry.optional:
            users.setdefault(match["label"], "/etc/fstab")
    for line in facts.kernel_command_lines:
        for argument in line.arguments:
            match = _BY_LABEL.fullmatch(argument.partition("=")[2])
            if match:
                users.setdefault(match["label"], line.path)
    there = Counter(fs.label for fs in guest.file_systems() if fs.label)
    for label, path in users.items():
        if there[label] > 1:
            yield _note(
                Level.WARNING,
                f"{printable(path)} names a file system by the label {printable(label, 40)!r}, "
                f"which {there[label]} of this guest's have: which of them is used is not defined. "
                "Name it by UUID in the image.",
            )
    shared = [label for label in users if there[label] <= 1]
    if shared:
        paths = _listed(dict.fromkeys(users[label] for label in shared))
        yield _note(
            Level.INFO,
            f"{paths}: file systems named by label ({_listed(shared)}). A copy keeps the labels: "
            "with the disks of two copies in one machine, either may be used.",
        )


def _unescaped(text: str) -> str:
    """*text* with the names of device units as paths (systemd.unit(5))."""
    return _ESCAPED.sub(lambda m: "/" + m[0].replace("-", "/").replace(r"\x2d", "-"), text)


def _containers(guest: Guest) -> Iterator[str]:
    """The second field of each line of crypttab that is needed for the boot."""
    for line in _without_comments(guest.text_or_empty("/etc/crypttab", _LIMIT)).splitlines():
        fields = line.split()
        options = fields[3].split(",") if len(fields) > 3 else []
        if len(fields) > 1 and not {"noauto", "nofail"} & set(options):
            yield fields[1]


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^[ \t]*#.*$", "", text)


def _listed(names: Sequence[str] | dict[str, None]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(printable(name, 100) for name in unique[:_MOST])
    return f"{shown} and {len(unique) - _MOST} more" if len(unique) > _MOST else shown


def _note(level: Level, text: str) -> Note:
    return Note("clone-readiness", level, text)
