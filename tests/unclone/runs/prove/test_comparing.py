"""What two boots, and two machines, have in common or not, besides tests/unclone/test_prove.py."""

from __future__ import annotations

import pytest

from unclone.runs.prove.comparing import (
    Difference,
    between_boots,
    compare,
    failed_units,
    missing_services,
    shared,
)
from unclone.runs.prove.expected import Expected
from unclone.runs.prove.guest_report import KEYS, GuestReport, read

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
ROOT = ("/", FS, ("defaults",))
DEVICE = f'/dev/vda1: UUID="{FS}" TYPE="ext4"'
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlD8w0szd4ugIUNALnc3F9Vutz4UJj9d51xPC4SbAIm"
PATH = "/etc/ssh/ssh_host_ed25519_key"
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
        ({"mounts": (("/", "", ("ro",)),)}, {"mount": 'TARGET="/" OPTIONS="ro"'}, {}),
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


def mounted(target: str = "/", uuid: str = "", source: str = "/dev/vda1", **more: str) -> str:
    tags = {"TARGET": target, "UUID": uuid, "SOURCE": source, "FSTYPE": "ext4", "OPTIONS": "rw"}
    return " ".join(f'{key}="{value}"' for key, value in {**tags, **more}.items())


UNKNOWN = "without a UUID"
STORED = "stored by an earlier boot"


@pytest.mark.parametrize(
    ("expected", "values", "differences"),
    [
        # Another file system than that of the image, or one that the guest does not name.
        ({"mounts": (ROOT,)}, {"mount": mounted()}, {"mount /": UNKNOWN}),
        ({"mounts": (ROOT,)}, {"mount": "/dev/vda1 / ext4 rw 0 0"}, {"mount /": UNKNOWN}),
        ({"mounts": (ROOT,)}, {"mount": "/dev/vda1 / ext4 rw 0 0", "device": DEVICE}, {}),
        ({"mounts": (ROOT,)}, {"mount": "/dev/vda2 / ext4 rw 0 0", "device": DEVICE},
         {"mount /": UNKNOWN}),
        ({"mounts": (ROOT,)},
         {"mount": "/dev/root / ext4 rw 0 0", "device": DEVICE, "root_device": "vda1"}, {}),
        ({"mounts": (ROOT,)},
         {"mount": [mounted(source="composefs", FSTYPE="overlay", OPTIONS="ro"),
                    mounted("/sysroot", FS)]}, {}),
        ({"mounts": (ROOT,)}, {"mount": mounted(source="overlay", FSTYPE="overlay")},
         {"mount /": UNKNOWN}),
        ({"mounts": (ROOT,), "subvolumes": (("/", "@"),)},
         {"mount": mounted(uuid=FS, FSTYPE="btrfs", OPTIONS="rw,subvol=/@")}, {}),
        ({"mounts": (ROOT,), "subvolumes": (("/", "@"),)},
         {"mount": mounted(uuid=FS, FSTYPE="btrfs", OPTIONS="rw,subvol=/@old")},
         {"mount /": "@old"}),
        # Not writable: a check failed, or the kernel found an error.
        ({"mounts": (ROOT,)}, {"mount": mounted(uuid=FS, OPTIONS="ro")}, {"mount /": "read-only"}),
        ({"mounts": (("/srv", FS, ("nofail",)),)},
         {"mount": mounted("/srv", FS, OPTIONS="ro,errors=remount-ro")},
         {"mount /srv": "read-only"}),
        ({"mounts": (("/srv", FS, ()),)},
         {"mount": mounted("/srv", FS, FSTYPE="squashfs", OPTIONS="ro")}, {}),
        # Not mounted: with nofail nothing fails, and an automount waits for someone.
        ({"mounts": (("/srv", FS, ("nofail",)),)}, {}, {"mount /srv": "not mounted"}),
        ({"mounts": (("/srv", FS, ("x-systemd.automount",)),)},
         {"mount": mounted("/srv", source="systemd-1", FSTYPE="autofs")},
         {"mount /srv": "not mounted"}),
        # Swap: one in memory stands for none, and another area stands for no other.
        ({"swaps": ("UUID=1",)}, {"swap": "/dev/zram0 2"}, {"swap": "0 of 1 active"}),
        ({"swaps": ("UUID=1",)}, {"swap": "/dev/vda3 2"}, {"swap": "0 of 1 active"}),
        ({"swaps": ("UUID=1", "/swapfile")}, {"swap": ["/dev/vda3 1", "/swapfile 2"]}, {}),
        ({"swaps": ("UUID=1", "/swapfile")}, {"swap": ["/dev/vda3 1", "/dev/vda4 2"]},
         {"swap": "1 of 2 active"}),
        ({"swaps": ("/dev/mapper/crypt", "UUID=1")}, {"swap": ["/dev/dm-0 9", "/dev/vda3 1"]}, {}),
        ({"swaps": ("/dev/vda3",)}, {}, {"swap": "0 of 1 active"}),
        ({"swaps": ("UUID=1",)},
         {"swap": "/dev/vda3 partition 1 0 -2", "device": '/dev/vda3: UUID="1"'}, {}),
        ({"swaps": ("UUID=1",)},
         {"swap": "/dev/vda3 partition 1 0 -2", "device": '/dev/vda3: UUID="2"'},
         {"swap": "0 of 1 active"}),
        ({"mapped": ("data",)}, {"mapped": ["control", "data"]}, {}),
        ({"mapped": ("data",)}, {"mapped": "control"}, {"crypttab data": "not opened"}),
        # A machine-id that systemd refuses, or that is not stored.
        ({}, {"machine_id": "0" * 32}, {"machine-id": "0" * 32}),
        ({}, {"mount": mounted(FSTYPE="tmpfs")}, {"machine-id": "/etc is in memory"}),
        ({"machine_id": ID}, {"mount": mounted(FSTYPE="tmpfs")}, {}),
        ({"dbus_machine_id": OTHER}, {"machine_id": ID}, {"D-Bus machine-id": "none"}),
        # A name, an id and keys that are not what was asked for.
        ({"host_name": "web-01.example.org"}, {"hostname": "web-01.lan"},
         {"host name": "web-01.lan"}),
        ({"instance_id": "a"}, {"instance_id": "a", "instance_now": "a"}, {}),
        ({"instance_id": "a"}, {"instance_id": "a"}, {"instance-id": STORED}),
        ({"host_keys": ((PATH, "SHA256:a"),)}, {}, {f"host key {PATH}": "none"}),
        ({"identifiers": GPT}, {}, {"identifiers of devices": "no blkid"}),
        ({}, {"state": "degraded"}, {"state": "no unit that failed is named"}),
        ({}, {"state": ""}, {"state": "still starting"}),
        ({}, {"state": "degraded", "failed": "a.service loaded failed"}, {}),
    ],
)  # fmt: skip
def test_what_looks_like_a_good_start_and_is_none(
    expected: dict[str, object], values: dict[str, str | list[str]], differences: dict[str, str]
) -> None:
    wanted = Expected("systemd", **expected)  # type: ignore[arg-type]  # a table of any field
    seen = found(wanted, said(**values))
    assert seen.keys() == differences.keys()
    assert all(words in seen[what] for what, words in differences.items()), seen


