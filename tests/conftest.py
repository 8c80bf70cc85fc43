"""Fixtures for all tests: one libguestfs appliance with its disks, which they share."""

from __future__ import annotations

import gc
import inspect
import signal
from functools import partialmethod
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings

from tests.support import templates
from tests.support.bench import SharedBench
from tests.support.documents import check_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bench import Bench


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBench]:
    """Starts the shared appliance, and again when it is lost."""
    shared = SharedBench(lambda: tmp_path_factory.mktemp("bench"))
    yield shared
    shared.stop()


@pytest.fixture
def bench(shared_bench: SharedBench) -> Bench:
    """The shared appliance with its disks (tests/support/bench.py says which)."""
    return shared_bench.ready()


# Tests make many objects and hardly a cycle; those that collecting them made stay to the end.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_sessionfinish() -> None:
    templates.forget()


# How long an example takes says how busy the host is, and nothing about the code.
settings.register_profile("any-host", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-host")

# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that: the
# tests that press it must find it working.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup starts what it runs with this one ignored

# click before 8.2 mixes what goes to stderr into stdout unless it is told not to; later versions do
# not know the option.
if "mix_stderr" in inspect.signature(CliRunner.__init__).parameters:
    CliRunner.__init__ = partialmethod(CliRunner.__init__, mix_stderr=False)  # type: ignore[method-assign, assignment]


def _checked(invoke: Callable[..., Any]) -> Callable[..., Any]:
    """*invoke* that fails when a document on stdout is not as its schema says."""

    def checked(runner: CliRunner, cli: object, args: object = None, **given: object) -> Any:
        result = invoke(runner, cli, args, **given)
        if isinstance(args, list | tuple):
            check_output(args, result.stdout)
        return result

    return checked


CliRunner.invoke = _checked(CliRunner.invoke)  # type: ignore[method-assign]
