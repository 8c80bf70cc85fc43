"""Identifiers in binaries beside boot loaders: kernels, device trees, images that have a checksum.

A kernel may have its command line built in, and an image of U-Boot or of Android a copy of it.
None of them can be changed offline, so what they refer to is kept.

References: Linux Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst, Kconfig
(``CMDLINE``); Devicetree Specification, 3.6 (``bootargs``); Microsoft, "BCD System Store Settings
for UEFI"; U-Boot doc/usage/fit/source_file_format.rst; Android tools/mkbootimg (``cmdline``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.boot import efi_programs, kernel_image, uimage
from unclone.sanitize.boot.compression import detect
from unclone.sanitize.boot.cpio import DamagedError
from unclone.sanitize.boot.uimage import ImageType
from unclone.sanitize.boot_view import boot_roots
from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT, files_at
from unclone.sanitize.references import boot_files
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.references.uboot_environment import environments
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Renewal, Rewriter
    from unclone.sanitize.step import PlanningContext

#: Bytes: small files are searched all at once, large ones one by one.
_SMALL = 1024 * 1024
_LARGEST = 512 * 1024 * 1024
_START = 16
#: Bytes of a piece that are looked at again with the next one: no spelling is longer.
_OVERLAP = 256
_CONFIGURATIONS = (
    "/boot/config*",
    "/boot/*/config*",
    "/usr/lib/modules/*/config",
    "/usr/lib/modules/*/build/.config",
    "/usr/src/*/.config",
)
#: What Windows boots with: identifiers are bytes in it, which are looked for in small pieces only.
_WINDOWS = tuple(f"{root}/[Ee][Ff][Ii]/[Mm]icrosoft/[Bb]oot/BCD" for root in BOOT_ROOTS)
_PIECE = 48 * 1024
_LABEL = "Name the file system by a label there (root=PARTLABEL=), and build it again in the guest."


def _find(context: PlanningContext) -> Sequence[Blocker]:
    rewriter = context.renewals.rewriter
    return list(_blockers(context.guest, rewriter)) if rewriter.needles else ()


def _blockers(guest: Guest, rewriter: Rewriter) -> Iterator[Blocker]:
    for path in files_at(guest, _CONFIGURATIONS, TEXT_LIMIT):
        command_line = kernel_image.configured(guest.read(path, TEXT_LIMIT))
        yield from _kept(rewriter.found(command_line), path, "is of a kernel that has it built in")
    binaries = {path: found for path, found in _binaries(guest, rewriter) if found}
    for path in _others(guest) if binaries else ():
        binaries.pop(path, None)
    for path, found in binaries.items():
        yield from _kept(found, path, "refers to it, and cannot be changed")


def _kept(found: Iterable[Renewal], path: str, why: str) -> Iterator[Blocker]:
    for renewal in found:
        yield Blocker(renewal, f"{printable(path)} {why}", _LABEL)


def _binaries(guest: Guest, rewriter: Rewriter) -> Iterator[tuple[str, Mapping[Renewal, int]]]:
    roots = boot_roots(guest)
    for path in files_at(guest, _WINDOWS, _SMALL):
        content = guest.read(path, _SMALL)
        found: dict[Renewal, int] = {}
        for at in range(0, len(content), _PIECE):
            found |= rewriter.found(content[at : at + _PIECE + _OVERLAP])
        yield path, found
    for path in guest.search(roots, rewriter.needles, limit=_SMALL):
        content = guest.read(path, _SMALL) if guest.is_file(path) else b""
        if b"\0" in content and detect(content) is None:
            yield path, rewriter.found(content)
    for root in roots:
        for member in guest.walk(root, limit=_START):
            if member.content is None or not _SMALL < member.stat.size <= _LARGEST:
                continue
            if detect(member.content) is None:
                yield member.path, _in_large(guest, member.path, rewriter)


def _in_large(guest: Guest, path: str, rewriter: Rewriter) -> Mapping[Renewal, int]:
    if not kernel_image.is_packed(guest.read(path, kernel_image.HEADER_SIZE)):
        content = guest.read(path, _LARGEST)
        return rewriter.found(content) if b"\0" in content else {}
    found: dict[Renewal, int] = {}
    if "/efi/" not in path.lower():
        return found  # a boot loader gives it its command line
    before = b""
    try:
        for piece in kernel_image.unpacked(guest.read(path, _LARGEST)):
            found.update(rewriter.found(before + piece))
            before = piece[-_OVERLAP:]
    except DamagedError:
        pass  # firmware would not start it, either
    return found


def _others(guest: Guest) -> Iterator[str]:
    """What other kinds of reference change, or keep."""
    yield from efi_programs.find(guest)
    yield from environments(guest)
    for reference in boot_files.REFERENCES:
        yield from files_at(guest, reference.places(guest), TEXT_LIMIT)
    for root in boot_roots(guest):
        for member in guest.walk(root, limit=uimage.HEADER_SIZE):
            if member.content and uimage.kind(member.content) is not ImageType.OTHER:
                yield member.path


REFERENCE = BlockingReference(
    info=StepInfo(
        id="built-in-identifiers",
        title="identifiers built into kernels and other binaries",
        why="a kernel with root=PARTUUID= built in finds its root by nothing else",
        sources=(
            "https://docs.kernel.org/arch/x86/boot.html",
            "https://wiki.gentoo.org/wiki/EFI_stub",
        ),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
