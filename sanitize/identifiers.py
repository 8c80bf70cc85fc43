"""The identifiers of devices: one row of :data:`STEPS` per kind.

To add a kind, copy a row; the engines set it (``images/identifiers/``). The order is the order in
which they are set. What is inside comes before what it is in: a file system before the volume group
it is on, that before the disk.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.images.volumes import IdentifierKind
from unclone.sanitize.change import SET_IDENTIFIER, Change, Level, Note, Retired, StepPlan
from unclone.sanitize.identities.spellings import dashed_lvm
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.sanitize.identities.derivation import IdentityGenerator
    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a kind are written, and how a new one is made for a field of some name."""

    pattern: re.Pattern[str]
    draw: Callable[[IdentityGenerator, str], str]

    def fits(self, value: str) -> bool:
        """Whether *value* is one that :attr:`draw` could give."""
        return self.pattern.fullmatch(value) is not None and not is_none(value)


@dataclass(frozen=True, slots=True)
class IdentifierStep:
    """One kind of identifier.

    Which identifiers are renewed is decided for all kinds together (``identifier_decision``),
    because a reference may hold several of them; each step then plans for its own.
    """

    info: StepInfo
    kind: IdentifierKind
    form: Form

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each identifier, and a note for each that stays."""
        renewed = context.renewals.of(self.kind)
        return StepPlan(
            changes=tuple(
                Change(
                    step=self.info.id,
                    action=SET_IDENTIFIER,
                    target=each.device,
                    why=self.info.why,
                    old=each.old,
                    new=each.new,
                    details={"kind": self.kind.value},
                )
                for each in renewed
            ),
            notes=tuple(
                self._kept(blocker)
                for blocker in context.renewals.kept
                if blocker.renewal.kind is self.kind
            ),
            retired=tuple(Retired(self.info.id, self.kind.value, each.old) for each in renewed),
        )

    def _kept(self, blocker: Blocker) -> Note:
        renewal = blocker.renewal
        what = f"{self.info.title} {printable(renewal.old, 64)} on {renewal.device} is kept"
        lift = f" {blocker.lift}" if blocker.lift else ""
        return Note(self.info.id, Level.KEPT, f"{what}: {blocker.why}.{lift}")


def is_none(value: str) -> bool:
    """Whether *value* says that there is no identifier: nothing, or zeros only."""
    return not value.strip("0-:x")


# -- new values ----------------------------------------------------------------------------
def _uuid(identities: IdentityGenerator, field: str) -> str:
    """Lower case and dashed, as blkid prints it."""
    return identities.uuid(field)


def _array_uuid(identities: IdentityGenerator, field: str) -> str:
    """Four groups of eight digits, as mdadm prints it."""
    digits = identities.uuid(field).replace("-", "")
    return ":".join(digits[at : at + 8] for at in range(0, 32, 8))


#: What lib/uuid/uuid.c of LVM2 draws from, without the two signs that old versions also used.
_LVM_ALPHABET = string.digits + string.ascii_lowercase + string.ascii_uppercase
_LVM_LENGTH = 32


def _lvm_uuid(identities: IdentityGenerator, field: str) -> str:
    """32 letters and digits, dashed as LVM's own tools print them."""
    number = identities.number(field, 0, len(_LVM_ALPHABET) ** _LVM_LENGTH - 1)
    drawn = []
    for _ in range(_LVM_LENGTH):
        number, digit = divmod(number, len(_LVM_ALPHABET))
        drawn.append(_LVM_ALPHABET[digit])
    return dashed_lvm("".join(drawn))


def _disk_id(identities: IdentityGenerator, field: str) -> str:
    """32 bits as eight hex digits, as blkid prints them; zero would mean that there is none."""
    return f"{identities.number(field, 1, 0xFFFFFFFF):08x}"


def _serial(identities: IdentityGenerator, field: str) -> str:
    """32 bits as blkid prints them; zero would mean that there is none."""
    digits = f"{identities.number(field, 1, 0xFFFFFFFF):08X}"
    return f"{digits[:4]}-{digits[4:]}"


