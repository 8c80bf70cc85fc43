"""What an interface is called when no address says so.

References: systemd.net-naming-scheme(7); https://systemd.io/PREDICTABLE_INTERFACE_NAMES (how it is
switched off); kernel-command-line(7) (``net.ifnames=``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts

#: By slot, board or path; enx... is made of the address itself.
_SYSTEMD_NAMES = re.compile(r"en[ops][a-z0-9]{1,12}|ib[a-z0-9]{1,12}")
#: Here the order in which the kernel finds the cards counts, and the first is nearly always first.
_KERNEL_NAMES = re.compile(r"eth\d{1,3}|ib\d{1,3}")

#: From this version on, systemd-udevd names interfaces itself unless it is told not to.
_PREDICTABLE_SINCE = 197
_NOT_PREDICTABLE = (
    "/etc/systemd/network/99-default.link",
    "/etc/udev/rules.d/80-net-name-slot.rules",
    "/etc/udev/rules.d/80-net-setup-link.rules",
)


def usual_names(guest: Guest, facts: Facts, *, has_systemd: bool = False) -> re.Pattern[str]:
    """The names that the guest's Ethernet cards get by themselves.

    *has_systemd* is for what works with systemd alone, when its version is not known.
    """
    version = facts.systemd_version
    if version is None:
        version = _PREDICTABLE_SINCE if has_systemd else 0
    arguments = {word for line in facts.kernel_command_lines for word in line.arguments}
    by_kernel = version < _PREDICTABLE_SINCE or "net.ifnames=0" in arguments
    if by_kernel or any(guest.exists(path) for path in _NOT_PREDICTABLE):
        return _KERNEL_NAMES
    return _SYSTEMD_NAMES
