"""Which tests share a worker when the whole suite runs on several processors, and what comes first.

A pytest plugin, loaded with ``-p tests.support.distribution`` beside ``--dist loadgroup``. Tests
that share something expensive (an appliance, sanitised guests, a built package) are one group, all
others are grouped by file. The groups that take minutes come first, so that none of them is left
over when everything else is done; a worker that has finished a group takes the next.
"""

from __future__ import annotations

import pytest

#: Groups, and marks of tests, of what takes long: in this order. The first and the third boot
#: several guests at a time, and do not begin together.
LONGEST = ("clones", "the appliance", "boot", "packaging", "guest", "slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        name = group_of(item)
        item.add_marker(pytest.mark.xdist_group(name))
        groups.setdefault(name, []).append(item)
    ordered = sorted(groups, key=lambda name: _rank(name, groups[name]))
    items[:] = [item for name in ordered for item in groups[name]]


def group_of(item: pytest.Item) -> str:
    """The name of the group that *item* is in."""
    if "clones" in getattr(item, "fixturenames", ()):
        return "clones"
    if item.get_closest_marker("packaging"):
        return "packaging"
    if item.get_closest_marker("appliance") and not item.get_closest_marker("guest"):
        return "the appliance"
    return item.nodeid.partition("::")[0]


def _rank(name: str, group: list[pytest.Item]) -> int:
    """The place of the group called *name* in LONGEST."""
    known = {name, *(mark.name for item in group for mark in item.iter_markers())}
    return next((place for place, word in enumerate(LONGEST) if word in known), len(LONGEST))
