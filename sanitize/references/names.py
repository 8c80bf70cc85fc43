"""References in names: files, folders and symlinks that are called after an identifier."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.files import TEXT_LIMIT
from unclone.sanitize.references.reference import rewrite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Blocker, Rewriter
    from unclone.sanitize.step import PlanningContext, StepInfo


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
