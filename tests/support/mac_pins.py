"""One file before, without and with a map of MAC addresses: the shape of every golden pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.families import Tree, carry_out, difference, snapshot
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.steps.dhcp_identities import DhcpIdentities
from unclone.sanitize.steps.mac_pins import MacPins

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

A, B, OTHER = "52:54:00:12:34:56", "52:54:00:ab:cd:ef", "02:00:00:00:00:01"
NEW_A, NEW_B = "52:54:00:77:88:99", "52:54:00:fe:dc:ba"
KERNEL_NAMES: Tree = {"/boot/grub/grub.cfg": "linux /vmlinuz root=/dev/vda1 ro net.ifnames=0\n"}
MACS = {A: NEW_A, B: NEW_B}
#: Both edit the same files.
STEPS = (DhcpIdentities(), MacPins())


@dataclass(frozen=True)
class Golden:
    """Files before; what changes without a map (None: the file goes); words of what is kept.

    With a map every address of :data:`MACS` is renewed where it stands, and nothing else, unless
    ``renewed`` says what happens instead.
    """

    before: Tree
    alone: Mapping[str, str | None]
    kept: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    renewed: Mapping[str, str | None] | None = None

    def check_alone(self, folder: Path) -> None:
        """Sanitized by itself: what is pinned goes, or is named."""
        plant(folder, self.before)
        assert changed(folder, {}) == self.alone
        kept, warned = notes(folder, self.before)
        assert_said(kept, self.kept)
        assert_said(warned, self.warned)
        assert changed(folder, {}) == {}, "a second run changes something"

    def check_with_map(self, folder: Path) -> None:
        """Sanitized with its definition: what is pinned is renewed."""
        plant(folder, self.before)
        expected = {p: renew(c) for p, c in self.before.items() if isinstance(c, str)}
        expected = {p: c for p, c in expected.items() if c != self.before[p]}
        assert changed(folder, MACS) == (expected if self.renewed is None else self.renewed)
        assert changed(folder, MACS) == {}, "a second run changes something"


def changed(folder: Path, macs: Mapping[str, str]) -> dict[str, str | None]:
    """Run the step; what is different afterwards."""
    before = snapshot(folder)
    carry_out(guest_at(folder), STEPS, Options(macs=macs))
    after = difference(before, snapshot(folder))
    return {
        p: c.decode("utf-8", "surrogateescape") if isinstance(c, bytes) else c
        for p, c in after.items()
    }


def notes(folder: Path, files: Tree) -> tuple[list[str], list[str]]:
    """What the step says to be kept, and what it warns of, when *files* are there alone."""
    again = folder / "again"
    again.mkdir()
    plant(again, files)
    guest = guest_at(again)
    said = [note for step in STEPS for note in step.plan(context(guest)).notes]
    return (
        [note.text for note in said if note.level is Level.KEPT],
        [note.text for note in said if note.level is Level.WARNING],
    )


def assert_said(said: list[str], words: tuple[str, ...]) -> None:
    assert len(said) == len(words), said
    for text, word in zip(said, words, strict=True):
        assert word in text


def renew(text: str) -> str:
    """*text* with the map applied by other code than the product's."""
    for old, new in MACS.items():
        for spell in (str, str.upper):
            for separator in (":", "-", ""):
                text = text.replace(
                    spell(old).replace(":", separator), spell(new).replace(":", separator)
                )
    return text
