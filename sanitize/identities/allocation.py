"""Gives out new identities: none that the batch, an avoided definition or the ledger has.

One :class:`Pool` for a run, one :class:`Allocation` (an :class:`Allocator`) for each of its
machines::

    pool = Pool(avoided=scan(folders), ledger=ledger, key=read_key(file))
    with pool.handing_out():
        allocation = pool.machine("web-01")
        ...                                    # the format asks: allocation.mac(old, ...) ...
        allocation.record("golden.xml")        # not for --dry-run, which leaves no trace

Two processes cannot give out the same value, because the ledger lets only one of them inside
``handing_out`` at a time. Derived values that are taken are counted up (``attempt``), so the answer
to a collision is the same each time; with a ledger it stays the same when
other machines are added or released.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import printable
from unclone.sanitize.identities import mac as mac_addresses
from unclone.sanitize.identities.avoidance import TEXT_LIMIT, Avoided
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.identities.hash_table import HashTable
from unclone.sanitize.identities.ledger_batch import LedgerBatch
from unclone.sanitize.identities.records import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.records import MachineRecord

#: How often a value is drawn before its range counts as used up.
ATTEMPTS = 4096
#: How many derived values are compared with what the ledger recorded for the machine.
_RECORDED_ATTEMPTS = 256
#: Where fewer values than this are possible (ports, short serials), machines have to share them.
PLENTY = 1 << 24


class Replaced(NamedTuple):
    """One old value and its new one, for the report."""

    kind: str
    field: str
    old: str
    new: str


class Allocator(Protocol):
    """What a format needs of an :class:`Allocation`: it asks for new values and makes none.

    Asked once for each old value: the run keeps the map (sanitize/definitions/identity_map.py).
    """

    def mac(self, old: str, *, oui: bytes, place: str) -> str:
        """A new MAC address instead of *old*: six lower-case octets, separated by colons.

        It begins with *oui* (three to five octets). *place* names the network card in messages,
        and tells cards from each other where addresses are derived from a key. *old* is "" for a
        card without an address of its own: then *place* alone says which card it is.
        """

    def uuid(self, old: str, *, field: str) -> str:
        """A new UUID instead of *old*, in lower case with dashes. *field* is the rule's id."""

    def token(self, old: str, *, field: str, alphabet: str) -> str:
        """A new serial number as long as *old*, of characters of *alphabet*.

        Characters of *old* that are not in *alphabet* (dashes, a fixed prefix) stay where they are.
        """

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        """A new number instead of *old*, from *low* to *high*, both included."""


class MachineAllocator(Allocator, Protocol):
    """The new identity of one machine, to be claimed and written down as well."""

    def claim(self, kind: str, value: str, *, field: str = "") -> None:
        """See :class:`Allocation`."""

    def record(self, source: str) -> None:
        """See :class:`Allocation`."""


class MachinePool(Protocol):
    """Where machines get their identities: a :class:`Pool`, or the record of one machine."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know."""

    def handing_out(self) -> AbstractContextManager[None]:
        """Everything recorded inside is kept, or nothing."""

    def machine(self, name: str) -> MachineAllocator:
        """Begin with one machine. Raises RefusedError or UsageError when it may not be."""


