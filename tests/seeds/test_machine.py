"""One machine: its id, its names, and what is said about it in which file."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from unclone.seeds import Machine, Seed, SeedError
from unclone.seeds.instance_id import SHARED, checked_instance_id, instance_id
from unclone.seeds.names import host_name_problem
from unclone.seeds.ssh_keys import looks_like_a_key, public_keys

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"


def config(machine: Machine) -> Any:
    return yaml.safe_load(Seed.for_machine(machine).user_data)


# -- instance-id -----------------------------------------------------------------------------


def test_the_id_follows_from_the_name_alone() -> None:
    bare = Machine(hostname="web-01")
    rich = Machine(hostname="WEB-01", users=("admin",), packages=("vim",), timezone="UTC")
    assert bare.identity == rich.identity == "iid-11bdde8a-593f-5c5f-9d6f-8c32bcbf18b8"


def test_every_machine_and_generation_has_its_own() -> None:
    names = [f"web-{n}" for n in range(1000)]
    ids = {instance_id(name, generation) for name in names for generation in (1, 2)}
    assert len(ids) == 2000
    assert not ids & SHARED


def test_the_fqdn_is_the_name_if_there_is_one() -> None:
    short, long = Machine(hostname="web"), Machine(hostname="web", fqdn="web.example.org")
    assert short.identity != long.identity
    assert long.identity == Machine(fqdn="web.example.org").identity


def test_an_id_of_ones_own_is_taken() -> None:
    assert Machine(instance_id="i-1").meta_data() == {"instance-id": "i-1"}


@pytest.mark.parametrize("given", ["", "a/b", "../x", "a b", "-a", "a\n", "é", "a" * 129])
def test_what_cannot_be_an_id_is_refused(given: str) -> None:
    with pytest.raises(SeedError, match="cannot be an instance-id"):
        checked_instance_id(given)


def test_there_is_no_generation_before_the_first() -> None:
    with pytest.raises(SeedError, match="generation 0"):
        instance_id("web-01", 0)


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a", "web-01", "WEB", "1", "a" * 63, "a.b.c", "web-01.example.org.", "xn--bcher-kva"]
)
def test_names_that_can_be(name: str) -> None:
    assert host_name_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("web_01", "underscore"),
        ("-web", "hyphen"),
        ("web-", "hyphen"),
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("a" * 64, "longer than 63"),
        (".".join(["a" * 49] * 6), "longer than 253"),
        ("bücher", "only letters"),
        ("a b", "only letters"),
        ("a\n", "only letters"),
        ("192.0.2.1", "IP address"),
        ("2001:db8::1", "IP address"),
    ],
)
def test_names_that_cannot_be(name: str, words: str) -> None:
    assert words in host_name_problem(name)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing says which machine"),
        ({"hostname": "web_01"}, "cannot be a host name"),
        ({"fqdn": "web-01"}, "it has no domain"),
        ({"fqdn": "web_01.example.org"}, "cannot be a FQDN"),
        ({"hostname": "a", "users": ("Admin",)}, "cannot be a user name"),
        ({"hostname": "a", "users": ("a:b",)}, "cannot be a user name"),
        ({"hostname": "a", "timezone": "../etc"}, "is no time zone"),
        ({"hostname": "a", "timezone": "Europe/Berlin; x"}, "is no time zone"),
        ({"hostname": "a", "instance_id": "a/b"}, "cannot be an instance-id"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SeedError, match=words):
        Machine(**given)


# -- what is said where ----------------------------------------------------------------------


def test_a_name_needs_no_user_data() -> None:
    seed = Seed.for_machine(Machine(hostname="web-01", fqdn="web-01.example.org"))
    assert seed.user_data == b"#cloud-config\n{}\n"
    assert yaml.safe_load(seed.meta_data)["local-hostname"] == "web-01.example.org"
    assert seed.network_config is None
    assert seed.vendor_data is not None
    assert yaml.safe_load(seed.vendor_data) == {
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        "ssh_deletekeys": True,
    }


def test_a_host_name_unlike_its_fqdn_is_said_in_user_data() -> None:
    both = config(Machine(hostname="web", fqdn="web-01.example.org"))
    assert both == {"hostname": "web", "fqdn": "web-01.example.org"}


def test_users_are_administrators() -> None:
    machine = Machine(hostname="a", users=("admin", "ops"), ssh_keys=(KEY,))
    users = config(machine)["users"]
    assert [user["name"] for user in users] == ["admin", "ops"]
    for user in users:
        assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
        assert user["lock_passwd"] is True
        assert user["ssh_authorized_keys"] == [KEY]


def test_without_users_the_default_user_gets_it() -> None:
    said = config(Machine(hostname="a", ssh_keys=(KEY,), password="hunter2"))
    assert said["ssh_authorized_keys"] == [KEY]
    assert said["chpasswd"] == {"expire": False}
    assert said["password"].startswith("$6$")
    assert "users" not in said


@pytest.mark.slow
def test_a_password_is_only_there_as_a_hash() -> None:
    machine = Machine(hostname="a", users=("admin", "ops"), password="hunter2")
    seed = Seed.for_machine(machine)
    assert b"hunter2" not in seed.to_bytes()
    assert "hunter2" not in repr(machine) + repr(seed)
    first, second = (user["passwd"] for user in config(machine)["users"])
    assert first != second


def test_the_rest() -> None:
    said = config(
        Machine(hostname="a", packages=("vim",), run=("ls",), timezone="UTC", disk_grow=True)
    )
    assert said == {
        "package_update": True,
        "packages": ["vim"],
        "runcmd": ["ls"],
        "timezone": "UTC",
        "growpart": {"mode": "auto", "devices": ["/"], "ignore_growroot_disabled": False},
        "resize_rootfs": True,
    }


# -- keys ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_keys_that_ssh_keygen_makes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "some one", "-f", path], check=True
    )
    public = (tmp_path / "key.pub").read_text()
    assert public_keys(f"# mine\n\n{public}{public}", "file") == (public.strip(), public.strip())
    assert public_keys(f'restrict,command="echo hi there" {public}', "file")
    assert looks_like_a_key(public)
    with pytest.raises(SeedError, match="private key") as refused:
        public_keys(path.read_text(), "file")
    assert path.read_text().splitlines()[1] not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "\n# only a comment\n", "hello", "ssh-rsa AAAA", f"ssh-rsa {KEY.split()[1]}", "é"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SeedError, match="no SSH public key"):
        public_keys(text, "--ssh-key")


@pytest.mark.parametrize("name", ["id.pub", "/home/a/.ssh/id_ed25519.pub", "ssh-keys/mine.pub"])
def test_a_file_name_is_no_key(name: str) -> None:
    assert not looks_like_a_key(name)
