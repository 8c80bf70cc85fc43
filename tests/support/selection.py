"""Which cases of a long list the fast tests take."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.support.disk_images import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from _pytest.mark import ParameterSet

T = TypeVar("T")


def slow_but(fast: Collection[T], cases: Iterable[T]) -> list[T | ParameterSet]:
    """*cases* as parameters of a test, all marked ``slow`` but those that are in *fast*."""
    chosen = list(cases)
    assert all(case in chosen for case in fast), fast
    return [case if case in fast else pytest.param(case, marks=pytest.mark.slow) for case in chosen]


#: Every kind of image; those that differ most are fast.
EVERY_KIND = slow_but(
    [kind for kind in KINDS if kind.name in {"qcow2", "raw", "vmdk-twoGbMaxExtentSparse"}], KINDS
)
