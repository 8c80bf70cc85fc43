"""Copies of a private host key are found in every form that ssh-keygen and dropbear write."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.initrds import archive
from tests.support.tree import guest_at, plant
from unclone.sanitize.change import Retired
from unclone.sanitize.residue import find_residue
from unclone.sanitize.ssh.copies import PRIVATE, PUBLIC, KeyCopies
from unclone.sanitize.ssh.key import KeyFormat, encode, generate, public_half

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.ssh.key import PrivateKey

KEYS = {
    kind: generate(kind, bits) for kind, bits in (("rsa", 2048), ("ed25519", 256), ("ecdsa", 256))
}
FORMS = ["openssh", "openssh in 64 columns", "dropbear", "PEM", "in YAML"]
CASES = [(kind, form) for kind in KEYS for form in FORMS if (kind, form) != ("ed25519", "PEM")]


def retired(key: PrivateKey) -> Retired:
    return Retired("ssh-host-keys", PUBLIC, public_half(key).text)


def written(key: PrivateKey, form: str) -> bytes:
    openssh = encode(key, KeyFormat.OPENSSH)
    if form == "openssh in 64 columns":
        first, *lines, last = openssh.decode().splitlines()
        return "\n".join([first, *textwrap.wrap("".join(lines), 64), last]).encode()
    if form == "dropbear":
        return encode(key, KeyFormat.DROPBEAR)
    if form == "PEM":
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    if form == "in YAML":
        return b"ssh_keys:\n  private: |\n" + textwrap.indent(openssh.decode(), "    ").encode()
    return openssh


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_a_copy_in_any_form_is_found_and_another_key_is_not(kind: str, form: str) -> None:
    ours, other = KEYS[kind], generate(kind, 2048 if kind == "rsa" else 256)
    content = written(ours, form)
    copies = KeyCopies([retired(ours)])
    assert list(copies.matches(content)) == [retired(ours)]
    assert any(needle in content for needle in copies.needles)
    assert list(copies.matches(written(other, form))) == []


@pytest.mark.parametrize("form", ["openssh", "dropbear"])
@pytest.mark.parametrize(
    "path", ["/root/backup/x", "/etc/ssh.bak/k", "/etc/ssh/ssh_host_ed25519_key.rpmsave", "/srv/k"]
)
def test_a_copy_in_the_searched_places_is_residue(tmp_path: Path, path: str, form: str) -> None:
    plant(tmp_path, {path: written(KEYS["ed25519"], form), "/etc/x": b"PRIVATE KEY"})
    (found,) = find_residue(guest_at(tmp_path), [retired(KEYS["ed25519"])])
    assert (found.kind, found.path, found.read_at_boot) == (PRIVATE, path, False)


USED: dict[str, tuple[str, dict[str, str]]] = {
    "by a link that sshd's configuration names": (
        "/srv/keys/k",
        {"/etc/ssh/sshd_config": "HostKey /etc/own/k\n", "/etc/own/k": "-> /srv/keys/k"},
    ),
    "by a second sshd": ("/home/sftp/k", {"/etc/ssh/sshd_config_sftp": "HostKey /home/sftp/k\n"}),
    "under a standard name": ("/etc/ssh/ssh_host_ed25519_key", {}),
    "by dropbear": ("/etc/dropbear/dropbear_ed25519_host_key", {}),
    "by cloud-init": ("/etc/cloud/cloud.cfg.d/50-keys.cfg", {}),
    "by a unit": (
        "/srv/keys/k",
        {"/etc/systemd/system/k.service": "[Service]\nExecStart=/bin/cp /srv/keys/k /etc/ssh/x\n"},
    ),
    "by a script of a unit, with others": (
        "/srv/keys/ssh_host_ed25519_key",
        {
            "/usr/lib/systemd/system/k.service": "[Service]\nExecStart=/usr/local/sbin/restore\n",
            "/usr/local/sbin/restore": "#!/bin/sh\nD=/etc/ssh\ncp -p /srv/keys/ssh_host_* $D/\n",
        },
    ),
    "by a job, with its directory": (
        "/srv/keys/ssh_host_ed25519_key",
        {"/etc/crontab": "@reboot root rsync -a /srv/keys/ /etc/ssh/\n"},
    ),
    "by a login, with all of /etc": (
        "/srv/keys/etc/ssh/ssh_host_ed25519_key",
        {"/root/.bashrc": "cp -a /srv/keys/etc /\n"},
    ),
    "by a pattern of more than the last part": (
        "/srv/keys/ssh_host_ed25519_key",
        {"/root/.bashrc": "cp /*/ke[xy]s/ssh_host_* /etc/ssh/\n"},
    ),
    "by a script that has it": (
        "/var/lib/cloud/scripts/per-boot/key",
        {},
    ),
}


@pytest.mark.parametrize(("path", "files"), USED.values(), ids=USED)
def test_a_copy_that_the_next_boot_takes_fails_the_run(
    tmp_path: Path, path: str, files: dict[str, str]
) -> None:
    key = written(KEYS["ed25519"], "openssh")
    if "/scripts/" in path:
        key = b"#!/bin/sh\ncat >/etc/ssh/ssh_host_ed25519_key <<E\n" + key + b"E\n"
    plant(tmp_path, {path: key, **files})
    found = find_residue(guest_at(tmp_path), [retired(KEYS["ed25519"])])
    assert [(r.kind, r.path, r.read_at_boot) for r in found] == [(PRIVATE, path, True)]


@pytest.mark.parametrize(
    "command",
    ["cp -p /etc/ssh/ssh_host_* /srv/keys/", "cp -a /srv/keys /mnt/etc/ssh", "ls /srv/*/keys"],
)
def test_a_copy_that_is_only_named_beside_does_not(tmp_path: Path, command: str) -> None:
    key = "/srv/keys/ssh_host_ed25519_key"
    plant(tmp_path, {key: written(KEYS["ed25519"], "openssh"), "/root/.bashrc": f"{command}\n"})
    (found,) = find_residue(guest_at(tmp_path), [retired(KEYS["ed25519"])])
    assert (found.path, found.read_at_boot) == (key, False)


@pytest.mark.parametrize("form", ["openssh", "dropbear"])
def test_a_copy_inside_an_initrd_is_residue(tmp_path: Path, form: str) -> None:
    plant(tmp_path / "in", {"/etc/sshd/key": written(KEYS["ed25519"], form)})
    plant(tmp_path / "guest", {"/boot/initrd.img-6.1": archive(tmp_path / "in")})
    (found,) = find_residue(guest_at(tmp_path / "guest"), [retired(KEYS["ed25519"])])
    assert (found.kind, found.path) == (PRIVATE, "/boot/initrd.img-6.1!etc/sshd/key")


@pytest.mark.parametrize("value", ["AAAAC3NzaC1lZDI1NTE5AAAAI/+x9==", "AAAA", ""])
def test_what_is_no_public_key_is_looked_for_nowhere(value: str) -> None:
    assert KeyCopies([Retired("ssh-host-keys", PUBLIC, value)]).needles == []
