"""Where there is no stamp, a machine is what ``sanitize`` makes for the same identity."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support import readback
from tests.support.disks import BARE_ROOT, ESP, Part, make_disk
from tests.unclone.test_clone_stamped import Batch as Listener
from unclone.runs.clone import run as running
from unclone.runs.clone.order import Order
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize
from unclone.sanitize.new_values import NewValues
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from pathlib import Path

# Four appliances: the golden image, the machine, the run of its own, and what both have become.
pytestmark = [pytest.mark.appliance, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT, SRV = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "cccccccc-1111-4222-8333-dddddddddddd"
FILES = {
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/fstab": f"UUID={ROOT} / xfs defaults 0 0\nUUID={SRV} /srv btrfs defaults 0 0\n",
    "/boot/grub/grub.cfg": f"search --fs-uuid {ROOT}\nlinux /vmlinuz root=UUID={ROOT} ro\n",
    "/etc/cloud/cloud.cfg": "datasource_list: [NoCloud]\nssh_deletekeys: true\n",
}
TREE = {
    **BARE_ROOT,
    **FILES,
    "/boot/efi": None,
    "/usr/lib/systemd/systemd": "ELF",
    "/usr/bin/cloud-init": "#!/bin/sh\n",
}


def test_xfs_and_btrfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        Part("vfat", gpt_type=ESP),
        Part("xfs", uuid=ROOT, tree=TREE),
        Part("btrfs", uuid=SRV, options=("--csum", "sha256")),  # which no stamp has
    ]
    golden = make_disk(tmp_path / "golden.qcow2", parts, form="qcow2")
    order = Order(Request(golden), ("web-1",), tmp_path / "vms")
    monkeypatch.setattr(running, "STAMPED_FROM", 1)
    listener = Listener()
    (run,) = running.Run(listener).clone(order)
    assert run.error is None
    assert run.result is not None
    told = [each for each in listener.said if "by itself" in each]
    assert len(told) == 1
    assert re.search(r"at least \d+\.\d s: .*checksum", told[0]), told[0]

    identity, disk = run.result.identity, run.result.path / "disk.qcow2"
    full = tmp_path / "full.qcow2"
    values = NewValues(identity.machine_id, identity.identifiers)
    report = sanitize(
        Request(golden, outputs=(full,), as_overlays=True, options=Options(), new_values=values)
    )
    assert report.status == "done"
    found = {f"{each.kind} {each.device}": each.value for each in report.identifiers}
    record = json.loads((run.result.path / "machine.json").read_text())
    assert found == record["machine"]["identifiers"]
    new_root, new_srv = found["file-system-uuid /dev/sda2"], found["file-system-uuid /dev/sda3"]
    assert {new_root, new_srv}.isdisjoint({ROOT, SRV})

    machine, alone = readback.read([disk, full], sorted(FILES))
    assert machine == alone
    assert new_root in machine["/etc/fstab"].text
    assert new_srv in machine["/etc/fstab"].text
    assert new_root in machine["/boot/grub/grub.cfg"].text
    assert ROOT not in machine["/boot/grub/grub.cfg"].text
