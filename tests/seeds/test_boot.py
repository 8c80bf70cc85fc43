"""A real guest boots with a seed of ours: the real cloud-init finds it, and does what it says.

The guest has been somebody before (tests/guests/identity.py): cloud-init remembers that instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guests import debian
from tests.support.qemu import boot_guest
from unclone.seeds import Format, Interface, Machine, Network, Part, Seed
from unclone.seeds.password import hashed

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.boot, pytest.mark.guest, pytest.mark.timeout(2400)]

BOOT_LIMIT = 1500  # seconds; a guest alone on two processors takes about 150
MAC = "52:54:00:12:34:56"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"

#: What the seed's runcmd tells on the port that the guest's own proof uses.
TOLD = {
    "seed-user": "getent passwd admin | cut -d: -f6,7",
    "seed-shadow": "getent shadow admin | cut -d: -f2",
    "seed-key": "cat /home/admin/.ssh/authorized_keys",
    "seed-sudo": "grep -h ^admin /etc/sudoers.d/*",
    "seed-fqdn": "hostname -f",
    "seed-address": "ip -o -4 address show dev eth0 | tr -s ' ' | cut -d' ' -f4",
    "seed-address6": "ip -o -6 address show dev eth0 scope global | tr -s ' ' | cut -d' ' -f4",
    "seed-route": "ip -4 route show default | cut -d' ' -f1-5",
    "seed-mac": "cat /sys/class/net/eth0/address",
    "seed-zone": "readlink /etc/localtime",
    "seed-source": "cat /var/lib/cloud/instance/datasource",
    "seed-script": "cat /root/from-a-script",
}

#: The guest has only the modules that matter for identity (tests/guests/identity.py).
MODULES = b"""#cloud-config
cloud_init_modules: [set_hostname, update_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [set-passwords, timezone, runcmd]
"""

MACHINE = Machine(
    hostname="web-07",
    fqdn="web-07.example.org",
    users=("admin",),
    ssh_keys=(KEY,),
    password="correct horse",
    timezone="Europe/Berlin",
    run=tuple(
        f"printf 'UNCLONE-PROOF {name}=%s\\n' \"$({command})\" >/dev/ttyS1"
        for name, command in TOLD.items()
    ),
    network=Network(
        (
            Interface(
                name="eth0",
                mac=MAC,
                addresses=("10.0.2.77/24", "2001:db8::77/64"),
                gateways=("10.0.2.2",),
                nameservers=("10.0.2.3",),
            ),
        )
    ),
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the machine told about itself."""
    folder = tmp_path_factory.mktemp("boot")
    modules = Part("modules.yaml", MODULES)
    hook = b"#cloud-boothook\n#!/bin/sh\necho ran as $(id -un) > /root/from-a-script\n"
    seed = Seed.for_machine(MACHINE, user_data=[modules, Part("hook", hook)])
    path = folder / "web-07.iso"
    seed.write(path, Format.ISO, strict=True)
    golden = debian.cached(print)
    return boot_guest(golden, folder / "web-07", BOOT_LIMIT, seed=path, mac=MAC).facts


def test_it_is_the_new_instance(facts: Mapping[str, str]) -> None:
    assert facts["instance-id"] == MACHINE.identity
    assert facts["seed-source"].startswith("DataSourceNoCloud")
    assert "/dev/vdb" in facts["seed-source"]


def test_it_has_its_name(facts: Mapping[str, str]) -> None:
    assert (facts["hostname"], facts["seed-fqdn"]) == ("web-07", "web-07.example.org")


def test_it_has_its_user(facts: Mapping[str, str]) -> None:
    assert facts["seed-user"] == "/home/admin:/bin/bash"
    assert facts["seed-key"] == KEY
    assert facts["seed-sudo"] == "admin ALL=(ALL) NOPASSWD:ALL"
    password = hashed("correct horse", f"{MACHINE.identity}/admin")
    assert facts["seed-shadow"] == password
    assert password.startswith("$6$")


def test_it_has_its_network(facts: Mapping[str, str]) -> None:
    assert facts["seed-mac"] == MAC
    assert facts["seed-address"] == "10.0.2.77/24"
    assert facts["seed-address6"] == "2001:db8::77/64"
    assert facts["seed-route"] == "default via 10.0.2.2 dev eth0"


def test_every_part_of_the_user_data_was_run(facts: Mapping[str, str]) -> None:
    assert facts["seed-zone"].endswith("/Europe/Berlin")
    assert facts["seed-script"] == "ran as root"


def test_nothing_failed(facts: Mapping[str, str]) -> None:
    assert facts["failed-units"] == ""
