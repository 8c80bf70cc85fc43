"""Guests with sshd, one tree per distribution family, and what tests of host keys do with them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.planning import context
from tests.support.tree import guest_at
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.options import Options
from unclone.sanitize.steps.ssh_host_keys import SshHostKeys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.sanitize.change import Level, StepPlan

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
#: The key most tests plant.
KEY = "/etc/ssh/ssh_host_ed25519_key"
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
    return SshHostKeys().plan(context(guest, Options(**options)))  # type: ignore[arg-type]  # any option


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
