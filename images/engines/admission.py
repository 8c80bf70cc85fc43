"""Turns at starting a virtual machine, for whoever works on several images at once.

A virtual machine takes a gigabyte. A process that is one of several says here how it asks the
others for a turn; a process by itself has its turn at once. A turn lasts until the process ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes: the appliance's memory, and QEMU's own.
MACHINE_MEMORY = 1536 * 1024 * 1024

_waiting: list[Callable[[], None]] = []


def take_turns(wait: Callable[[], None]) -> None:
    """Call *wait*, which returns when it is this process's turn, before a machine starts."""
    _waiting[:] = [wait]


def await_turn() -> None:
    """Return when a virtual machine may be started."""
    for wait in _waiting:
        wait()
