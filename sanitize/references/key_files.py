"""Key files of LUKS containers, which are found by being called after a mapping ``luks-<uuid>``.

Reference: crypttab(5), "the third field" (``/etc/cryptsetup-keys.d/NAME.key`` where it is empty).
"""

from __future__ import annotations

from unclone.sanitize.references.names import NameReference
from unclone.sanitize.step import StepInfo

REFERENCE = NameReference(
    info=StepInfo(
        id="luks-key-files",
        title="key files called after their LUKS container",
        why="a mapping called luks-<uuid> is opened with the key file of the same name",
        sources=("crypttab(5)", "systemd-cryptsetup(8)"),
    ),
    # Only their names: what is inside is a key. The later folders are what crypttab often names.
    names=(
        "/etc/cryptsetup-keys.d/*",
        "/etc/cryptsetup/*",
        "/etc/keys/*",
        "/etc/luks/*",
        "/etc/luks-keys/*",
        "/boot/*.key",
        "/root/*",
    ),
)
