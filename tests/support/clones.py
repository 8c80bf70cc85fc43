"""Two sanitised copies of one guest: their reports, and what is really in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.readback import Found

if TYPE_CHECKING:
    from pathlib import Path

Contents = Mapping[str, Found]

#: What identifies the guest that tests/guests builds.
IDENTITY = (
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/etc/ssh/ssh_host_rsa_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/var/lib/systemd/random-seed",
    "/var/lib/dhcp/dhclient.ens3.leases",
    "/var/lib/cloud/data/instance-id",
)

#: What a run with the default profile leaves as it is.
KEPT = ("/root/.bash_history", "/root/.ssh/known_hosts", "/etc/passwd", "/etc/default/grub")


@dataclass(frozen=True)
class Clone:
    """One copy and what ``unclone sanitize --json`` says was done to it."""

    image: Path
    report: Mapping[str, Any]

    def paths_of_changes(self) -> set[str]:
        """Every guest path the report makes a claim about."""
        found: set[str] = set()
        for change in self.report["changes"]:
            if change["target"].startswith("/") and not change["target"].startswith("/dev/"):
                found.add(change["target"])
                found.update(claim_paths(change))
        return found


@dataclass(frozen=True)
class Clones:
    """Two copies, with what other people's tools read from the original and from each copy."""

    golden: Path
    before: Contents
    pair: tuple[Clone, Clone]
    after: tuple[Contents, Contents]


def claim_paths(change: Mapping[str, Any]) -> set[str]:
    """Return the paths besides the target that *change* says something about."""
    details = change["details"]
    return {path for path in (details.get("to"), details.get("public")) if path}
