"""What mounts, unlocks and watches storage: texts that name devices.

To add a kind of text, copy a row.
"""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCES = (
    # ``/etc/fstab``, and that of each deployment of an ostree system.
    TextReference(
        info=StepInfo(
            id="fstab",
            title="fstab",
            why="what is mounted at boot is named here; a missing one ends in an emergency shell",
            sources=("fstab(5)",),
        ),
        paths=(
            "/etc/fstab",
            "/etc/fstab.d/*",
            "/ostree/deploy/*/deploy/*/etc/fstab",
        ),
    ),
    # ``/etc/crypttab``: containers by their UUID, and mappings called ``luks-<uuid>``; and the
    # tables of the same form for dm-verity and dm-integrity.
    TextReference(
        info=StepInfo(
            id="crypttab",
            title="crypttab",
            why="encrypted containers are found by UUID here, and often named after it",
            sources=("crypttab(5)", "veritytab(5)", "integritytab(5)"),
        ),
        paths=(
            "/etc/crypttab",
            "/etc/crypttab.initramfs",
            "/etc/veritytab",
            "/etc/integritytab",
            "/ostree/deploy/*/deploy/*/etc/crypttab",
        ),
    ),
    # mdadm's ARRAY lines, with the UUID in groups between colons.
    TextReference(
        info=StepInfo(
            id="mdadm-conf",
            title="mdadm configuration",
            why="an array that no ARRAY line matches is assembled under another name",
            sources=("mdadm.conf(5)",),
        ),
        paths=(
            "/etc/mdadm.conf",
            "/etc/mdadm.conf.d/*",
            "/etc/mdadm/mdadm.conf",
            "/etc/mdadm/mdadm.conf.d/*",
        ),
    ),
    # LVM's devices file and metadata backups, where the catalogue leaves them.
    TextReference(
        info=StepInfo(
            id="lvm-settings",
            title="LVM's record of its devices",
            why="a volume group whose devices are not in it is not activated",
            sources=(
                "lvmdevices(8)",
                "vgcfgbackup(8)",
            ),
        ),
        paths=(
            "/etc/lvm/devices/*",
            "/etc/lvm/backup/*",
            "/etc/lvm/archive/*",
            "/etc/lvm/lvm.conf",
            "/etc/lvm/lvmlocal.conf",
            "/etc/lvm/profile/*",
        ),
    ),
    # Services that mount, export, watch or back up file systems.
    TextReference(
        info=StepInfo(
            id="storage-settings",
            title="settings of storage services",
            why="automounters, exports and backups name file systems by UUID",
            sources=(
                "udisks(8)",
                "https://docs.cloud-init.io/en/latest/reference/modules.html#mounts",
                "systemd.system-credentials(7): fstab.extra",
                "autofs(5)",
                "exports(5)",
                "pam_mount.conf(5)",
                "smartd.conf(5)",
                "multipath.conf(5)",
                "repart.d(5)",
                "sysupdate.d(5)",
                "https://openwrt.org/docs/guide-user/storage/fstab",
            ),
        ),
        paths=(
            "/etc/cloud/cloud.cfg",
            "/etc/cloud/cloud.cfg.d/*",
            "/etc/credstore/*",
            "/usr/lib/credstore/*",
            "/usr/local/lib/credstore/*",
            "/etc/udisks2/*",
            "/etc/auto.*",
            "/etc/auto.master.d/*",
            "/etc/autofs/*",
            "/etc/autofs.conf",
            "/etc/exports",
            "/etc/exports.d/*",
            "/etc/smartd.conf",
            "/etc/smartmontools/*",
            "/etc/security/pam_mount.conf.xml",
            "/etc/mtools.conf",
            "/etc/hdparm.conf",
            "/etc/timeshift/timeshift.json",
            "/etc/timeshift.json",
            "/etc/kdump.conf",
            "/etc/sysconfig/kdump",
            "/etc/default/kdump-tools",
            "/etc/zfs/*",
            "/etc/stratis/*",
            "/etc/snapraid.conf",
            "/etc/multipath.conf",
            "/etc/multipath/*",
            "/etc/multipath/conf.d/*",
            "/etc/libvirt/storage/*",
            "/etc/target/saveconfig.json",
            "/etc/tgt/targets.conf",
            "/etc/tgt/conf.d/*",
            "/etc/modprobe.d/*",
            "/etc/repart.d/*",
            "/usr/lib/repart.d/*",
            "/etc/tmpfiles.d/*",
            "/etc/sysctl.d/*",
            "/etc/default/zramswap",
            "/etc/systemd-swap.conf",
            "/etc/btrbk/*",
            # OpenWrt's mounts, and what updates one of two roots.
            "/etc/config/fstab",
            "/etc/fw_env.config",
            "/etc/mender/*",
            "/etc/rauc/*",
            "/etc/swupdate.cfg",
            "/etc/swupdate/*",
            "/etc/sysupdate.d/*",
            "/usr/lib/sysupdate.d/*",
            "/etc/hibinit-config.cfg",
            "/etc/bees/*",
            "/etc/default/btrfsmaintenance",
            "/etc/sysconfig/btrfsmaintenance",
        ),
    ),
)
