"""Kernel command lines of a guest: where they are kept, what they say, and editing them.

Finding (:func:`find`) is apart from reading (:func:`arguments`) and editing (:func:`without`),
which work on text and know nothing of guests. Edits are lossless: everything but the argument
itself and one neighbouring blank stays byte for byte.

References: UAPI Group, "Boot Loader Specification" (type 1 entries) and "Unified Kernel Image";
GRUB manual (grub.cfg, Environment block, /etc/default/grub); kernel-install(8); SYSLINUX manual;
rEFInd, "Methods of Booting Linux"; Limine ``CONFIG.md``; dracut.conf(5);
ukify(1) (``Cmdline=``); U-Boot's ``uEnv.txt`` and Armbian's ``armbianEnv.txt``;
Documentation/admin-guide/kernel-parameters.rst (quoting, ``-`` equals ``_`` in names).
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.boot import grubenv, pe
from unclone.sanitize.boot.efi_programs import SIZE_LIMIT
from unclone.sanitize.files import BOOT_ROOTS, on_every_esp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest


class ArgumentKind(StrEnum):
    """How a file holds kernel arguments."""

    GRUB_CFG = "grub.cfg"  # `linux /vmlinuz ARGS`, `set default_kernelopts="ARGS"`
    GRUB_SCRIPT = "grub script"  # lines of a future grub.cfg
    GRUBENV = "grubenv"  # `kernelopts=ARGS` in a block of fixed size
    ENTRY = "entry"  # Boot Loader Specification type 1: `options ARGS`
    EXTLINUX = "extlinux"  # `APPEND ARGS`
    REFIND = "refind"  # `"TITLE" "ARGS"`, and `options "ARGS"`
    LIMINE = "limine"  # `cmdline: ARGS`, `CMDLINE=ARGS`
    SETTINGS = "settings"  # `KEY=ARGS`, unquoted: ukify, boards with U-Boot
    FIRMWARE = "firmware"  # the whole file is what the kernel gets (Raspberry Pi)
    TEMPLATE = "template"  # the whole file is what the next kernel's entry will get
    ASSIGNMENTS = "assignments"  # `GRUB_CMDLINE_LINUX="ARGS"`
    UKI = "uki"  # sections .cmdline of a unified kernel image or an add-on; their length stays


#: Where each kind is found. Paths that lead to the same file count once.
PLACES: Mapping[ArgumentKind, tuple[str, ...]] = {
    ArgumentKind.GRUB_CFG: (
        "/boot/grub/grub.cfg",
        "/boot/grub2/grub.cfg",
        "/boot/grub/custom.cfg",
        "/boot/grub2/custom.cfg",
        "/boot/grub2/user.cfg",
        *(f"{root}/EFI/*/{name}" for root in BOOT_ROOTS for name in ("grub.cfg", "custom.cfg")),
    ),
    ArgumentKind.GRUB_SCRIPT: ("/etc/grub.d/*",),
    ArgumentKind.GRUBENV: (
        "/boot/grub/grubenv",
        "/boot/grub2/grubenv",
        *(f"{root}/EFI/*/grubenv" for root in BOOT_ROOTS),
    ),
    ArgumentKind.ENTRY: tuple(f"{root}/loader/entries/*.conf" for root in BOOT_ROOTS),
    ArgumentKind.EXTLINUX: (
        "/boot/extlinux/extlinux.conf",
        "/boot/extlinux.conf",
        "/boot/syslinux/*.cfg",
        "/boot/syslinux.cfg",
        *(f"{root}/EFI/syslinux/*.cfg" for root in BOOT_ROOTS),
    ),
    ArgumentKind.REFIND: tuple(
        f"{root}/{path}"
        for root in BOOT_ROOTS
        for path in ("refind_linux.conf", "EFI/*/refind_linux.conf", "EFI/*/refind*.conf")
    ),
    ArgumentKind.LIMINE: tuple(
        f"{root}/{path}"
        for root in BOOT_ROOTS
        for path in ("limine.c*", "limine/limine.c*", "EFI/*/limine.c*")
    ),
    ArgumentKind.SETTINGS: (
        "/etc/kernel/uki.conf",
        "/usr/lib/kernel/uki.conf",
        "/etc/systemd/ukify.conf",
        *(f"{root}/{name}Env.txt" for root in BOOT_ROOTS for name in ("u", "armbian", "dietpi")),
    ),
    ArgumentKind.FIRMWARE: ("/boot/cmdline.txt", "/boot/firmware/cmdline.txt"),
    ArgumentKind.TEMPLATE: (
        "/etc/kernel/cmdline",
        "/usr/lib/kernel/cmdline",
        "/etc/cmdline.d/*.conf",
        "/etc/kernel/cmdline.d/*.conf",
    ),
    ArgumentKind.ASSIGNMENTS: (
        "/etc/default/grub",
        "/etc/default/grub.d/*.cfg",
        "/etc/sysconfig/grub",
        "/etc/sysconfig/grub2",
        "/etc/sysconfig/bootloader",
        "/etc/default/flash-kernel",
        "/etc/update-extlinux.conf",
        "/etc/default/limine",
        "/etc/default/u-boot",
        "/etc/sdboot-manage.conf",
        "/etc/dracut.conf",
        "/etc/dracut.conf.d/*.conf",
    ),
    ArgumentKind.UKI: tuple(
        f"{root}/{path}"
        for root in BOOT_ROOTS
        for path in (
            "*.[Ee][Ff][Ii]",
            "*/*.[Ee][Ff][Ii]",
            "*/*/*.[Ee][Ff][Ii]",
            "*/*/*/*.[Ee][Ff][Ii]",
        )
    ),
}

#: No file of arguments is larger; what is, is not one.
TEXT_LIMIT = 4 * 1024 * 1024

#: One word of a command line: quotes protect blanks, an unpaired quote is a plain character.
_WORD = re.compile(r"""(?:"[^"\r\n]*"|'[^'\r\n]*'|\\[^\r\n]|[^\s"'\\]|["'\\])++""")

_LINE = r"(?P<arguments>(?:\\\r?\n|[^\r\n])*+)"
_QUOTED = r"""(?:"(?P<double>(?:\\.|[^"\\])*+)"|'(?P<single>[^']*)'|(?P<bare>[^\s"';]*))"""
_LINUX = re.compile(rf"(?m)^[ \t]*(?:linux|linux16|linuxefi|kernel)[ \t]+(?P<image>\S+){_LINE}")
#: A variable that a menu entry may use, and what else passes arguments on: Xen, another loader.
_GRUB_MORE = (
    re.compile(rf"(?m)^[ \t]*set[ \t]+\w+={_QUOTED}", re.DOTALL),
    re.compile(rf"(?m)^[ \t]*(?:module2?|multiboot2?|chainloader)[ \t]+{_LINE}"),
)
#: A title and arguments, or ``options``; a quote inside is doubled.
_REFIND = re.compile(
    r'(?m)^[ \t]*(?:options|"(?:""|[^"\r\n])*")[ \t]+"(?P<arguments>(?:""|[^"\r\n])*)"'
)
_REGIONS: Mapping[ArgumentKind, tuple[re.Pattern[str], ...]] = {
    ArgumentKind.GRUB_SCRIPT: (_LINUX, *_GRUB_MORE),
    ArgumentKind.GRUB_CFG: (
        _LINUX,
        re.compile(rf"(?m)^[ \t]*(?:set[ \t]+)?(?:default_)?kernelopts={_QUOTED}", re.DOTALL),
        *_GRUB_MORE,
    ),
    ArgumentKind.GRUBENV: (
        re.compile(r"(?m)^(?!(?:saved|next|prev_saved)_entry=)\w+=(?P<arguments>[^\n]*)"),
    ),
    ArgumentKind.ENTRY: (re.compile(rf"(?m)^[ \t]*options(?=[ \t]){_LINE}"),),
    ArgumentKind.EXTLINUX: (re.compile(rf"(?mi)^[ \t]*append(?=[ \t]){_LINE}"),),
    ArgumentKind.REFIND: (_REFIND,),
    ArgumentKind.LIMINE: (re.compile(rf"(?mi)^[ \t]*(?:kernel_)?cmdline[ \t]*[:=]{_LINE}"),),
    ArgumentKind.SETTINGS: (
        re.compile(rf"(?mi)^[ \t]*(?:cmdline|\w*bootargs|\w*extraargs|optargs)[ \t]*={_LINE}"),
    ),
    ArgumentKind.FIRMWARE: (re.compile(r"(?m)^(?![ \t]*#)(?P<arguments>[^\r\n]+)"),),
    ArgumentKind.TEMPLATE: (re.compile(r"(?m)^(?![ \t]*#)(?P<arguments>[^\r\n]+)"),),
    ArgumentKind.ASSIGNMENTS: (
        re.compile(
            r"(?m)^[ \t]*(?:export[ \t]+)?(?:GRUB_CMDLINE_\w+|\w*_APPEND|LINUX_KERNEL_CMDLINE\w*"
            r"|default_kernel_opts|U_BOOT_PARAMETERS|KERNEL_CMDLINE(?:\[[^]\s]*\])?|LINUX_OPTIONS"
            rf"|kernel_cmdline)[ \t]*\+?=[ \t]*{_QUOTED}",
            re.DOTALL,
        ),
    ),
    ArgumentKind.UKI: (re.compile(r"(?P<arguments>[^\0]+)", re.DOTALL),),
}
_NOT_BOOTED = {
    ArgumentKind.TEMPLATE,
    ArgumentKind.ASSIGNMENTS,
    ArgumentKind.GRUBENV,
    ArgumentKind.GRUB_SCRIPT,
    ArgumentKind.SETTINGS,
}
_GROUPS = ("arguments", "double", "single", "bare")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class KernelArgumentFile(NamedTuple):
    """One file of the guest that holds kernel arguments."""

    path: str
    kind: ArgumentKind


