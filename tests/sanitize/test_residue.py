"""The residue scan finds what no rule knows, in every spelling, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.boot import cpio
from unclone.sanitize.change import Retired
from unclone.sanitize.residue import CONTENT_LIMIT, Residue, find_residue

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
DASHED = "01234567-89ab-cdef-0123-456789abcdef"
RETIRED = Retired("machine-id", "machine-id", ID)


def scan(folder: Path) -> list[tuple[str, int, bool]]:
    found = find_residue(guest_at(folder), [RETIRED])
    assert all(isinstance(r, Residue) and r.value == ID for r in found)
    return [(r.path, r.line, r.read_at_boot) for r in found]


MIXED = "01234567-89AB-cdEF-0123-456789abcDEF"


@pytest.mark.parametrize(
    "spelled",
    [ID, ID.upper(), DASHED, DASHED.upper(), MIXED, MIXED.replace("-", ""), MIXED.swapcase()],
)
def test_every_spelling_is_found_with_its_line(tmp_path: Path, spelled: str) -> None:
    plant(tmp_path, {"/etc/app/agent.conf": f"# agent\n\nhost = {spelled}\n"})
    assert scan(tmp_path) == [("/etc/app/agent.conf", 3, False)]


@pytest.mark.parametrize("value", ["a" * 32, "1" * 32, "ab12" * 8, "abcdefab" * 4])
def test_an_id_is_found_in_letters_of_any_case(tmp_path: Path, value: str) -> None:
    mixed = "".join(c.upper() if n % 3 else c for n, c in enumerate(value))
    plant(tmp_path, {"/etc/app.conf": f"id={mixed}\n", "/etc/other": f"{value[:-1]}0\n"})
    (found,) = find_residue(guest_at(tmp_path), [Retired("step", "machine-id", value)])
    assert (found.path, found.value) == ("/etc/app.conf", value)


@pytest.mark.parametrize(
    ("kind", "value", "spelled"),
    [
        ("ssh-host-key", "AAAAC3NzaC1lZDI1NTE5AAAAI/+x9==", "AAAAC3NzaC1lZDI1NTE5AAAAI/+x9=="),
        ("mac-address", "52:54:00:ab:cd:ef", "5254.00AB.CDEF"),
        ("mac-address", "52:54:00:ab:cd:ef", "52-54-00-ab-cd-ef"),
    ],
)
def test_values_that_are_more_than_letters_and_digits(
    tmp_path: Path, kind: str, value: str, spelled: str
) -> None:
    plant(tmp_path, {"/etc/f": f"key {spelled} root@template\n"})
    (found,) = find_residue(guest_at(tmp_path), [Retired("step", kind, value)])
    assert (found.path, found.value) == ("/etc/f", value)


def test_names_and_link_targets_count(tmp_path: Path) -> None:
    plant(tmp_path, {f"/var/lib/app/{ID}": None, "/etc/l": f"-> /srv/{ID}"})
    assert scan(tmp_path) == [("/etc/l", 0, False), (f"/var/lib/app/{ID}", 0, False)]


@pytest.mark.parametrize("argument", ["gnu.load=/gnu/store/s/boot", "init=/gnu/store/s/boot"])
def test_what_the_initrd_runs_counts(tmp_path: Path, argument: str) -> None:
    grub = f"linux /gnu/store/k/bzImage root=/dev/x {argument} quiet\n"
    plant(tmp_path, {"/boot/grub/grub.cfg": grub, "/gnu/store/s/boot": f'(uuid "{DASHED}")\n'})
    (found,) = find_residue(
        guest_at(tmp_path), [Retired("file-system-uuid", "file-system-uuid", DASHED)]
    )
    assert (found.path, found.read_at_boot) == ("/gnu/store/s/boot", True)


FACTORY = "/usr/share/factory/etc/machine-id"


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("C /etc/machine-id", FACTORY),
        ("C /etc/machine-id - - - -", FACTORY),
        ("C+! /etc/machine-id 0444 root root - -", FACTORY),
        ("C /etc/machine-id 0444 root root - /srv/id", "/srv/id"),
        ('C "/etc/machine-id" 0444 root root - "/opt/x/id"', "/opt/x/id"),
        ("C /etc - - - - /srv/etc", "/srv/etc/machine-id"),
        ("L /etc/machine-id - - - - /srv/id", "/srv/id"),
    ],
)
def test_what_is_copied_into_place_at_boot_counts(tmp_path: Path, line: str, source: str) -> None:
    plant(tmp_path, {"/usr/lib/tmpfiles.d/x.conf": f"d /x\n{line}\n", source: f"{ID}\n"})
    assert scan(tmp_path) == [(source, 1, True)]


def test_what_is_not_copied_does_not(tmp_path: Path) -> None:
    line = f"# C /x - - - - /srv/a\nd /x - - - - /srv/a\nC /x - - - - {FACTORY}\n"
    plant(tmp_path, {"/etc/tmpfiles.d/x.conf": line, "/srv/a": f"{ID}\n"})
    assert scan(tmp_path) == [("/srv/a", 1, False)]


@pytest.mark.parametrize(
    ("path", "text", "at_boot"),
    [
        ("/etc/tmpfiles.d/x.conf", f"f+ /etc/machine-id 0444 root root - {ID}\n", True),
        ("/etc/rc.local", f"#!/bin/sh\necho {ID} >/etc/machine-id\n", True),
        ("/var/lib/confexts/x/etc/machine-id", f"\n{ID}\n", True),
        ("/etc/rc.local", f"a={ID[:9]}\nb={ID[9:]}\necho $a${{b}} >/etc/machine-id\n", True),
        ("/etc/init.d/id", f"echo {ID} > /var/lib/dbus/machine-id\n", True),
        ("/etc/rc.local", f"#!/bin/sh\n# the machine-id was {ID}\n", False),
        ("/etc/tmpfiles.d/x.conf", f"d /var/log/journal/{ID}\n", False),
        ("/etc/default/agent", f"AGENT={ID}\n", False),
        ("/etc/app.conf", f"machine-id={ID}\n", False),
    ],
)
def test_what_writes_the_old_id_again_at_boot_is_told_apart(
    tmp_path: Path, path: str, text: str, at_boot: bool
) -> None:
    plant(tmp_path, {path: text})
    assert [(found, read) for found, _, read in scan(tmp_path)] == [(path, at_boot)]


UNIT = "/etc/systemd/system/restore-id.service"
COMMANDS = [
    ("cp /opt/x/id /etc/machine-id", "/opt/x/id"),
    ("/bin/cp -a /opt/x/id /etc/machine-id", "/opt/x/id"),
    ("/bin/sh -c 'cat /opt/x/id > /etc/machine-id'", "/opt/x/id"),
    ("/bin/sh -c 'tr -d - </opt/x/id >/var/lib/dbus/machine-id'", "/opt/x/id"),
    ("/bin/sh -c 'cat /opt/x/id | tee /etc/machine-id >/dev/null'", "/opt/x/id"),
    ("dd if=/opt/x/id of=/etc/machine-id bs=33 count=1", "/opt/x/id"),
    ("install -m 444 /opt/x/id /etc/machine-id", "/opt/x/id"),
    ("ln -sf /opt/x/id /etc/machine-id", "/opt/x/id"),
    ("mount --bind /opt/x/id /etc/machine-id", "/opt/x/id"),
    ("rsync -a /opt/x/ /etc/", "/opt/x/machine-id"),
    ("cp -a /opt/x/. /", "/opt/x/etc/machine-id"),
    ("cp -a /opt/x/etc /", "/opt/x/etc/machine-id"),
    ("/opt/x/restore", "/srv/id"),
]
SCRIPT = '#!/bin/sh\nFROM=/srv/id\n[ -s $FROM ] && cp "$FROM" "/etc/machine-id" || exit 0\n'


@pytest.mark.parametrize(("command", "source"), COMMANDS)
def test_what_a_unit_makes_the_machine_id_of_counts(
    tmp_path: Path, command: str, source: str
) -> None:
    unit = f"[Service]\nType=oneshot\nExecStart={command}\n"
    plant(tmp_path, {UNIT: unit, "/opt/x/restore": SCRIPT, source: f"{ID}\n"})
    assert scan(tmp_path) == [(source, 1, True)]


def test_so_does_what_a_script_of_a_unit_among_the_packages_does(tmp_path: Path) -> None:
    unit = "/usr/lib/systemd/system/restore-id.service"
    started = "[Service]\nExecStart=/usr/local/sbin/restore\n"
    plant(tmp_path, {unit: started, "/usr/local/sbin/restore": SCRIPT, "/srv/id": f"{ID}\n"})
    assert scan(tmp_path) == [("/srv/id", 1, True)]


SETS = f"#!/bin/sh\necho {ID} >/etc/machine-id\n"
CLOUD = f"write_files:\n- content: |\n    {ID}\n  path: /etc/machine-id\n"
#: The file that has the id, its text, and what else is there.
PROGRAMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "cloud-init writes it": ("/etc/cloud/cloud.cfg.d/9.cfg", CLOUD, {}),
    "a seed in the image": ("/var/lib/cloud/seed/nocloud/user-data", f"#cloud-config\n{CLOUD}", {}),
    "cloud-init at each boot": ("/var/lib/cloud/scripts/per-boot/x", SETS, {}),
    "a rule of udev": (
        "/opt/x",
        SETS,
        {"/etc/udev/rules.d/9.rules": 'ACTION=="add", RUN+="/opt/x"\n'},
    ),
    "a rule of udev copies it": (
        "/srv/id",
        f"{ID}\n",
        {"/usr/lib/udev/rules.d/9.rules": 'RUN+="/bin/cp /srv/id /etc/machine-id"\n'},
    ),
    "a lease": ("/etc/dhcp/dhclient-exit-hooks.d/x", SETS, {}),
    "a login": ("/etc/profile.d/x.sh", SETS, {}),
    "a shell of root": ("/root/.bashrc", SETS, {}),
    "a daily job": ("/etc/cron.daily/x", SETS, {}),
    "a table of jobs": ("/etc/crontab", f"@reboot root echo {ID} >/etc/machine-id\n", {}),
    "a variable of OpenRC": (
        "/etc/conf.d/x",
        f"MINE={ID}\n",
        {"/etc/init.d/x": "#!/sbin/openrc-run\nstart() { echo $MINE >/etc/machine-id; }\n"},
    ),
    "sysvinit": ("/opt/x", SETS, {"/etc/inittab": "x:2:once:/opt/x\n"}),
    "a playbook": (
        "/srv/x.yml",
        f"- copy: {{content: {ID}, dest: /etc/machine-id}}\n",
        {"/etc/cron.d/x": "@reboot root ansible-playbook /srv/x.yml\n"},
    ),
    "Python, with a variable": (
        "/opt/x.py",
        f"#!/usr/bin/python3\nmine = '{ID}'\nopen('/etc/machine-id', 'w').write(mine)\n",
        {UNIT: "[Service]\nExecStart=/opt/x.py\n"},
    ),
    "a shell, with a variable": (
        "/srv/id",
        f"{ID}\n",
        {"/etc/rc.local": "#!/bin/sh\nTO=/etc/machine-id\ncp /srv/id ${TO}\n"},
    ),
}


@pytest.mark.parametrize(("path", "text", "others"), PROGRAMS.values(), ids=PROGRAMS)
def test_whatever_program_sets_the_machine_id_counts(
    tmp_path: Path, path: str, text: str, others: dict[str, str]
) -> None:
    plant(tmp_path, {path: text, **others})
    assert [(found, read) for found, _, read in scan(tmp_path)] == [(path, True)]


def test_a_long_line_takes_no_long_time(tmp_path: Path) -> None:
    """A quadratic search would take hours, and the test's own limit would end it."""
    line = "cp " * (CONTENT_LIMIT // 3 - 1)
    script = f"#!/bin/sh\n{line}\n"
    plant(tmp_path, {"/etc/rc.local": script, "/etc/cron.daily/x": script, "/srv/id": f"{ID}\n"})
    assert scan(tmp_path) == [("/srv/id", 1, False)]


def test_a_program_that_only_compares_with_a_copy_does_not(tmp_path: Path) -> None:
    compare = "#!/bin/sh\ncmp -s /etc/machine-id /srv/id || logger another\n"
    plant(tmp_path, {"/etc/cron.daily/x": compare, "/srv/id": f"{ID}\n"})
    assert scan(tmp_path) == [("/srv/id", 1, False)]


@pytest.mark.parametrize("command", [f"echo {ID} >/etc/machine-id", "/usr/local/lib/second"])
def test_so_does_one_that_has_the_id_itself_or_starts_one_that_has(
    tmp_path: Path, command: str
) -> None:
    unit = "/usr/lib/systemd/system/restore-id.service"
    started = "[Service]\nExecStart=/usr/local/sbin/restore\n"
    first, second = "/usr/local/sbin/restore", "/usr/local/lib/second"
    last = f"#!/bin/sh\nprintf '%s\\n' {ID} >/etc/machine-id\n"
    plant(tmp_path, {unit: started, first: f"#!/bin/sh\n{command}\n", second: last})
    own = [(first, 2, True)] if ID in command else []
    assert scan(tmp_path) == [(second, 2, not own), *own]


@pytest.mark.parametrize(
    "path", ["/etc/cron.d/id", "/var/spool/cron/crontabs/root", "/etc/rc.local", "/etc/init.d/id"]
)
def test_so_does_what_a_job_or_an_init_script_does(tmp_path: Path, path: str) -> None:
    command = f"@reboot root cp /srv/id /etc/machine-id\necho {ID} >/etc/machine-id\n"
    plant(tmp_path, {path: command, "/srv/id": f"{ID}\n"})
    assert scan(tmp_path) == sorted([(path, 2, True), ("/srv/id", 1, True)])


@pytest.mark.parametrize(
    "command",
    [
        "cp /etc/machine-id /srv/id",
        "/bin/sh -c 'cat /etc/machine-id >/srv/id'",
        "/usr/bin/agent --state /srv/id --log /etc/agent",
        "cp /srv/id /etc/agent/machine-id",
        "cp -a /srv/id /mnt/etc/",
    ],
)
def test_what_only_reads_the_machine_id_does_not(tmp_path: Path, command: str) -> None:
    plant(tmp_path, {UNIT: f"[Service]\nExecStart={command}\n", "/srv/id": f"{ID}\n"})
    assert scan(tmp_path) == [("/srv/id", 1, False)]


@pytest.mark.parametrize(
    ("path", "dash"),
    [
        ("/etc/fstab", r"\055"),
        ("/etc/fstab", r"\134x2d"),
        ("/etc/fstab.d/x", r"\055"),
        ("/boot/grub/grub.cfg", r"\-"),
        ("/boot/grub/custom.cfg", r"\-"),
    ],
)
def test_a_value_that_is_escaped_is_one_that_the_boot_reads(
    tmp_path: Path, path: str, dash: str
) -> None:
    uuid = Retired("file-system-uuids", "file-system-uuid", DASHED)
    plant(
        tmp_path,
        {
            "/boot/grub/grub.cfg": "source /boot/grub/custom.cfg\n",
            path: f"# a \\134 comment\nx UUID={DASHED.replace('-', dash)} /\n",
        },
    )
    found = find_residue(guest_at(tmp_path), [uuid])
    assert [(r.path, r.line, r.read_at_boot) for r in found] == [(path, 2, True)]


OVERLAY = "overlay /etc overlay lowerdir=/sysroot/etc,upperdir=/sysroot/srv/etc,workdir=/w 0 0\n"


@pytest.mark.parametrize("line", [OVERLAY, "/srv/etc /etc none bind 0 0\n"])
@pytest.mark.parametrize(
    ("name", "at_boot"), [("fstab", True), ("default/grub", True), ("x", False)]
)
def test_what_is_mounted_over_a_folder_is_what_the_boot_reads(
    tmp_path: Path, line: str, name: str, at_boot: bool
) -> None:
    plant(tmp_path, {"/etc/fstab": line, f"/srv/etc/{name}": f"UUID={DASHED}\n"})
    uuid = Retired("file-system-uuids", "file-system-uuid", DASHED)
    found = find_residue(guest_at(tmp_path), [uuid])
    assert [(r.path, r.read_at_boot) for r in found] == [(f"/srv/etc/{name}", at_boot)]


@pytest.mark.parametrize(
    "path",
    ["/etc/fstab.orig", "/etc/crypttab~", "/etc/machine-id.bak", "/etc/default/grub.dpkg-old"],
)
def test_a_copy_beside_it_is_not_read(tmp_path: Path, path: str) -> None:
    plant(tmp_path, {path: ID})
    assert scan(tmp_path) == [(path, 1, False)]


@pytest.mark.parametrize(
    "path",
    ["/boot/loader/entries/a.conf", "/etc/machine-id", "/etc/kernel/cmdline", "/etc/fstab",
     "/boot/efi/EFI/debian/grub.cfg", "/var/lib/dbus/machine-id", "/etc/default/grub"],
)  # fmt: skip
def test_what_the_next_boot_reads_is_told_apart(tmp_path: Path, path: str) -> None:
    plant(tmp_path, {path: ID})
    assert scan(tmp_path) == [(path, 1, True)]


def test_places_that_are_not_configuration_are_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/lib/dpkg/info/x": ID, "/var/cache/u/f": ID, "/usr/share/doc/f": ID})
    plant(tmp_path, {"/etc/huge": b"x" * CONTENT_LIMIT + ID.encode()})
    assert scan(tmp_path) == []


def test_nothing_retired_reads_nothing(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": ID})
    assert list(find_residue(guest_at(tmp_path), [])) == []


def test_a_symlinked_boot_is_read_once(tmp_path: Path) -> None:
    plant(tmp_path, {"/boot/f": ID, "/efi": "-> boot"})
    assert scan(tmp_path) == [("/boot/f", 1, True)]


def test_a_boot_config_behind_an_initrd_is_read(tmp_path: Path) -> None:
    """The kernel takes arguments from it: ``systemd.machine_id=`` counts there as on its line."""
    text = f"kernel.systemd.machine_id = {ID}\n".encode()
    sums = len(text).to_bytes(4, "little") + sum(text).to_bytes(4, "little")
    plant(tmp_path, {"/boot/initrd.img-6.1": cpio.trailer() + text + sums + b"#BOOTCONFIG\n"})
    assert scan(tmp_path) == [("/boot/initrd.img-6.1!(bootconfig)", 0, True)]
