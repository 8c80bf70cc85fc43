"""What boot loaders and firmware read.

To add a kind of text, copy a row.
"""

from __future__ import annotations

from unclone.sanitize.boot.named_files import included_files
from unclone.sanitize.files import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

#: Of the roots, those where nothing but an EFI system partition is.
_ESP = tuple(root for root in BOOT_ROOTS if root != "/boot")

REFERENCES = (
    # GRUB's own configuration: what it searches for, and what it hands to the kernel.
    TextReference(
        info=StepInfo(
            id="grub-cfg",
            title="GRUB configuration",
            why="GRUB searches for the root by UUID and hands root=UUID= to the kernel",
            sources=(
                "https://www.gnu.org/software/grub/manual/grub/grub.html#search",
                "grub2: util/grub-mkconfig_lib.in",
            ),
        ),
        paths=(
            "/boot/grub/*.cfg",
            "/boot/grub2/*.cfg",
            "/boot/grub/grub.conf",
            "/boot/grub/menu.lst",
            "/boot/grub2/menu.lst",
            "/etc/grub.d/*",
            "/ostree/deploy/*/deploy/*/etc/grub.d/*",
        ),
        named=included_files,
    ),
    # The stub on the EFI system partition that leads GRUB to its configuration.
    TextReference(
        info=StepInfo(
            id="esp-grub-cfg",
            title="GRUB configuration on the EFI system partition",
            why="GRUB finds its real configuration by it, and without it stops at its prompt",
            sources=(
                "grub-install(8)",
                "https://src.fedoraproject.org/rpms/grub2",
            ),
        ),
        paths=(
            *(f"{root}/EFI/*/*.cfg" for root in BOOT_ROOTS),
            *(f"{root}/EFI/*/*/*.cfg" for root in BOOT_ROOTS),
            *(f"{root}/{folder}*.cfg" for root in _ESP for folder in ("", "grub/", "grub2/")),
        ),
    ),
    # ``load.cfg``: what grub-install last built into GRUB, left beside its modules.
    TextReference(
        info=StepInfo(
            id="grub-load-cfg",
            title="GRUB's early configuration",
            why="it shows what is built into GRUB; the EFI program beside it is patched alike",
            sources=("grub2: util/grub-install.c",),
        ),
        paths=("/boot/grub/*/load.cfg", "/boot/grub2/*/load.cfg"),
    ),
    # GRUB's environment block: 1024 bytes before and after, because nothing changes its
    # length.
    TextReference(
        info=StepInfo(
            id="grubenv",
            title="GRUB environment block",
            why="kernelopts holds root=UUID= on systems of the RHEL 8 generation",
            sources=("https://www.gnu.org/software/grub/manual/grub/grub.html#Environment-block",),
        ),
        paths=(
            "/boot/grub/grubenv",
            "/boot/grub2/grubenv",
            *(f"{root}/EFI/*/grubenv" for root in BOOT_ROOTS),
        ),
    ),
    # Entries after the Boot Loader Specification (type 1), wherever they are kept.
    TextReference(
        info=StepInfo(
            id="boot-loader-entries",
            title="boot loader entries",
            why="the kernel finds its root by what an entry's options say",
            sources=("https://uapi-group.org/specifications/specs/boot_loader_specification/",),
        ),
        paths=(
            "/boot/loader.*/entries/*.conf",
            *(f"{root}/loader/entries/*.conf" for root in BOOT_ROOTS),
            *(f"{root}/loader/*.conf" for root in BOOT_ROOTS),
        ),
    ),
    # The list from which the fallback loader makes boot entries: UTF-16, with the options
    # of each.
    TextReference(
        info=StepInfo(
            id="boot-fallback-list",
            title="fallback boot entries",
            why="the fallback loader puts their options into the firmware's boot entries",
            sources=("https://github.com/rhboot/shim: README.fallback",),
        ),
        paths=tuple(f"{root}/EFI/*/*.[Cc][Ss][Vv]" for root in BOOT_ROOTS),
    ),
    # EXTLINUX and SYSLINUX: Alpine, and U-Boot's way of booting on many boards.
    TextReference(
        info=StepInfo(
            id="extlinux",
            title="extlinux and syslinux configuration",
            why="its APPEND lines tell the kernel where the root is",
            sources=("https://wiki.syslinux.org/wiki/index.php?title=Config",),
        ),
        paths=(
            "/boot/extlinux/*.conf",
            "/boot/extlinux.conf",
            "/boot/syslinux/*.cfg",
            "/boot/syslinux.cfg",
            "/extlinux.conf",
            "/syslinux.cfg",
            *(f"{root}/extlinux/*.conf" for root in BOOT_ROOTS),
            *(f"{root}/syslinux/*.cfg" for root in BOOT_ROOTS),
            *(f"{root}/EFI/syslinux/*.cfg" for root in BOOT_ROOTS),
        ),
    ),
    # The Limine boot loader.
    TextReference(
        info=StepInfo(
            id="limine",
            title="Limine configuration",
            why="its command lines and resource paths name file systems by UUID",
            sources=("https://github.com/limine-bootloader/limine: CONFIG.md",),
        ),
        paths=(
            "/boot/limine*.conf",
            "/boot/limine/limine*",
            "/etc/default/limine",
            *(f"{root}/limine*.c*" for root in BOOT_ROOTS),
            *(f"{root}/limine/limine*" for root in BOOT_ROOTS),
            *(f"{root}/boot/limine/limine*" for root in BOOT_ROOTS),
            *(f"{root}/EFI/*/limine*.conf" for root in BOOT_ROOTS),
        ),
    ),
    # rEFInd: its own configuration, and the file that it reads beside a kernel.
    TextReference(
        info=StepInfo(
            id="refind",
            title="rEFInd configuration",
            why="refind_linux.conf lies beside the kernel and holds its command line",
            sources=("https://www.rodsbooks.com/refind/configfile.html",),
        ),
        paths=(
            "/boot/refind_linux.conf",
            "/boot/refind_linux.conf.*",
            *(f"{root}/EFI/refind/*.conf" for root in BOOT_ROOTS),
            *(f"{root}/EFI/BOOT/refind.conf" for root in BOOT_ROOTS),
            *(f"{root}/EFI/*/refind_linux.conf" for root in BOOT_ROOTS),
        ),
    ),
    # The kernel command line as the Raspberry Pi's firmware reads it.
    TextReference(
        info=StepInfo(
            id="raspberry-pi",
            title="Raspberry Pi firmware's command line",
            why="the kernel finds its root by the PARTUUID in cmdline.txt",
            sources=(
                "https://www.raspberrypi.com/documentation/computers/configuration.html",
                "RPi-Distro/raspberrypi-sys-mods: firstboot",
            ),
        ),
        paths=(
            "/boot/cmdline*.txt",
            "/boot/firmware/cmdline*.txt",
            "/boot/firmware/*/cmdline.txt",
            "/boot/firmware/current/cmdline.txt",
        ),
    ),
    # Text files from which boards' boot scripts take the root device.
    TextReference(
        info=StepInfo(
            id="board-environment",
            title="board firmware's environment",
            why="U-Boot's scripts take the root device from it",
            sources=(
                "armbian/build: config/bootenv",
                "https://docs.u-boot.org/en/latest/",
            ),
        ),
        paths=(
            "/boot/armbianEnv.txt",
            "/boot/orangepiEnv.txt",
            "/boot/dietpiEnv.txt",
            "/boot/uEnv.txt",
            "/boot/uenv.txt",
            "/boot/boot.ini",
            "/boot/boot.cmd",
            "/boot/env.txt",
            "/boot/extlinux/*.env",
            *(f"{root}/uEnv.txt" for root in BOOT_ROOTS),
            *(f"{root}/uEnv/*.txt" for root in BOOT_ROOTS),
            *(f"{root}/armbianEnv.txt" for root in BOOT_ROOTS),
            *(f"{root}/boot.ini" for root in BOOT_ROOTS),
            *(f"{root}/boot.cmd" for root in BOOT_ROOTS),
        ),
    ),
    # The UUID that Fedora CoreOS writes down about its root (its GRUB variables are in
    # ``*.cfg``).
    TextReference(
        info=StepInfo(
            id="coreos-root-uuid",
            title="CoreOS' root UUID",
            why="the initrd of Fedora CoreOS finds the root by it",
            sources=("coreos/fedora-coreos-config: overlay.d/05core",),
        ),
        paths=("/boot/.root_uuid",),
    ),
)
