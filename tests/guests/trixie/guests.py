"""Small Debian 13 guests, each started in another way: their disks, without root or loop devices.

``build(name, folder)`` makes the disks of one guest in a few seconds. All have one root tree
(:func:`prepare`), into which each guest's own files are written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests.sparse import MIB, copy_sparse, sized
from tests.guests.trixie.base import ARGUMENTS, MADE, Base
from tests.guests.trixie.parts import (
    ESP,
    ESP_MIB,
    LINUX,
    RAID,
    ROOT_MIB,
    SMALL_MIB,
    VAR_MIB,
    Builder,
    Part,
)
from tests.support.boot_images import unified_kernel
from unclone.images.discoverable import var_partition_uuid
from unclone.images.engines.engine import Drive
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Partition types that systemd discovers.
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
VAR = "4D21B016-B534-45C2-A9FB-5C16E091FD2D"
HOME = "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"
SRV = "3B8F8425-20E0-4F3B-907F-1A25A76F98E8"

PROOF = Path(__file__).with_name("proof.sh")
PROOF_UNIT = """\
[Unit]
Description=Say who this machine is
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /usr/local/lib/unclone-proof.sh
TimeoutStartSec=infinity
"""

#: Not needed for the proof, and slow under emulation.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "getty@tty1.service", "ldconfig.service"),
    *("serial-getty@ttyS0.service", "systemd-binfmt.service", "systemd-pstore.service"),
    *("mdmonitor.service", "mdcheck_start.timer", "mdcheck_continue.timer"),
    *("mdmonitor-oneshot.timer", "modprobe@drm.service", "systemd-networkd.service"),
    *("systemd-networkd.socket", "systemd-networkd-wait-online.service"),
)

#: What made the boot files, and what no proof needs.
LEFT_OUT = (
    *("boot", "dev/*", "usr/include", "usr/lib/grub", "usr/lib/python3*", MADE),
    *("usr/lib/x86_64-linux-gnu/perl*", "usr/lib/x86_64-linux-gnu/gconv"),
    *("var/lib/dpkg", "var/lib/apt", "var/cache"),
    *(f"usr/share/{name}" for name in ("doc", "grub", "i18n", "info", "locale", "man", "zoneinfo")),
    *(f"usr/share/{name}*" for name in ("perl", "python3", "common-licenses", "bash-completion")),
)

#: In the root of every guest.
COMMON = {
    "/etc/hostname": "template\n",
    "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template\n",
    "/etc/systemd/system/unclone-proof.service": PROOF_UNIT,
    "/etc/systemd/system.conf.d/slow.conf": (
        "[Manager]\nDefaultDeviceTimeoutSec=300s\nDefaultTimeoutStartSec=400s\n"
    ),
    "/MARK": "root",
}

#: The machine-id in :data:`CREDENTIAL`, which is what ``systemd-creds encrypt
#: --with-key=tpm2-absent --name=system.machine_id`` (systemd 252) makes of it. Without a TPM and
#: Secure Boot every machine decrypts it.
CREDENTIAL_MACHINE_ID = "c0ffee00" * 4
CREDENTIAL = """\
BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAAB4tLSovxK3JlfFzcgAAAAAJF5eplw7TPtKzGm
+DKRLTd6q8i5trwL7iVU/IDJcorA+epR+4iZ+7au/cj5zOSmVpL/xopVM5yDc/m0o5QUOqJN2kSgoKm
jLaT2DBLjwUW3sQj4N8LEvsA==
"""

#: Everything that has to be root's: under fakeroot unless we are root. $1 the tarball, $2 the
#: folder of the boot files in it, $3 the size of the root; the rest is left out.
UNPACK = r"""
set -e
tarball=$1 made=$2 size=$3
shift 3
tar --extract --file "$tarball" --strip-components=4 "./$made"
tar --extract --file "$tarball" --wildcards --transform 's,.*/,,' './boot/vmlinuz-*' \
    ./usr/lib/systemd/boot/efi/systemd-bootx64.efi