def test_a_service_of_the_original_that_does_not_run() -> None:
    """One that is masked or was never started did not fail."""
    units = ["cron.service", "ssh.service"]
    on_demand = "systemd-hostnamed.service"
    original = said(active=[*units, on_demand], enabled=units)
    assert list(missing_services(said(active=units), original)) == []
    missing = list(missing_services(said(active=["cron.service"]), original))
    assert missing == [Difference("unit ssh.service", "running, as in the original", "not running")]
    assert list(missing_services(said(active=units[:1], failed="ssh.service"), original)) == []


def test_what_changes_from_boot_to_boot() -> None:
    assert list(between_boots(said(hostname="a"), said(hostname="a"))) == []
    changed = between_boots(said(instance_id="a"), said(instance_id="b", dbus_machine_id=ID))
    assert {each.what for each in changed} == {"instance-id", "D-Bus machine-id"}
    (difference,) = between_boots(said(), said(machine_id=OTHER))
    assert difference == Difference("machine-id", ID, f"{OTHER} after a restart")


def test_what_two_machines_share() -> None:
    device = f'/dev/vda2: UUID="{FS}" TYPE="ext4"'
    no_seed = "iid-datasource-none"
    one = said(device=device, hostname="same", instance_id=no_seed)
    two = said(device=device, hostname="same", instance_id=no_seed, machine_id=OTHER)
    assert list(shared(one, two)) == [("UUID of /dev/vda2", FS)]
    assert list(shared(one, said())) == [("machine-id", ID)]


HOSTILE = (
    "",
    " ",
    "/",
    '="',
    'TARGET="/" UUID="',
    "\\x2",
    "a: b",
    "\x9b2J",
    "\u202e",
    "x" * 8000,
    "[",
    "1 2 3",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_guest_says_is_compared(text: str) -> None:
    keys = [key for key in KEYS if key not in {"begin", "end"}]
    data = "".join(["begin 1\n", *(f"{key} {text}\n" for key in keys), "end 1\n"])
    hostile = read(data.encode())
    wanted = Expected(
        "systemd",
        machine_id=ID,
        host_name="a.b",
        instance_id="a",
        macs=(MAC,),
        host_keys=((PATH, "SHA256:a"),),
        identifiers=GPT,
        mounts=(ROOT, ("/srv", "", ())),
        swaps=("UUID=1", "/swapfile"),
        mapped=("data",),
        retired=(("old machine-id", OTHER),),
    )
    differences = [
        *compare(wanted, hostile),
        *failed_units(hostile, ()),
        *missing_services(hostile, hostile),
        *between_boots(hostile, said()),
    ]
    assert {"machine-id", "host name", "instance-id", "swap"} <= {each.what for each in differences}
    assert list(shared(hostile, said())) == []


def test_what_has_another_name_is_shared_all_the_same() -> None:
    """A definition's bus names the disk, and a key may have moved."""
    one = said(device=DEVICE, machine_id="", host_key=[f"{PATH}.pub {KEY}", "/a.pub nonsense"])
    sda = DEVICE.replace("vda", "sda")
    two = said(device=sda, machine_id="", host_key=[f"/etc/ssh/other {KEY}", "/a.pub nonsense"])
    (key, uuid) = shared(one, two)
    assert key[0] == f"host key {PATH}.pub"
    assert uuid == ("UUID of /dev/vda1", FS)
