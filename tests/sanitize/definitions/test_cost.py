"""The cost of a definition grows as its size does: counted in calls, the same each time."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

import pytest

from tests.support.allocator import Counting
from unclone.sanitize.definitions.formats.table import definition_in
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify

FEW, MANY = 5, 40
#: What comes first, what is repeated with its number, and what comes last.
DEFINITIONS = {
    "libvirt": (
        "<domain type='kvm'><name>golden</name><devices>",
        (
            "<interface type='bridge'><mac address='52:54:00:aa:00:{0:02x}'/></interface>"
            "<disk><source file='/d/{0}'/><target dev='vd{0}'/><serial>S9000{0:04}</serial></disk>"
        ),
        "</devices></domain>",
    ),
    "qemu": (
        "qemu-system-x86_64 -name golden",
        " \\\n -drive file=/d/{0},if=none,id=d{0} -device scsi-hd,drive=d{0},serial=S9000{0:04}",
        "\n",
    ),
    "proxmox": (
        "name: golden\nostype: l26\nscsihw: lsi\nnet0: virtio=52:54:00:00:00:01\n",
        "[s{0}]\nname: golden\nscsi0: local:{0},serial=S9000{0:04}\n",
        "",
    ),
    "vmx": (
        'virtualHW.version = "14"\ndisplayName = "golden"\n',
        'ethernet{0}.present = "TRUE"\nethernet{0}.address = "00:50:56:20:00:{0:02x}"\n',
        "",
    ),
    "ovf": (
        (
            '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><VirtualSystem id="golden">'
            "<VirtualHardwareSection>"
        ),
        "<Item><Address>52:54:00:aa:00:{0:02x}</Address><ResourceType>10</ResourceType></Item>",
        "</VirtualHardwareSection></VirtualSystem></Envelope>",
    ),
    "kubevirt": (
        (
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: golden}\nspec:\n"
            "  template:\n    spec:\n      domain:\n        devices:\n          interfaces:\n"
        ),
        "          - name: net{0}\n            macAddress: 52:54:00:aa:00:{0:02x}\n",
        "",
    ),
    "lxc": (
        "lxc.uts.name = golden\n",
        "lxc.net.{0}.type = veth\nlxc.net.{0}.hwaddr = 00:16:3e:aa:00:{0:02x}\n",
        "",
    ),
}


def calls(parts: tuple[str, str, str], number: int) -> int:
    """Calls of functions while a definition with *number* devices becomes another machine's."""
    text = parts[0] + "".join(map(parts[1].format, range(1, number + 1))) + parts[2]
    profile = cProfile.Profile()
    source = Source(Path("/nowhere/golden"), text.encode())
    profile.enable()
    plan = plan_definition(definition_in(source), IdentityMap(Counting(), "web-01"))
    verify(plan)
    profile.disable()
    assert len([field for field in plan.fields if field.changed]) >= number
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # not in its stubs


@pytest.mark.parametrize("format_id", DEFINITIONS)
def test_work_grows_as_the_number_of_devices(format_id: str) -> None:
    parts = DEFINITIONS[format_id]
    calls(parts, 1)  # what is read and compiled once
    few, many = calls(parts, FEW), calls(parts, MANY)
    assert many <= few * MANY / FEW * 1.1