mv vmlinuz-* linux
mkdir tree
for name; do echo "./$name"; done >left-out
tar --extract --file "$tarball" --directory tree --numeric-owner --exclude-from left-out
mkdir -p tree/boot/grub tree/boot/grub2 tree/boot/efi tree/boot/loader/entries tree/var/cache
cp linux tree/boot/linux
cp plain tree/boot/initrd
cp -a --no-preserve=ownership overlay/. tree/
mke2fs -q -F -t ext4 -d tree root.img "$size"
mv tree/var var
mkdir tree/var
mke2fs -q -F -t ext4 -d tree root-without-var.img "$size"
echo var >var/MARK
mke2fs -q -F -t ext4 -d var var.img 64M
rm -r tree var
"""


def prepare(base: Base, folder: Path) -> Path:
    """Make in *folder* what all guests are built from; return it."""
    folder.mkdir()
    overlay = folder / "overlay"
    for path, text in {**COMMON, "/usr/local/lib/unclone-proof.sh": PROOF.read_text()}.items():
        place = overlay / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    units = overlay / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")
    (units / "multi-user.target.wants").mkdir()
    (units / "multi-user.target.wants/unclone-proof.service").symlink_to("../unclone-proof.service")
    (overlay / "var/log/journal").mkdir(parents=True)
    as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    script = f'cd "$0"\n{UNPACK}'
    arguments = [str(base.tarball), MADE, f"{ROOT_MIB}M", *LEFT_OUT]
    run([*as_root, "sh", "-c", script, str(folder), *arguments], timeout=600)
    return folder


def build(name: str, prepared: Path, base: Base, folder: Path) -> Sequence[Path]:
    """Make the disks of the guest *name* in *folder*, the boot disk first."""
    folder.mkdir()
    return _GUESTS[name](Builder(prepared, base, base.identifiers[name], folder))


def _uki(make: Builder) -> Sequence[Path]:
    """A unified kernel image called by the machine-id, with the machine-id inside.

    A credential on the ESP has another machine-id, which systemd-stub hands on. systemd reads
    it with decryption (src/shared/machine-id-setup.c), but this one is not taken here: left in
    place, the guest made a random id. So its removal is asserted from the report only.
    """
    program = f"EFI/Linux/{make.ids.machine_id}-{make.base.kernel}.efi"
    line = f"root=UUID={make.ids.root} ro systemd.machine_id={make.ids.machine_id} {ARGUMENTS}"
    uki = unified_kernel(
        make.folder,
        {
            ".osrel": b"ID=debian\nVERSION_ID=13\nPRETTY_NAME=Debian\n",
            ".cmdline": line.encode(),
            ".linux": (make.prepared / "linux").read_bytes(),
            ".initrd": (make.prepared / "dracut").read_bytes(),
        },
    )
    (make.folder / "program").write_bytes(uki)
    esp = make.systemd_boot(
        {
            program: make.folder / "program",
            "loader/credentials/system.machine_id.cred": CREDENTIAL,
        }
    )
    root = make.root({"/etc/fstab": make.fstab("/boot/efi", make.swap_line())})
    return [make.disk(Part(esp, ESP_MIB, ESP), Part(root, ROOT_MIB, LINUX), make.swap())]


def _discovered(make: Builder) -> Sequence[Path]:
    """Neither fstab nor root=: systemd finds everything by the types of the partitions."""
    ids = make.ids
    initrd = make.prepared / "dracut"  # has systemd, which looks for the root as well
    esp = make.systemd_boot({**make.entry("rw"), "debian/initrd": initrd})
    root = make.root({}, image="root-without-var.img")
    return [
        make.disk(
            Part(esp, ESP_MIB, ESP),
            Part(root, ROOT_MIB, ROOT, ids.root_partition),
            Part(make.copy("var.img"), VAR_MIB, VAR, var_partition_uuid(ids.machine_id)),
            Part(make.ext4("home"), SMALL_MIB, HOME),
            Part(make.ext4("srv"), SMALL_MIB, SRV),
            make.swap(),
        )
    ]


def _esp_initrd(make: Builder) -> Sequence[Path]:
    """Only the initrd says which root, and only a boot entry says where the initrd is."""
    initrd = make.prepared / "esp-initrd"
    esp = make.systemd_boot({**make.entry("ro"), "debian/initrd": initrd})
    root = make.root({"/etc/fstab": make.fstab("/efi", make.swap_line())})
    return [make.disk(Part(esp, ESP_MIB, ESP), Part(root, ROOT_MIB, LINUX), make.swap())]


def _links(make: Builder) -> Sequence[Path]:
    """fstab and GRUB's configuration are links into /srv; a credential has the machine-id."""
    uuid = make.ids.root
    credential = f"systemd.set_credential=system.machine_id:{make.ids.machine_id}"
    stub = (
        f"search.fs_uuid {uuid} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    )
    esp = make.esp(
        {"EFI/BOOT/BOOTX64.EFI": make.prepared / "grub.efi", "EFI/redhat/grub.cfg": stub}
    )
    root = make.root(
        {
            "/srv/conf/fstab": make.fstab("/boot/efi", make.swap_line()),
            "/etc/fstab": "-> /srv/conf/fstab",
            "/srv/conf/grub.cfg": make.grub_entry(f"root=UUID={uuid} ro {credential} {ARGUMENTS}"),
            "/boot/grub/grub.cfg": "-> /srv/conf/grub.cfg",
        }
    )
    return [make.disk(Part(esp, ESP_MIB, ESP), Part(root, ROOT_MIB, LINUX), make.swap())]


def _el8(make: Builder) -> Sequence[Path]:
    """As Enterprise Linux 8: kernelopts in a grubenv on the ESP, and a link to that in /boot.

    Debian's GRUB has no ``blscfg``; a menu entry says what that would make of the boot entry.
    """
    ids = make.ids
    environment = (
        f"# GRUB Environment Block\nsaved_entry={ids.machine_id}-{make.base.kernel}\n"
        f"kernelopts=root=UUID={ids.root} ro resume=UUID={ids.swap} {ARGUMENTS}\n"
    )
    config = (
        "set pager=1\nif [ -f ${config_directory}/grubenv ]; then\n"
        "  load_env -f ${config_directory}/grubenv\nelif [ -s $prefix/grubenv ]; then\n"
        f"  load_env\nfi\n{make.grub_entry('$kernelopts')}"
    )
    esp = make.esp(
        {
            "EFI/BOOT/BOOTX64.EFI": make.prepared / "grub.efi",
            "EFI/redhat/grub.cfg": config,
            "EFI/redhat/grubenv": environment.ljust(1024, "#"),
        }
    )
    entry = f"/boot/loader/entries/{ids.machine_id}-{make.base.kernel}.conf"
    root = make.root(
        {
            "/etc/fstab": make.fstab("/boot/efi", make.swap_line()),
            "/boot/grub2/grubenv": "-> ../efi/EFI/redhat/grubenv",
            "/etc/grub2-efi.cfg": "-> ../boot/efi/EFI/redhat/grub.cfg",
            entry: "title EL\nlinux /boot/linux\ninitrd /boot/initrd\noptions $kernelopts\n",
        }
    )
    return [make.disk(Part(esp, ESP_MIB, ESP), Part(root, ROOT_MIB, LINUX), make.swap())]


def _mirror(make: Builder) -> Sequence[Path]:
    """The root is on an MD array over two disks; /home is on the second."""
    initrd = make.prepared / "mirror"
    esp = make.systemd_boot(
        {**make.entry(f"root=UUID={make.ids.root} ro"), "debian/initrd": initrd}
    )
    home = make.ext4("home", make.ids.root_partition)
    root = make.root(
        {
            "/etc/fstab": make.fstab(
                "/efi", f"UUID={make.ids.root_partition} /home ext4 defaults 0 2"
            ),
            "/etc/mdadm/mdadm.conf": (
                f"HOMEHOST <system>\nMAILADDR root\nARRAY /dev/md/root metadata=1.2 "
                f"UUID={make.ids.array} name=template:root\n"
            ),
        }
    )
    first, second = _mirrored(make, root)
    return [
        make.disk(Part(esp, ESP_MIB, ESP), Part(first, ROOT_MIB + 8, RAID)),
        make.disk(Part(second, ROOT_MIB + 8, RAID), Part(home, SMALL_MIB, LINUX)),
    ]


def _mirrored(make: Builder, root: Path) -> tuple[Path, Path]:
    """Two members of an array that holds *root*: only a kernel makes one."""
    from unclone.images.engines.guestfs.appliance import start  # noqa: PLC0415 (slow to load)
    from unclone.images.engines.guestfs.devices import read_devices  # noqa: PLC0415 (with it)

    members = [sized(make.new(), ROOT_MIB + 8) for _ in range(2)]
    drives = [Drive(member, "raw") for member in members]
    appliance = start(drives, read_only=False, say=lambda _: None)
    try:
        # The appliance's kernel may call them otherwise, and its own disk sda or sdb.
        nodes = {device.name: device.node for device in read_devices(appliance)}
        first, second = nodes["/dev/sda"], nodes["/dev/sdb"]
        told = appliance.shell(
            "mdadm --create /dev/md127 --run --assume-clean --level=1 --raid-devices=2 "
            f"--metadata=1.2 --homehost=template --name=root --uuid={make.ids.array} "
            f"--data-offset=2M --bitmap=none {first} {second} >&2; "
            f"mdadm --stop /dev/md127 >&2; mdadm --examine {first}"
        ).decode()
    finally:
        appliance.close()
    assert "Data Offset : 4096 sectors" in told, told
    for member in members:
        copy_sparse(root, member, 2 * MIB)
    root.unlink()
    return members[0], members[1]


_GUESTS: Mapping[str, Callable[[Builder], Sequence[Path]]] = {
    "uki": _uki,
    "discovered": _discovered,
    "esp-initrd": _esp_initrd,
    "links": _links,
    "el8": _el8,
    "mirror": _mirror,
}
