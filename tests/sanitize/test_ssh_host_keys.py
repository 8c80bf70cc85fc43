"""SSH host keys: who makes new ones, what is removed or made, and what hostile files do."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa

from sanitize.actions import ACTIONS
from sanitize.change import Level
from sanitize.facts import Facts
from sanitize.residue import find_residue
from sanitize.ssh_key import (
    KeyFormat,
    NotAKeyError,
    decode,
    encode,
    generate,
    public_half,
    read_private,
    read_public,
)
from sanitize.sshd import KeyMaker, key_maker, sshd_config
from sanitize.step import Options, Profile
from sanitize.steps.ssh_host_keys import SshHostKeys
from tests.support.tree import guest_at, plant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sanitize.change import StepPlan

Files = dict[str, str | bytes | None]

SYSTEMD: Files = {
    "/usr/lib/systemd/systemd": "elf",
    "/sbin/init": "-> /usr/lib/systemd/systemd",
}
DEBIAN: Files = {
    **SYSTEMD,
    "/usr/lib/systemd/system/ssh.service": (
        "[Unit]\nDescription=OpenBSD Secure Shell server\n"
        "ConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n\n"
        "[Service]\nExecStartPre=/usr/sbin/sshd -t\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/ssh.service": (
        "-> /usr/lib/systemd/system/ssh.service"
    ),
    "/etc/systemd/system/sshd.service": "-> /usr/lib/systemd/system/ssh.service",
}
FEDORA: Files = {
    **SYSTEMD,
    "/usr/lib/systemd/system/sshd.service": (
        "[Unit]\nAfter=network.target sshd-keygen.target\nWants=sshd-keygen.target\n"
        "# Migration for Fedora 38\nWants=ssh-host-keys-migration.service\n\n"
        "[Service]\nExecStart=/usr/sbin/sshd -D $OPTIONS\n"
    ),
    "/usr/lib/systemd/system/sshd-keygen.target": (
        "[Unit]\nWants=sshd-keygen@rsa.service\nWants=sshd-keygen@ecdsa.service\n"
        "Wants=sshd-keygen@ed25519.service\nPartOf=sshd.service\n"
    ),
    "/usr/lib/systemd/system/sshd-keygen@.service": (
        "[Unit]\nConditionFileNotEmpty=|!/etc/ssh/ssh_host_%i_key\n\n[Service]\nType=oneshot\n"
        "EnvironmentFile=-/etc/sysconfig/sshd\nExecStart=/usr/libexec/openssh/sshd-keygen %i\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/sshd.service": (
        "-> /usr/lib/systemd/system/sshd.service"
    ),
}
CLOUD_DROP_IN = (
    "[Unit]\nConditionPathExists="
    "!/run/systemd/generator.early/multi-user.target.wants/cloud-init.target\n"
)
SUSE: Files = {
    **SYSTEMD,
    "/usr/lib/systemd/system/sshd.service": (
        "[Service]\nExecStartPre=/usr/sbin/sshd-gen-keys-start\nExecStart=/usr/sbin/sshd -D\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/sshd.service": (
        "-> /usr/lib/systemd/system/sshd.service"
    ),
}
ARCH: Files = {
    **SYSTEMD,
    "/usr/lib/systemd/system/sshd.service": (
        "[Unit]\nWants=sshdgenkeys.service\nAfter=sshdgenkeys.service\n\n"
        "[Service]\nExecStart=/usr/bin/sshd -D\n"
    ),
    "/usr/lib/systemd/system/sshdgenkeys.service": (
        "[Unit]\nConditionPathExists=|!/etc/ssh/ssh_host_ed25519_key\n"
        "ConditionPathExists=|!/etc/ssh/ssh_host_rsa_key\n\n"
        "[Service]\nExecStart=/usr/bin/ssh-keygen -A\nType=oneshot\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/sshd.service": (
        "-> /usr/lib/systemd/system/sshd.service"
    ),
}
DEBIAN_13_KEYGEN: Files = {
    "/usr/lib/systemd/system/sshd-keygen.service": (
        "[Unit]\nConditionFirstBoot=yes\nBefore=ssh.service\n\n"
        "[Service]\nType=oneshot\nExecStart=ssh-keygen -A\n"
    ),
    "/etc/systemd/system/ssh.service.wants/sshd-keygen.service": (
        "-> /usr/lib/systemd/system/sshd-keygen.service"
    ),
}
ALPINE: Files = {
    "/sbin/openrc": "elf",
    "/bin/busybox": "elf",
    "/sbin/init": "-> /bin/busybox",
    "/etc/init.d/sshd": "#!/sbin/openrc-run\ncheckconfig() {\n\tssh-keygen -A || return 1\n}\n",
    "/etc/runlevels/default/sshd": "-> /etc/init.d/sshd",
}
CLOUD_INIT: Files = {
    "/usr/bin/cloud-init": "elf",
    "/usr/lib/systemd/system-generators/cloud-init-generator": "#!/bin/sh\n",
    "/usr/lib/cloud-init/ds-identify": "#!/bin/sh\n",
    "/usr/lib/systemd/system/cloud-init.service": "[Service]\nExecStart=cloud-init init\n",
    "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": (
        "-> /usr/lib/systemd/system/cloud-init.service"
    ),
    "/etc/cloud/cloud.cfg": "cloud_init_modules:\n - migrator\n - ssh\n",
}
ALWAYS: Files = {"/etc/cloud/cloud.cfg.d/90.cfg": "datasource_list: [ NoCloud, None ]\n"}
ALL_TYPES = frozenset({"rsa", "ecdsa", "ed25519"})


def keygen(path: Path, *arguments: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-N", "", "-C", "root@template", "-f", str(path), *arguments]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return fingerprint(path)


def fingerprint(path: Path) -> str:
    argv = ["ssh-keygen", "-lf", str(path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


def derived(path: Path) -> list[str]:
    argv = ["ssh-keygen", "-yf", str(path)]
    words = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return words[:2]


def planned(folder: Path, **options: object) -> StepPlan:
    guest = guest_at(folder)
    return SshHostKeys().plan(guest, Facts(guest), Options(**options))  # type: ignore[arg-type]  # any option


def done(folder: Path, plan: StepPlan) -> Mapping[str, str]:
    """Apply and verify *plan*; what each change learned, by target."""
    learned = {}
    for change in plan.changes:
        learned[change.target] = ACTIONS[change.action].apply(guest_at(folder), change)
    for change in plan.changes:
        problem = ACTIONS[change.action].verify(guest_at(folder), change, learned[change.target])
        assert problem == ""
    return learned


def actions(plan: StepPlan) -> list[tuple[str, str]]:
    return [(change.action, change.target) for change in plan.changes]


def texts(plan: StepPlan, level: Level) -> str:
    return "\n".join(note.text for note in plan.notes if note.level is level)


# -- who makes new keys ----------------------------------------------------------------------


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


# -- what is decided -------------------------------------------------------------------------

KEY = "/etc/ssh/ssh_host_ed25519_key"
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
        (DEBIAN, {"ssh_host_keys": "remove"}, Level.WARNING, "until somebody runs ssh-keygen -A"),
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


# -- what is made ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "bits", "old_format"),
    [
        (("-t", "rsa", "-b", "2048"), 3072, False),
        (("-t", "rsa", "-b", "4096"), 4096, False),
        (("-t", "rsa", "-b", "3072"), 3072, True),
        (("-t", "ecdsa", "-b", "256"), 256, False),
        (("-t", "ecdsa", "-b", "384"), 384, True),
        (("-t", "ecdsa", "-b", "521"), 521, False),
        (("-t", "ed25519"), 256, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_new_key_is_of_the_same_kind_and_real(
    tmp_path: Path, arguments: tuple[str, ...], bits: int, old_format: bool
) -> None:
    plant(tmp_path, DEBIAN)
    name = f"etc/ssh/ssh_host_{arguments[1]}_key"
    path = tmp_path / name
    old = keygen(path, *arguments, *(("-m", "PEM") if old_format else ()))
    path.chmod(0o640)
    inode = path.stat().st_ino
    plan = planned(tmp_path)
    (change,) = plan.changes
    assert change.old == old
    new = done(tmp_path, plan)[f"/{name}"]
    assert new != old
    assert fingerprint(path) == fingerprint(path.with_name(f"{path.name}.pub")) == new
    line = path.with_name(f"{path.name}.pub").read_text().split()
    assert line == [*derived_private(path), "root@template"]
    listed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
    assert listed.stdout.split()[0] == str(bits)
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, 0o640)


def derived_private(path: Path) -> list[str]:
    """What ssh-keygen derives from the private key; it insists on a mode of 0600."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    try:
        return derived(path)
    finally:
        path.chmod(mode)


