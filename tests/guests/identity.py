"""What a machine gathers by living: the files that make this guest somebody.

They are written here instead of booting the guest once, because a boot takes minutes where there is
no KVM. Keys that cost nothing to make are real ones (``ssh-keygen``); the rest has the form its
program gives it. Every build makes new values.
"""

from __future__ import annotations

import io
import os
import secrets
import struct
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests.variants import KEY_FILE
from unclone.images.process import run

if TYPE_CHECKING:
    from tests.guests.variants import Identifiers, Variant

HOSTNAME = "golden"
#: What cloud-init calls a machine that never had a seed. A copy that boots without a seed is then
#: no new instance to cloud-init: left as it is, it keeps its host keys.
INSTANCE = "iid-datasource-none"
PROOF = Path(__file__).with_name("proof.sh")

#: Units that only cost time here, or that want a network.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
)

PROOF_UNIT = """\
[Unit]
Description=Tell the test harness who this machine is
After=multi-user.target cloud-init.target ssh.service

[Service]
Type=oneshot
# Only where the harness asks for it: in any other virtual machine this guest just runs.
ExecCondition=/bin/grep -q unclone-proof /sys/class/dmi/id/product_family
ExecStart=/bin/sh /usr/local/lib/unclone-proof.sh

[Install]
WantedBy=graphical.target
"""

#: Under software emulation beside other work a device can take minutes to appear; that is no
#: reason to give the boot up.
PATIENCE = """\
[Manager]
DefaultTimeoutStartSec=20min
DefaultDeviceTimeoutSec=20min
"""

#: Real cloud-init with the modules that matter for identity. DataSourceNone as the last resort
#: is what images meant for any hypervisor have: without a seed the guest still makes its keys.
CLOUD_CONFIG = """\
datasource_list: [NoCloud, None]
ssh_genkeytypes: [ed25519, ecdsa]
cloud_init_modules: [seed_random, write-files, set_hostname, update_hostname, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
"""


def write_overlay(tarball: Path, variant: Variant, ids: Identifiers, kernel: str) -> None:
    """Write a tarball of everything that is laid over the installed packages, owned by root."""
    overlay = _Overlay(tarball)
    with overlay.tar:
        _system(overlay, variant, ids)
        overlay.file("/boot/grub/grub.cfg", _grub_cfg(variant, ids, kernel), 0o444)
        _machine_id(overlay)
        _host_keys(overlay)
        _cloud_init(overlay)
        _traces(overlay)


