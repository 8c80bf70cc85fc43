"""Host key files as hostile content: links, folders, garbage, keys of the wrong kind."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.ssh_guests import (
    DEBIAN,
    KEY,
    Files,
    actions,
    done,
    fingerprint,
    keygen,
    planned,
    texts,
)
from tests.support.tree import plant
from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level
from unclone.sanitize.ssh import host_keys
from unclone.sanitize.ssh.key import (
    KeyFormat,
    NotAKeyError,
    read_private,
    read_public,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("planted", "level", "words"),
    [
        (b"garbage \0\xff", Level.WARNING, "is not a private key"),
        (b"", Level.WARNING, "is empty"),
        (b"A" * 5_000_000, Level.WARNING, "is larger than 32 KiB"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", Level.WARNING, "damaged"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END", Level.WARNING, "cannot be read"),
        ("-> /etc/ssh/ssh_host_ed25519_key", Level.WARNING, "leads nowhere"),
        ("-> /nowhere", Level.WARNING, "leads nowhere"),
        ("-> /etc/shadow", Level.WARNING, "is not a private key"),
        ("-> ../../../../etc/shadow", Level.WARNING, "is not a private key"),
        ("-> /etc", Level.WARNING, "leads nowhere"),
    ],
    ids=["garbage", "empty", "huge", "damaged", "damaged pem", "loop", "dangling", "shadow",
         "climbing", "folder"],
)  # fmt: skip
def test_what_is_no_key_gives_way_to_one(
    tmp_path: Path, planted: str | bytes, level: Level, words: str
) -> None:
    plant(tmp_path, DEBIAN | {KEY: planted, "/etc/shadow": "root:x:\n"})
    plan = planned(tmp_path)
    assert words in texts(plan, level)
    assert actions(plan) == [("generate-ssh-host-key", KEY)]
    learned = done(tmp_path, plan)
    path = tmp_path / KEY[1:]
    assert path.is_file()
    assert not path.is_symlink()
    assert fingerprint(path) == learned[KEY]
    assert (tmp_path / "etc/shadow").read_text() == "root:x:\n"
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}.pub"]


def test_a_folder_in_the_place_of_a_key_is_left_alone(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN | {f"{KEY}/precious": "x"})
    plan = planned(tmp_path)
    assert plan.changes == ()
    assert "is not a file, and is not changed" in texts(plan, Level.WARNING)


def test_a_hard_link_to_another_file_is_not_written_through(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN | {"/etc/shadow": "root:x:\n", "/etc/ssh/sshd_config": ""})
    (tmp_path / KEY[1:]).hardlink_to(tmp_path / "etc/shadow")
    done(tmp_path, planned(tmp_path))
    assert (tmp_path / "etc/shadow").read_text() == "root:x:\n"
    assert fingerprint(tmp_path / KEY[1:]).startswith("SHA256:")


def test_a_link_to_a_key_elsewhere_is_replaced_and_the_old_key_named(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN | {KEY: "-> /persist/key"})
    old = keygen(tmp_path / "persist/key", "-t", "ed25519")
    plan = planned(tmp_path)
    assert "the old key stays where it led" in texts(plan, Level.KEPT)
    done(tmp_path, plan)
    assert fingerprint(tmp_path / "persist/key") == old
    assert fingerprint(tmp_path / KEY[1:]) != old


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN | {KEY: "-> keys/ed"})
    old = keygen(tmp_path / "etc/ssh/keys/ed", "-t", "ed25519")
    plan = planned(tmp_path)
    assert actions(plan) == [("generate-ssh-host-key", "/etc/ssh/keys/ed")]
    done(tmp_path, plan)
    assert (tmp_path / KEY[1:]).is_symlink()
    assert fingerprint(tmp_path / KEY[1:]) != old


@pytest.mark.parametrize("mode", ["auto", "remove", "generate"])
@pytest.mark.parametrize("named", ["/etc/shadow", "/etc/link", "/etc", "/etc/loop/x", "/gone"])
def test_a_configured_path_without_a_key_is_never_touched(
    tmp_path: Path, named: str, mode: str
) -> None:
    tree: Files = {
        "/etc/ssh/sshd_config": f"HostKey {named}\nHostKey {KEY}\n",
        "/etc/shadow": "root:x:\n",
        "/etc/link": "-> /etc/shadow",
        "/etc/loop": "-> /etc/loop",
    }
    plant(tmp_path, DEBIAN | tree)
    keygen(tmp_path / KEY[1:], "-t", "ed25519")
    plan = planned(tmp_path, ssh_host_keys=mode)
    assert {change.target for change in plan.changes} <= {KEY, f"{KEY}.pub"}
    done(tmp_path, plan)
    assert (tmp_path / "etc/shadow").read_text() == "root:x:\n"


@pytest.mark.slow
def test_a_key_with_a_passphrase_is_kept(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    path.parent.mkdir(parents=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "correct horse", "-f", str(path)]
    subprocess.run(argv, check=True)
    plan = planned(tmp_path)
    assert plan.changes == ()
    assert "is protected by a passphrase" in texts(plan, Level.KEPT)


@pytest.mark.parametrize(
    "comment",
    ["one\x1b[31m", "x" * 500, "caf\u00e9", ""],
    ids=["escape", "long", "not ascii", "none"],
)
def test_a_strange_comment_is_not_taken_over(tmp_path: Path, comment: str) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    public = path.with_name(f"{path.name}.pub")
    public.write_text(" ".join(public.read_text().split()[:2]) + f" {comment}\n")
    done(tmp_path, planned(tmp_path))
    assert len(public.read_text().split()) == 2


@pytest.mark.parametrize("form", list(KeyFormat))
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 64, b"\0\0\0\7ssh-rsa", b"\0\0\0\x0bssh-ed25519\0\0\0\x40" + b"x" * 64,
     b"\0\0\0\x0bssh-ed25519\0\0\0\1x", b"\0\0\0\x13ecdsa-sha2-nistp256" + b"\0\0\0\1x" * 3,
     b"\0\0\0\x0bssh-ed25519\0\0\0\0",
     b"\0\0\0\x13ecdsa-sha2-nistp256" + b"\0\0\0\1x" * 2 + b"\0\0\0\x20" + b"\xff" * 32],
)  # fmt: skip
def test_damaged_keys_are_named_as_such(content: bytes, form: KeyFormat) -> None:
    with pytest.raises(NotAKeyError):
        read_private(content, form)


@pytest.mark.parametrize("line", ["", "ssh-rsa", "ssh-rsa !!!", "ssh-rsa AAAA"])
def test_damaged_public_halves_are_named_as_such(line: str) -> None:
    with pytest.raises(NotAKeyError):
        read_public(line)


def test_more_host_keys_than_any_machine_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_keys, "MOST", 20)
    plant(tmp_path, {**DEBIAN, **{f"/etc/ssh/ssh_host_{n}_key": b"" for n in range(21)}})
    with pytest.raises(RefusedError, match="files are called like SSH host keys"):
        planned(tmp_path)


@pytest.mark.parametrize("folder", ["/etc/openssh", "/usr/local/etc", "/opt/x/etc/ssh", "/srv/k"])
def test_a_key_of_another_sshd_is_made_anew(tmp_path: Path, folder: str) -> None:
    path = f"{folder}/ssh_host_ed25519_key"
    options = {"/etc/default/ssh": "SSHD_OPTS='-h /srv/k/ssh_host_ed25519_key'\n", folder: None}
    plant(tmp_path, DEBIAN | options)
    keygen(tmp_path / path[1:], "-t", "ed25519")
    old = fingerprint(tmp_path / path[1:])
    plan = planned(tmp_path)
    assert path in {change.target for change in plan.changes}
    done(tmp_path, plan)
    assert fingerprint(tmp_path / path[1:]) != old
