"""Searching names and contents on top of :meth:`unclone.images.volumes.Volumes.walk`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.needles import Needles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.volumes import Member, Volumes


def search(
    volumes: Volumes,
    paths: Sequence[str],
    needles: Sequence[bytes],
    *,
    exclude: Sequence[str],
    limit: int,
) -> Sequence[str]:
    """As :meth:`unclone.images.volumes.Volumes.search`, for an engine to which reading is cheap."""
    wanted = Needles(needles)

    def holds(member: Member) -> bool:
        texts = [member.path.rsplit("/", 1)[-1], member.link_target]
        contents = [text.encode("utf-8", "surrogateescape") for text in texts]
        if member.content is not None and member.stat.size <= limit:
            contents.append(member.content)
        return any(map(wanted.are_in, contents))

    members = (m for path in paths for m in volumes.walk(path, exclude=exclude, limit=limit))
    return sorted(member.path for member in members if holds(member))
