"""The files of a guest's initrds that may hold an identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize import initrds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest

#: Where the tools that make initrds put what is the machine's; the rest are programs.
_TOPS = ("conf/", "etc/", "opt/", "root/", "var/lib/")


class InitrdFile(NamedTuple):
    """``path`` begins with "/", as the initrd has it once it is unpacked."""

    initrd: str
    path: str
    content: bytes


def initrd_files(guest: Guest, limit: int) -> Iterator[InitrdFile]:
    """The files of at most *limit* bytes. What cannot be unpacked has none."""
    for initrd in initrds.find(guest):
        content = guest.read(initrd, initrds.SIZE_LIMIT)
        members = initrds.look_into(content, ()).members
        names = {
            name
            for name, member in members.items()
            if name.startswith(_TOPS) and member.header.is_file and member.header.size <= limit
        }
        found = initrds.look_into(content, (), read=names).contents if names else {}
        for name in sorted(names & found.keys()):
            yield InitrdFile(initrd, f"/{name}", found[name])
