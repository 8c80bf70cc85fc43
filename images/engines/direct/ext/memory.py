"""The limit on the memory of a process that reads what a guest wrote."""

from __future__ import annotations

import resource

#: Bytes that it may have besides those that it has: a guest cannot make the host swap.
_MORE = 1024**3


def limit() -> int:
    """Bytes of address space for this process, which may be a copy of one that has much."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (pathlib takes long to load)
        return int(file.read().split()[0]) * resource.getpagesize() + _MORE
