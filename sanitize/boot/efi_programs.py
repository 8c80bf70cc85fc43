"""The EFI programs of a guest that can have something configured built into them.

References: UAPI Group, "Unified Kernel Image" (``.cmdline``, ``.initrd``, ``.pcrsig``);
systemd-stub(7) (add-ons); grub-mkimage(1) (prefix and configuration in section ``mods``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.boot import grub_core, pe
from unclone.sanitize.files import BOOT_ROOTS, files_at, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.guest import Guest

#: Bytes. A unified kernel image with every driver and firmware has a few hundred million.
SIZE_LIMIT = 512 * 1024 * 1024

#: The sections that hold what a person configured: a kernel's command line, GRUB's prefix and
#: early configuration.
CONFIGURED = (".cmdline", grub_core.EFI_SECTION)
#: What the kernel unpacks, in this order: microcode is in an archive like any other.
_INITRDS = (".ucode", ".initrd")

_EFI = "*.[Ee][Ff][Ii]"
PATTERNS = (
    *(f"{root}/{_EFI}" for root in BOOT_ROOTS),
    *(f"{root}/[Ee][Ff][Ii]/{'*/' * depth}{_EFI}" for root in BOOT_ROOTS for depth in range(4)),
    *(f"{root}/loader/{folders}{_EFI}" for root in BOOT_ROOTS for folders in ("addons/", "*/*/")),
    f"/boot/grub/*/{_EFI}",
    f"/boot/grub2/*/{_EFI}",
)


class EfiProgram(NamedTuple):
    """What is built into a program.

    ``configured`` is every text that may refer to something; ``fixed`` says why it must not
    change ("" when it may); ``initrds`` are those of a unified kernel image.
    """

    configured: bytes
    fixed: str
    initrds: tuple[bytes, ...]


def find(guest: Guest) -> Mapping[str, EfiProgram]:
    """Every program with a section that can refer to something, by its path.

    Raises ``RefusedError`` for one that is too large to be read.
    """
    found: dict[str, EfiProgram] = {}
    for path in too_large(guest, PATTERNS, SIZE_LIMIT):
        if pe.parse(guest.read(path, pe.HEADER_LIMIT)) is not None:
            raise RefusedError(
                f"the EFI program {printable(path)} is too large: no more than "
                f"{SIZE_LIMIT // 1024**2} MiB are read of one, and it may refer to anything",
                "Make it smaller in the guest, or remove it from there.",
            )
    for path in files_at(guest, PATTERNS, SIZE_LIMIT):
        image = pe.parse(guest.read(path, pe.HEADER_LIMIT))
        if image is not None and not image.sections.keys().isdisjoint({*CONFIGURED, *_INITRDS}):
            content = guest.read(path, SIZE_LIMIT)
            fixed = "carries signed measurements" if image.has_pcr_signature else ""
            found[path] = EfiProgram(
                configured=configured(content, path),
                fixed="is signed" if image.signed else fixed,
                initrds=tuple(
                    bytes(part) for name in _INITRDS for part in pe.contents(content, name, path)
                ),
            )
    return found


def configured(content: bytes, path: str = "") -> bytes:
    """Every text that may refer to something in the program *content*, the file at *path*.

    Raises ``RefusedError`` as :func:`unclone.sanitize.boot.pe.contents` does.
    """
    texts = [bytes(part) for part in pe.contents(content, ".cmdline", path)]
    grub = grub_core.efi_image(content, path)
    if grub is not None:
        built_in = f"{grub.prefix}\n{grub.config}\n"
        texts += [built_in.encode("utf-8", "surrogateescape"), grub.memdisk]
    return b"\n".join(texts)
