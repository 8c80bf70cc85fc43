from __future__ import annotations

import pytest

from unclone.sanitize.boot import zipl


@pytest.mark.parametrize(
    ("head", "expected"),
    [(b"zIPL" + bytes(508), True), (bytes(512) + b"zIPL", True), (bytes(512), False), (b"", False)],
)
def test_a_bootmap_is_recognised(head: bytes, expected: bool) -> None:
    assert zipl.is_bootmap(head) is expected