class _Overlay:
    def __init__(self, tarball: Path) -> None:
        self.tar = tarfile.open(tarball, "w")  # noqa: SIM115  (closed by write_overlay)

    def file(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        data = content.encode() if isinstance(content, str) else content
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode = len(data), mode
        self.tar.addfile(member, io.BytesIO(data))

    def link(self, path: str, target: str) -> None:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
        self.tar.addfile(member)

    def folder(self, path: str, mode: int = 0o755, gid: int = 0) -> None:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.type, member.mode, member.gid = tarfile.DIRTYPE, mode, gid
        self.tar.addfile(member)


def _system(overlay: _Overlay, variant: Variant, ids: Identifiers) -> None:
    for path, content in variant.files(ids).items():
        mode = 0o755 if content.startswith("#!") else 0o644
        overlay.file(path, content, 0o600 if path == KEY_FILE else mode)
    overlay.folder("/boot", 0o755)
    if variant.firmware == "uefi":
        overlay.folder("/boot/efi", 0o700)
    overlay.file(
        "/etc/default/grub",
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\n"
        'GRUB_CMDLINE_LINUX_DEFAULT=""\n'
        f'GRUB_CMDLINE_LINUX="{variant.kernel_arguments(ids)}"\n',
    )
    overlay.file("/etc/hostname", f"{HOSTNAME}\n")
    overlay.file("/etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{HOSTNAME}\n")
    overlay.file("/etc/network/interfaces", "source /etc/network/interfaces.d/*\nauto lo\n")
    for unit in MASKED:
        overlay.link(f"/etc/systemd/system/{unit}", "/dev/null")
    overlay.file("/etc/systemd/system.conf.d/patience.conf", PATIENCE)
    overlay.file("/usr/local/lib/unclone-proof.sh", PROOF.read_text())
    overlay.file("/etc/systemd/system/unclone-proof.service", PROOF_UNIT)
    overlay.link(
        "/etc/systemd/system/graphical.target.wants/unclone-proof.service",
        "/etc/systemd/system/unclone-proof.service",
    )


def _grub_cfg(variant: Variant, ids: Identifiers, kernel: str) -> str:
    """As ``grub-mkconfig`` writes it, less the themes."""
    folder = "" if variant.separate_boot else "/boot"
    return (
        "#\n# DO NOT EDIT THIS FILE\n#\n"
        "# It is automatically generated by grub-mkconfig using templates\n"
        "# from /etc/grub.d and settings from /etc/default/grub\n#\n"
        "set default=0\nset timeout=0\nserial --speed=115200\n"
        "terminal_input serial console\nterminal_output serial console\n"
        "menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os "
        f"$menuentry_id_option 'gnulinux-simple-{ids.root}' {{\n"
        f"\tinsmod gzio\n\tinsmod part_{_MODULES[variant.table]}\n\tinsmod ext2\n"
        f"\tsearch --no-floppy --fs-uuid --set=root {variant.boot_uuid(ids)}\n"
        f"\tlinux\t{folder}/vmlinuz-{kernel} root={variant.root_device(ids)} ro "
        f"{variant.kernel_arguments(ids)}\n"
        f"\tinitrd\t{folder}/initrd.img-{kernel}\n"
        "}\n"
    )


#: GRUB's words for partition tables.
_MODULES = {"gpt": "gpt", "dos": "msdos"}


def _machine_id(overlay: _Overlay) -> None:
    machine_id = uuid.uuid4()
    # Debian has two regular files: the second one brings the old id back if only one is cleared.
    overlay.file("/etc/machine-id", f"{machine_id.hex}\n", 0o444)
    overlay.file("/var/lib/dbus/machine-id", f"{machine_id.hex}\n")
    journal_gid = 999  # systemd-journal; systemd-tmpfiles corrects it at boot where it differs
    folder = f"/var/log/journal/{machine_id.hex}"
    overlay.folder("/var/log/journal", 0o2755, journal_gid)
    overlay.folder(folder, 0o2755, journal_gid)
    overlay.file(f"{folder}/system.journal", _journal(machine_id), 0o640)


def _journal(machine_id: uuid.UUID) -> bytes:
    """An empty but valid-looking journal: its header names the machine.

    References: systemd, "Journal File Format", section Header (state 0 = offline).
    """
    ids = uuid.uuid4().bytes + machine_id.bytes + uuid.uuid4().bytes + uuid.uuid4().bytes
    header = b"LPKSHHRH" + struct.pack("<IIB7x", 0, 0, 0) + ids + struct.pack("<Q", 272)
    return header.ljust(4096, b"\0")


def _host_keys(overlay: _Overlay) -> None:
    # openssh-server's postinst made some at build time; these replace them, with this host's name.
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("rsa", "ecdsa", "ed25519"):
            key = Path(scratch) / f"ssh_host_{kind}_key"
            comment = f"root@{HOSTNAME}"
            run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", key])
            overlay.file(f"/etc/ssh/{key.name}", key.read_bytes(), 0o600)
            overlay.file(f"/etc/ssh/{key.name}.pub", Path(f"{key}.pub").read_bytes())


def _cloud_init(overlay: _Overlay) -> None:
    overlay.file("/etc/cloud/cloud.cfg.d/95-guest.cfg", CLOUD_CONFIG)
    overlay.folder("/var/lib/cloud/sem")
    overlay.link("/var/lib/cloud/instance", f"/var/lib/cloud/instances/{INSTANCE}")
    overlay.file("/var/lib/cloud/data/instance-id", f"{INSTANCE}\n")
    overlay.file("/var/lib/cloud/data/previous-instance-id", "NO_PREVIOUS_INSTANCE_ID\n")
    overlay.file("/var/lib/cloud/data/set-hostname", f'{{"hostname": "{HOSTNAME}"}}')
    state = f"/var/lib/cloud/instances/{INSTANCE}"
    overlay.file(f"{state}/user-data.txt", "#cloud-config\n", 0o600)
    overlay.file(f"{state}/datasource", "DataSourceNone: DataSourceNone\n")
    overlay.file(f"{state}/boot-finished", "42.42 - v. 22.4.2\n")
    for module in ("config_ssh", "config_set_hostname", "config_seed_random"):
        overlay.file(f"{state}/sem/{module}", "1: 2\n")
    overlay.file("/var/log/cloud-init.log", f"instance-id {INSTANCE}\n", 0o640)


def _traces(overlay: _Overlay) -> None:
    overlay.file("/var/lib/systemd/random-seed", os.urandom(512), 0o600)
    overlay.file("/var/lib/systemd/credential.secret", os.urandom(4096), 0o400)
    overlay.file(
        "/var/lib/dhcp/dhclient.ens3.leases",
        'lease {\n  interface "ens3";\n  fixed-address 192.0.2.17;\n'
        f'  option host-name "{HOSTNAME}";\n'
        "  option dhcp-server-identifier 192.0.2.1;\n"
        "  expire 4 2030/01/03 12:00:00;\n}\n",
    )
    overlay.file(
        "/etc/popularity-contest.conf",
        f'MY_HOSTID="{secrets.token_hex(16)}"\nPARTICIPATE="no"\nUSEHTTP="yes"\n',
    )
    overlay.folder("/root/.ssh", 0o700)
    overlay.file("/root/.ssh/known_hosts", "192.0.2.9 ssh-ed25519 AAAA\n", 0o600)
    overlay.file("/root/.bash_history", "apt-get update\nhostnamectl\n", 0o600)
