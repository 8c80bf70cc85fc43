"""An image is either untouched or completely done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from images.transaction import Disk, InPlace
from tests.support.disk_images import (
    KINDS,
    MIB,
    NEW,
    OLD,
    Kind,
    digests,
    fill,
    holds,
    make,
    overlay_on,
    sound,
    tool,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_commit_writes_the_changes_into_every_format(tmp_path: Path, kind: Kind) -> None:
    image = make(tmp_path / f"disk.{kind.format}", kind)
    before = set(tmp_path.iterdir())
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
        transaction.commit()
    assert holds(image, NEW, 3 * MIB, MIB, kind.format)
    assert holds(image, OLD, MIB, MIB, kind.format)
    assert sound(image, kind.format)
    assert set(tmp_path.iterdir()) == before
