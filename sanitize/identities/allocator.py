"""Where new identities come from: the interface between the formats and whoever hands them out.

A format asks for a new value and never makes one up. Whoever answers makes sure that it is unlike
every value it must be unlike (the ledger, the definitions to avoid, the others of the batch), and
may derive it from a key instead of from chance.
"""

from __future__ import annotations

from typing import Protocol


class Allocator(Protocol):
    """Hands out new identities. Asked once per old value: the run keeps the map (identities.py)."""

    def mac(self, old: str, *, oui: bytes, place: str) -> str:
        """A new MAC address instead of *old*: six lower-case octets, separated by colons.

        It begins with *oui* (three octets). *place* names the network card for a person, and tells
        cards from each other where addresses are derived from a key.
        """

    def uuid(self, old: str, *, field: str) -> str:
        """A new UUID instead of *old*, in lower case with dashes. *field* is the row's id."""

    def token(self, old: str, *, field: str, alphabet: str) -> str:
        """A new serial number as long as *old*, of characters of *alphabet*.

        Characters of *old* that are not in *alphabet* (dashes, a fixed prefix) stay where they are.
        """

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        """A new number instead of *old*, from *low* to *high*, both included."""
