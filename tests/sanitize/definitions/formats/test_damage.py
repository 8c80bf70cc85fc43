"""Damaged definitions of the formats that are not XML: understood and proven, or refused."""

from __future__ import annotations

import contextlib
import random

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.table import FORMATS
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify

IDS = (
    *("cloud-hypervisor", "firecracker", "incus", "kubevirt", "proxmox", "qemu", "qemu-config"),
    *("vmx", "xen"),
)
#: What damage is made of.
PIECES = [b"'", b'"', b"\\", b"$", b"${X}", b"$(", b"`", b"(", b")", b"[", b"]", b"{", b"}", b","]
PIECES += [b"=", b":", b"\n", b"\r\n", b" ", b"\t", b"#", b";", b"&a ", b"*a", b"|", b">", b"<<E"]
PIECES += [b"-", b"--", b"golden", b"\xc3\xa9", b"\xff", b"!!x ", b"\\\n", b"0", b"99999999999"]
PIECES += [b"null", b"~", b"- ", b"? ", b"%", b"@", b"$NAME", b"52:54:00:12:34:56", b"/", b"unix:"]


@pytest.mark.parametrize("golden", [g for f in IDS for g in goldens(f)], ids=str)
def test_damage_is_understood_or_refused(golden: Golden) -> None:
    format_ = next(each for each in FORMATS if each.id == golden.format)
    chance = random.Random(str(golden))
    for _ in range(12):
        content = bytearray(golden.before.read_bytes())
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(content))
            end = at + chance.choice([0, 0, 1, 20])
            content[at:end] = chance.choice(PIECES)
        with contextlib.suppress(RefusedError):
            definition = format_.read(Source(golden.before, bytes(content)))
            verify(plan_definition(definition, IdentityMap(Counting(), "web-01")))
