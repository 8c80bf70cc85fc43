"""Admission of virtual machines: how a process waits until there is memory for one more.

A virtual machine takes a gigabyte. A process that is one of several sets the function that waits
for admission; without one, admission is immediate. It lasts until the process ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes: the appliance's memory, and QEMU's own.
VM_MEMORY = 1536 * 1024 * 1024

_admission: list[Callable[[], None]] = []


def set_admission(wait: Callable[[], None]) -> None:
    """Have *wait*, which returns when a virtual machine may be started, called before each."""
    _admission[:] = [wait]


def await_admission() -> None:
    """Return when a virtual machine may be started."""
    for wait in _admission:
        wait()
