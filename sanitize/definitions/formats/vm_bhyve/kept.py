"""Places of a vm-bhyve configuration that are called as identities are, and stay without a word.

References: vm-bhyve vm(8), "CONFIGURATION FORMAT".
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (Kept("the firmware of the host, for every machine", ("bhyve_bootrom", "uefi_firmware")),)

#: Places of rules that do not say a word where their condition is not met.
UNMET = (Kept("only that there is a console, whose socket vm-bhyve names", ("virt_console#",)),)
