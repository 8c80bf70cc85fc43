"""What a failed verification says to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.images.errors import ResidueError
from unclone.sanitize.change import Plan, Retired
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

OLD = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("step", "kind", "path", "strict", "option"),
    [
        (
            *("file-system-uuid", "file-system-uuid", "/etc/fstab", False),
            "with --disable file-system-uuid (all of devices: --uuids keep).",
        ),
        (
            *("machine-id", "machine-id", "/etc/kernel/cmdline", False),
            "keep the old machine-id with --disable machine-id.",
        ),
        (
            *("mac-pins", "mac-address", "/etc/app.conf", True),
            "--disable mac-pins; without --strict this is a warning.",
        ),
    ],
)
def test_the_option_that_keeps_the_identifier_is_named(
    tmp_path: Path, step: str, kind: str, path: str, strict: bool, option: str
) -> None:
    plant(tmp_path, {path: f"x {OLD}\n"})
    plan = Plan("identity", (), (), (Retired(step, kind, OLD),))
    with pytest.raises(ResidueError, match=f"the old {kind} is still in 1 places: {path}") as found:
        verify(guest_at(tmp_path), plan, (), strict=strict)
    assert found.value.hint.endswith(option)
