"""Boot entries and folders that are named after the old machine-id.

kernel-install names ``loader/entries/<token>-<version>.conf``, the folder ``<token>/<version>/``
and ``EFI/Linux/<token>-<version>.efi`` by a token, which is the machine-id unless
``/etc/kernel/entry-token`` says otherwise. Fedora and EL name GRUB's entries and the rescue kernel
by the machine-id itself. Under the old names an old kernel may win over newer ones, because GRUB
sorts by file name, and the old id would stay readable.

Everything gets one new name: the new machine-id when it is known, else a neutral token. Where
kernel-install follows the token it is written to ``/etc/kernel/entry-token``. GRUB's entries get
it in upper case: later kernels are named by the id that the next boot makes, and upper case sorts
below every hexadecimal digit, so a newer kernel is always the first of the menu.

References: kernel-install(8) (entry token since systemd 251); UAPI Group, "Boot Loader
Specification" (file names, boot counting); loader.conf(5); Fedora's grub2 ``20-grub.install`` and
blscfg.c (order of entries); dracut ``51-dracut-rescue.install``.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import machine_ids
from unclone.sanitize.boot.kernel_arguments import ArgumentKind
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.files import BOOT_ROOTS, other_esps
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.actions.replace_text import Replacement
    from unclone.sanitize.step import PlanningContext

STEP = "boot-entries"
ENTRY_TOKEN = "/etc/kernel/entry-token"  # noqa: S105 (a name for boot entries, not a secret)
ENTRY_TOKEN_SINCE = 251

#: Texts that refer to entries or kernels, beside those that hold kernel arguments.
SETTINGS = (*(f"{root}/loader/loader.conf" for root in BOOT_ROOTS), "/etc/kernel/install.conf")
MACHINE_INFO = "/etc/machine-info"

#: A grub.cfg can be long; what is longer than this is no text that names boot entries.
TEXT_LIMIT = 4 * 1024 * 1024

#: A line that says what the machine-id is: in a boot entry, install.conf or machine-info.
_STATEMENT = (
    r"(?m)^[ \t]*(?:machine-id[ \t]+|(?:KERNEL_INSTALL_)?MACHINE_ID=[\"']?)(?:{ids})[\"']?[ \t]*"
    r"(?:\r?\n|\Z)"
)

#: A kernel argument that ``kernel-machine-id`` takes away.
_OTHER_STEP = re.compile(r"systemd?\.machine[_-]id[=:]")

#: What a token may be made of, so that it fits into names on FAT and into GRUB's splitting.
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Naming(NamedTuple):
    """The names that change, old path to new, and the token they change to."""

    token: str
    renames: Mapping[str, str]
    #: Whether kernel-install keeps using the token: its folders or images carry it.
    followed: bool


class BootEntries:
    """Renames what carries a retired id, together with everything that refers to it."""

    info = StepInfo(
        id=STEP,
        title="boot entries and folders named after the old machine-id",
        why="under the old name GRUB may prefer an old kernel, and the old id stays readable",
        sources=(
            "kernel-install(8)",
            "https://uapi-group.org/specifications/specs/boot_loader_specification/",
            "https://github.com/stackhpc/stackhpc-kayobe-config/pull/878",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """Rename first, then correct the texts under their new names."""
        olds = machine_ids.retiring(context)
        if not olds:
            return StepPlan()
        naming = _naming(context, olds)
        changes = [
            Change(STEP, "rename", old, self.info.why, _id_in(old, olds), naming.token, {"to": new})
            for old, new in naming.renames.items()
        ]
        new = _new_id(context)
        changes += _text_changes(context, naming, olds, new)
        token_changes, notes = _token_file(context, naming, olds)
        return StepPlan((*changes, *token_changes), tuple(notes))


def renamed_entries(context: PlanningContext) -> Mapping[str, str]:
    """Where each file will be at the end of the run, for steps that edit it before."""
    if STEP in context.options.disable:
        return {}
    olds = machine_ids.retiring(context)
    return _naming(context, olds).renames if olds else {}


def at_the_end(path: str, renamed: Mapping[str, str]) -> str:
    """Where *path* will be when it, or a folder that it is in, was *renamed*."""
    for old, new in renamed.items():
        if path == old or path.startswith(f"{old}/"):
            return new + path.removeprefix(old)
    return path


# -- names ---------------------------------------------------------------------------------
def _naming(context: PlanningContext, olds: Sequence[str]) -> Naming:
    """The first token under which no two names collide. Raises :class:`RefusedError`."""
    guest = context.guest
    found = tuple(_carriers(guest, olds))
    followed = bool(_id_in(guest.text_or_empty(ENTRY_TOKEN, TEXT_LIMIT), olds)) or any(
        posixpath.basename(path) in olds or path.endswith(".efi") or _in_token_folder(guest, path)
        for path in found
    )
    collision = ""
    for token in _tokens(context, olds, followed=followed):
        renames = {path: _renamed(path, olds, token) for path in found}
        collision = _collision(guest, renames)
        if not collision:
            return Naming(token, renames, followed)
    raise RefusedError(
        f"the boot files named after the old machine-id cannot be renamed: {collision}",
        hint=f"Remove what is left over in the guest, give a new id with --machine-id random, or "
        f"leave the names with --disable {STEP} --disable {machine_ids.STEP}.",
    )


def _carriers(guest: Guest, olds: Sequence[str]) -> Iterator[str]:
    """Every file and folder of the boot file systems whose own name carries an old id."""
    seen: set[str] = set()
    for root in (*BOOT_ROOTS, *other_esps(guest)):
        for folder in (root, f"{root}/loader/entries", f"{root}/EFI/Linux"):
            if not guest.is_dir(folder) or (physical := guest.resolve(folder)) in seen:
                continue
            seen.add(physical)
            for name in guest.list(folder):
                if _id_in(name, olds):
                    yield f"{folder}/{name}"


def _in_token_folder(guest: Guest, path: str) -> bool:
    """Whether a folder named by the token is beside the entries that *path* belongs to."""
    entry = re.fullmatch(r"(/.*)/loader/entries/([0-9a-f]{32})[-+].*", path)
    return entry is not None and guest.is_dir(f"{entry.group(1)}/{entry.group(2)}")


def _tokens(context: PlanningContext, olds: Sequence[str], *, followed: bool) -> Iterator[str]:
    new = _new_id(context)
    if new:
        yield new
        return
    release = context.facts.os_release
    wanted = [context.guest.text_or_empty(ENTRY_TOKEN, TEXT_LIMIT).partition("\n")[0].strip()]
    wanted += [release.get("IMAGE_ID", ""), release.get("ID", ""), "linux"]
    wanted += [f"{token}-2" for token in wanted]
    for token in wanted:
        if _TOKEN.fullmatch(token) and not _id_in(token, olds):
            yield token if followed else token.upper()


def _renamed(path: str, olds: Sequence[str], token: str) -> str:
    folder, name = posixpath.split(path)
    return f"{folder}/{_swapped(name, olds, token)}"


def _collision(guest: Guest, renames: Mapping[str, str]) -> str:
    """What is in the way of *renames*; names that differ only in case collide on FAT."""
    taken: dict[str, str] = {}
    folders = dict.fromkeys(posixpath.dirname(new) for new in renames.values())
    others = {folder: {name.lower() for name in guest.kinds(folder)} for folder in folders}
    for old, new in renames.items():
        folder, name = posixpath.split(new)
        place = f"{guest.resolve(folder)}/{name}".lower()
        if place in taken:
            return f"{printable(taken[place])} and {printable(old)} would get the same name"
        if name.lower() in others[folder]:
            return f"{printable(new)} exists already"
        taken[place] = old
    return ""


# -- texts ---------------------------------------------------------------------------------
def _text_changes(
    context: PlanningContext, naming: Naming, olds: Sequence[str], new: str
) -> Iterator[Change]:
    why = "it refers to what was renamed"
    guest = context.guest
    files = [
        file for file, _ in context.facts.kernel_argument_texts if file.kind is not ArgumentKind.UKI
    ]
    blocks = {file.path for file in files if file.kind is ArgumentKind.GRUBENV}
    places = [*naming.renames, *(file.path for file in files)]
    places += [path for path in SETTINGS if guest.exists(path)]
    for path in _each_once(guest, places):
        text = _text(guest, path)
        replacements = _replacements(text, olds, naming.token, new)
        if replacements:
            final = naming.renames.get(path, path)
            yield _replace(final, why, olds, naming.token, replacements, block=path in blocks)
    replacements = _replacements(_text(guest, MACHINE_INFO), olds, new, new)
    if replacements:
        why = "kernel-install takes the machine-id from here before it looks at /etc/machine-id"
        yield _replace(MACHINE_INFO, why, olds, new, replacements)


def _replacements(text: str, olds: Sequence[str], token: str, new: str) -> list[Replacement]:
    """Every word of *text* with an old id in it, and what takes its place.

    Lines that state the machine-id itself are dropped when the *new* one is not known. The kernel
    arguments that give the machine an id belong to another step.
    """
    if not _id_in(text, olds):
        return []
    dropped: Counter[str] = Counter()
    if not new:
        dropped.update(re.findall(_STATEMENT.format(ids="|".join(olds)), text))
        text = re.sub(_STATEMENT.format(ids="|".join(olds)), "", text)
    words = Counter(
        word
        for word in text.split()
        if token and _id_in(word, olds) and not _OTHER_STEP.search(word)
    )
    found: list[Replacement] = []
    for line, count in dropped.items():
        found.append({"old": line, "new": "", "count": count})
    for word, count in words.items():
        found.append({"old": word, "new": _swapped(word, olds, token), "count": count})
    return found


def _replace(
    path: str,
    why: str,
    olds: Sequence[str],
    token: str,
    replacements: list[Replacement],
    *,
    block: bool = False,
) -> Change:
    old = _id_in(replacements[0]["old"], olds)
    details: dict[str, object] = {"replacements": replacements}
    if block:
        details["block"] = True
    return Change(STEP, "replace-text", path, why, old, token, details)


def _text(guest: Guest, path: str) -> str:
    """A small text file's content; "" for folders, kernels and whatever else carries the name."""
    stat = guest.stat(path)
    if stat is None or stat.size > TEXT_LIMIT:
        return ""
    text = guest.text_or_empty(path, TEXT_LIMIT)
    return "" if "\0" in text else text