class CommandLine(NamedTuple):
    """One line a boot loader hands to a kernel, variables of GRUB's environment filled in."""

    path: str
    arguments: tuple[str, ...]


class UkiCommandLine(NamedTuple):
    """The command lines inside a unified kernel image, each ended by a NUL.

    ``signed`` says that nothing in it can change: it is signed, or carries signed measurements.
    """

    text: str
    signed: bool


def find(guest: Guest) -> tuple[KernelArgumentFile, ...]:
    """Every regular file in :data:`PLACES`, each once however many paths lead to it."""
    found: dict[str, KernelArgumentFile] = {}
    for kind, patterns in PLACES.items():
        for pattern in on_every_esp(guest, patterns):
            for path in guest.glob(pattern):
                if guest.is_file(path):
                    found.setdefault(guest.resolve(path), KernelArgumentFile(path, kind))
    return tuple(found.values())


def read(guest: Guest, file: KernelArgumentFile) -> str:
    """The text of *file* (of a UKI: its .cmdline); "" when it is too large to be one."""
    if file.kind is ArgumentKind.UKI:
        inside = read_uki(guest, file.path)
        return inside.text if inside else ""
    stat = guest.stat(file.path)
    if stat is None or stat.size > TEXT_LIMIT:
        return ""
    return guest.text_or_empty(file.path, TEXT_LIMIT)


