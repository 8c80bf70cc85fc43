"""Which tests share a worker when the whole suite runs on several processors, and what comes first.

A pytest plugin, loaded with ``-p tests.support.distribution`` beside ``--dist loadgroup``. Tests
that share something expensive (an appliance, sanitised guests, a built package) are one group, and
so are those that boot guests, several at a time. All others are grouped by file. The groups that
take minutes come first, so that none of them is left over when everything else is done; a worker
that has finished a group takes the next.
"""

from __future__ import annotations

import pytest

#: Marks of what takes long, longest first.
LONGEST = ("boot", "appliance", "packaging", "guest", "slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        name = group_of(item)
        item.add_marker(pytest.mark.xdist_group(name))
        groups.setdefault(name, []).append(item)
    ordered = sorted(groups.values(), key=lambda group: min(map(_rank, group)))
    items[:] = [item for group in ordered for item in group]


def group_of(item: pytest.Item) -> str:
    """The name of the group that *item* is in."""
    if item.get_closest_marker("boot") or "clones" in getattr(item, "fixturenames", ()):
        return "boot"  # each boots as many guests at a time as there are processors for
    if item.get_closest_marker("packaging"):
        return "packaging"
    if item.get_closest_marker("appliance") and not item.get_closest_marker("guest"):
        return "appliance"
    return item.nodeid.partition("::")[0]


def _rank(item: pytest.Item) -> int:
    marks = (place for place, mark in enumerate(LONGEST) if item.get_closest_marker(mark))
    return next(marks, len(LONGEST))
