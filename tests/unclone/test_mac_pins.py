"""One map for definition and guest, on a real image: every pin is renewed and read back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.families import DEBIAN_12
from tests.support.initrds import archive, compress
from tests.support.mac_pins import A
from tests.support.tree import plant
from unclone.cli.main import cli
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.options import Options

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = f"""\
<domain type='kvm'>
  <name>golden</name>
  <uuid>0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11</uuid>
  <memory>524288</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <interface type='network'><mac address='{A}'/><source network='default'/></interface>
  </devices>
</domain>
"""
INITRD = "/boot/initrd.img-6.1.0-13-amd64"
FILES = {
    "/etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n",
    "/etc/netplan/50-cloud-init.yaml": f"network: {{ethernets: {{e: {{macaddress: {A}}}}}}}\n",
    "/etc/systemd/network/10-lan.link": f"[Match]\nMACAddress={A}\n[Link]\nName=lan0\n",
    "/etc/udev/rules.d/70-persistent-net.rules": f'ATTR{{address}}=="{A}", NAME="lan0"\n',
}


@pytest.mark.slow
def test_the_map_of_the_definition_goes_through_the_guest(tmp_path: Path) -> None:
    (tmp_path / "golden.xml").write_text(GOLDEN)
    arguments = ["--name", "web-01", "-o", tmp_path / "web-01.xml", "--json"]
    done = CliRunner().invoke(cli, ["define", str(tmp_path / "golden.xml"), *map(str, arguments)])
    (pair,) = json.loads(done.stdout)["results"][0]["macs"]

    link = FILES["/etc/systemd/network/10-lan.link"]
    plant(tmp_path / "initrd", {"/usr/lib/systemd/network/10-lan.link": link})
    initrd = compress(Compression.GZIP, archive(tmp_path / "initrd"))
    tree = {**DEBIAN_12, **BARE_ROOT, **FILES, INITRD: initrd}
    image = make_disk(tmp_path / "disk.raw", [Part("ext4", tree, size=48)])
    options = Options(macs={pair["old"]: pair["new"]})
    report = sanitize(Request(image, format="raw", engine="direct", options=options))

    renewed = [one.change.target for one in report.outcomes if one.change.step == "mac-pins"]
    assert renewed == [*sorted(set(FILES) - {"/etc/fstab"}), INITRD]
    assert [old.kind for old in report.plan.retired if old.value == A] == ["mac-address"]
    assert report.verification.residue == ()
