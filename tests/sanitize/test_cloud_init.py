"""Whether cloud-init will run in a guest, and whether it then makes host keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import FileSystem
from unclone.sanitize.cloud_init import Runs, cloud_init, has_state, read_config
from unclone.sanitize.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Files = dict[str, str | bytes | None]

INSTALLED: Files = {
    "/usr/lib/systemd/systemd": "elf",
    "/sbin/init": "-> /usr/lib/systemd/systemd",
    "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
    "/usr/lib/systemd/system-generators/cloud-init-generator": "#!/bin/sh\n",
    "/usr/lib/cloud-init/ds-identify": "#!/bin/sh\n",
    "/usr/lib/systemd/system/cloud-init.service": "[Service]\nExecStart=cloud-init init\n",
    "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": (
        "-> /usr/lib/systemd/system/cloud-init.service"
    ),
    "/etc/cloud/cloud.cfg": "cloud_init_modules:\n - migrator\n - [ssh, always]\n",
}
WANTS = "/etc/systemd/system/cloud-init.target.wants/cloud-init.service"
LIST = "/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
POLICY = "/etc/cloud/ds-identify.cfg"


def without(*names: str) -> Files:
    return {path: content for path, content in INSTALLED.items() if path not in names}


@pytest.mark.parametrize(
    ("files", "runs", "because"),
    [
        pytest.param({}, Runs.NO, "not installed", id="not installed"),
        pytest.param(INSTALLED, Runs.LIKELY, "with a seed", id="as packaged"),
        pytest.param(
            INSTALLED | {"/etc/cloud/cloud-init.disabled": ""}, Runs.NO, ".disabled", id="disabled"
        ),
        pytest.param(without(WANTS), Runs.NO, "not enabled", id="not enabled"),
        pytest.param(
            INSTALLED | {"/etc/systemd/system/cloud-init.service": "-> /dev/null"},
            Runs.NO,
            "not enabled",
            id="masked",
        ),
        pytest.param(
            INSTALLED
            | {
                "/boot/grub/grub.cfg": (
                    "menuentry 'x' {\n\tlinux /vmlinuz root=/dev/vda1 ro cloud-init=disabled\n}\n"
                )
            },
            Runs.NO,
            "kernel command line",
            id="kernel command line",
        ),
        pytest.param(
            INSTALLED | {POLICY: "policy: disabled\n"}, Runs.NO, POLICY, id="policy disabled"
        ),
        pytest.param(
            INSTALLED | {POLICY: "# by hand\npolicy: enabled # yes\n"},
            Runs.CERTAIN,
            "says so",
            id="policy enabled",
        ),
        pytest.param(
            INSTALLED | {POLICY: "policy: search,found=all,maybe=all,notfound=enabled\n"},
            Runs.CERTAIN,
            "says so",
            id="not found is enabled",
        ),
        pytest.param(
            INSTALLED | {POLICY: "policy: enabled\n", LIST: "datasource_list: [ Ec2, GCE ]\n"},
            Runs.LIKELY,
            "with a seed",
            id="enabled, without a fallback",
        ),
        pytest.param(
            INSTALLED | {POLICY: "datasource: 'NoCloud'\n"},
            Runs.CERTAIN,
            "names its datasource",
            id="datasource named",
        ),
        pytest.param(
            INSTALLED | {LIST: "datasource_list: [ NoCloud, None ]\n"},
            Runs.CERTAIN,
            "one datasource",
            id="one datasource and the fallback",
        ),
        pytest.param(
            INSTALLED | {LIST: "datasource_list: [ None ]\n"},
            Runs.CERTAIN,
            "one datasource",
            id="the installer's",
        ),
        pytest.param(
            INSTALLED | {LIST: "datasource_list: [ NoCloud ]\n"},
            Runs.LIKELY,
            "with a seed",
            id="one datasource, no fallback",
        ),
        pytest.param(
            INSTALLED | {LIST: "datasource_list:\n - NoCloud\n - None\n"},
            Runs.LIKELY,
            "with a seed",
            id="a list that ds-identify reads otherwise",
        ),
        pytest.param(
            INSTALLED | {LIST: "datasource_list: [ NoCloud, ConfigDrive, Azure, None ]\n"},
            Runs.LIKELY,
            "with a seed",
            id="several datasources",
        ),
        pytest.param(
            without("/usr/lib/cloud-init/ds-identify"),
            Runs.CERTAIN,
            "nothing asks",
            id="no ds-identify",
        ),
        pytest.param(
            without(
                "/usr/lib/cloud-init/ds-identify",
                "/usr/lib/systemd/system-generators/cloud-init-generator",
            ),
            Runs.LIKELY,
            "nothing certainly starts it",
            id="no generator and no link",
        ),
        pytest.param(
            INSTALLED | {LIST: "a: [\n"}, Runs.LIKELY, "cannot be read", id="broken configuration"
        ),
        pytest.param(
            {
                "/usr/bin/cloud-init": "",
                "/sbin/openrc": "",
                "/etc/runlevels/boot/cloud-init": "-> /etc/init.d/cloud-init",
            },
            Runs.LIKELY,
            "finds a datasource",
            id="openrc",
        ),
    ],
)
def test_whether_it_runs(tmp_path: Path, files: Files, runs: Runs, because: str) -> None:
    plant(tmp_path, files)
    guest = guest_at(tmp_path)
    found = cloud_init(guest, Facts(guest))
    assert (found.runs, found.installed) == (runs, bool(files))
    assert because in found.because


class _WithSeed(TreeVolumes):
    def file_systems(self) -> Sequence[FileSystem]:
        return (FileSystem("tree", "tree"), FileSystem("/dev/sda3", "vfat", label="CIDATA"))


@pytest.mark.parametrize(
    ("sources", "runs"), [("NoCloud, Ec2, None", Runs.CERTAIN), ("Ec2, GCE, None", Runs.LIKELY)]
)
def test_a_seed_on_the_guests_own_disk_counts(tmp_path: Path, sources: str, runs: Runs) -> None:
    plant(tmp_path, INSTALLED | {LIST: f"datasource_list: [{sources}]\n"})
    guest = Guest(_WithSeed(tmp_path), Layout((Mount("tree", "/", "tree"),)))
    assert cloud_init(guest, Facts(guest)).runs is runs


@pytest.mark.parametrize(
    ("config", "makes"),
    [
        ("{}", True),
        ("ssh_deletekeys: false", False),
        ("ssh_deletekeys: 'no'", False),
        ("ssh_deletekeys: y", False),  # a text in YAML, and false to cloud-init
        ("ssh_deletekeys: true", True),
        ("ssh_genkeytypes: []", False),
        ("ssh_genkeytypes: [ed25519]", True),
        ("cloud_init_modules: [users_groups]", False),
        ("cloud_init_modules: ssh", False),
    ],
)
def test_whether_it_makes_host_keys(tmp_path: Path, config: str, makes: bool) -> None:
    plant(tmp_path, INSTALLED | {"/etc/cloud/cloud.cfg.d/10.cfg": config})
    guest = guest_at(tmp_path)
    assert cloud_init(guest, Facts(guest)).makes_host_keys is makes


def test_configuration_is_merged_as_cloud_init_does(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/cloud/cloud.cfg": "a: {x: 1, y: 2}\nlist: [1, 2]\n",
            "/etc/cloud/cloud.cfg.d/05.cfg": "a: {y: 3}\nlist: [3]\nb: old\n",
            "/etc/cloud/cloud.cfg.d/90.cfg": "b: new\n",
            "/etc/cloud/cloud.cfg.d/README": "not: read\n",
            "/etc/cloud/cloud.cfg.d/99.cfg": "",
        },
    )
    assert read_config(guest_at(tmp_path)) == {"a": {"x": 1, "y": 3}, "list": [3], "b": "new"}


def test_the_aliases_of_cloud_inits_own_files_are_read(tmp_path: Path) -> None:
    # As in the 05_logging.cfg that every cloud-init package installs.
    logging = (
        "_log:\n - &base |\n   [loggers]\n - &file |\n   [handler]\nlog_cfgs:\n - [*base, *file]\n"
    )
    plant(tmp_path, {"/etc/cloud/cloud.cfg.d/05_logging.cfg": logging})
    config = read_config(guest_at(tmp_path))
    assert config is not None
    assert config["log_cfgs"] == [["[loggers]\n", "[handler]\n"]]


@pytest.mark.parametrize(
    "content",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: &a {x: *a}\n",
        "[" * 600,
        "- a list\n",
        "!!python/object/apply:os.system [id]\n",
        "a: 2001-99-99\n",
        "? [a]\n: b\n",
        "a: 1\n" * 60_000,
        b"\xff\xfe\x00",
    ],
    ids=[
        "nested aliases",
        "an endless alias",
        "deep",
        "list",
        "tag",
        "date",
        "key",
        "large",
        "binary",
    ],
)
def test_hostile_configuration_is_unreadable_not_fatal(
    tmp_path: Path, content: str | bytes
) -> None:
    plant(tmp_path, INSTALLED | {LIST: content})
    guest = guest_at(tmp_path)
    assert read_config(guest) is None
    found = cloud_init(guest, Facts(guest))
    assert (found.runs, found.makes_host_keys) == (Runs.LIKELY, False)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/var/lib/cloud/data/instance-id": "i-1\n"}, True),
        ({"/var/lib/cloud/instance": "-> /var/lib/cloud/instances/i-1"}, True),
        ({"/var/lib/cloud/seed/nocloud/meta-data": ""}, False),
        ({"/var/lib/cloud": "-> /var/lib/cloud"}, False),
    ],
)
def test_whether_it_remembers_an_instance(tmp_path: Path, files: Files, expected: bool) -> None:
    plant(tmp_path, files)
    assert has_state(guest_at(tmp_path)) is expected