class Pool:
    """What is taken, for all machines of one run."""

    def __init__(
        self,
        *,
        avoided: Avoided | None = None,
        taken: HashTable | None = None,
        ledger: Ledger | None = None,
        key: bytes = b"",
    ) -> None:
        """*key* makes values derived; see :mod:`unclone.sanitize.identities.keys`.

        *taken* has pairs of kind and value that other machines have; those of this run are added.
        """
        self._avoided = avoided or Avoided()
        self._ledger = LedgerBatch(ledger) if ledger is not None else None
        self._key = key
        #: Kinds and values that the ledger does not have.
        self._taken = HashTable() if taken is None else taken
        #: Those of the last machine, until it is known which of them the ledger has.
        self._handed: set[tuple[str, str]] = set()
        self._names: set[str] = set()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the ledger and the definitions to avoid."""
        ledger = self._ledger.ledger.warning if self._ledger else ""
        cut = [
            f"only the first {TEXT_LIMIT >> 20} MiB of {printable(str(path))} were searched for "
            "identities to avoid"
            for path in self._avoided.cut
        ]
        return tuple(warning for warning in (ledger, *cut) if warning)

    @contextmanager
    def handing_out(self) -> Iterator[None]:
        """Everything recorded inside is kept, or nothing; other processes wait for the end."""
        if self._ledger is None:
            yield
        else:
            with self._ledger.transaction():
                yield

    def expect(self, names: Collection[str], claims: Collection[tuple[str, str]] = ()) -> None:
        """Say that *names* and the pairs of kind and value *claims* come next: one question."""
        if self._ledger is not None:
            self._ledger.expect(names, claims)

    def recorded(self, name: str) -> MachineRecord | None:
        """What the ledger says that the machine *name* was given."""
        return self._ledger.machine(name) if self._ledger is not None else None

    def machine(self, name: str) -> Allocation:
        """Begin with one machine. Raises when the name is taken.

        :class:`UsageError` within the run; :class:`RefusedError` in the ledger, except with a
        key: then it is the same machine again, and gets the same values.
        """
        if name in self._names:
            raise UsageError(
                f"two machines of the batch are called {printable(name)}",
                hint="Give each a name of its own.",
            )
        known = self.recorded(name)
        if known and self._ledger and not self._key:
            raise self._ledger.ledger.known(name)
        self._names.add(name)
        for each in self._handed:
            self._taken.add(each)
        self._handed.clear()
        return Allocation(
            self, IdentityGenerator(name, self._key), known.identities if known else ()
        )

    def takes(self, kind: str, value: str, machine: str) -> bool:
        """Claim *value* for *machine*; False when it is taken."""
        key = (kind, value)
        if self._is_taken(key) or self._avoided.has(kind, value):
            return False
        if self._ledger and not self._ledger.is_free(kind, value, machine):
            return False
        self._handed.add(key)
        return True

    def takes_recorded(self, kind: str, value: str) -> bool:
        """Claim what the ledger says is the machine's own; False when it was claimed already."""
        key = (kind, value)
        if self._is_taken(key):
            return False
        self._handed.add(key)
        return True

    def _is_taken(self, key: tuple[str, str]) -> bool:
        unwritten = self._ledger is not None and self._ledger.has_unwritten(key)
        return unwritten or key in self._handed or key in self._taken

    def drawn(self, what: Hashable, kind: str, draw: Callable[[int], str], attempt: int) -> str:
        """A value of *draw*, which gives others only where *what* is another."""
        if self._ledger is None or self._key:  # derived ones follow from the machine's name
            return draw(attempt)
        return self._ledger.drawn((kind, what), kind, draw)

    def write(self, name: str, source: str, identities: Iterable[Identity]) -> None:
        """Record a machine in the ledger, if there is one."""
        if self._ledger is None:
            return
        known = tuple(identities)
        self._ledger.write(name, source, known)
        self._handed.difference_update((one.kind, one.value) for one in known)


