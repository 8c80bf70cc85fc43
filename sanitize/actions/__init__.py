"""What can be done to a guest: one file per action, each able to apply and to verify itself.

A ``Change`` names its action; :data:`ACTIONS` finds it. To add an action,
copy one of the files beside this one and add a line to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from unclone.sanitize.actions.blank import Blank
from unclone.sanitize.actions.clear import Clear
from unclone.sanitize.actions.correct_initrd import CorrectInitrd
from unclone.sanitize.actions.delete_subvolume import DeleteSubvolume
from unclone.sanitize.actions.drop_lines import DropLines
from unclone.sanitize.actions.empty_in_initrd import EmptyInInitrd
from unclone.sanitize.actions.follow_in_initrd import FollowInInitrd
from unclone.sanitize.actions.patch_efi_program import PatchEfiProgram
from unclone.sanitize.actions.remove import Remove
from unclone.sanitize.actions.remove_kernel_argument import RemoveKernelArgument
from unclone.sanitize.actions.rename import Rename
from unclone.sanitize.actions.replace_identifiers import ReplaceIdentifiers
from unclone.sanitize.actions.replace_text import ReplaceText
from unclone.sanitize.actions.rewrite_uboot_environment import RewriteUBootEnvironment
from unclone.sanitize.actions.rewrite_uimage import RewriteUImage
from unclone.sanitize.actions.set_host_name import SetHostName
from unclone.sanitize.actions.set_identifier import SetIdentifier
from unclone.sanitize.actions.ssh_host_key import GenerateSshHostKey
from unclone.sanitize.actions.truncate import Truncate
from unclone.sanitize.actions.write import Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Action(Protocol):
    """One way of changing a guest, and of proving that it was changed."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Do it. Returns the new value when it is only known now (a fingerprint), else ""."""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:
        """Read it back from the reopened guest. Returns what is wrong, or "" when it is done."""


#: Every action by the name a change gives it; ``tests/sanitize`` exercises each.
ACTIONS: Mapping[str, Action] = {
    "blank": Blank(),
    "clear": Clear(),
    "correct-initrd": CorrectInitrd(),
    "delete-subvolume": DeleteSubvolume(),
    "drop-lines": DropLines(),
    "empty-in-initrd": EmptyInInitrd(),
    "follow-in-initrd": FollowInInitrd(),
    "generate-ssh-host-key": GenerateSshHostKey(),
    "patch-efi-program": PatchEfiProgram(),
    "remove": Remove(),
    "remove-kernel-argument": RemoveKernelArgument(),
    "rename": Rename(),
    "replace-identifiers": ReplaceIdentifiers(),
    "replace-text": ReplaceText(),
    "rewrite-uboot-environment": RewriteUBootEnvironment(),
    "rewrite-uimage": RewriteUImage(),
    "set-host-name": SetHostName(),
    "set-identifier": SetIdentifier(),
    "truncate": Truncate(),
    "write": Write(),
}
