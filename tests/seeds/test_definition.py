"""Network cards taken from a libvirt domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command import unclone
from unclone.seeds.definition import read_cards
from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from pathlib import Path

DOMAIN = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web-01</name>
  <devices>
    <interface type='network'>
      <mac address='52:54:00:AA:BB:01'/>
      <source network='default'/>
    </interface>
    <hostdev><mac address='52:54:00:aa:bb:99'/></hostdev>
    <interface type='bridge'><mac address="52:54:00:aa:bb:02"/></interface>
  </devices>
</domain>
"""


def test_each_card_of_the_domain_in_order() -> None:
    cards = read_cards(DOMAIN.encode(), "web-01.xml")
    assert [card.first("mac").lower() for card in cards] == [
        "52:54:00:aa:bb:01",
        "52:54:00:aa:bb:02",
    ]
    assert {card.kind for card in cards} == {"nic"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<domain><devices/></domain>", "no network card"),
        ("<network><mac address='52:54:00:aa:bb:01'/></network>", "not the definition"),
        ("<domain><devices><interface/></devices></domain>", "card 1 has no MAC"),
        ("<domain><devices>", "d.xml:1:18: is not valid XML"),
        ("not xml", "is not valid XML"),
        ("", "is not valid XML"),
        ('<!DOCTYPE d [<!ENTITY a "aaaa">]><domain>&a;</domain>', "document type"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd"><domain/>', "document type"),
    ],
)
def test_anything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(SeedError) as caught:
        read_cards(text.encode(), "d.xml")
    assert words in caught.value.message
    assert "root:" not in caught.value.message


def test_the_command_takes_them_and_a_hand_written_card_wins(tmp_path: Path) -> None:
    definition = tmp_path / "web-01.xml"
    definition.write_text(DOMAIN)
    out = tmp_path / "seed"
    options = ["--hostname", "web-01", "--definition", str(definition), "--network-version", "2"]
    nic = ["--nic", "mac=52:54:00:aa:bb:02,address=192.0.2.10/24"]
    done = unclone("seed", *options, *nic, "--format", "folder", "--output", out)
    assert done.returncode == 0, done.stderr
    network = yaml.safe_load((out / "network-config").read_text())
    cards = {e["match"]["macaddress"]: e for e in network["ethernets"].values()}
    assert cards["52:54:00:aa:bb:01"]["dhcp4"] is True
    assert cards["52:54:00:aa:bb:02"]["addresses"] == ["192.0.2.10/24"]
