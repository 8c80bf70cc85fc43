"""Each family's files before and after: what names an identifier follows it, nothing else changes.

``golden/<family>/devices.yaml`` says which identifiers the family's disk has, what succeeds them,
and which modes its files have; ``before/`` and ``after/`` are the guest's files, links and names as
the family really has them. The trees are about references alone: what the catalogue removes from a
guest is still there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.families import snapshot
from tests.support.planning import context
from tests.support.tree import guest_at
from unclone.images.volumes import IdentifierKind
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.identities.spellings import spellings
from unclone.sanitize.references import REFERENCES
from unclone.sanitize.renewal import Renewal, Renewals

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).with_name("golden")
FAMILIES = sorted(path.name for path in GOLDEN.iterdir())

each_family = pytest.mark.parametrize("family", FAMILIES)


def renewals(family: str) -> tuple[Renewal, ...]:
    told: Mapping[str, Any] = yaml.safe_load((GOLDEN / family / "devices.yaml").read_text())
    return tuple(
        Renewal(IdentifierKind(each["kind"]), each["device"], each["old"], each["new"])
        for each in told["identifiers"]
    )


def modes(family: str) -> dict[str, int]:
    """The modes of files, by their paths in the guest; git keeps none."""
    told: Mapping[str, Any] = yaml.safe_load((GOLDEN / family / "devices.yaml").read_text())
    return {path: int(mode, 8) for path, mode in told.get("modes", {}).items()}


def follow(folder: Path, renewed: tuple[Renewal, ...]) -> int:
    """Make every reference in the guest at *folder* follow; return how many changes that took."""
    guest = guest_at(folder)
    decided = context(guest, renewals=Renewals(renewed))
    parts = [reference.plan(decided) for reference in REFERENCES]
    changes = [change for part in parts for change in part.changes]
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
    for change in changes:
        assert ACTIONS[change.action].verify(guest, change, "") == "", change
    return len(changes)


@each_family
def test_references_follow(tmp_path: Path, family: str) -> None:
    guest = tmp_path / "guest"
    shutil.copytree(GOLDEN / family / "before", guest, symlinks=True)
    for path, mode in modes(family).items():
        (guest / path).chmod(mode)
    assert follow(guest, renewals(family))
    assert snapshot(guest) == snapshot(GOLDEN / family / "after")
    for path, mode in modes(family).items():
        assert (guest / path).stat().st_mode & 0o777 == mode, path
    assert not follow(guest, renewals(family))  # a second time there is nothing to do


@each_family
def test_and_back_again(tmp_path: Path, family: str) -> None:
    guest = tmp_path / "guest"
    shutil.copytree(GOLDEN / family / "after", guest, symlinks=True)
    back = tuple(Renewal(each.kind, each.device, each.new, each.old) for each in renewals(family))
    follow(guest, back)
    assert snapshot(guest) == snapshot(GOLDEN / family / "before")


@each_family
def test_the_pair_is_about_identifiers_alone(family: str) -> None:
    """The trees themselves: equally long, and different in nothing but spellings."""
    before, after = snapshot(GOLDEN / family / "before"), snapshot(GOLDEN / family / "after")
    old = [spelled for each in renewals(family) for spelled in spellings(each.old)]
    new = [spelled for each in renewals(family) for spelled in spellings(each.new)]

    def blanked(tree: Mapping[str, str | bytes], words: list[bytes]) -> dict[bytes, bytes]:
        blank = {}
        for path, content in tree.items():
            pair = [path.encode(), content.encode() if isinstance(content, str) else content]
            for word in sorted(words, key=len, reverse=True):
                pair = [each.replace(word, b"?" * len(word)) for each in pair]
            blank[pair[0]] = pair[1]
        return blank

    assert blanked(before, old) == blanked(after, new + old)
    assert before != after


def test_every_family_of_the_design_is_here() -> None:
    assert FAMILIES == [
        "alpine", "arch", "debian-12-bios", "debian-12-uefi", "fedora", "luks", "lvm", "md",
        "opensuse", "raspberry-pi-os", "rhel-8", "rhel-8-uefi", "rhel-9", "ubuntu-cloud",
        "ubuntu-lvm",
    ]  # fmt: skip
