"""The record of one machine: every value that it was given, decided once, before it is made.

Its disks, its definition and its seed take their values from the record, in other processes too,
so none of them can disagree with another. It lies beside the machine as ``machine.json``.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.identities.allocation import Replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Kinds of values in a definition of which there are enough for all machines.
_UNIQUE = ("mac", "uuid", "serial")


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    """Who a machine is. Values that only the guest makes at its first boot are not in it."""

    name: str
    hostname: str
    instance_id: str
    #: 32 hexadecimal digits: what the machine-id becomes where it is not left to the first boot;
    #: "" once the machine is made and its first boot makes the id.
    machine_id: str
    #: Of the definition: what each old value became, in the order they were asked for.
    replaced: tuple[Replaced, ...] = ()
    #: Serial numbers and World Wide Names of the definition's disks, old to new.
    disk_serials: Mapping[str, str] = field(default_factory=dict)
    #: Of the disks' devices: the new value, by ``KIND DEVICE``.
    identifiers: Mapping[str, str] = field(default_factory=dict)

    @property
    def macs(self) -> dict[str, str]:
        """Old MAC address to new one (lower case, colons)."""
        return {each.old: each.new for each in self.replaced if each.kind == "mac" and each.old}

    def own_values(self) -> Iterator[tuple[str, str]]:
        """Kind and value of what no other machine may have."""
        yield from ((each.kind, each.new) for each in self.replaced if each.kind in _UNIQUE)
        yield from ((key.partition(" ")[0], value) for key, value in self.identifiers.items())
        yield "machine-id", self.machine_id
        yield "instance-id", self.instance_id

    def to_json(self) -> dict[str, Any]:
        """As documented in ``unclone/schemas/machine-1.json``."""
        return {
            "name": self.name,
            "hostname": self.hostname,
            "instance_id": self.instance_id,
            "machine_id": self.machine_id,
            "values": [each._asdict() for each in self.replaced],
            "disk_serials": dict(self.disk_serials),
            "identifiers": dict(self.identifiers),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MachineIdentity:
        """The record that :meth:`to_json` wrote.

        Raises KeyError, TypeError or ValueError for any other.
        """
        return cls(
            name=value["name"],
            hostname=value["hostname"],
            instance_id=value["instance_id"],
            machine_id=value["machine_id"],
            replaced=tuple(Replaced(**each) for each in value["values"]),
            disk_serials=dict(value["disk_serials"]),
            identifiers=dict(value["identifiers"]),
        )


class RecordedPool:
    """Gives one machine what its record says: an :class:`allocation.MachinePool`."""

    warnings: tuple[str, ...] = ()

    def __init__(self, identity: MachineIdentity) -> None:
        self._identity = identity

    @contextmanager
    def handing_out(self) -> Iterator[None]:
        """Nothing is given out that was not decided before."""
        yield

    def machine(self, name: str) -> RecordedAllocation:
        """The machine of the record. Raises RefusedError for another one."""
        if name != self._identity.name:
            raise RefusedError(
                f"the record is that of {printable(self._identity.name)}, not of {printable(name)}"
            )
        return RecordedAllocation(self._identity)


class RecordedAllocation:
    """An :class:`allocation.Allocator` that gives what is recorded, and nothing else."""

    def __init__(self, identity: MachineIdentity) -> None:
        self._new = {(each.kind, each.old): each.new for each in identity.replaced}
        self._by_field = {(each.field, each.old): each.new for each in identity.replaced}
        self._name = identity.name

    def mac(self, old: str, *, oui: bytes, place: str) -> str:  # noqa: ARG002 (decided already)
        """See :class:`allocation.Allocator`."""
        new = self._new.get(("mac", old)) if old else self._by_field.get((place, ""))
        return self._recorded(new, "MAC address", old or place)

    def uuid(self, old: str, *, field: str) -> str:
        """See :class:`allocation.Allocator`."""
        return self._recorded(self._new.get(("uuid", old.lower())), field, old)

    def token(self, old: str, *, field: str, alphabet: str) -> str:  # noqa: ARG002 (decided already)
        """See :class:`allocation.Allocator`."""
        return self._recorded(
            self._new.get(("serial", old)) or self._by_field.get((field, old)), field, old
        )

    def number(self, old: int, *, field: str, low: int, high: int) -> int:  # noqa: ARG002 (decided already)
        """See :class:`allocation.Allocator`."""
        return int(self._recorded(self._by_field.get((field, str(old))), field, str(old)))

    def claim(self, kind: str, value: str, *, field: str = "") -> None:
        """It was claimed when the record was made."""

    def record(self, source: str) -> None:
        """It is in the ledger since the record was made."""

    def _recorded(self, new: str | None, field: str, old: str) -> str:
        if new is None:
            raise RefusedError(
                f"the record of {printable(self._name)} has no {printable(field)} in place of "
                f"{printable(old)}",
                hint="The definition has changed since the machine was decided: run again.",
            )
        return new
