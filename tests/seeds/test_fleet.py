"""A thousand machines from one file, or none."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from unclone.seeds import Format, Part, SeedError
from unclone.seeds.blueprint import Blueprint, Row
from unclone.seeds.fleet import Result, write_fleet
from unclone.seeds.machines_file import read_machines
from unclone.seeds.output import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.seeds.machine import Machine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"
TEMPLATE = Part("base.yaml", b"#cloud-config\nbootcmd:\n- echo ${role} ${hostname} $HOME\n")

CSV = """hostname,mac,address,gateway,packages,role
web-01,52:54:00:00:00:01,192.0.2.11/24;2001:db8::11/64,192.0.2.1,vim;git,front
web-02,52:54:00:00:00:02,192.0.2.12/24,192.0.2.1,,back
"""
YAML = """
- hostname: web-01
  nic: mac=52:54:00:00:00:01,address=192.0.2.11/24,address=2001:db8::11/64,gateway=192.0.2.1
  packages: [vim, git]
  role: front
- hostname: web-02
  nic:
  - {mac: "52:54:00:00:00:02", address: [192.0.2.12/24], gateway: 192.0.2.1}
  role: back
"""


def write(folder: Path, rows: tuple[Row, ...], **more: Any) -> tuple[Result, ...]:
    blueprint = more.pop("blueprint", Blueprint(templates=(TEMPLATE,)))

    def name(machine: Machine) -> Path:
        return folder / machine.name

    return write_fleet(blueprint, rows, name, **more)


@pytest.mark.parametrize(("text", "name"), [(CSV, "fleet.csv"), (YAML, "fleet.yaml")])
def test_a_table_and_a_list_say_the_same(tmp_path: Path, text: str, name: str) -> None:
    results = write(tmp_path, read_machines(text, name))
    assert [result.machine.name for result in results] == ["web-01", "web-02"]
    first, second = (read_image((tmp_path / n).read_bytes()) for n in ("web-01", "web-02"))
    said = yaml.safe_load(first["user-data"])
    assert said["bootcmd"] == ["echo front web-01 $HOME"]
    assert said["packages"] == ["vim", "git"]
    assert b"echo back web-02" in second["user-data"]
    (card,) = yaml.safe_load(first["network-config"])["config"]
    assert [subnet["address"] for subnet in card["subnets"]] == ["192.0.2.11/24", "2001:db8::11/64"]
    assert card["subnets"][0]["gateway"] == "192.0.2.1"


def test_every_field_is_read() -> None:
    (row,) = read_machines(
        f"""
- hostname: db
  fqdn: db.example.org
  instance_id: i-7
  generation: 3
  timezone: UTC
  users: admin; ops
  ssh-keys: ["{KEY}"]
  packages: [postgresql]
  run: ["a; b"]
  bond: {{name: bond0, links: eth0+eth1, dhcp: both}}
  vlan: ["link=bond0,id=20"]
  nic: ["mac=52:54:00:00:00:01,name=eth0", "mac=52:54:00:00:00:02,name=eth1"]
  rack: 7
