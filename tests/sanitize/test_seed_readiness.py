"""Whether a guest takes a seed: every obstacle with its file, and who removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.catalogue import load as load_catalogue
from unclone.sanitize.change import Level
from unclone.sanitize.facts import Facts
from unclone.sanitize.obstacle import Obstacle, Wanted
from unclone.sanitize.seed_readiness import (
    MODULE_OF,
    cloud_init_version,
    notes,
    obstacles,
)

if TYPE_CHECKING:
    from pathlib import Path

Files = dict[str, str | bytes | None]

MODULES = """cloud_init_modules: [seed_random, write_files, growpart, resizefs, set_hostname,
  update_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [set-passwords, timezone, runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user]
"""
VERSION = "/usr/lib/python3/dist-packages/cloudinit/version.py"
#: As Debian's package leaves a guest.
READY: Files = {
    "/usr/lib/systemd/systemd": "elf",
    "/sbin/init": "-> /usr/lib/systemd/systemd",
    "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
    "/usr/lib/systemd/system-generators/cloud-init-generator": "#!/bin/sh\n",
    "/usr/lib/cloud-init/ds-identify": "#!/bin/sh\n",
    "/usr/lib/systemd/system/cloud-init.service": "[Service]\nExecStart=cloud-init init\n",
    "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": (
        "-> /usr/lib/systemd/system/cloud-init.service"
    ),
    "/etc/cloud/cloud.cfg": MODULES,
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ NoCloud, ConfigDrive, None ]\n",
    "/etc/network/interfaces": "auto lo\niface lo inet loopback\nsource interfaces.d/*\n",
    VERSION: '__VERSION__ = "22.4.2"\n',
}
CONFIG = "/etc/cloud/cloud.cfg.d"
ALL = Wanted(
    keys=frozenset({"users", "runcmd", "packages", "timezone", "growpart", "password"}),
    features=frozenset({"vfat", "network-version-2", "network-wrapper"}),
)


def look(folder: Path, files: Files, wanted: Wanted | None = None) -> tuple[Obstacle, ...]:
    plant(folder, files)
    guest = guest_at(folder)
    return obstacles(guest, Facts(guest), wanted)


def test_a_guest_as_packaged_is_ready(tmp_path: Path) -> None:
    assert look(tmp_path, READY, ALL) == ()


def test_a_guest_without_cloud_init_is_not(tmp_path: Path) -> None:
    (found,) = look(tmp_path, {"/etc/hostname": "a"})
    assert (found.id, found.whole) == ("not-installed", True)
    guest = guest_at(tmp_path)
    assert notes(guest, Facts(guest), frozenset()) == ()


@pytest.mark.parametrize(
    ("files", "id_", "path", "step", "by_default", "whole"),
    [
        pytest.param(
            {"/etc/cloud/cloud-init.disabled": ""},
            "disabled",
            "/etc/cloud/cloud-init.disabled",
            "cloud-init-disabled",
            False,
            True,
            id="switched off by a file",
        ),
        pytest.param(
            {"/etc/cloud/ds-identify.cfg": "policy: disabled\n"},
            "disabled",
            "/etc/cloud/ds-identify.cfg",
            "subiquity-files",
            False,
            True,
            id="switched off by ds-identify",
        ),
        pytest.param(
            {"/etc/systemd/system/cloud-init.service": "-> /dev/null"},
            "disabled",
            "",
            "",
            False,
            True,
            id="masked",
        ),
        pytest.param(
            {f"{CONFIG}/99-installer.cfg": "datasource_list: [None]\n"},
            "datasource-list",
            f"{CONFIG}/99-installer.cfg",
            "subiquity-files",
            False,
            True,
            id="the Ubuntu installer's list",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "datasource_list: [Ec2]\n"},
            "datasource-list",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            True,
            id="another cloud's list",
        ),
        pytest.param(
            {"/etc/cloud/ds-identify.cfg": "datasource: Ec2\n"},
            "ds-identify",
            "/etc/cloud/ds-identify.cfg",
            "subiquity-files",
            False,
            True,
            id="a datasource taken for granted",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "datasource: {NoCloud: {fs_label: mine}}\n"},
            "fs-label",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            True,
            id="another label",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "datasource:\n  NoCloud:\n    fs_label: null\n"},
            "fs-label",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            True,
            id="no label",
        ),
        pytest.param(
            {"/var/lib/cloud/seed/nocloud/meta-data": "instance-id: old\n"},
            "seed-folder",
            "/var/lib/cloud/seed/nocloud/meta-data",
            "cloud-init-seed",
            True,
            True,
            id="a seed left inside",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "datasource: {NoCloud: {user-data: x, meta-data: {}}}\n"},
            "seed-in-config",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            False,
            id="a seed in the configuration",
        ),
        pytest.param(
            {"/var/lib/cloud/instance/manual-clean": ""},
            "manual-clean",
            "/var/lib/cloud/instance/manual-clean",
            "cloud-init-state",
            True,
            True,
            id="manual-clean",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "manual_cache_clean: true\n"},
            "manual-cache-clean",
            f"{CONFIG}/95-mine.cfg",
            "cloud-init-state",
            True,
            False,
            id="manual_cache_clean",
        ),
        pytest.param(
            {f"{CONFIG}/subiquity-disable-cloudinit-networking.cfg": "network: {config: disabled}"},
            "network-claimed",
            f"{CONFIG}/subiquity-disable-cloudinit-networking.cfg",
            "subiquity-files",
            False,
            False,
            id="network disabled",
        ),
        pytest.param(
            {f"{CONFIG}/50-curtin-networking.cfg": "network:\n  version: 2\n"},
            "network-claimed",
            f"{CONFIG}/50-curtin-networking.cfg",
            "",
            False,
            False,
            id="network claimed",
        ),
        pytest.param(
            {"/etc/netplan/00-installer-config.yaml": "network: {}\n"},
            "network-file",
            "/etc/netplan/00-installer-config.yaml",
            "subiquity-network",
            False,
            False,
            id="the installer's netplan",
        ),
        pytest.param(
            {"/etc/network/interfaces": "auto ens3\niface ens3 inet dhcp\n"},
            "network-file",
            "/etc/network/interfaces",
            "",
            False,
            False,
            id="ifupdown",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "preserve_hostname: true\n"},
            "preserve-hostname",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            False,
            id="preserve_hostname",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "ssh_deletekeys: false\n"},
            "ssh-deletekeys",
            f"{CONFIG}/95-mine.cfg",
            "ssh-host-keys",
            True,
            False,
            id="ssh_deletekeys",
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "cloud_config_modules: [runcmd, set-passwords]\n"},
            "module-missing",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            False,
            id="a module that is not run",
        ),
        pytest.param(
            {VERSION: '__VERSION__ = "20.1"\n'}, "too-old", VERSION, "", False, False, id="too old"
        ),
        pytest.param(
            {f"{CONFIG}/95-mine.cfg": "a: [b\n"},
            "unreadable",
            f"{CONFIG}/95-mine.cfg",
            "",
            False,
            False,
            id="broken configuration",
        ),
    ],
)
def test_an_obstacle_is_found(
    tmp_path: Path,
    files: Files,
    id_: str,
    path: str,
    step: str,
    by_default: bool,
    whole: bool,
) -> None:
    (found,) = look(tmp_path, READY | files, ALL)
    assert (found.id, found.path, found.step) == (id_, path, step)
    assert (found.by_default, found.whole) == (by_default, whole)
    assert found.meaning
    assert found.remedy.endswith(".")


def test_the_steps_that_are_named_exist(tmp_path: Path) -> None:
    guest = guest_at(tmp_path)
    plant(
        tmp_path,
        READY
        | {"/var/lib/cloud/seed/nocloud/meta-data": "x", f"{CONFIG}/99-installer.cfg": "a: 1"},
    )
    rows = {step.info.id for step in load_catalogue()}
    named = {o.step for o in obstacles(guest, Facts(guest)) if o.step}
    assert named <= rows
    assert named


def test_what_a_seed_sets_itself_is_no_obstacle(tmp_path: Path) -> None:
    files = READY | {
        f"{CONFIG}/95-mine.cfg": "preserve_hostname: true\nssh_deletekeys: false\n"
        "cloud_init_modules: [ssh]\n"
    }
    keys = {"preserve_hostname", "ssh_deletekeys", "cloud_init_modules", "users"}
    assert look(tmp_path, files, Wanted(frozenset(keys))) == ()


def test_a_seed_without_network_minds_no_network(tmp_path: Path) -> None:
    files = READY | {f"{CONFIG}/95-mine.cfg": "network: {config: disabled}\n"}
    assert look(tmp_path, files, Wanted(network=False)) == ()


def test_what_a_seed_does_not_use_may_be_missing(tmp_path: Path) -> None:
    files = READY | {"/etc/cloud/cloud.cfg": "cloud_init_modules: [ssh]\n", VERSION: ""}
    assert look(tmp_path, files) == ()


def test_the_worst_comes_first(tmp_path: Path) -> None:
    files = READY | {
        f"{CONFIG}/95-mine.cfg": "preserve_hostname: true\ndatasource_list: [Ec2]\n",
    }
    assert [o.id for o in look(tmp_path, files)] == ["datasource-list", "preserve-hostname"]


def test_notes_leave_out_what_the_run_removes(tmp_path: Path) -> None:
    plant(
        tmp_path,
        READY
        | {
            "/var/lib/cloud/seed/nocloud/meta-data": "instance-id: old\n",
            f"{CONFIG}/95-mine.cfg": "preserve_hostname: true\ndatasource_list: [Ec2]\n",
        },
    )
    guest = guest_at(tmp_path)
    told = notes(guest, Facts(guest), frozenset({"cloud-init-seed"}))
    assert [note.level for note in told] == [Level.WARNING, Level.INFO]
    assert "datasource_list is [Ec2]" in told[0].text
    assert all("seed folder" not in note.text for note in told)
    assert len(notes(guest, Facts(guest), frozenset())) == 3


def test_a_guest_cannot_write_into_the_report(tmp_path: Path) -> None:
    files = READY | {f"{CONFIG}/95-a\x1b[31m.cfg": 'datasource_list: ["\\e[31mx\\n"]\n'}
    (found,) = look(tmp_path, files)
    assert "\x1b" not in found.meaning + found.remedy
    guest = guest_at(tmp_path)
    assert all("\x1b" not in note.text for note in notes(guest, Facts(guest), frozenset()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('__VERSION__ = "22.4.2"\n', (22, 4, 2)),
        ('__VERSION__ = "0.7.9"\n', (0, 7, 9)),
        ('__VERSION__ = "24.1.3-0ubuntu1"\n', (24, 1, 3)),
        ('__VERSION__ = "x"\n', ()),
        ("", ()),
    ],
)
def test_the_version_is_read(tmp_path: Path, text: str, expected: tuple[int, ...]) -> None:
    plant(tmp_path, {VERSION: text})
    assert cloud_init_version(guest_at(tmp_path))[1] == expected


def test_every_module_is_one_of_the_lists_we_know() -> None:
    known = MODULES.replace("_", "-") + "bootcmd mounts ntp locale apt-configure"
    assert [module for module in MODULE_OF.values() if module not in known] == []


@pytest.mark.parametrize("content", ["-> /dev/null", ""])
def test_a_masked_generator_starts_nothing(tmp_path: Path, content: str) -> None:
    path = "/etc/systemd/system-generators/cloud-init-generator"
    (found,) = look(tmp_path, READY | {path: content})
    assert (found.id, found.whole) == ("disabled", True)
    assert path in found.meaning


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    broken: Files = {f"{CONFIG}/98-a.cfg": "a: [b\n", f"{CONFIG}/99-b.cfg": "- a list\n"}
    found = look(tmp_path, READY | broken)
    assert [o.path for o in found if o.id == "unreadable"] == sorted(broken)


def test_the_version_of_a_newer_package_is_read(tmp_path: Path) -> None:
    path = "/usr/lib/python3/dist-packages/cloudinit/meson_versions.py"
    newer: Files = {VERSION: "try:\n    __VERSION__ = meson\n", path: 'UPSTREAM_VERSION = "26.2"\n'}
    plant(tmp_path, newer)
    assert cloud_init_version(guest_at(tmp_path)) == (path, (26, 2))
