"""``unclone seed --check IMAGE``: whether an image takes a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support.tree import guest_at, plant
from unclone.cli.main import cli
from unclone.runs import seed_check

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from unclone.images.guest import Guest
    from unclone.runs.request import Request
    from unclone.runs.seed_check import Readiness


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["seed", *map(str, arguments)])


TAKES_NONE = {
    "/usr/bin/cloud-init": "",
    "/etc/os-release": "NAME=Example\n",
    "/etc/cloud/cloud.cfg": "datasource_list: [Ec2]\npreserve_hostname: true\n"
    "cloud_init_modules: [ssh]\n",
    "/etc/runlevels/default/cloud-init": "",
}
TAKES_IT = TAKES_NONE | {"/etc/cloud/cloud.cfg": "cloud_init_modules: [ssh, update_etc_hosts]\n"}


@pytest.fixture
def image(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guest that is a folder; everything but the engine is real."""

    def reading(request: Request, look: Callable[[Guest], Readiness], _: object) -> Readiness:
        return look(guest_at(request.image))

    monkeypatch.setattr(seed_check, "read_image", reading)
    (here / "guest").mkdir()
    return here / "guest"


def test_an_image_that_takes_no_seed_is_told_so(image: Path) -> None:
    plant(image, TAKES_NONE)
    done = seed("--check", image, "-q")
    assert done.exit_code == 4
    first, *rest = done.stdout.splitlines()
    assert first == f"{image}: Example, would ignore the seed"
    assert "datasource_list is [Ec2]" in rest[0]
    assert "/etc/cloud/cloud.cfg" in rest[0]
    assert any("preserve_hostname" in line for line in rest)
    assert not list(Path().glob("*.iso"))


def test_an_image_is_asked_for_what_the_seed_needs(image: Path) -> None:
    plant(image, TAKES_IT)
    assert seed("--check", image, "-q").stdout == f"{image}: Example, takes a seed\n"
    done = seed("--check", image, "-q", "--user", "admin", "--json", "--format", "vfat")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["schema"]) == (0, "unclone.seed-check/1")
    (entry,) = document["results"]
    assert (entry["status"], entry["guest"]) == ("ready", "Example")
    (obstacle,) = entry["obstacles"]
    assert set(obstacle) == {"id", "path", "meaning", "remedy", "whole", "step", "by_default"}
    assert "users-groups" in obstacle["meaning"]


def test_the_network_of_the_seed_counts(image: Path, here: Path) -> None:
    plant(image, TAKES_IT | {"/etc/netplan/01.yaml": "network: {}\n"})
    (here / "n").write_text("network:\n  version: 2\n")
    options = ("--hostname", "a", "--check", image, "-q")
    assert "01.yaml" not in seed(*options).stdout
    assert "01.yaml" in seed(*options, "--network-config", "n").stdout
    assert "01.yaml" in seed(*options, "--nic", "name=eth0").stdout


def test_an_image_that_is_missing_is_named() -> None:
    done = seed("--check", "missing.qcow2", "-q")
    assert done.exit_code == 2
    assert "missing.qcow2" in done.stderr


@pytest.mark.guest
@pytest.mark.appliance
def test_the_real_guest_is_read(golden: Path) -> None:
    done = seed("--check", golden, "--hostname", "a", "--user", "admin", "--json", "-q")
    (entry,) = json.loads(done.stdout)["results"]
    assert (done.exit_code, entry["status"]) == (0, "ready")
    # tests/guests/identity.py leaves it only the modules that matter for identity.
    meanings = " ".join(obstacle["meaning"] for obstacle in entry["obstacles"])
    assert "users-groups" in meanings
    ids = {obstacle["id"] for obstacle in entry["obstacles"]}
    assert ids == {"module-missing", "hosts-name"}  # golden is in /etc/hosts


SCHEMA = "/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
OLD = {
    "$defs": {"cc_users": {"type": "object", "properties": {"users": {"type": "object"}}}},
    "allOf": [{"$ref": "#/$defs/cc_users"}],
    "properties": {
        **{key: {} for key in ("users", "preserve_hostname", "manage_etc_hosts")},
        "ssh_deletekeys": {},
        "runcmd": {"type": "array"},
    },
    "additionalProperties": False,
}


def obstacles_with(image: Path, schema: object, *arguments: str) -> list[str]:
    plant(image, TAKES_IT | {SCHEMA: json.dumps(schema)})
    done = seed("--check", image, "--hostname", "web-01", "--json", *arguments)
    (told,) = json.loads(done.stdout)["results"]
    found = [each for each in told["obstacles"] if each["id"] != "module-missing"]
    return [f"{each['id']}: {each['meaning']}" for each in found]


def test_the_guests_own_schema_is_applied(image: Path) -> None:
    Path("user-data").write_text("#cloud-config\nntp: {}\nruncmd: [ls]\n")
    (found,) = obstacles_with(image, OLD, "--user-data", "user-data")
    assert found.startswith("schema: cloud-init of unknown version here complains of user-data:2:1")
    assert "'ntp': cloud-init knows no such key" in found


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "https://192.0.2.1/schema.json"}]},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "allOf": [{"$ref": "#/$defs/a"}]},
        {
            "$defs": {
                **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(9)},
                "d9": {},
            },
            "properties": {"runcmd": {"$ref": "#/$defs/d0"}},
        },
        {"properties": {"runcmd": {"items": {"pattern": "(a+)+$"}}}},
        {"allOf": 7},
        [],
        "text",
    ],
    ids=["elsewhere", "circle", "explosion", "pattern", "number", "list", "text"],
)
def test_a_hostile_schema_does_no_harm(image: Path, schema: object) -> None:
    Path("user-data").write_text("#cloud-config\nruncmd: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!]\n")
    found = obstacles_with(image, schema, "--user-data", "user-data")
    assert [text for text in found if "a check failed itself" not in text] == []


def test_version_2_in_a_guest_without_netplan(image: Path) -> None:
    Path("net").write_text("version: 2\ntunnels: {t: {mode: sit, remote: 192.0.2.1}}\n")
    (found,) = obstacles_with(image, {}, "--network-config", "net")
    assert found.startswith("network-without-netplan: there is no netplan")
    plant(image, {"/usr/sbin/netplan": "#!/usr/bin/python3\n"})
    done = seed("--check", image, "--hostname", "web-01", "--json", "--network-config", "net")
    assert json.loads(done.stdout)["results"][0]["obstacles"] == []
