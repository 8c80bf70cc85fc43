"""Waiting until there is memory for one more virtual machine, which takes a gigabyte or more.

A worker process sets the function that waits for admission; without one, admission is immediate.
It lasts until the process ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes: the memory of the appliance and of QEMU itself.
VM_MEMORY = 1536 * 1024 * 1024

_admission: list[Callable[[], None]] = []


def set_admission(wait: Callable[[], None]) -> None:
    """Set the function that :func:`await_admission` calls; it returns when a VM may start."""
    _admission[:] = [wait]


def await_admission() -> None:
    """Return when a virtual machine may be started."""
    for wait in _admission:
        wait()
