"""LXC: what LXC fills in itself is left alone, and what is no configuration is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import written
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.table import definition_in, format_of
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source

ROOT = "lxc.rootfs.path = /var/lib/lxc/golden/rootfs\n"


def source(text: str) -> Source:
    return Source(Path("/nowhere/config"), text.encode())


def outcome(text: str) -> tuple[str, str]:
    """The new text, and all notes."""
    plan = plan_definition(definition_in(source(text)), IdentityMap(Counting(), "web-01"))
    return written(plan).decode(), "\n".join(note.text for note in plan.notes)


def test_an_address_that_lxc_makes_stays_for_it() -> None:
    text = ROOT + "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:xx:XX:xx\n"
    assert outcome(text)[0] == text
    assert definition_in(source(text)).cards == (("net0", ""),)


def test_without_a_host_name_the_folder_s_name_is_followed() -> None:
    new, notes = outcome(ROOT + "lxc.log.file = /var/log/lxc/golden.log\n")
    assert new == ROOT + "lxc.log.file = /var/log/lxc/web-01.log\n"
    assert "no lxc.uts.name" in notes


def test_a_card_s_old_spelling_counts_cards_by_their_types() -> None:
    card = "lxc.network.type = veth\nlxc.network.hwaddr = 00:16:3e:00:00:{}\n"
    found = definition_in(source(ROOT + card.format(10) + card.format(20)))
    assert found.cards == (("net0", "00:16:3e:00:00:10"), ("net1", "00:16:3e:00:00:20"))


def test_what_the_environment_holds_is_not_shown() -> None:
    assert "geheim" not in outcome(ROOT + "lxc.environment = TOKEN=geheim\n")[1]


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\ncat > config <<X\nlxc.uts.name = golden\nX\n",
        "arch: amd64\nhostname: golden\nrootfs: local:100/x\nlxc.mount.entry = /x y\n",
        "config:\n  raw.lxc: lxc.mount.entry = /x y\n",
    ],
    ids=["script", "proxmox-container", "incus"],
)
def test_other_files_with_its_words_are_not_taken_for_one(text: str) -> None:
    found = format_of(source(text))
    assert found is None or found.id != "lxc"


def test_a_line_that_lxc_would_not_read_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"config:2:1: 'name web' is not lxc\.KEY = VALUE"):
        definition_in(source(ROOT + "name web\n"))
