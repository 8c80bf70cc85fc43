"""QEMU's command line: what is always denied, and that no text of a file becomes an option."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from unclone.images.boot.command import CHANNELS, Machine
from unclone.images.boot.firmware import Ovmf, find_ovmf
from unclone.images.boot.hardware import Card, Hardware

NODE = {"driver": "qcow2", "file": {"driver": "file", "filename": "/a,b=c\n/d"}}


def arguments(hardware: Hardware, *, kvm: bool = False, **more: Any) -> list[str]:
    machine = Machine(hardware, [NODE] * len(hardware.disks), kvm=kvm, **more)
    return machine.arguments({name: number for number, name in enumerate(CHANNELS, 10)})


def values(option: str, words: list[str]) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_the_machine_is_confined() -> None:
    card = Card("52:54:00:00:00:01", "e1000")
    words = arguments(Hardware(cards=(card,)))
    assert "-nodefaults" in words
    (sandbox,) = values("-sandbox", words)
    assert sandbox == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    assert all("restrict=on" in each for each in values("-netdev", words))
    assert values("-netdev", arguments(Hardware())) == []
    assert "e1000,netdev=net0,mac=52:54:00:00:00:01,romfile=" in values("-device", words)


def test_a_name_of_a_file_stays_one() -> None:
    seed = Path("/s,readonly=off\n.iso")
    nodes = [json.loads(n) for n in values("-blockdev", arguments(Hardware(), seed=seed))]
    assert [node["file"]["filename"] for node in nodes] == ["/a,b=c\n/d", str(seed)]
    assert nodes[1]["read-only"] is True


def test_with_kvm_the_hosts_processor_is_used() -> None:
    words = arguments(Hardware(), kvm=True)
    assert values("-accel", words) == ["kvm"]
    assert values("-accel", arguments(Hardware())) == ["tcg,thread=single"]


def test_firmware_has_variables_that_are_written() -> None:
    words = arguments(Hardware("uefi"), firmware=Ovmf(Path("/c"), Path("/v")))
    code, variables, _ = (json.loads(node) for node in values("-blockdev", words))
    assert (code["read-only"], variables["read-only"]) == (True, False)
    assert {"pflash0=code", "pflash1=variables"} <= set(values("-machine", words))


@pytest.mark.parametrize(
    "wrong",
    [
        {"firmware": "uefi,x=y"},
        {"chipset": "pc,accel=kvm"},
        {"disks": ("virtio,drive=x",)},
        {"disks": ("ide",) * 5},
        {"controller": "virtio-scsi,id=x"},
        {"cards": tuple(Card(f"52:54:00:00:00:0{number}") for number in range(9))},
        {"uuid": "7c1b0d3e-0000-4000-8000-0123456789ab,x"},
        {"oem_strings": ("path=/etc/shadow",)},
    ],
)
def test_what_is_in_no_list_is_no_hardware(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(no|more than) "):
        Hardware(**wrong)


@pytest.mark.parametrize(
    ("mac", "model"),
    [
        ("52:54:00:00:00:01,romfile=/x", "virtio"),
        ("53:54:00:00:00:01", "virtio"),
        ("52:54:00:00:00:01\n", "virtio"),
        ("52:54:00:00:00:01", "e1000,romfile=/etc/shadow"),
    ],
)
def test_what_is_in_no_list_is_no_card(mac: str, model: str) -> None:
    with pytest.raises(ValueError, match=r"^no "):
        Card(mac, model)


def test_firmware_is_found_only_in_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/OVMF"
    folder.mkdir(parents=True)
    (folder / "OVMF_CODE_4M.fd").touch()
    assert find_ovmf(tmp_path) is None
    (folder / "OVMF_VARS_4M.fd").touch()
    assert find_ovmf(tmp_path) == Ovmf(folder / "OVMF_CODE_4M.fd", folder / "OVMF_VARS_4M.fd")