def read_uki(guest: Guest, path: str) -> UkiCommandLine | None:
    """The command lines inside the UKI or add-on at *path*; None when it has none.

    Those of further profiles come behind the kernel and the initrd.
    """
    image = pe.parse(guest.read(path, pe.HEADER_LIMIT))
    if image is None or ".cmdline" not in image.sections:
        return None
    sections = [section for name, section in image.all_sections if name == ".cmdline"]
    end = max(section.offset + section.size for section in sections)
    if end > SIZE_LIMIT:
        return None
    lines = pe.contents(guest.read(path, end), ".cmdline", path)
    text = b"\0".join(bytes(line).rstrip(b"\0") for line in lines)
    return UkiCommandLine(
        text.decode("utf-8", "surrogateescape"), image.signed or image.has_pcr_signature
    )


def arguments(text: str, kind: ArgumentKind) -> list[list[str]]:
    """The arguments in *text*, unquoted, one list per command line it holds."""
    return [list(_words(text[start:end])) for start, end, _ in _regions(text, kind)]


def values(text: str, kind: ArgumentKind, name: str) -> list[str]:
    """Every value that argument *name* is given in *text*."""
    return [
        word.partition("=")[2]
        for line in arguments(text, kind)
        for word in line
        if _is_named(word, name)
    ]


def without(
    text: str, kind: ArgumentKind, name: str, *, prefix: str = "", keep: Collection[str] = ()
) -> str:
    """*text* without the argument *name* whose value begins with *prefix*. Idempotent.

    What has a value in *keep* stays.
    """
    cuts: list[tuple[int, int]] = []
    for start, end, line_start in _regions(text, kind):
        chosen = _chosen(text, (start, end), name, prefix, keep)
        alone = len(chosen) == len(_words(text[start:end]))
        if chosen and alone and kind is ArgumentKind.ENTRY:
            # A key without a value ends the parsing of an entry in some versions of GRUB.
            cuts.append((line_start, _after_newline(text, end)))
            continue
        cuts += [_with_blank(text, start, end, match) for match in chosen]
    pieces, done = [], 0
    for cut_start, cut_end in sorted(cuts):  # neighbours share a blank
        pieces.append(text[done:cut_start])
        done = max(done, cut_end)
    return "".join([*pieces, text[done:]])


