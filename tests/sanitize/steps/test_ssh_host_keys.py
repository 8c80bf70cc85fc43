"""SSH host keys: what is removed, what is made, and how that is explained."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa

from tests.support.initrds import archive
from tests.support.ssh_guests import (
    ALWAYS,
    CLOUD_DROP_IN,
    CLOUD_INIT,
    DEBIAN,
    FEDORA,
    KEY,
    SYSTEMD,
    Files,
    actions,
    done,
    keygen,
    planned,
    texts,
)
from tests.support.tree import plant
from unclone.sanitize.change import Level
from unclone.sanitize.options import Profile
from unclone.sanitize.ssh.key import (
    KeyFormat,
    decode,
    encode,
    generate,
    public_half,
)

if TYPE_CHECKING:
    from pathlib import Path


OFF_FOR_CLOUD: Files = {"/usr/lib/systemd/system/sshd-keygen@.service.d/cloud.conf": CLOUD_DROP_IN}
TRUSTED: Files = {"/var/lib/cloud/data/instance-id": "iid-1\n"}


@pytest.mark.parametrize(
    ("files", "options", "removed"),
    [
        pytest.param(FEDORA, {}, True, id="fedora"),
        pytest.param(DEBIAN, {}, False, id="debian"),
        pytest.param(DEBIAN | CLOUD_INIT, {}, False, id="cloud-init without a seed may stay off"),
        pytest.param(DEBIAN | CLOUD_INIT | ALWAYS, {}, True, id="cloud-init always runs"),
        pytest.param(
            DEBIAN | CLOUD_INIT | ALWAYS | TRUSTED, {}, True, id="its memory is removed as well"
        ),
        pytest.param(
            DEBIAN | CLOUD_INIT | ALWAYS | TRUSTED,
            {"disable": frozenset({"cloud-init-state"})},
            False,
            id="its memory stays: maybe no new instance",
        ),
        pytest.param(
            DEBIAN | CLOUD_INIT | ALWAYS | {"/etc/cloud/cloud.cfg.d/99.cfg": "ssh_deletekeys: no"},
            {},
            False,
            id="ssh_deletekeys is off",
        ),
        pytest.param(
            DEBIAN | CLOUD_INIT | ALWAYS | {"/etc/cloud/cloud.cfg": "cloud_init_modules: [mounts]"},
            {},
            False,
            id="no ssh module",
        ),
        pytest.param(
            DEBIAN | CLOUD_INIT, {"profile": Profile.GOLDEN}, True, id="golden: enabled is enough"
        ),
        pytest.param(DEBIAN, {"profile": Profile.GOLDEN}, False, id="golden: nothing makes them"),
        pytest.param(FEDORA | CLOUD_INIT | OFF_FOR_CLOUD, {}, True, id="one of the two makes them"),
        pytest.param(
            FEDORA
            | CLOUD_INIT
            | OFF_FOR_CLOUD
            | {"/etc/cloud/cloud.cfg": "cloud_init_modules: [mounts]"},
            {},
            False,
            id="sshd-keygen yields, and cloud-init makes none",
        ),
        pytest.param(DEBIAN, {"ssh_host_keys": "remove"}, True, id="asked to remove"),
        pytest.param(FEDORA, {"ssh_host_keys": "generate"}, False, id="asked to generate"),
    ],
)
def test_removed_or_made(
    tmp_path: Path, files: Files, options: dict[str, object], removed: bool
) -> None:
    plant(tmp_path, files)
    old = keygen(tmp_path / KEY[1:], "-t", "ed25519")
    plan = planned(tmp_path, **options)
    if removed:
        assert actions(plan) == [("remove", KEY), ("remove", f"{KEY}.pub")]
    else:
        assert actions(plan) == [("generate-ssh-host-key", KEY)]
    assert plan.changes[0].old == old
    done(tmp_path, plan)
    left = sorted(p.name for p in (tmp_path / "etc/ssh").iterdir() if p.is_file())
    assert left == ([] if removed else ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"])
    assert "host keys are" in texts(plan, Level.INFO) or options.get("ssh_host_keys") == "remove"


@pytest.mark.parametrize(
    ("files", "options", "level", "words"),
    [
        (DEBIAN | CLOUD_INIT, {}, Level.INFO, "only if the machine is started with a seed"),
        (FEDORA, {}, Level.INFO, "sshd-keygen@rsa.service makes new ones at boot"),
        (DEBIAN, {"profile": Profile.GOLDEN}, Level.WARNING, "will share the host keys made here"),
        (DEBIAN | CLOUD_INIT, {"profile": Profile.GOLDEN}, Level.WARNING, "without a seed"),
        (DEBIAN, {"ssh_host_keys": "remove"}, Level.WARNING, "until ssh-keygen -A is run"),
        (DEBIAN, {"ssh_host_keys": "keep"}, Level.WARNING, "kept, as asked"),
    ],
)
def test_the_decision_is_explained(
    tmp_path: Path, files: Files, options: dict[str, object], level: Level, words: str
) -> None:
    plant(tmp_path, files)
    keygen(tmp_path / KEY[1:], "-t", "ed25519")
    assert words in texts(planned(tmp_path, **options), level)


def test_without_keys_there_is_nothing_to_do(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN | CLOUD_INIT | {"/etc/ssh/ssh_config": "Host *\n"})
    plan = planned(tmp_path)
    assert (plan.changes, plan.notes, plan.retired) == ((), (), ())


@pytest.mark.slow
def test_keys_that_the_unit_does_not_make_are_made_here(tmp_path: Path) -> None:
    masked = {"/etc/systemd/system/sshd-keygen@rsa.service": "-> /dev/null"}
    plant(tmp_path, FEDORA | masked | {"/etc/ssh/sshd_config": "HostKey=/srv/keys/own\n"})
    for path, kind in (("srv/keys/own", "ed25519"), ("etc/ssh/ssh_host_ecdsa_key", "ecdsa")):
        keygen(tmp_path / path, "-t", kind)
    keygen(tmp_path / "etc/ssh/ssh_host_rsa_key", "-t", "rsa", "-b", "2048")
    plan = planned(tmp_path)
    assert actions(plan) == [
        ("remove", "/etc/ssh/ssh_host_ecdsa_key"),
        ("remove", "/etc/ssh/ssh_host_ecdsa_key.pub"),
        ("generate-ssh-host-key", "/etc/ssh/ssh_host_rsa_key"),
        ("generate-ssh-host-key", "/srv/keys/own"),
    ]


@pytest.mark.slow
def test_dsa_is_dropped_but_never_the_only_key(tmp_path: Path) -> None:
    pem = dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    plant(tmp_path, DEBIAN | {"/etc/ssh/ssh_host_dsa_key": pem})
    alone = planned(tmp_path)
    assert alone.changes == ()
    assert "(DSA): they are kept" in texts(alone, Level.KEPT)
    keygen(tmp_path / KEY[1:], "-t", "ed25519")
    plan = planned(tmp_path)
    assert ("remove", "/etc/ssh/ssh_host_dsa_key") in actions(plan)
    assert "ssh_host_dsa_key is dropped" in texts(plan, Level.INFO)


def test_certificates_go_with_their_key(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    keygen(tmp_path / "ca", "-t", "ed25519")
    argv = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-h", "-I", "web", f"{path}.pub"]
    subprocess.run(argv, check=True)
    other = tmp_path / "srv/web-cert.pub"
    other.parent.mkdir()
    other.write_bytes((tmp_path / f"{KEY[1:]}-cert.pub").read_bytes())
    config = "HostCertificate /srv/web-cert.pub\nHostCertificate /etc/shadow\n"
    plant(tmp_path, {"/etc/ssh/sshd_config": config, "/etc/shadow": "root:x:\n"})
    plan = planned(tmp_path)
    assert actions(plan)[1:] == [("remove", f"{KEY}-cert.pub"), ("remove", "/srv/web-cert.pub")]
    assert "/srv/web-cert.pub was issued for the old key" in texts(plan, Level.WARNING)
    done(tmp_path, plan)
    assert (tmp_path / "etc/shadow").read_text() == "root:x:\n"


def test_a_public_half_without_its_key_is_removed(tmp_path: Path) -> None:
    plant(tmp_path, FEDORA | {"/etc/ssh/ssh_host_dsa_key.pub": "ssh-dss AAAA root@template\n"})
    assert actions(planned(tmp_path)) == [("remove", "/etc/ssh/ssh_host_dsa_key.pub")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "bits"), [("rsa", 2048), ("ecdsa", 384), ("ed25519", 256)])
def test_dropbear_keys_are_made_anew(tmp_path: Path, kind: str, bits: int) -> None:
    old = generate(kind, bits)
    path = f"/etc/dropbear/dropbear_{kind}_host_key"
    plant(tmp_path, DEBIAN | {path: encode(old, KeyFormat.DROPBEAR)})
    (tmp_path / path[1:]).chmod(0o600)
    plan = planned(tmp_path)
    assert [(c.target, c.old) for c in plan.changes] == [(path, public_half(old).fingerprint)]
    learned = done(tmp_path, plan)
    new = decode((tmp_path / path[1:]).read_bytes(), KeyFormat.DROPBEAR)
    assert (new.fingerprint, new.type) == (learned[path], kind)
    assert not (tmp_path / f"{path[1:]}.pub").exists()


def test_dropbear_that_makes_its_own_keys_gets_them_removed(tmp_path: Path) -> None:
    unit = "/usr/lib/systemd/system/dropbear.service"
    key = "/etc/dropbear/dropbear_ed25519_host_key"
    made = encode(generate("ed25519", 256), KeyFormat.DROPBEAR)
    plant(tmp_path, SYSTEMD | {unit: "[Service]\nExecStart=/usr/sbin/dropbear -R -F\n", key: made})
    assert actions(planned(tmp_path)) == [("remove", key)]


@pytest.mark.parametrize("folder", ["/etc/dropbear-initramfs", "/etc/dropbear/initramfs"])
def test_keys_for_the_initrd_are_made_anew(tmp_path: Path, folder: str) -> None:
    unit = "/usr/lib/systemd/system/dropbear.service"
    key = f"{folder}/dropbear_ed25519_host_key"
    made = encode(generate("ed25519", 256), KeyFormat.DROPBEAR)
    plant(tmp_path, SYSTEMD | {unit: "[Service]\nExecStart=/usr/sbin/dropbear -R -F\n", key: made})
    plan = planned(tmp_path)
    assert actions(plan) == [("generate-ssh-host-key", key)]
    done(tmp_path, plan)
    assert (tmp_path / key[1:]).read_bytes() != made


@pytest.mark.parametrize("folder", ["/etc/dropbear-initramfs", "/etc/dropbear/initramfs"])
def test_what_cannot_be_read_for_the_initrd_is_kept_and_named(tmp_path: Path, folder: str) -> None:
    plant(tmp_path, DEBIAN | {f"{folder}/dropbear_rsa_host_key": b"\0\0\0\7ssh-rsa"})
    plan = planned(tmp_path)
    assert plan.changes == ()
    assert f"{folder}/dropbear_rsa_host_key" in texts(plan, Level.KEPT)


@pytest.mark.slow
def test_a_key_that_an_initrd_has_is_made_anew_where_it_would_be_removed(tmp_path: Path) -> None:
    root = tmp_path / "guest"
    plant(root, FEDORA)
    keygen(root / KEY[1:])
    assert ("remove", KEY) in actions(planned(root))
    plant(tmp_path / "tree", {KEY: (root / KEY[1:]).read_bytes()})
    plant(root, {"/boot/initramfs-6.1.img": archive(tmp_path / "tree")})
    assert ("generate-ssh-host-key", KEY) in actions(planned(root))
