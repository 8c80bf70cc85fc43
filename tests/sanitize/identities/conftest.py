"""A database server for the tests of the ledger, started when the first of them asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def server() -> Iterator[postgresql.Server]:
    with postgresql.running() as started:
        yield started


@pytest.fixture
def url(server: postgresql.Server) -> str:
    """The address of an empty database."""
    return server.new_database()
