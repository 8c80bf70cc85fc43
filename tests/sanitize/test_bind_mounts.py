"""What is mounted over folders and files: an identity in it is refused, the rest is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import DEBIAN_12, OLD
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def planned(folder: Path, line: str, files: Mapping[str, str]) -> list[str]:
    plant(folder, {**DEBIAN_12, "/etc/fstab": f"{line}\n", **files})
    plan = make_plan(guest_at(folder), Options())
    return [note.text for note in plan.notes if note.step == "bind-mounts"]


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("/srv/var /var none bind 0 0", "/srv/var/lib/dbus/machine-id"),
        ("/srv/etc /etc none defaults,rbind 0 0", "/srv/etc/machine-id"),
        ("/srv/ssh /etc/ssh none bind 0 0", "/srv/ssh/ssh_host_rsa_key"),
        ("/srv/lib /var/lib none bind,nofail 0 0", "/srv/lib/systemd/random-seed"),
        ("/srv/lib //var/lib/ none bind 0 0", "/srv/lib/systemd/random-seed"),
        ("/srv/lib /conf none bind 0 0", "/srv/lib/systemd/random-seed"),
        ("/srv/id /etc/machine-id none bind 0 0", "/srv/id"),
        ("/srv/key /etc/ssh/ssh_host_rsa_key none ro,bind 0 0", "/srv/key"),
        ("/srv/nqn /etc/nvme/hostnqn none bind 0 0", "/srv/nqn"),
        (
            "overlay /etc overlay lowerdir=/etc,upperdir=/data/up,workdir=/data/w",
            "/data/up/machine-id",
        ),
        (
            "overlay /etc overlay lowerdir=/sysroot/etc,upperdir=/sysroot/var/lib/overlay/1/etc",
            "/var/lib/overlay/1/etc/machine-id",
        ),
        (
            r"none /var overlay lowerdir=/x:/data/a\134:b,upperdir=/u",
            "/data/a:b/lib/dbus/machine-id",
        ),
    ],
)
def test_an_identity_behind_one_is_refused(tmp_path: Path, line: str, file: str) -> None:
    with pytest.raises(RefusedError, match=file.rpartition("/")[2]):
        planned(tmp_path, line, {file: f"{OLD}\n", "/conf": "-> /var/lib"})


UNIT = "/etc/systemd/system/etc-ssh.mount"


@pytest.mark.parametrize(
    "files",
    [
        {UNIT: "[Mount]\nWhat=/srv/keys\nWhere=/etc/ssh\nOptions=bind\n"},
        {UNIT: "[Mount]\nWhat=/srv/keys\nWhere=/etc/ssh/\nType=none\nOptions=ro,rbind,x-a.b\n"},
        {
            UNIT.replace(
                "etc/", "usr/lib/", 1
            ): "[Mount]\nWhat=/srv/keys\nOptions = bind\nWhere=%x\n"
        },
        {
            UNIT: "[Mount]\nWhat=/nowhere\nWhere=/etc/ssh\n",
            f"{UNIT}.d/10-what.conf": "[Mount]\nWhat=/srv/keys\nOptions=bind\n",
        },
        {
            UNIT: "-> /srv/ssh.mount",
            "/srv/ssh.mount": "[Mount]\nWhat=/srv/keys\nWhere=/etc/ssh\nOptions=bind\n",
        },
        {UNIT: "[Mount]\nWhat=overlay\nType=overlay\nWhere=/etc/ssh\nOptions=upperdir=/srv/keys\n"},
    ],
    ids=["bind", "rbind", "in /usr", "drop-in", "link", "overlay"],
)
def test_an_identity_behind_a_mount_unit_is_refused(
    tmp_path: Path, files: Mapping[str, str]
) -> None:
    with pytest.raises(RefusedError, match=r"etc-ssh.mount mounts .*: ssh_host_rsa_key in it"):
        planned(tmp_path, "", {"/srv/keys/ssh_host_rsa_key": "secret", **files})


@pytest.mark.parametrize(
    "files",
    [
        {UNIT: "-> /dev/null"},
        {UNIT: ""},
        {UNIT: "[Mount]\nWhat=/srv/keys\nWhere=/etc/other\nOptions=bind\n"},
        {UNIT: "[Mount]\nWhat=/srv/keys\nWhere=/etc/ssh\nOptions=defaults\n"},
        {UNIT.replace("etc-ssh", "srv-x"): "[Mount]\nWhat=/srv/keys\nWhere=/srv/x\nOptions=bind\n"},
    ],
    ids=["masked", "empty", "named otherwise", "no such mount", "elsewhere"],
)
def test_a_mount_unit_that_mounts_no_such_thing(tmp_path: Path, files: Mapping[str, str]) -> None:
    assert planned(tmp_path, "", {"/srv/keys/ssh_host_rsa_key/x": "no file", **files}) == []


def test_a_unit_in_etc_takes_the_place_of_a_line(tmp_path: Path) -> None:
    unit = "[Mount]\nWhat=/srv/new\nWhere=/etc/ssh\nOptions=bind\n"
    files = {"/srv/old/ssh_host_rsa_key": "secret", "/srv/new/x": "", UNIT: unit}
    (text,) = planned(tmp_path, "/srv/old /etc/ssh none bind", files)
    assert "mounts the folder /srv/new over /etc/ssh" in text


def test_an_image_that_is_mounted_through_a_loop_device_is_named(tmp_path: Path) -> None:
    (text,) = planned(tmp_path, "/srv/var.img /var/lib/x ext4 loop 0 0", {"/srv/var.img": "x"})
    assert text.endswith(
        "/srv/var.img over /var/lib/x: what is in that image is not looked at, and stays."
    )


def test_others_are_named(tmp_path: Path) -> None:
    line = "/srv/nm /etc/NetworkManager none bind 0 0"
    (text,) = planned(tmp_path, line, {"/srv/nm/x": "y"})
    assert text.startswith("fstab mounts the folder /srv/nm over /etc/NetworkManager:")


@pytest.mark.parametrize(
    "line",
    [
        "/tmp /var/tmp none rw,bind 0 0",
        "/srv/a /srv/b none bind 0 0",
        "/missing /etc/x none bind 0 0",
        "/srv/nm /etc/nm none defaults 0 0",
    ],
)
def test_what_does_not_matter_is_not_named(tmp_path: Path, line: str) -> None:
    assert planned(tmp_path, line, {"/srv/nm/x": "y", "/srv/a/x": "y", "/tmp/x": "y"}) == []
