"""What identifies the machine in its guest, as it is now."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.sanitize.change import Change
    from unclone.sanitize.inventory.host_names import HostName
    from unclone.sanitize.inventory.network import Fixed
    from unclone.sanitize.inventory.optional_steps import OptionalStep, Told
    from unclone.sanitize.inventory.users import User


@dataclass(frozen=True, slots=True)
class MachineId:
    """``state`` is one of ``machine_ids.State``; ``id`` is empty in all but ``id``."""

    path: str
    state: str
    id: str


@dataclass(frozen=True, slots=True)
class SshHostKey:
    """``fingerprint`` is as ``ssh-keygen -l`` prints it; empty when the key cannot be read."""

    path: str
    type: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What identifies the machine in its guest, as it is now."""

    machine_ids: tuple[MachineId, ...] = ()
    host_names: tuple[HostName, ...] = ()
    users: tuple[User, ...] = ()
    addresses: tuple[Fixed, ...] = ()
    macs: tuple[Fixed, ...] = ()
    ssh_host_keys: tuple[SshHostKey, ...] = ()
    #: Paths of certificates and keys that are called after one of ``host_names``.
    certificates: tuple[str, ...] = ()
    #: Steps that are not part of the run, and that find something.
    optional_steps: tuple[OptionalStep, ...] = ()
    #: What stays because nothing makes it again: the person decides.
    told: tuple[Told, ...] = ()

    def without_new_values(self, changes: Iterable[Change]) -> Inventory:
        """The same after a rehearsal, in which the values that *changes* made were thrown away."""
        made = tuple(changes)
        keys = {change.target for change in made if change.action == "generate-ssh-host-key"}
        files = {change.target for change in made if change.action == "write" and change.new}
        return replace(
            self,
            ssh_host_keys=tuple(each for each in self.ssh_host_keys if each.path not in keys),
            machine_ids=tuple(
                replace(each, id="") if each.path in files else each for each in self.machine_ids
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return asdict(self)
