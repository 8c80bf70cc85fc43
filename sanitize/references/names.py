r"""References in names: files, folders and symlinks that are called after an identifier.

References: systemd.unit(5) ("String Escaping for Inclusion in Unit Names"), systemd.device(5);
https://github.com/pop-os/kernelstub (``EFI/Pop_OS-<root UUID>``); crypttab(5), "the third field"
(``/etc/cryptsetup-keys.d/NAME.key`` where it is empty).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.guest import MAX_SYMLINKS
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT
from unclone.sanitize.references.reference import leads_nowhere, rewrite, unread
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Note
    from unclone.sanitize.renewal import Blocker, Rewriter
    from unclone.sanitize.step import PlanningContext

#: Directories of units that are often links: drop-ins, and those of which names alone count.
_DIRECTORIES = (".d", ".wants", ".requires", ".upholds")
#: A link there is what a removed package left, or switches a unit off.
_WITHOUT_A_PACKAGE = ("/dev/null", "/etc/systemd/", "/lib/", "/run/", "/usr/lib/")
#: How deep directories of units are nested; what a directory behind a link may hold.
_DEPTH, _MOST = 6, 1000


@dataclass(frozen=True, slots=True)
class NameReference:
    """Places whose names follow: everything below ``folders``, and what the globs ``names`` match.

    Below ``folders``, links' texts and files' contents follow as well, and what the links lead to
    elsewhere. Texts come first, while everything still has its old path; then the names, from the
    bottom up.
    """

    info: StepInfo
    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """Everything, when a file is too large to be read. What has a name can be renamed."""
        return unread(list(_large(context.guest, self.folders)), context)

    def plan(self, context: PlanningContext) -> StepPlan:
        """A change for each content and link, then one for each name."""
        guest, rewriter = context.guest, context.renewals.rewriter
        if not rewriter.needles:
            return StepPlan()
        inside = guest.search(self.folders, rewriter.needles, limit=TEXT_LIMIT)
        paths = tuple(dict.fromkeys((*inside, *_behind_links(guest, self.folders))))
        named = [*paths, *(path for pattern in self.names for path in guest.glob(pattern))]
        return StepPlan(
            (
                *self._texts(guest, rewriter, paths),
                *self._names(guest, rewriter, sorted(named, key=_depth, reverse=True)),
            ),
            tuple(self._dangling(guest)),
        )

    def _dangling(self, guest: Guest) -> Iterator[Note]:
        """What a link leads to that is nowhere here, and may be on a disk that is not mounted."""
        for link in _links_of(guest, self.folders):
            if guest.kind(link) is None:
                text = guest.readlink(link)
                target = posixpath.normpath(posixpath.join(posixpath.dirname(link), text))
                if not target.startswith(_WITHOUT_A_PACKAGE):
                    yield leads_nowhere(self.info, link, text)

    def _texts(self, guest: Guest, rewriter: Rewriter, paths: Sequence[str]) -> Iterator[Change]:
        for path in paths:
            stat = guest.lstat(path)
            kind = stat.kind if stat else Kind.OTHER
            if kind is Kind.SYMLINK:
                text = guest.readlink(path)
                if not _leads_on(path, text, rewriter, self.folders):
                    continue
                content = text.encode("utf-8", "surrogateescape")
            elif kind is Kind.FILE and stat and stat.size <= TEXT_LIMIT:
                content = guest.read(path, TEXT_LIMIT)
            else:
                continue
            found = rewriter.found(content)
            if found:
                yield rewrite(self.info, path, found)

    def _names(self, guest: Guest, rewriter: Rewriter, paths: Sequence[str]) -> Iterator[Change]:
        for path in paths:
            folder, name = posixpath.split(path)
            new = rewriter.rewritten_text(name)
            if new != name and not guest.exists(f"{folder}/{new}"):
                yield Change(
                    step=self.info.id,
                    action="rename",
                    target=path,
                    why=self.info.why,
                    old=printable(name, 120),
                    new=printable(new, 120),
                    details={"to": f"{folder}/{new}"},
                )


def _leads_on(link: str, text: str, rewriter: Rewriter, folders: Sequence[str]) -> bool:
    """Whether *link* still leads somewhere once its *text* has followed.

    A directory elsewhere is not renamed, whatever it is called: the residue scan names the link.
    """
    above = posixpath.normpath(posixpath.join(posixpath.dirname(link), posixpath.dirname(text)))
    return f"{above}/".startswith(_inside(folders)) or rewriter.rewritten_text(above) == above


def _behind_links(guest: Guest, folders: Sequence[str]) -> Iterator[str]:
    """What the links in *folders* lead to elsewhere, each step of the way, as physical paths.

    In a directory that is a link itself, what is in it.
    """
    tops = [guest.resolve(folder) for folder in folders if guest.is_dir(folder)]
    for link in _links_of(guest, folders):
        steps = [step for step in _steps(guest, link) if not step.startswith(_inside(tops))]
        yield from steps
        if steps and link.endswith(_DIRECTORIES) and guest.is_dir(link):
            for name in guest.list(link)[:_MOST]:
                entry = f"{guest.resolve(link)}/{name}"
                yield from (entry, *_steps(guest, entry))


def _large(guest: Guest, folders: Sequence[str]) -> Iterator[str]:
    """The files in *folders*, and those that links there lead to, that are not read."""
    found = {guest.resolve(folder) for folder in folders if guest.is_dir(folder)}
    for top in sorted(top for top in found if not top.startswith(_inside(found))):
        for member in guest.walk(top, limit=0):
            if member.stat.kind is Kind.FILE and member.stat.size > TEXT_LIMIT:
                yield member.path
    for path in _behind_links(guest, folders):
        stat = guest.lstat(path)
        if stat and stat.kind is Kind.FILE and stat.size > TEXT_LIMIT:
            yield path


def _inside(tops: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{top}/" for top in tops)


def _links_of(guest: Guest, folders: Sequence[str]) -> Iterator[str]:
    tops = dict.fromkeys(guest.resolve(folder) for folder in folders if guest.is_dir(folder))
    yield from dict.fromkeys(link for top in tops for link in _links(guest, top, _DEPTH))


def _links(guest: Guest, folder: str, depth: int) -> Iterator[str]:
    """The links below *folder* whose content systemd reads: of a link in ``.wants``, the name."""
    for name, kind in sorted(guest.kinds(folder).items()):
        if kind is Kind.SYMLINK:
            yield f"{folder}/{name}"
        elif kind is Kind.DIRECTORY and depth and not name.endswith(_DIRECTORIES[1:]):
            yield from _links(guest, f"{folder}/{name}", depth - 1)


def _steps(guest: Guest, link: str) -> Iterator[str]:
    """What *link*, a physical path, leads to directly, and, while that is a link, the next.

    Empty for what is no link, or leads to nothing.
    """
    for _ in range(MAX_SYMLINKS):
        above, name = posixpath.split(link)
        if guest.kinds(above).get(name) is not Kind.SYMLINK or guest.kind(link) is None:
            return
        text = guest.readlink(link)
        folder, name = posixpath.split(posixpath.join(posixpath.dirname(link), text))
        if name in {"", ".", ".."}:
            return
        link = posixpath.join(guest.resolve(folder), name)
        yield link


def _depth(path: str) -> int:
    return path.count("/")


#: To add a kind of name, copy a row.
REFERENCES = (
    # systemd units: mounts, swaps and devices whose names and settings hold an identifier.
    # A device unit is called ``dev-disk-by\x2duuid-1111\x2d2222….device``: drop-in folders,
    # ``.wants`` links and dependencies of other units use that name.
    NameReference(
        info=StepInfo(
            id="systemd-units",
            title="systemd units",
            why="a unit that waits for a device which is not there delays the boot by 90 seconds",
            sources=("systemd.unit(5)", "systemd.device(5)", "systemd.mount(5)", "systemd.swap(5)"),
        ),
        folders=(
            "/etc/systemd",
            "/etc/systemd/system",
            "/usr/lib/systemd/system",
            "/usr/local/lib/systemd",
            "/lib/systemd/system",
            "/usr/lib/systemd/system-generators",
        ),
    ),
    # udev rules, also those of packages: an image builder's own package may bring some.
    NameReference(
        info=StepInfo(
            id="udev-rules",
            title="udev rules",
            why="a rule that matches by ID_FS_UUID no longer does",
            sources=("udev(7)", "hwdb(7)"),
        ),
        folders=(
            "/etc/udev/rules.d",
            "/etc/udev/hwdb.d",
            "/usr/local/lib/udev/rules.d",
            "/usr/lib/udev/rules.d",
            "/lib/udev/rules.d",
        ),
    ),
    # Pop!_OS: kernels on the EFI system partition lie in a folder called after the root's
    # UUID.
    NameReference(
        info=StepInfo(
            id="efi-folders",
            title="folders on the EFI system partition called after a root",
            why="boot entries point into EFI/Pop_OS-<UUID>, and kernelstub looks for it",
            sources=("https://github.com/pop-os/kernelstub",),
        ),
        # Only their names: what is inside has kinds of its own.
        names=tuple(f"{root}/EFI/*" for root in BOOT_ROOTS),
    ),
    # Key files of LUKS containers, which are found by being called after a mapping
    # ``luks-<uuid>``.
    NameReference(
        info=StepInfo(
            id="luks-key-files",
            title="key files called after their LUKS container",
            why="a mapping called luks-<uuid> is opened with the key file of the same name",
            sources=("crypttab(5)", "systemd-cryptsetup(8)"),
        ),
        # Only their names: what is inside is a key. crypttab often names the later folders.
        names=(
            "/etc/cryptsetup-keys.d/*",
            "/etc/cryptsetup/*",
            "/etc/keys/*",
            "/etc/luks/*",
            "/etc/luks-keys/*",
            "/boot/*.key",
            "/root/*",
        ),
    ),
)