_UUID = Form(re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), _uuid)
_ARRAY_UUID = Form(re.compile(r"[0-9a-f]{8}(:[0-9a-f]{8}){3}"), _array_uuid)
_LVM_UUID = Form(re.compile(r"[0-9A-Za-z]{6}(-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"), _lvm_uuid)
_DISK_ID = Form(re.compile(r"[0-9a-f]{8}"), _disk_id)
_SERIAL = Form(re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}"), _serial)


# -- the kinds -----------------------------------------------------------------------------
def _step(kind: IdentifierKind, form: Form, title: str, why: str, *sources: str) -> IdentifierStep:
    return IdentifierStep(StepInfo(kind.value, title, why, sources), kind, form)


STEPS = (
    _step(
        IdentifierKind.FILE_SYSTEM_UUID,
        _UUID,
        "file system UUID",
        "two disks with one UUID cannot be told apart: which one is mounted is not defined",
        "tune2fs(8) -U",
        "xfs_admin(8) -U",
        "btrfstune(8) -U",
        "blkid(8)",
    ),
    # No tool sets it; subvolumes' UUIDs, which say who descends from whom, stay.
    _step(
        IdentifierKind.BTRFS_DEVICE_UUID,
        _UUID,
        "btrfs device UUID",
        "blkid's UUID_SUB: btrfs finds the devices of a file system by it",
        "btrfs-device(8)",
        "https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html",
    ),
    _step(
        IdentifierKind.SWAP_UUID,
        _UUID,
        "swap UUID",
        "a machine could swap to, or resume from, the disk of another",
        "swaplabel(8) -U",
        "mkswap(8) -U",
    ),
    _step(
        IdentifierKind.VFAT_SERIAL,
        _SERIAL,
        "FAT volume serial",
        "the EFI system partition is mounted and searched for by it",
        "fatlabel(8) -i",
        'Microsoft, "FAT: General Overview of On-Disk Format" 1.03',
    ),
    # A volume group's name stays: device paths are made of names.
    _step(
        IdentifierKind.LVM_VG_UUID,
        _LVM_UUID,
        "LVM volume group UUID",
        "two groups with the same UUID look like one group whose disks contradict each other",
        "vgchange(8) --uuid",
        "vgimportclone(8)",
    ),
    _step(
        IdentifierKind.LVM_PV_UUID,
        _LVM_UUID,
        "LVM physical volume UUID",
        "LVM refuses a volume group when two disks claim to be the same physical volume",
        "pvchange(8) --uuid",
        "vgimportclone(8)",
        "lvmdevices(8)",
    ),
    _step(
        IdentifierKind.LUKS_UUID,
        _UUID,
        "LUKS UUID",
        "crypttab and the initrd unlock a container by it; the keys stay the same",
        "cryptsetup-luksUUID(8)",
        "crypttab(5)",
    ),
    _step(
        IdentifierKind.MD_UUID,
        _ARRAY_UUID,
        "MD array UUID",
        "members of two arrays with one UUID are assembled into one",
        "mdadm(8) --update=uuid",
        "mdadm.conf(5)",
        "md(4)",
    ),
    _step(
        IdentifierKind.PARTITION_GUID,
        _UUID,
        "partition GUID",
        "root=PARTUUID= and /dev/disk/by-partuuid find a partition by it",
        "sfdisk(8) --part-uuid",
        "UEFI 2.10, 5.3.3 GPT Partition Entry Array",
    ),
    _step(
        IdentifierKind.DISK_GUID,
        _UUID,
        "disk GUID",
        "it says which disk this is; inventory and backup tools go by it",
        "sfdisk(8) --disk-id",
        "UEFI 2.10, 5.3.2 GPT Header",
    ),
    # The PARTUUID of each partition of an MBR disk is made from it.
    _step(
        IdentifierKind.MBR_DISK_ID,
        _DISK_ID,
        "MBR disk id",
        "root=PARTUUID=<id>-02 finds a partition by it, and firmware the boot disk",
        "sfdisk(8) --disk-id",
        "UEFI 2.10, 5.2.1 Legacy Master Boot Record",
    ),
)
