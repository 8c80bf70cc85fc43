"""Where a guest pins a MAC address: one module per kind of file, for the step ``mac-pins``.

To add a kind, copy ``ifupdown.py``, and add it to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.mac_pins.ifcfg import Ifcfg
from unclone.sanitize.mac_pins.ifupdown import Ifupdown
from unclone.sanitize.mac_pins.netplan import CloudConfig, Netplan
from unclone.sanitize.mac_pins.network_manager import NetworkManager
from unclone.sanitize.mac_pins.networkd import Networkd
from unclone.sanitize.mac_pins.others import OTHERS
from unclone.sanitize.mac_pins.udev import UdevRules

if TYPE_CHECKING:
    from unclone.sanitize.mac_pins.pins import NetworkFiles

NETWORK_FILES: tuple[NetworkFiles, ...] = (
    Netplan(),
    CloudConfig(),
    NetworkManager(),
    Ifcfg(),
    Networkd(),
    UdevRules(),
    Ifupdown(),
    *OTHERS,
)