def blanked(
    text: str, kind: ArgumentKind, name: str, *, prefix: str = "", keep: Collection[str] = ()
) -> str:
    """As :func:`without`, with blanks in place of the argument: the length in bytes stays."""
    chosen = [
        match
        for start, end, _ in _regions(text, kind)
        for match in _chosen(text, (start, end), name, prefix, keep)
    ]
    pieces, done = [], 0
    for match in chosen:
        blank = " " * len(match.group().encode("utf-8", "surrogateescape"))
        pieces += [text[done : match.start()], blank]
        done = match.end()
    return "".join([*pieces, text[done:]])


def command_lines(texts: Iterable[tuple[KernelArgumentFile, str]]) -> tuple[CommandLine, ...]:
    """Every command line a boot loader hands to a kernel, out of all the files found."""
    texts = tuple(texts)
    known: dict[str, str] = {}
    for file, text in texts:
        if file.kind is ArgumentKind.GRUBENV:
            known.update(grubenv.variables(text))
        if file.kind is ArgumentKind.GRUB_CFG:
            match = _REGIONS[ArgumentKind.GRUB_CFG][1].search(text)
            if match:
                known.setdefault("default_kernelopts", match.group("double") or "")
    known.setdefault("kernelopts", known.get("default_kernelopts", ""))
    return tuple(
        CommandLine(file.path, tuple(_words(_expanded(line, known))))
        for file, text in texts
        for line in _booted_lines(text, file.kind)
    )


# -- helpers -------------------------------------------------------------------------------
def _booted_lines(text: str, kind: ArgumentKind) -> Iterator[str]:
    """The raw command lines that reach a kernel; templates and variables do not by themselves."""
    if kind in _NOT_BOOTED:
        return
    if kind is ArgumentKind.ENTRY:
        yield " ".join(text[start:end] for start, end, _ in _regions(text, kind))
        return
    for match in _REGIONS[kind][0].finditer(text):
        if "memtest" not in (match.groupdict().get("image") or ""):
            yield match.group("arguments")


@lru_cache(maxsize=64)  # the files of a guest are asked for one argument after the other
def _regions(text: str, kind: ArgumentKind) -> tuple[tuple[int, int, int], ...]:
    """Where arguments are: start, end, and the start of the line or assignment they belong to."""
    found = []
    for pattern in _REGIONS[kind]:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            name = next(group for group in _GROUPS if groups.get(group) is not None)
            found.append((match.start(name), match.end(name), match.start()))
    return tuple(sorted(set(found)))


@lru_cache(maxsize=64)  # as that of _regions; a hostile text can be long
def _words(text: str) -> tuple[str, ...]:
    return tuple(_unquoted(match.group()) for match in _WORD.finditer(text))


def _unquoted(word: str) -> str:
    return re.sub(r"""\\(.)|["']""", r"\1", word)


def _chosen(
    text: str, region: tuple[int, int], name: str, prefix: str, keep: Collection[str]
) -> Sequence[re.Match[str]]:
    """The words of a region that give *name* a value with *prefix* that is not in *keep*."""
    found = ((match, _unquoted(match.group())) for match in _WORD.finditer(text, *region))
    return [
        match
        for match, word in found
        if _is_named(word, name)
        and (value := word.partition("=")[2]).startswith(prefix)
        and value not in keep
    ]


def _is_named(word: str, name: str) -> bool:
    given, equals, _ = word.partition("=")
    return bool(equals) and given.replace("-", "_") == name.replace("-", "_")


def _with_blank(text: str, start: int, end: int, match: re.Match[str]) -> tuple[int, int]:
    """The word and the blanks before it; at the start of a region, those after it."""
    before = match.start()
    while before > start and text[before - 1] in " \t":
        before -= 1
    after = match.end()
    if before == start and not (before < match.start() and after < end):
        while after < end and text[after] in " \t":
            after += 1
    return before, after


def _after_newline(text: str, end: int) -> int:
    for newline in ("\r\n", "\n"):
        if text.startswith(newline, end):
            return end + len(newline)
    return end


def _expanded(line: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda m: known.get(m.group(1) or m.group(2), ""), line)
