"""The XML of a backup, given with its domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import written
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.libvirt_backup.reader import read_of_domain
from unclone.sanitize.definitions.formats.libvirt_backup.rules import RULES
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

BACKUP = """<domainbackup mode='pull'>
  <incremental>c1</incremental>
  <server transport='tcp' name='localhost' port='10809'/>
  <server transport='unix' socket='/run/golden-nbd.sock'/>
  <disks><disk name='vda' type='file'><scratch file='/srv/golden.scratch'/></disk>
  <disk name='vdb' type='file'><target file='/srv/b.qcow2'/></disk>
  <disk name='vdc' type='block'><target dev='/dev/vg/b'/></disk></disks>
</domainbackup>
"""


def test_a_backup_follows_its_machine(tmp_path: Path) -> None:
    path = tmp_path / "backup.xml"
    path.write_text(BACKUP)
    plan = plan_definition(read_of_domain(path, "golden"), IdentityMap(Counting(), "web-01"))
    verify(plan)
    new = BACKUP.replace("10809", plan.new_value("backup-port"))
    for old, then in (("golden.s", "web-01.s"), ("golden-n", "web-01-n"), ("/b.q", "/b-web-01.q")):
        new = new.replace(old, then)
    assert written(plan).decode() == new
    assert plan.new_value("backup-port") != "10809"
    assert {field.field.rule.id for field in plan.fields} == {rule.id for rule in RULES}
    assert [(note.step, note.text.split(" stays")[0]) for note in plan.notes] == [
        ("backup-base", "/domainbackup/incremental: c1"),
        ("backup-device", "/domainbackup/disks/disk[3]/target/@dev: /dev/vg/b"),
    ]


def test_a_snapshot_of_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snap.xml"
    path.write_text("<domainsnapshot><domain><name>other</name></domain></domainsnapshot>")
    with pytest.raises(RefusedError, match="is a snapshot of other, not of golden"):
        read_of_domain(path, "golden")
