"""What an Incus instance has of its host, and what `incus` says of a card in two places."""

from __future__ import annotations

from tests.support.definitions import goldens, planned


def test_devices_of_the_host_are_named_and_shared_ones_are_not() -> None:
    plan = planned(next(g for g in goldens("incus") if str(g) == "incus-config-show"))
    said = " ".join(note.text for note in plan.notes)
    assert "devices.modem.source: /dev/ttyS0 stays: a device of the host" in said
    assert "devices.ib0.parent: ib0 stays: a device of the host" in said
    assert "devices.lan.ipv4.routes.external: 192.0.2.7/32 stays" in said
    assert "check disks, ports and sockets" in said
    assert "/dev/kvm" not in said
    assert "another card's too" not in said
