"""Folders that fstab mounts over others: an identity in one is refused, the rest is named."""

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
    ],
)
def test_an_identity_behind_one_is_refused(tmp_path: Path, line: str, file: str) -> None:
    with pytest.raises(RefusedError, match=file.rpartition("/")[2]):
        planned(tmp_path, line, {file: f"{OLD}\n"})


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
