"""Which keys sshd uses, and who in the guest makes missing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ssh_guests import (
    ALL_TYPES,
    ALPINE,
    ARCH,
    CLOUD_DROP_IN,
    DEBIAN,
    DEBIAN_13_KEYGEN,
    FEDORA,
    SUSE,
    SYSTEMD,
    Files,
)
from tests.support.tree import guest_at, plant
from unclone.sanitize.facts import Facts
from unclone.sanitize.ssh.sshd import KeyMaker, key_maker, sshd_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "types"),
    [
        pytest.param(DEBIAN, None, id="debian 12: nobody"),
        pytest.param(DEBIAN | DEBIAN_13_KEYGEN, None, id="debian 13: only on a first boot"),
        pytest.param(
            DEBIAN
            | DEBIAN_13_KEYGEN
            | {
                "/etc/systemd/system/sshd-keygen.service.d/always.conf": (
                    "[Unit]\nConditionFirstBoot=\nConditionPathExists=!/etc/ssh/ssh_host_rsa_key\n"
                )
            },
            ALL_TYPES,
            id="debian 13: condition replaced by a drop-in",
        ),
        pytest.param(FEDORA, ALL_TYPES, id="fedora"),
        pytest.param(
            FEDORA | {"/etc/systemd/system/sshd-keygen.target": "-> /dev/null"},
            None,
            id="fedora: target masked",
        ),
        pytest.param(
            FEDORA | {"/etc/systemd/system/sshd-keygen@.service": "-> /dev/null"},
            None,
            id="fedora: template masked",
        ),
        pytest.param(
            FEDORA | {"/etc/systemd/system/sshd-keygen@rsa.service": "-> /dev/null"},
            ALL_TYPES - {"rsa"},
            id="fedora: one instance masked",
        ),
        pytest.param(
            FEDORA | {"/etc/sysconfig/sshd": 'AUTOCREATE_SERVER_KEYS="NO"\n'},
            None,
            id="fedora: switched off in sysconfig",
        ),
        pytest.param(SUSE, ALL_TYPES, id="suse"),
        pytest.param(
            SUSE | {"/etc/ssh/sshd_config": "HostKey /etc/ssh/ssh_host_rsa_key\n"},
            None,
            id="suse: a HostKey line stops its script",
        ),
        pytest.param(ARCH, ALL_TYPES, id="arch"),
        pytest.param(
            ARCH
            | {
                "/usr/lib/systemd/system/sshd.socket": "[Socket]\nAccept=yes\n",
                "/usr/lib/systemd/system/sshd@.service": "[Service]\nExecStart=/usr/bin/sshd -i\n",
                "/etc/systemd/system/sockets.target.wants/sshd.socket": "-> /nowhere",
            },
            ALL_TYPES,
            id="arch: the socket and the service both lead to it",
        ),
        pytest.param(ALPINE, ALL_TYPES, id="alpine"),
        pytest.param(
            ALPINE | {"/etc/conf.d/sshd": "# off\nsshd_disable_keygen=yes\n"},
            None,
            id="alpine: switched off",
        ),
        pytest.param(
            ALPINE | {"/etc/conf.d/sshd": 'key_types_to_generate="ed25519"\n'},
            frozenset({"ed25519"}),
            id="alpine: one type",
        ),
        pytest.param(
            {k: v for k, v in ALPINE.items() if "runlevels" not in k},
            None,
            id="alpine: not enabled",
        ),
        pytest.param(
            {**FEDORA, "/sbin/init": "-> /bin/busybox", "/bin/busybox": "elf"},
            None,
            id="units that no systemd reads",
        ),
        pytest.param(
            SYSTEMD
            | {"/usr/lib/systemd/system/sshd.service": "", "/etc/systemd": "-> /etc/systemd"},
            None,
            id="loops and empty units",
        ),
        pytest.param({}, None, id="nothing at all"),
    ],
)
def test_who_makes_missing_keys(tmp_path: Path, files: Files, types: frozenset[str] | None) -> None:
    plant(tmp_path, files)
    guest = guest_at(tmp_path)
    maker = key_maker(guest, Facts(guest))
    assert (maker.types if maker else None) == types


def test_a_unit_that_yields_to_cloud_init_says_so(tmp_path: Path) -> None:
    drop_in = "/usr/lib/systemd/system/sshd-keygen@.service.d/disable-if-cloud-init.conf"
    plant(tmp_path, FEDORA | {drop_in: CLOUD_DROP_IN})
    guest = guest_at(tmp_path)
    names = ", ".join(f"sshd-keygen@{kind}.service" for kind in ("ecdsa", "ed25519", "rsa"))
    assert key_maker(guest, Facts(guest)) == KeyMaker(names, ALL_TYPES, yields_to_cloud_init=True)


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("HostKey /a\nhostkey=/b\n#HostKey /c\n", ("/a", "/b")),
        ('HostKey "/srv/my keys/a" # why\n', ("/srv/my keys/a",)),
        ("Include /etc/ssh/sshd_config.d/*.conf\n", ("/d", "/e")),
        ("Include sshd_config.d/1.conf\nHostKey /a\n", ("/a", "/d")),
        ("Include /etc/ssh/sshd_config\nHostKey ../up\nHostKey\nHostKey '\n", ()),
        ("HostKey /etc/../srv//x\n", ("/srv/x",)),
    ],
)
def test_configured_keys(tmp_path: Path, config: str, keys: tuple[str, ...]) -> None:
    parts = {"/etc/ssh/sshd_config.d/1.conf": "HostKey /d\n", "/etc/ssh/sshd_config.d/2.conf": "HostKey /e"}  # fmt: skip  # noqa: E501
    plant(tmp_path, {"/etc/ssh/sshd_config": config, **parts})
    assert sorted(sshd_config(guest_at(tmp_path)).host_keys) == list(keys)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/ssh/sshd_config_internal", "HostKey /srv/k\n"),
        ("/etc/ssh/internal_sshd_config", "HostKey /srv/k\n"),
        ("/etc/openssh/sshd_config", "HostKey /srv/k\n"),
        ("/usr/local/etc/sshd_config", "HostKey /srv/k\n"),
        ("/etc/systemd/system/sshd2.service", "[Service]\nExecStart=/usr/sbin/sshd -D -h /srv/k\n"),
        (
            "/etc/systemd/system/sshd2.service",
            "[Service]\nExecStart=/usr/sbin/sshd -D \\\n -h/srv/k",
        ),
        ("/etc/systemd/system/in.service", "[Service]\nExecStart=/usr/sbin/sshd -f /srv/conf\n"),
        ("/etc/systemd/system/ssh.service.d/x.conf", "ExecStart=sshd -D -oHostKey=/srv/k\n"),
        ("/etc/default/ssh", "SSHD_OPTS='-o \"HostKey /srv/k\"'\n"),
        ("/etc/sysconfig/sshd", 'OPTIONS="-u0 -f /srv/conf"\n'),
        ("/etc/conf.d/sshd", 'SSHD_OPTS="-h /srv/k"\n'),
        ("/etc/inetd.conf", "ssh stream tcp nowait root /usr/sbin/sshd sshd -i -h /srv/k\n"),
    ],
)
def test_keys_of_a_further_sshd(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, {"/etc/ssh/sshd_config": "HostKey /a\n", "/srv/conf": "HostKey /srv/k\n"})
    plant(tmp_path, {path: text, "/etc/default/ssh2": "#SSHD_OPTS='-h /b'\n-h /c\n"})
    assert sshd_config(guest_at(tmp_path)).host_keys == ("/a", "/srv/k")
