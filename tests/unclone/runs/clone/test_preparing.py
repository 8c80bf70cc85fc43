"""What cannot be stamped is told with its reason, which is kept; nothing else is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import BARE_ROOT, MIB, Part, make_disk, poke
from tests.unclone.test_clone_stamped import Batch as Listener
from unclone.runs.clone.deciding import Golden
from unclone.runs.clone.order import Order, made_from
from unclone.runs.clone.preparing import NotStampedError, prepared
from unclone.runs.request import Request

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Part("ext4", BARE_ROOT)


@pytest.mark.parametrize(
    ("second", "signature", "said"),
    [
        (
            Part(""),
            {512: b"LABELONE" + bytes(16) + b"LVM2 001"},
            "/dev/sda2: its LVM label is damaged",
        ),
        (Part(""), {0: b"LUKS\xba\xbe\0\2"}, "/dev/sda2 holds crypto_LUKS"),
    ],
    ids=["LVM", "LUKS"],
)
def test_what_the_stamps_cannot_have(
    tmp_path: Path, second: Part, signature: dict[int, bytes], said: str
) -> None:
    golden = make_disk(tmp_path / "golden.raw", [ROOT, second])
    for at, text in signature.items():
        poke(golden, (1 + ROOT.mib) * MIB + at, text)
    before = golden.stat().st_mtime_ns
    known = Golden((), has_cloud_init=True, definition=None)
    order = Order(Request(golden, format="raw"), ("web-1",), tmp_path / "vms")
    listener = Listener()
    for _ in range(2):
        with pytest.raises(NotStampedError, match=said):
            prepared(order, known, made_from(order), listener)
    assert listener.said.count("preparing the golden image, once") == 1
    assert golden.stat().st_mtime_ns == before
    (record,) = tmp_path.glob("golden.prepared-*.json")
    assert said in json.loads(record.read_text())["reason"]
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"golden.raw", record.name, f".{record.stem}.lock"}
