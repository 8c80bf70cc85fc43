"""DHCP client identifiers, DUIDs and IAIDs that the guest's configuration fixes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Change, Level, Note, StepPlan
from unclone.sanitize.dhcp.identities import IDENTITIES_LIMIT, fixed_identities, is_whole_line
from unclone.sanitize.identities import mac
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.dhcp.identities import File
    from unclone.sanitize.step import PlanningContext


DHCP = "dhcp-identities"

#: How many names a note has.
_SHOWN = 3


class DhcpIdentities:
    """Takes fixed ones out: the client then makes its own. Comes before ``mac-pins``."""

    info = StepInfo(
        id=DHCP,
        title="DHCP client identifiers and DUIDs in the network configuration",
        why="Two machines with one client identifier or DUID are one to a DHCP server, and get one "
        "address. Without a fixed one it follows from the card or the machine-id.",
        sources=(
            "https://www.rfc-editor.org/rfc/rfc8415#section-11",
            "https://www.rfc-editor.org/rfc/rfc2132#section-9.14",
            "https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html",
            "https://www.freedesktop.org/software/systemd/man/latest/networkd.conf.html",
            "openSUSE/wicked: client/suse/compat-suse.c",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """At most two changes for a file; a note for a file with names that a person chose."""
        changes: list[Change] = []
        notes: list[Note] = []
        for path, file in fixed_identities(context.guest, known_macs(context)).items():
            changes += self._changes(path, file)
            if file.named:
                text = (
                    f"{printable(path)} makes the machine call itself {_some(file.named)} to DHCP "
                    "servers, and every copy alike: change it in the guest"
                )
                notes.append(Note(self.info.id, Level.KEPT, text))
            if file.too_many:
                text = f"{printable(path)} has more than {IDENTITIES_LIMIT} DHCP identities"
                notes.append(Note(self.info.id, Level.KEPT, f"{text}: correct it in the guest"))
        return StepPlan(tuple(changes), tuple(notes))

    def _changes(self, path: str, file: File) -> Iterator[Change]:
        lines = [each for each in file.goes if is_whole_line(file.text, each)]
        parts = [each for each in file.goes if each not in lines]
        if lines:
            texts = dict.fromkeys(file.text[each.start : each.end].rstrip("\r") for each in lines)
            yield Change(
                self.info.id,
                "drop-lines",
                path,
                self.info.why,
                old=", ".join(dict.fromkeys(each.value for each in lines)),
                details={"lines": [rf"[ \t]*{re.escape(text.strip())}[ \t]*" for text in texts]},
            )
        if parts:
            pairs = Counter((file.text[each.start : each.end], each.new) for each in parts)
            yield Change(
                self.info.id,
                "replace-text",
                path,
                self.info.why,
                old=", ".join(dict.fromkeys(each.value for each in parts)),
                details={
                    "replacements": [
                        {"old": old, "new": new, "count": count}
                        for (old, new), count in pairs.items()
                    ]
                },
            )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name, 80) for name in names[:_SHOWN]) + more


def known_macs(context: PlanningContext) -> dict[str, str]:
    """The map of the definition's addresses, in lower case with colons."""
    return {str(mac.parse(old)): str(mac.parse(new)) for old, new in context.options.macs.items()}
