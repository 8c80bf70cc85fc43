"""What libxml2, which VirtualBox reads its files with, says of the new VirtualBox and OVF files."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.definitions import Golden, goldens, planned, written


@pytest.mark.parametrize("golden", [*goldens("vbox"), *goldens("ovf")], ids=str)
def test_libxml2_reads_it_and_counts_the_same_elements(golden: Golden) -> None:
    plan = planned(golden)
    taken_out = {
        "guest-property",
        "vmware-generated",
        "vmware-storage-address",
    }  # all others are attributes
    gone = sum(f.new is None and f.field.rule.id in taken_out for f in plan.fields)
    assert elements(written(plan)) == elements(golden.before.read_bytes()) - gone


def elements(content: bytes) -> int:
    """How many there are; xmllint fails for what is not well-formed."""
    done = subprocess.run(
        ["xmllint", "--nonet", "--xpath", "count(//*)", "-"],
        input=content,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)
