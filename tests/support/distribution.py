"""The order of test files when the whole suite runs on several processors.

A pytest plugin, loaded with ``-p tests.support.distribution`` beside ``--dist loadfile``: all tests
of a file run in one worker, and a worker that has finished a file takes the next. Files that take
minutes come first, so that none of them is left over when everything else is done.

Not ``--dist loadgroup``: with pytest 9.2 and pytest-xdist 3.8 groups are ignored without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Marks and fixtures of tests in files that take long, in this order.
LONGEST = ("boot", "clones", "packaging", "appliance", "guest", "slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    ordered = sorted(files, key=lambda file: rank(files[file]))
    items[:] = [item for file in ordered for item in files[file]]


def rank(tests: list[pytest.Item]) -> int:
    """The place of a file with *tests* in :data:`LONGEST`."""
    known = {word for item in tests for word in _words(item)}
    return next((place for place, word in enumerate(LONGEST) if word in known), len(LONGEST))


def _words(item: pytest.Item) -> Iterator[str]:
    yield from (mark.name for mark in item.iter_markers())
    yield from getattr(item, "fixturenames", ())
