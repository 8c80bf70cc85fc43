"""What can be done to a guest: one file per action, each able to apply and to verify itself.

A :class:`sanitize.change.Change` names its action; :data:`ACTIONS` finds it. To add an action,
copy one of the files beside this one and add a line to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sanitize.actions.clear import Clear
from sanitize.actions.correct_initrd import CorrectInitrd
from sanitize.actions.drop_lines import DropLines
from sanitize.actions.empty_in_initrd import EmptyInInitrd
from sanitize.actions.patch_efi_program import PatchEfiProgram
from sanitize.actions.remove import Remove
from sanitize.actions.remove_kernel_argument import RemoveKernelArgument
from sanitize.actions.rename import Rename
from sanitize.actions.replace_identifiers import ReplaceIdentifiers
from sanitize.actions.replace_text import ReplaceText
from sanitize.actions.rewrite_uimage import RewriteUImage
from sanitize.actions.set_identifier import SetIdentifier
from sanitize.actions.ssh_host_key import GenerateSshHostKey
from sanitize.actions.truncate import Truncate
from sanitize.actions.write import Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from images.guest import Guest
    from sanitize.change import Change


class Action(Protocol):
    """One way of changing a guest, and of proving that it was changed."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Do it. Returns the new value when it is only known now (a fingerprint), else ""."""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:
        """Read it back from the reopened guest. Returns what is wrong, or "" when it is done."""


#: Every action by the name a change gives it; ``tests/sanitize`` exercises each.
ACTIONS: Mapping[str, Action] = {
    "clear": Clear(),
    "correct-initrd": CorrectInitrd(),
    "drop-lines": DropLines(),
    "empty-in-initrd": EmptyInInitrd(),
    "generate-ssh-host-key": GenerateSshHostKey(),
    "patch-efi-program": PatchEfiProgram(),
    "remove": Remove(),
    "remove-kernel-argument": RemoveKernelArgument(),
    "rename": Rename(),
    "replace-identifiers": ReplaceIdentifiers(),
    "replace-text": ReplaceText(),
    "rewrite-uimage": RewriteUImage(),
    "set-identifier": SetIdentifier(),
    "truncate": Truncate(),
    "write": Write(),
}
