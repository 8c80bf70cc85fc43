"""Old identifiers are looked for in every folder of a guest's own, and what is not is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize import search_places
from unclone.sanitize.change import Retired
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "path",
    [
        "/opt/app/config.json",
        "/opt/app/etc/deep/down/agent.conf",
        "/srv/www/settings.py",
        "/home/ops/mount.sh",
        "/home/ops/.config/systemd/user/app.service",
        "/root/.config/app/id",
        "/usr/local/share/app/app.conf",
        "/usr/local/app/app.conf",
        "/usr/etc/app.conf",
        "/usr/lib/systemd/system/app.service.d/local.conf",
        "/usr/lib/kernel/cmdline",
        "/usr/lib/dracut/modules.d/50site/module-setup.sh",
        "/usr/lib/initcpio/hooks/site",
        "/usr/lib/NetworkManager/conf.d/site.conf",
        "/usr/share/grub/default/grub",
        "/usr/share/initramfs-tools/hooks/site",
        "/usr/share/initramfs-tools/scripts/local-top/site",
        "/usr/share/mkinitfs/initramfs-init",
        "/var/lib/app/state",
        "/var/lib/docker/volumes/v/_data/app.conf",
        "/var/www/app/config.php",
        "/var/opt/app/id",
        "/var/ossec/etc/client.conf",
        "/boot/efi/EFI/vendor/app.cfg",
        "/boot/extra/app.cfg",
        "/data/conf/app.toml",
        "/mnt/disk/app.toml",
    ],
)
def test_a_mention_in_a_folder_of_the_guests_own_is_found(tmp_path: Path, path: str) -> None:
    plant(tmp_path, {path: f"uuid={ID}\n"})
    found = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", ID)])
    assert [each.path for each in found] == [path]
    assert search_places.select(guest_at(tmp_path)).unsearched == ()


def test_links_count_outside_of_what_is_searched_whole_and_names_do_not(tmp_path: Path) -> None:
    plant(tmp_path, {f"/srv/{ID}/f": "", "/opt/app/l": f"-> /srv/{ID}", "/opt/app/g": ""})
    found = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", ID)])
    assert [(each.path, each.line) for each in found] == [("/opt/app/l", 0)]


def test_a_folder_behind_a_link_is_searched_once(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/usrlocal/f": ID, "/usr/local": "-> ../var/usrlocal"})
    plant(tmp_path, {"/var/home/u/f": ID, "/home": "-> var/home"})
    found = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", ID)])
    assert [each.path for each in found] == ["/var/home/u/f", "/var/usrlocal/f"]


def test_a_large_folder_is_named_and_what_is_beside_it_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_places, "MOST_NAMES", 30)
    plant(tmp_path, {f"/home/u/cache/{number}": ID for number in range(40)})
    plant(tmp_path, {"/home/u/f": ID, "/opt/app/etc/f": ID})
    places = search_places.select(guest_at(tmp_path))
    assert places.unsearched == ("/home/u/cache",)
    found = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", ID)], places)
    assert [each.path for each in found] == ["/home/u/f", "/opt/app/etc/f"]


def test_many_folders_are_named_by_what_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_places, "MOST_FOLDERS", 10)
    plant(tmp_path, {f"/opt/big/{number}/a/f": ID for number in range(20)})
    plant(tmp_path, {"/opt/app/f": ID})
    places = search_places.select(guest_at(tmp_path))
    assert places.unsearched == ("/opt/big",)
    found = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", ID)], places)
    assert [each.path for each in found] == ["/opt/app/f"]


def test_a_folder_at_the_top_can_be_left_out_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_places, "MOST_NAMES", 30)
    plant(tmp_path, {f"/srv/{number}": ID for number in range(40)})
    places = search_places.select(guest_at(tmp_path))
    assert (places.unsearched, "/srv" in places.roots) == (("/srv",), False)


def test_data_of_containers_is_named_where_there_is_any(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/docker/overlay2/l/x": ID, "/var/lib/dpkg/status": ID})
    plant(tmp_path, {"/var/lib/machines": None})
    guest = guest_at(tmp_path)
    assert search_places.select(guest).unsearched == ("/var/lib/docker/overlay2",)
    assert find_residue(guest, [Retired("step", "machine-id", ID)]) == []
