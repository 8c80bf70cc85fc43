"""What changes in a CRC, against the CRC of what was changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.sanitize.stamps.crc import ALGORITHMS, change


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(content=st.binary(min_size=1, max_size=200), data=st.data())
def test_the_change_is_that_of_the_whole(
    algorithm: str, content: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(min_size=1, max_size=len(content) - at))
    changed = content[:at] + new + content[at + len(new) :]
    difference = bytes(a ^ b for a, b in zip(content[at : at + len(new)], new, strict=True))
    compute = ALGORITHMS[algorithm]
    following = len(content) - at - len(new)
    assert compute(content) ^ change(algorithm, following, difference) == compute(changed)
