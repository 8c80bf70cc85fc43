"""What two boots, and two machines, have in common or not, besides tests/unclone/test_prove.py."""

from __future__ import annotations

import pytest

from unclone.runs.prove.comparing import Difference, between_boots, compare, shared
from unclone.runs.prove.expected import Expected
from unclone.runs.prove.guest_report import GuestReport

ID, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
FS = "4195d873-56d6-44b5-b1c8-b3956d973a3a"
MAC = "52:54:00:00:00:01"


def said(**values: str | list[str]) -> GuestReport:
    usual = {"state": "running", "machine_id": ID}
    lists = {k: [v] if isinstance(v, str) else v for k, v in {**usual, **values}.items()}
    return GuestReport({key.replace("_", "-"): value for key, value in lists.items()})


def found(expected: Expected, report: GuestReport) -> dict[str, str]:
    return {each.what: each.found for each in compare(expected, report)}


TRANSIENT = "made anew at each start: /etc is read-only"
GPT = (("vfat-serial", "/dev/sda1", "8285-79BC"), ("disk-guid", "/dev/sda", FS.upper()))
IN_A_GROUP = ("file-system-uuid", "/dev/vg/a", OTHER)


@pytest.mark.parametrize(
    ("expected", "values", "differences"),
    [
        ({"machine_id": ID}, {}, {}),
        ({"machine_id": ""}, {}, {}),
        ({"machine_id": ""}, {"machine_id": "uninitialized"}, {"machine-id": "uninitialized"}),
        ({"machine_id": OTHER}, {}, {"machine-id": ID}),
        ({}, {"dbus_machine_id": OTHER}, {"D-Bus machine-id": OTHER}),
        ({}, {"told_machine_id": [ID, OTHER]}, {"machine-id that programs are told": OTHER}),
        ({}, {"mount": 'TARGET="/etc/machine-id"'}, {"machine-id": TRANSIENT}),
        ({"host_name": "web-01.example.org"}, {"hostname": "web-01"}, {}),
        ({"host_name": "web-01"}, {"hostname": "localhost"}, {"host name": "localhost"}),
        ({"instance_id": "a"}, {"instance_id": "b"}, {"instance-id": "b"}),
        ({"macs": (MAC,)}, {"card": f"e {MAC}"}, {}),
        ({"macs": (MAC,)}, {}, {"MAC address": "no network card"}),
        ({"mounts": (("/", FS, ()),)}, {"mount": f'TARGET="/" UUID="{FS}"'}, {}),
        ({"mounts": (("/", FS, ()),)}, {"mount": 'TARGET="/" UUID="x"'}, {"mount /": "x"}),
        ({"mounts": (("/", FS, ("ro",)),)}, {"mount": 'TARGET="/" OPTIONS="ro"'}, {}),
        ({"swaps": ("UUID=1",)}, {"swap": "/dev/vda3 1"}, {}),
        (
            {"identifiers": GPT},
            {"device": ['/dev/vda1: UUID="8285-79BC"', f'/dev/vda: PTUUID="{FS}"']},
            {},
        ),
        (
            {"identifiers": (GPT[1], IN_A_GROUP)},
            {"device": '/dev/vda1: UUID="8285-79BC"'},
            {"disk-guid /dev/sda": "not seen"},
        ),
        (
            {"retired": (("old machine-id", OTHER),)},
            {"cmdline": f"systemd.machine_id={OTHER}"},
            {"old machine-id": f"{OTHER} in cmdline"},
        ),
        (
            {},
            {
                "state": "starting",
                "job": ["12 slow.service start running", "13 a.target start waiting"],
            },
            {"state": "still starting: slow.service"},
        ),
    ],
)
def test_what_is_compared(
    expected: dict[str, object], values: dict[str, str | list[str]], differences: dict[str, str]
) -> None:
    wanted = Expected("systemd", **expected)  # type: ignore[arg-type]  # a table of any field
    assert found(wanted, said(**values)) == differences


@pytest.mark.parametrize("init", ["sysvinit", "openrc"])
def test_without_systemd_only_d_bus_may_have_a_machine_id(init: str) -> None:
    only = said(machine_id="", dbus_machine_id=ID, told_machine_id=[ID])
    assert found(Expected(init), only) == {}
    assert found(Expected(init), said(dbus_machine_id=OTHER)) == {"D-Bus machine-id": OTHER}
    assert set(found(Expected("systemd"), only)) == {"machine-id", "D-Bus machine-id"}


def test_a_guest_without_systemd_needs_no_machine_id() -> None:
    assert found(Expected("sysvinit"), said(machine_id="")) == {}
    assert "machine-id" in found(Expected("systemd"), said(machine_id=""))


def test_what_changes_from_boot_to_boot() -> None:
    assert list(between_boots(said(hostname="a"), said(hostname="a"))) == []
    (difference,) = between_boots(said(), said(machine_id=OTHER))
    assert difference == Difference("machine-id", ID, f"{OTHER} after a restart")


def test_what_two_machines_share() -> None:
    device = f'/dev/vda2: UUID="{FS}" TYPE="ext4"'
    no_seed = "iid-datasource-none"
    one = said(device=device, hostname="same", instance_id=no_seed)
    two = said(device=device, hostname="same", instance_id=no_seed, machine_id=OTHER)
    assert list(shared(one, two)) == [("UUID of /dev/vda2", FS)]
    assert list(shared(one, said())) == [("machine-id", ID)]