def test_a_key_open_to_others_is_closed(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    path.chmod(0o666)
    done(tmp_path, planned(tmp_path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_key_material_leaves_the_guest(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    before = path.read_text().split("\n")[1:-2]
    plan = planned(tmp_path)
    learned = done(tmp_path, plan)
    after = path.read_text().split("\n")[1:-2]
    shown = f"{plan!r} {learned!r} {json.dumps([dict(c.details) for c in plan.changes])}"
    assert not [line for line in before[2:] + after[2:] if line in shown]


def test_two_copies_get_different_keys(tmp_path: Path) -> None:
    prints = set()
    for name in ("a", "b"):
        plant(tmp_path / name, DEBIAN)
        keygen(tmp_path / name / KEY[1:], "-t", "ed25519")
        prints |= set(done(tmp_path / name, planned(tmp_path / name)).values())
    assert len(prints) == 2


def test_the_old_key_is_retired_and_found_in_known_hosts(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    keygen(tmp_path / KEY[1:], "-t", "ed25519")
    public = (tmp_path / f"{KEY[1:]}.pub").read_text()
    plant(tmp_path, {"/root/.ssh/known_hosts": f"web-01 {public}"})
    plan = planned(tmp_path)
    assert [(r.kind, r.value) for r in plan.retired] == [("ssh-host-key", public.split()[1])]
    done(tmp_path, plan)
    found = find_residue(guest_at(tmp_path), plan.retired)
    assert [(r.path, r.read_at_boot) for r in found] == [("/root/.ssh/known_hosts", False)]


# -- verify ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "is not a regular file"),
        (lambda p: p.chmod(0o644), "can be read by others"),
        (lambda p: p.write_text("nonsense"), "is not a private key"),
        (lambda p: p.write_bytes(p.read_bytes()[:-60] + b"\n-----END OPENSSH PRIVATE KEY-----\n"),
         "is not a private key"),
        (lambda p: [p.unlink(), keygen(p.with_name("x"), "-t", "ed25519"),
                    p.with_name("x").rename(p)], "is not the key that was made"),
        (lambda p: [keygen(p.with_name("x"), "-t", "ed25519"),
                    p.with_name("x.pub").rename(f"{p}.pub")], "does not fit"),
        (lambda p: p.with_name(f"{p.name}.pub").write_text("hello\n"), "is not a public key"),
    ],
    ids=["gone", "open", "garbage", "cut short", "another key", "another public half", "no half"],
)  # fmt: skip
def test_verify_notices(tmp_path: Path, damage: object, words: str) -> None:
    assert callable(damage)
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    keygen(path, "-t", "ed25519")
    (change,) = planned(tmp_path).changes
    action = ACTIONS[change.action]
    learned = action.apply(guest_at(tmp_path), change)
    damage(path)
    assert words in action.verify(guest_at(tmp_path), change, learned)


def test_verify_notices_that_the_old_key_is_back(tmp_path: Path) -> None:
    plant(tmp_path, DEBIAN)
    path = tmp_path / KEY[1:]
    old = keygen(path, "-t", "ed25519")
    (change,) = planned(tmp_path).changes
    assert "is not the key" in ACTIONS[change.action].verify(guest_at(tmp_path), change, old)


# -- certificates, other files ---------------------------------------------------------------


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


# -- dropbear --------------------------------------------------------------------------------


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
def test_keys_inside_the_initrd_are_kept_and_named(tmp_path: Path, folder: str) -> None:
    plant(tmp_path, DEBIAN | {f"{folder}/dropbear_rsa_host_key": b"\0\0\0\7ssh-rsa"})
    plan = planned(tmp_path)
    assert plan.changes == ()
    assert "update-initramfs -u" in texts(plan, Level.KEPT)


# -- hostile files ---------------------------------------------------------------------------


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
    assert "is not a file, and is left alone" in texts(plan, Level.WARNING)


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
     b"\0\0\0\x0bssh-ed25519\0\0\0\1x", b"\0\0\0\x13ecdsa-sha2-nistp256" + b"\0\0\0\1x" * 3],
)  # fmt: skip
def test_damaged_keys_are_named_as_such(content: bytes, form: KeyFormat) -> None:
    with pytest.raises(NotAKeyError):
        read_private(content, form)


@pytest.mark.parametrize("line", ["", "ssh-rsa", "ssh-rsa !!!", "ssh-rsa AAAA"])
def test_damaged_public_halves_are_named_as_such(line: str) -> None:
    with pytest.raises(NotAKeyError):
        read_public(line)
