"""Names of a batch: one number in a pattern, and a count."""

from __future__ import annotations

import pytest

from unclone.images.errors import UsageError
from unclone.runs.clone.names import expand


@pytest.mark.parametrize(
    ("pattern", "count", "start", "names"),
    [
        ("web-01", None, 1, ("web-01",)),
        ("web-01", 1, 1, ("web-01",)),
        ("web-{}", 3, 9, ("web-9", "web-10", "web-11")),
        ("web-{:03}", 2, 1, ("web-001", "web-002")),
        ("{:2}.example.org", 1, 0, ("00.example.org",)),
    ],
)
def test_expansion(pattern: str, count: int | None, start: int, names: tuple[str, ...]) -> None:
    assert expand(pattern, count, start) == names


@pytest.mark.parametrize(
    ("pattern", "count", "said"),
    [
        ("web", 2, "names one machine"),
        ("web-{}", None, "--count N"),
        ("web-{}-{}", 2, "once"),
        ("web-{name}", 2, "once"),
        ("web-{0.__class__}", 2, "once"),
        ("web-{", 2, "once"),
        ("web-{}", 1_000_000, "100,000"),
    ],
)
def test_what_is_no_pattern(pattern: str, count: int | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        expand(pattern, count)
    assert said in f"{caught.value.message} {caught.value.hint}"
