"""Guests that are made to take time or memory, and to write to the terminal of who looks at them.

Without a limit each would take minutes, or more memory than the host has.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk
from tests.support.initrds import compress
from unclone.images.process import run
from unclone.sanitize import initrds
from unclone.sanitize.boot.budget import Resource
from unclone.sanitize.boot.compression import Compression

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ID = "0123456789abcdef0123456789abcdef"
UUID = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
ROOT = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/etc/passwd": "ops:x:1000:1000::/home/ops:/bin/bash\n",
}


def guest(folder: Path, tree: dict[str, str | bytes | None]) -> Path:
    return make_disk(folder / "disk.raw", [Part("ext4", {**ROOT, **tree}, UUID, size=64)])


def empty_members(count: int) -> bytes:
    """An archive of empty files, compressed."""
    fields = (1, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + b"a\0"
    return gzip.compress(head * count)


BOMBS = {
    "much content": (
        gzip.compress(bytes(2**24)) * 50,
        "bytes come out of initrds, and real ones",
        Resource.BYTES,
    ),
    "8 GB in 290 kB": (
        compress(Compression.ZSTD, bytes(2**25), fast=True) * 256,
        "bytes come out of initrds, and real ones",
        Resource.BYTES,
    ),
    "many members": (
        empty_members(400_000),
        "it has more than 100000 members",
        Resource.MEMBERS,
    ),
}


@pytest.mark.parametrize(("initrd", "why", "resource"), BOMBS.values(), ids=BOMBS)
def test_an_initrd_that_is_given_up_keeps_what_it_may_refer_to(
    tmp_path: Path, initrd: bytes, why: str, resource: Resource
) -> None:
    assert len(initrd) < 2_000_000
    disk = guest(tmp_path, {"/boot/initrd.img": initrd})
    done = unclone("sanitize", "--engine", "direct", "--json", disk)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert ID in json.dumps(result["retired"])
    assert UUID not in json.dumps(result["retired"])
    # It is unpacked once in the whole run, however often it is asked about.
    spent = initrds._budget.spent[resource]
    assert 0 < spent <= initrds._budget.limit(resource) + 2**24
    assert resource is not Resource.MEMBERS or spent < 200_000
    assert why in json.dumps(result)


def test_5_000_nested_folders_are_walked(tmp_path: Path) -> None:
    disk = guest(tmp_path, {})
    script = tmp_path / "nested"
    script.write_text("cd /etc\n" + "mkdir a\ncd a\n" * 5000)
    run(["debugfs", "-w", "-f", script, f"{disk}?offset={MIB}"])
    done = unclone("sanitize", "--engine", "direct", "--json", disk)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert {each["state"] for each in result["checks"]} == {"clean"}
    assert ID in json.dumps(result["retired"])


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
YAML = {
    "aliases": ALIASES,
    "brackets": "x: " + "[" * 200_000,
    "braces": "x: " + "{a: " * 100_000,
    "itself": "network:\n  ethernets: &x\n    self: *x\n",
    "tag": 'a: !!python/object/apply:os.system ["touch /tmp/x"]\n',
}


def test_yaml_that_grows_without_end_is_not_followed(tmp_path: Path) -> None:
    tree: dict[str, str | bytes | None] = {}
    for number, text in enumerate(YAML.values()):
        tree[f"/etc/netplan/{number}.yaml"] = text
        tree[f"/etc/cloud/cloud.cfg.d/{number}.cfg"] = text
        tree[f"/var/lib/cloud/seed/nocloud/{number}"] = text
    tree["/etc/cloud/cloud.cfg"] = tree["/var/lib/cloud/seed/nocloud/meta-data"] = ALIASES
    disk = guest(tmp_path, tree)
    done = unclone("sanitize", "--engine", "direct", "--json", disk)
    assert done.returncode == 0, done.stderr
    assert {ID, UUID} <= {one["value"] for one in json.loads(done.stdout)["results"][0]["retired"]}


def test_100_000_keys_of_a_user_are_counted(tmp_path: Path) -> None:
    keys = "".join(f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{n:032} u{n}\n" for n in range(100_000))
    disk = guest(tmp_path, {"/home/ops/.ssh/authorized_keys": keys})
    done = unclone("sanitize", "--engine", "direct", disk)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) < 10_000


def test_nothing_from_a_guest_reaches_the_terminal_as_it_is(tmp_path: Path) -> None:
    bell = b"\x1b]0;title\x07\x9b31m \xff"
    text = bell.decode("utf-8", "surrogateescape")
    disk = guest(
        tmp_path,
        {
            "/etc/hostname": bell,
            "/etc/os-release": b'ID=debian\nPRETTY_NAME="Debian ' + bell + b'"\n',
            "/etc/hosts": b"127.0.1.1 " + bell,
            f"/etc/netplan/{text}.yaml": bell,
            f"/etc/ssh/ssh_host_{text}_key": bell,
            f"/etc/systemd/system/{text}\r\n.mount": f"[Mount]\nWhat=UUID={UUID}\n",
            f"/home/{text}/.ssh/authorized_keys": b"ssh-ed25519 AAAA " + bell,
        },
    )
    for command in (["inspect"], ["sanitize", "--dry-run", "-v"], ["sanitize", "--json"]):
        done = unclone(*command, disk)
        assert done.returncode in {0, 4, 5}, done.stderr
        printed = f"{done.stdout}{done.stderr}".replace("\n", "")
        assert printed.isprintable(), command
