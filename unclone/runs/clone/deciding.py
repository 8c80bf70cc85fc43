"""Who every machine will be: decided for all of them at once, before the first is made."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.text import printable, shown
from unclone.runs import define as defining
from unclone.runs.clone.seed_drive import with_seed_drive
from unclone.runs.opening import read_image
from unclone.runs.options import MACHINE_IDS
from unclone.runs.sanitize_machine import disk_serials, own_disks
from unclone.sanitize.allocated_values import allocated
from unclone.sanitize.cloud_init import cloud_init
from unclone.sanitize.definitions.identity_map import IdentityMap, require_name
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.facts import Facts
from unclone.sanitize.identities.machine import MachineIdentity
from unclone.seeds.instance_id import instance_id
from unclone.seeds.names import host_name_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unclone.images.guest import Guest
    from unclone.images.volumes import Identifier
    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.listener import Listener
    from unclone.sanitize.definitions.definition import Definition
    from unclone.sanitize.identities.allocation import Allocation, Pool
    from unclone.sanitize.identities.ledger import Ledger


#: Machines of one host name in one ledger; more are a mistake.
_GENERATIONS = 100
#: Machines that the ledger is asked about at once.
_EXPECTED = 200


@dataclass(frozen=True, slots=True)
class Golden:
    """What the golden image and its definition say, as far as machines differ in it."""

    identifiers: tuple[Identifier, ...]
    has_cloud_init: bool
    definition: Definition | None


@dataclass
class Share:
    """One order in a run: what it is made from, and which of its machines are to be made."""

    order: Order
    golden: Golden
    source: MadeFrom
    #: Seconds that opening and reading the golden image took.
    looked: float
    missing: list[str] = field(default_factory=list)


def look(order: Order, listener: Listener) -> Golden:
    """Read the golden image and the definition. Raises UncloneError; changes nothing."""
    definition = None
    if order.definition is not None:
        definition = defining.read(defining.Request(order.definition, "golden"))
        own, given = own_disks(definition), order.request.disks
        if len(own) != len(given):
            has = ", ".join(shown(order.definition.parent / disk.path) for disk in own) or "none"
            raise UsageError(
                f"{definition.source.shown} has {len(own)} disks, and {len(given)} are given",
                hint=f"Its disks: {has}. Give each further one with --add-disk.",
            )

    def found(guest: Guest) -> Golden:
        has_cloud_init = cloud_init(guest, Facts(guest)).installed
        with_drive = definition
        if definition is not None and order.gets_seed(cloud_init=has_cloud_init):
            with_drive = with_seed_drive(definition)
        return Golden(tuple(guest.identifiers()), has_cloud_init, with_drive)

    try:
        return read_image(order.request, found, listener)
    except UncloneError as error:
        # Some speak of "the disk": here it is one of several files.
        if not any(disk.path.name in error.message for disk in order.request.disks):
            error.message = f"{shown(order.request.image)}: {error.message}"
        raise


def check_names(orders: Sequence[Order]) -> None:
    """Raise UsageError for names that machines or hosts cannot have, and for one id for several."""
    seen: set[str] = set()
    for order in orders:
        if len(order.names) > 1 and order.request.options.machine_id not in MACHINE_IDS:
            raise UsageError(
                "--machine-id ID is for one machine: several would have the same",
                hint="Use --machine-id random: each gets its own.",
            )
        for name in order.names:
            require_name(name)
            hostname = order.hostname_of(name)
            problem = host_name_problem(hostname)
            if problem:
                raise UsageError(
                    f"{printable(hostname, 100)} cannot be a host name: {problem}",
                    hint="Say another with --hostname; {name} in it stands for the machine's name.",
                )
            if hostname.lower() in seen:
                raise UsageError(f"two machines would have the host name {printable(hostname)}")
            seen.add(hostname.lower())


def decide(
    wanted: Iterable[tuple[Order, Golden, Sequence[str]]],
    pool: Pool,
    ledger: Ledger | None,
    batch: Batch,
    refused: Callable[[str, UncloneError], None],
    booked: Callable[[str], MachineIdentity | None] = lambda _: None,
) -> list[list[str]]:
    """Decide who each machine *wanted* is: in the ledger, and written down in *batch*.

    For all of them at once, or for none. Returns the names of those that are decided, by order.
    *refused* is called with the name of each that cannot be. *booked* says who a machine was that
    was removed by hand where it was made: it is made again as the same.
    """
    decided, own = [], []
    with pool.handing_out():
        for order, golden, names in wanted:
            begun = []
            for number, name in enumerate(names):
                if number % _EXPECTED == 0:
                    _expect(order, names[number : number + _EXPECTED], pool)
                try:
                    before = batch.left_over(name)
                    if before is not None and _is_recorded(before, ledger):
                        identity = before
                        batch.own_rows.add(name)  # its row is there, whatever happens now
                    elif (known := booked(name)) is not None and (
                        ledger is None or _is_recorded(known, ledger)
                    ):
                        identity = known
                    else:
                        is_new = ledger is not None and pool.recorded(name) is None
                        identity = allocate(order, golden, name, pool, keep=True)
                        own += [name] if is_new else []
                except UncloneError as error:
                    refused(name, error)
                else:
                    batch.begin(identity)
                    begun.append(name)
            decided.append(begun)
        batch.sync()
    batch.own_rows.update(own)
    return decided


def allocate(order: Order, golden: Golden, name: str, pool: Pool, *, keep: bool) -> MachineIdentity:
    """The record of one machine; in the ledger of *pool* with *keep*."""
    allocation = pool.machine(name)
    identities = IdentityMap(allocation, name, oui=order.oui)
    serials: dict[str, str] = {}
    if golden.definition is not None:
        serials = disk_serials(plan_definition(golden.definition, identities).fields)
    replaced = allocation.replaced
    values = allocated(golden.identifiers, order.request.options, allocation)
    hostname = order.hostname_of(name)
    identity = MachineIdentity(
        name=name,
        hostname=hostname,
        instance_id=_instance_id(hostname, allocation),
        machine_id=values.machine_id,
        replaced=replaced,
        disk_serials=serials,
        identifiers=values.identifiers,
    )
    if keep:
        allocation.record(shown(order.request.image))
    return identity


def _expect(order: Order, names: Sequence[str], pool: Pool) -> None:
    """Have the ledger asked at once about machines that are decided next."""
    first = [("instance-id", instance_id(order.hostname_of(name), 1)) for name in names]
    pool.expect(names, first)


def _instance_id(hostname: str, allocation: Allocation) -> str:
    """The first generation that no other machine has: of one that is replaced, the next."""
    for generation in range(1, _GENERATIONS):
        found = instance_id(hostname, generation)
        with suppress(RefusedError):
            allocation.claim("instance-id", found)
            return found
    raise RefusedError(f"no instance-id is free for the host name {printable(hostname)}")


def _is_recorded(identity: MachineIdentity, ledger: Ledger | None) -> bool:
    """Whether *ledger* says that exactly these values are this machine's."""
    known = ledger.machine(identity.name) if ledger is not None else None
    if known is None:
        return False
    own = {each.new for each in identity.replaced} | {*identity.identifiers.values()}
    own |= {identity.machine_id, identity.instance_id}
    return all(each.value in own for each in known.identities)
