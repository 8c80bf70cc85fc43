r"""References in names: files, folders and symlinks that are called after an identifier.

References: systemd.unit(5) ("String Escaping for Inclusion in Unit Names"), systemd.device(5);
https://github.com/pop-os/kernelstub (``EFI/Pop_OS-<root UUID>``); crypttab(5), "the third field"
(``/etc/cryptsetup-keys.d/NAME.key`` where it is empty).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.files import BOOT_ROOTS, TEXT_LIMIT
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Blocker, Rewriter
    from unclone.sanitize.step import PlanningContext


@dataclass(frozen=True, slots=True)
class NameReference:
    """Places whose names follow: everything below ``folders``, and what the globs ``names`` match.

    Below ``folders``, links' texts and files' contents follow as well. They come first, while
    everything still has its old path; then the names, from the bottom up.
    """

    info: StepInfo
    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:  # noqa: ARG002
        """None: what has a name can be renamed."""
        return ()

    def plan(self, context: PlanningContext) -> StepPlan:
        """A change for each content and link, then one for each name."""
        guest, rewriter = context.guest, context.renewals.rewriter
        if not rewriter.needles:
            return StepPlan()
        paths = guest.search(self.folders, rewriter.needles, limit=TEXT_LIMIT)
        named = [*paths, *(path for pattern in self.names for path in guest.glob(pattern))]
        return StepPlan(
            (
                *self._texts(guest, rewriter, paths),
                *self._names(guest, rewriter, sorted(named, key=_depth, reverse=True)),
            )
        )

    def _texts(self, guest: Guest, rewriter: Rewriter, paths: Sequence[str]) -> Iterator[Change]:
        for path in paths:
            stat = guest.lstat(path)
            kind = stat.kind if stat else Kind.OTHER
            if kind is Kind.SYMLINK:
                content = guest.readlink(path).encode("utf-8", "surrogateescape")
            elif kind is Kind.FILE:
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
            why="a unit that waits for a device which never comes holds up the boot for 90 seconds",
            sources=("systemd.unit(5)", "systemd.device(5)", "systemd.mount(5)", "systemd.swap(5)"),
        ),
        folders=(
            "/etc/systemd",
            "/usr/lib/systemd/system",
            "/usr/local/lib/systemd",
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
