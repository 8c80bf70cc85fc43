"""What a volume group's text says of its snapshots, classic and thin."""

from __future__ import annotations

import pytest

from unclone.images.identifiers.lvm_text import parse_group

UUID = "Vg0Vg0-AbCd-1111-2222-3333-4444-zzzzz1"

#: As LVM 2.03 writes it, but for what does not matter here.
TEXT = f"""
vg {{
id = "{UUID}"
seqno = 9
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
physical_volumes {{ pv0 {{ id = "{UUID}" }} }}
logical_volumes {{
    root {{ segment1 {{ type = "striped" stripes = ["pv0", 0] }} }}
    before {{ segment1 {{ type = "striped" stripes = ["pv0", 75] }} }}
    snapshot0 {{ segment1 {{ type = "snapshot" origin = "root" cow_store = "before" }} }}
    undone {{ segment1 {{ type = "striped" stripes = ["pv0", 95] }} }}
    snapshot1 {{ segment1 {{ type = "snapshot" origin = "root" merging_store = "undone" }} }}
    pool {{ segment1 {{ type = "thin-pool" metadata = "pool_tmeta" pool = "pool_tdata" }} }}
    thin {{ segment1 {{ type = "thin" thin_pool = "pool" device_id = 1 }} }}
    monday {{ segment1 {{ type = "thin" thin_pool = "pool" device_id = 2 origin = "thin" }} }}
}}
}}
"""


def test_each_snapshot_has_its_origin() -> None:
    group = parse_group(TEXT.encode())
    assert group is not None
    assert group.snapshots == {"before": "root", "undone": "root", "monday": "thin"}


def test_without_volumes_there_is_none() -> None:
    group = parse_group(TEXT.replace("logical_volumes", "others").encode())
    assert group is not None
    assert group.snapshots == {}


@pytest.mark.parametrize(
    "text",
    [TEXT.replace("= 9", "= " + "9" * 5000), TEXT + 'more { a = "' + r"\"" * 100_000],
    ids=["a change count of 5000 digits", "a string without end"],
)
def test_damaged_text_describes_no_group(text: str) -> None:
    assert parse_group(text.encode()) is None
