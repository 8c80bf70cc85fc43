"""Initrds have copies of .link files, udev rules and network settings, addresses included.

References: initramfs-tools, hooks/udev (``/etc/systemd/network/*.link``); dracut.cmdline(7)
(``ifname=``, ``etc/cmdline.d``) and dracut's modules udev-rules, network and systemd-networkd.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.actions.correct_initrd import is_reference
from unclone.sanitize.boot.overriding import Action, correct
from unclone.sanitize.change import Level
from unclone.sanitize.renewal import OtherKind, Renewal, Rewriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest
    from unclone.sanitize.mac_pins.pins import Unpinning


def in_initrds(guest: Guest, unpinning: Unpinning) -> Iterator[tuple[str, tuple[Renewal, ...]]]:
    """Each initrd with addresses of the map in it, and which. Without a map they do no harm."""
    renewals = [Renewal(OtherKind.MAC_ADDRESS, "", *pair) for pair in unpinning.renewed.items()]
    if not renewals:
        return
    rewriter = Rewriter(renewals)
    for path in initrds.find(guest):
        content = guest.read(path, initrds.SIZE_LIMIT)
        found = initrds.look_into(content, rewriter.needles)
        if found.unreadable:
            unpinning.note(
                Level.WARNING,
                f"the initrd {printable(path)} cannot be read ({found.unreadable}): it may pin a "
                "MAC address",
            )
            continue
        hits = [hit for hit in found.hits if is_reference(found, hit, rewriter)]
        pinned = {
            renewal
            for hit in hits
            for text in (found.contents.get(hit.path, b""), os.fsencode(hit.path))
            for renewal in rewriter.found(text)
        }
        if not pinned:
            continue
        changes = correct(content, found, rewriter.rewritten).changes
        left = next((one for one in changes if one.action is Action.LEFT), None)
        if left is not None:
            what = f"pins a MAC address in {printable(left.path)}, which stays: {left.reason}"
            unpinning.keep(path, what, [renewal.old for renewal in pinned])
            continue
        yield path, tuple(renewal for renewal in renewals if renewal in pinned)