# -- what kernel-install will do -----------------------------------------------------------
def _token_file(
    context: PlanningContext, naming: Naming, olds: Sequence[str]
) -> tuple[list[Change], list[Note]]:
    now = context.guest.text_or_empty(ENTRY_TOKEN, TEXT_LIMIT)
    if _id_in(now, olds) or (naming.followed and not machine_ids.is_id(naming.token)):
        version = context.facts.systemd_version
        if version is not None and version < ENTRY_TOKEN_SINCE:
            text = (
                f"kernel-install of systemd {version} knows no entry token: it names later kernels "
                f"by the next machine-id, and those named {naming.token} have to be removed by hand"
            )
            return [], [Note(STEP, Level.WARNING, text)]
        if now.strip() == naming.token:
            return [], []
        why = "so that kernel-install finds the renamed entries, and names the next ones alike"
        details = {"text": f"{naming.token}\n", "like": "/etc"}
        old = _id_in(now, olds)
        return [Change(STEP, "write", ENTRY_TOKEN, why, old, naming.token, details)], []
    if machine_ids.is_id(naming.token) or not naming.renames:
        return [], []
    text = (
        f"later kernels will be named by the next machine-id, and removing the ones named "
        f"{naming.token} leaves their boot entries behind; --machine-id random avoids that"
    )
    return [], [Note(STEP, Level.INFO, text)]


# -- helpers -------------------------------------------------------------------------------
def _new_id(context: PlanningContext) -> str:
    return machine_ids.requested(context)[1]


def _id_in(text: str, olds: Sequence[str]) -> str:
    return next((old for old in olds if old in text), "")


def _swapped(text: str, olds: Sequence[str], token: str) -> str:
    for old in olds:
        text = text.replace(old, token)
    return text


def _each_once(guest: Guest, paths: Sequence[str]) -> Sequence[str]:
    found: dict[str, str] = {}
    for path in paths:
        if guest.is_file(path):
            found.setdefault(guest.resolve(path), path)
    return tuple(found.values())
