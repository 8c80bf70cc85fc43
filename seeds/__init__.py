"""The cloud-init NoCloud seed: user-data, meta-data, network-config, vendor-data.

    >>> from seeds import Interface, Machine, Network, Seed
    >>> machine = Machine(
    ...     hostname="web-01",
    ...     users=("admin",),
    ...     network=Network((Interface(name="eth0", mac="52:54:00:12:34:56", dhcp4=True),)),
    ... )
    >>> Seed.for_machine(machine).write("web-01.iso")  # doctest: +SKIP

This package imports no other of unclone's. ``docs/seeds.md`` is its manual.
"""

from __future__ import annotations

from unclone.seeds.errors import RefusedSeedError, SeedError
from unclone.seeds.findings import Finding, Severity
from unclone.seeds.machine import Machine
from unclone.seeds.mime import Part
from unclone.seeds.network import Bond, Interface, Network, Route, Vlan
from unclone.seeds.output import Format, Written
from unclone.seeds.seed import Seed

__all__ = [
    "Bond",
    "Finding",
    "Format",
    "Interface",
    "Machine",
    "Network",
    "Part",
    "RefusedSeedError",
    "Route",
    "Seed",
    "SeedError",
    "Severity",
    "Vlan",
    "Written",
]