""",
        "fleet.yaml",
    )
    machine, seed = Blueprint(users=("root2",), run=("first",)).seed(row)
    assert (machine.fqdn, machine.identity, machine.generation) == ("db.example.org", "i-7", 3)
    assert machine.users == ("root2", "admin", "ops")
    assert machine.run == ("first", "a; b")
    assert (machine.timezone, machine.ssh_keys) == ("UTC", (KEY,))
    assert row.values == {"rack": "7"}
    assert machine.network is not None
    names = [interface.name for interface in machine.network.interfaces]
    assert names == ["eth0", "eth1", "bond0", "bond0.20"]
    assert seed.check() == ()


def test_a_row_replaces_what_all_have() -> None:
    common = Blueprint(timezone="UTC", values={"role": "x", "site": "y"}, templates=(TEMPLATE,))
    row = Row(hostname="a", timezone="Europe/Berlin", values={"role": "z"})
    machine, seed = common.seed(row)
    assert machine.timezone == "Europe/Berlin"
    assert b"echo z a" in seed.user_data


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "f.yaml", "holds no machine"),
        ("", "f.csv", "holds no machine"),
        ("hostname\n", "f.csv", "holds no machine"),
        ("a: b\n", "f.yaml", "is no list"),
        ("- a\n", "f.yaml", "f.yaml:1: not a mapping"),
        ("- hostname: a\n  x: [\n", "f.yaml", "f.yaml:3:1: not valid YAML"),
        ("- hostname: yes\n", "f.yaml", "f.yaml:1: hostname is not text"),
        ("- hostname: a\n- hostname: b\n  role: 1.10\n", "f.yaml", "f.yaml:2: role is not text"),
        ("- hostname: a\n  'a b': c\n", "f.yaml", "cannot be the name of a value"),
        ("- hostname: a\n  generation: x\n", "f.yaml", "generation is 'x'"),
        ("- hostname: a\n  nic: mac\n", "f.yaml", "'mac' is not key=value"),
        ("- hostname: a\n  nic: {ip: x}\n", "f.yaml", "f.yaml:1: there is no key 'ip'"),
        ("- hostname: a\n  ssh-keys: [hello]\n", "f.yaml", "no SSH public key"),
        ("hostname,role\na\n", "f.csv", "f.csv:2: fewer fields"),
        ("hostname,role\na,b,c\n", "f.csv", "f.csv:2: more fields"),
        ('hostname\n"a\n', "f.csv", "unexpected end of data"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(text: str, name: str, words: str) -> None:
    with pytest.raises(SeedError) as refused:
        read_machines(text, name)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("- hostname: web_1\n", "f.yaml:1: 'web_1' cannot be a host name"),
        ("- role: x\n", "f.yaml:1: nothing says which machine"),
        ("- hostname: a\n  role: x\n- hostname: b\n", "no value for ${role}"),
        ("- {hostname: a, role: x}\n- {hostname: A, role: x}\n", "that of f.yaml:1 already"),
        (
            "- {hostname: a, instance-id: i, role: x}\n- {hostname: b, instance-id: i, role: x}\n",
            "f.yaml:2: the instance-id i is that of f.yaml:1 already",
        ),
        (
            "- {hostname: a, role: x, mac: &m '52:54:00:00:00:01'}\n- {hostname: b, mac: *m}\n",
            "the MAC address 52:54:00:00:00:01 is that of f.yaml:1",
        ),
        (
            "- {hostname: a, nic: &n 'name=e,address=1.1.1.1/8'}\n- {hostname: b, nic: *n}",
            "the address 1.1.1.1 is that of f.yaml:1",
        ),
    ],
)
def test_what_is_wrong_with_one_machine_writes_none(tmp_path: Path, rows: str, words: str) -> None:
    common = Blueprint(templates=(TEMPLATE,), values={"role": "x"} if "&" in rows else {})
    with pytest.raises(SeedError) as refused:
        write(tmp_path, read_machines(rows, "f.yaml"), blueprint=common)
    assert words in refused.value.message
    assert list(tmp_path.iterdir()) == []


def test_one_refused_seed_keeps_all_from_being_written(tmp_path: Path) -> None:
    template = Blueprint(templates=(Part("t", b"#cloud-config\nx: ${role}\n"),))
    rows = tuple(Row(hostname=f"web-{r}", values={"role": r}) for r in "abc")
    bad = Row(hostname="bad", values={"role": "y: z"})
    results = write(tmp_path, (*rows[:1], bad, *rows[1:]), blueprint=template)
    assert [result.refused for result in results] == [False, True, False, False]
    assert results[1].findings[0].code == "yaml"
    assert list(tmp_path.iterdir()) == []
    assert not any(result.refused for result in write(tmp_path, rows, blueprint=template))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    results = write(tmp_path, read_machines(CSV, "f.csv"), dry_run=True)
    assert [result.written for result in results] == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_a_fleet_of_folders(tmp_path: Path) -> None:
    write(tmp_path, read_machines(CSV, "f.csv"), kind=Format.FOLDER)
    assert (tmp_path / "web-02" / "meta-data").read_text().startswith("instance-id: ")


@pytest.mark.slow
def test_a_fleet_takes_the_memory_of_one(tmp_path: Path) -> None:
    big = Part("big.sh", b"#!/bin/sh\n" + b"# padding\n" * 20_000)  # 200 kB, 0.9 MB at work
    rows = [Row(hostname=f"web-{n}", values={"role": "x"}) for n in range(100)]
    tracemalloc.start()
    try:
        write(tmp_path, tuple(rows), blueprint=Blueprint(user_data=(big,)), schema=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(list(tmp_path.iterdir())) == 100
    assert peak < 5_000_000  # all of them together would be 27 MB


# -- meta-data of one's own ------------------------------------------------------------------


def test_meta_data_that_says_everything_stays_as_it_is() -> None:
    given = b"# mine\ninstance-id:   i-1\nlocal-hostname: web-01.example.org\n"
    machine, seed = Blueprint(meta_data=given).seed(Row())
    assert seed.meta_data == given
    assert (machine.identity, machine.fqdn) == ("i-1", "web-01.example.org")


def test_meta_data_is_completed() -> None:
    machine, seed = Blueprint(meta_data=b"local-hostname: web-01\nx: [1]\n").seed(Row())
    assert yaml.safe_load(seed.meta_data) == {
        "local-hostname": "web-01",
        "x": [1],
        "instance-id": machine.identity,
    }


@pytest.mark.parametrize(
    ("given", "row", "words"),
    [
        (b"local-hostname: a\n", Row(hostname="b"), "local-hostname has one value"),
        (b"instance-id: a\n", Row(instance_id="b"), "instance-id has one value"),
        (b"a: b: c\n", Row(hostname="b"), "meta-data:1:5: not valid YAML"),
        (b"- a\n", Row(hostname="b"), "meta-data is no mapping"),
        (b"x: y\n", Row(), "nothing says which machine"),
    ],
)
def test_meta_data_that_cannot_be_completed(given: bytes, row: Row, words: str) -> None:
    with pytest.raises(SeedError, match=words):
        Blueprint(meta_data=given).seed(row)


def test_a_network_cannot_be_described_twice() -> None:
    row = read_machines("- {hostname: a, mac: '52:54:00:00:00:01'}\n", "f.yaml")[0]
    with pytest.raises(SeedError, match="described twice"):
        Blueprint(network_config=b"version: 2\n").seed(row)