class Allocation:
    """The new identity of one machine, value by value. The same old value gets the same new one."""

    def __init__(
        self, pool: Pool, identities: IdentityGenerator, recorded: Iterable[Identity]
    ) -> None:
        """Use :meth:`Pool.machine`."""
        self._pool = pool
        self._identities = identities
        self._recorded = tuple(recorded)
        self._replaced: dict[tuple[str, str], Replaced] = {}
        self._own: set[str] = set()
        self._claimed: dict[tuple[str, str], Identity] = {}

    @property
    def replaced(self) -> tuple[Replaced, ...]:
        """Every old value and its new one, in the order they were asked for."""
        return tuple(self._replaced.values())

    @property
    def macs(self) -> Mapping[str, str]:
        """The map for guest and seed: old addresses to new ones (lower case, colons)."""
        return {one.old: one.new for one in self.replaced if one.kind == "mac" and one.old}

    def mac(self, old: str, *, oui: bytes, place: str) -> str:
        """See :class:`Allocator`."""
        known = str(mac_addresses.parse(old, place)) if old else ""
        # More octets than any range leaves open: the address takes as many as it needs.
        draw = self._identities.bytes
        return self._renewed(
            "mac",
            known,
            place,
            lambda n: mac_addresses.composed(oui, draw(f"mac {place}", 5, attempt=n)),
            space=oui,
        )

    def uuid(self, old: str, *, field: str) -> str:
        """See :class:`Allocator`."""
        draw = self._identities.uuid
        return self._renewed("uuid", old.lower(), field, lambda n: draw(field, attempt=n))

    def token(self, old: str, *, field: str, alphabet: str) -> str:
        """See :class:`Allocator`."""
        size = sum(char in alphabet for char in old)
        space = len(alphabet) ** size
        if space < 2:
            raise RefusedError(
                f"{field}: '{printable(old, 80)}' leaves nothing to renew",
                hint="Give the field a value of letters or digits, or leave it out.",
            )
        draw = self._identities.number
        return self._renewed(
            "serial" if space >= PLENTY else "",
            old,
            field,
            lambda n: _filled(old, alphabet, draw(f"token {field}", 0, space - 1, attempt=n)),
            space=alphabet,
        )

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        """See :class:`Allocator`."""
        draw = self._identities.number
        kind = f"number {field}"
        value = self._renewed(
            kind,
            str(old),
            field,
            lambda n: str(draw(kind, low, high, attempt=n)),
            space=(low, high),
            recorded=high - low >= PLENTY,
        )
        return int(value)

    def identifier(
        self, kind: str, old: str, *, field: str, draw: Callable[[IdentityGenerator, str], str]
    ) -> str:
        """A new identifier of a device instead of *old*; *draw* makes one for a field's name."""
        return self._renewed(
            kind, old, field, lambda n: draw(self._identities, f"{field} {n}" if n else field)
        )

    def claim(self, kind: str, value: str, *, field: str = "") -> None:
        """Take a value that a person chose (a MAC address, an instance-id).

        Raises :class:`RefusedError` when another machine has it.
        """
        if (kind, value) not in self._claimed:
            if not self._pool.takes(kind, value, self._identities.machine):
                raise RefusedError(
                    f"{kind} {printable(value)} for {printable(self._identities.machine)} is taken",
                    hint="Another machine of the batch, a definition to avoid or the ledger has "
                    "it. Choose another one.",
                )
            self._claimed[kind, value] = Identity(kind, value, field)

    def record(self, source: str) -> None:
        """Write everything into the ledger; *source* is what the machine is made from.

        What it was given before, by an earlier run with the same key, stays its own.
        """
        identities = {(one.kind, one.value): one for one in self._recorded} | self._claimed
        self._pool.write(self._identities.machine, source, identities.values())

    # -- helpers ---------------------------------------------------------------------------
    def _renewed(
        self,
        kind: str,
        old: str,
        field: str,
        draw: Callable[[int], str],
        *,
        space: Hashable = "",
        recorded: bool = True,
    ) -> str:
        """The new value instead of *old*.

        *kind* is "" where values only differ within the machine; not *recorded* are those that
        differ within the batch. *space* says what else than *kind*, *old* and *field* matters to
        *draw*.
        """
        key = (kind or field, old or field)
        if key not in self._replaced:
            new = self._again(kind, field, draw)
            if not new:
                new = self._drawn(kind, old, field, draw, space)
            if kind and recorded:
                self._claimed.setdefault((kind, new), Identity(kind, new, field))
            self._replaced[key] = Replaced(kind or field, field, old, new)
        return self._replaced[key].new

    def _again(self, kind: str, field: str, draw: Callable[[int], str]) -> str:
        """What the ledger says *field* was given by an earlier run with the same key, or ""."""
        before = {
            one.value: one for one in self._recorded if (one.kind, one.field) == (kind, field)
        }
        if not before:
            return ""
        for attempt in range(_RECORDED_ATTEMPTS):
            value = draw(attempt)
            if value in before and self._pool.takes_recorded(kind, value):
                return value
        return ""

    def _drawn(
        self, kind: str, old: str, field: str, draw: Callable[[int], str], space: Hashable
    ) -> str:
        what = (field, old, space)
        for attempt in range(ATTEMPTS):
            value = self._pool.drawn(what, kind, draw, attempt) if kind else draw(attempt)
            if value == old:
                continue
            if not kind and f"{field} {value}" not in self._own:
                self._own.add(f"{field} {value}")
                return value
            if kind and self._pool.takes(kind, value, self._identities.machine):
                return value
        raise RefusedError(
            f"{field}: no free value was found in {ATTEMPTS} attempts",
            hint="The range is used up: take another one (--oui), or release machines that are "
            "gone (unclone ledger --release).",
        )


def _filled(old: str, alphabet: str, number: int) -> str:
    """*old* with its characters of *alphabet* replaced by the digits of *number*."""
    new = []
    for char in old:
        if char in alphabet:
            number, digit = divmod(number, len(alphabet))
            new.append(alphabet[digit])
        else:
            new.append(char)
    return "".join(new)
