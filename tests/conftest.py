"""Fixtures for everyone: one libguestfs appliance that all tests share, disks attached."""

from __future__ import annotations

import inspect
import signal
from functools import partialmethod
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support.bench import Bench, start_bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The shared appliance with its disks (tests/support/bench.py says which)."""
    started = start_bench(tmp_path_factory.mktemp("bench"))
    yield started
    started.appliance.abandon()


# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that: the
# tests that press it must find it working.
signal.signal(signal.SIGINT, signal.default_int_handler)

# click before 8.2 mixes what goes to stderr into stdout unless it is told not to; later versions do
# not know the option.
if "mix_stderr" in inspect.signature(CliRunner.__init__).parameters:
    CliRunner.__init__ = partialmethod(CliRunner.__init__, mix_stderr=False)  # type: ignore[method-assign, assignment]
