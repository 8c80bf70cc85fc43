"""QEMU itself, started from the result: what it says the machine is, is what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import NAME, written
from tests.support.qmp import Stopped
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.sanitize.definitions.definition import DefinitionPlan

DISKS = {"golden.raw": "web-01.raw"}
OLD = "6695eb01-f6a4-4304-b9aa-97f2502e193f"
COMMAND = """\
#!/bin/sh
GOLDEN_MAC="52:54:00:12:34:56"
exec qemu-system-x86_64 -S -accel tcg -display none -nodefaults -m 64 \\
  -name golden -uuid {uuid} -machine q35 \\
  -smbios type=1,uuid={uuid},serial=ACME-00123456 -smbios 'type=2,serial=BRD0012345' \\
  -smbios "type=3,serial=CHS0067890" \\
  -device vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87 \\
  -netdev user,id=lan,restrict=on -device {card},id=card0,netdev=lan,mac=$GOLDEN_MAC \\
  -nic user,restrict=on,model={card},mac=52:54:00:AB:CD:EF \\
  -drive if=none,id=root,file=golden.raw,format=raw \\
  -device {disk},id=disk0,drive=root,serial=WD-WCAV5B7204 \\
  -qmp unix:golden.qmp,server=on,wait=off -qtest unix:golden.qtest,server=on,wait=off
"""
CONFIG = """\
[name]
  guest = "golden"
[machine]
  type = "q35"
  accel = "tcg"
[memory]
  size = "64M"
[drive "root"]
  file = "golden.raw"
  format = "raw"
  if = "none"
[device "disk0"]
  driver = "virtio-blk-pci"
  drive = "root"
  serial = "WD-WCAV5B7204"
[netdev "lan"]
  type = "user"
  restrict = "on"
[device "card0"]
  driver = "virtio-net-pci"
  netdev = "lan"
  mac = "52:54:00:12:34:56"
[device "genid"]
  driver = "vmgenid"
  guid = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"
[chardev "qmp"]
  backend = "socket"
  path = "golden.qmp"
  server = "on"
  wait = "off"
[mon "qmp"]
  mode = "control"
  chardev = "qmp"
"""
STARTER = "exec qemu-system-x86_64 -S -display none -nodefaults -readconfig web-01.cfg\n"


def defined(
    folder: Path,
    text: str,
    *,
    virtio: bool = False,
    suffix: str = ".sh",
    disks: Mapping[str, str] = DISKS,
) -> DefinitionPlan:
    """The plan of *text*, its result written as web-01.sh beside a new disk."""
    source = folder / f"golden{suffix}"
    source.write_text(text)
    (folder / "web-01.raw").write_bytes(bytes(1 << 20))
    definition = read_definition(source)
    if virtio:
        edits = definition.virtio().edits
        moved = Source(source, splice(definition.source.text, edits).encode())
        definition = definition.format.read(moved)
    plan = plan_definition(definition, IdentityMap(Counting(), NAME), disks=disks)
    (folder / f"web-01{suffix}").write_bytes(written(plan))
    return plan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("card", "disk", "virtio"),
    [
        ("virtio-net-pci", "virtio-blk-pci", False),
        ("e1000", "ide-hd", False),
        ("rtl8139", "ide-hd", True),
    ],
    ids=["virtio", "emulated", "moved-to-virtio"],
)
def test_the_machine_that_qemu_makes_is_the_new_one(
    tmp_path: Path, card: str, disk: str, virtio: bool
) -> None:
    text = COMMAND.format(uuid=OLD, card=card, disk=disk)
    plan = defined(tmp_path, text, virtio=virtio)
    macs = [f.new for f in plan.fields if f.field.rule.id == "mac"]
    with Stopped(tmp_path, "web-01.sh", "web-01.qmp", "web-01.qtest") as qemu:
        assert qemu.ask("query-name")["name"] == NAME
        assert qemu.ask("query-uuid")["UUID"] == plan.new_value("uuid") != OLD
        genid = qemu.ask("query-vm-generation-id")["guid"]
        assert genid == plan.new_value("generation-id")
        assert qemu.cards() == sorted(str(mac).lower() for mac in macs)
        serial = qemu.ask("qom-get", path="/machine/peripheral/disk0", property="serial")
        assert serial == plan.new_value("disk-serial")
        assert serial not in text
        kind = qemu.ask("qom-get", path="/machine/peripheral/disk0", property="type")
        assert kind == ("virtio-blk-pci" if virtio else disk)
        (block,) = qemu.ask("query-block")
        assert block["inserted"]["file"] == "web-01.raw"
        smbios = qemu.smbios()
    assert smbios[1, 0] == plan.new_value("smbios-uuid") == plan.new_value("uuid")
    serials = [f.new for f in plan.fields if f.field.rule.id == "smbios-serial"]
    assert len(serials) == 3
    assert set(serials) <= set(smbios.values())
    assert not [old for old in ("ACME-00123456", "BRD0012345") if old in smbios.values()]


@pytest.mark.slow
def test_the_machine_of_a_configuration_file_is_the_new_one(tmp_path: Path) -> None:
    plan = defined(tmp_path, CONFIG, suffix=".cfg")
    (tmp_path / "web-01.sh").write_text(STARTER)
    with Stopped(tmp_path, "web-01.sh", "web-01.qmp") as qemu:
        assert qemu.ask("query-name")["name"] == NAME
        assert qemu.cards() == [plan.new_value("mac")]
        assert plan.new_value("mac") not in CONFIG
        genid = qemu.ask("query-vm-generation-id")["guid"]
        assert genid == plan.new_value("generation-id")
        serial = qemu.ask("qom-get", path="/machine/peripheral/disk0", property="serial")
        assert serial == plan.new_value("disk-serial")
        (block,) = qemu.ask("query-block")
        assert block["inserted"]["file"] == "web-01.raw"


@pytest.mark.slow
@pytest.mark.parametrize(
    "cards",
    [
        "-nic user,model=e1000 -device virtio-net-pci,netdev=n -netdev user,id=n",
        "-net nic -net user -nic user,mac=52:54:00:12:34:56",
        '"-device" "$CARD" -netdev user,id=n',
        "$CARDS -netdev user,id=n",
    ],
    ids=["nic-and-device", "beside-the-first", "variable", "split-variable"],
)
def test_what_qemu_would_choose_itself_is_written_down(tmp_path: Path, cards: str) -> None:
    start = (
        "CARD=e1000,netdev=n\nCARDS='-device rtl8139,netdev=n'\n"
        "exec qemu-system-x86_64 -S -accel tcg -display none -m 64 -name golden "
        f"-qmp unix:golden.qmp,server=on,wait=off {cards}\n"
    )
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "golden.sh").write_text(start)
    with Stopped(tmp_path / "before", "golden.sh", "golden.qmp") as qemu:
        chosen = qemu.cards()
    plan = defined(tmp_path, start, disks={})
    found = [f for f in plan.fields if f.field.rule.id == "mac"]
    assert sorted(f.field.value for f in found) == chosen
    with Stopped(tmp_path, "web-01.sh", "web-01.qmp") as qemu:
        assert qemu.cards() == sorted(str(f.new) for f in found)
    assert not set(chosen) & {f.new for f in found}
