"""New identities in a fixed order: the same for every run of a test."""

from __future__ import annotations


class Counting:
    """The first of each kind is 1, the next 2; so a golden file can say what was asked when."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def mac(self, old: str, *, oui: bytes, place: str) -> str:
        number = self._count("mac", old or place)
        return ":".join(f"{octet:02x}" for octet in (*oui, *number.to_bytes(6 - len(oui), "big")))

    def uuid(self, old: str, *, field: str) -> str:
        return f"c10e0000-0000-4000-8000-{self._count('uuid', old):012x}"

    def token(self, old: str, *, field: str, alphabet: str) -> str:
        number = self._count("token", old)
        digits = [c for c in old if c in alphabet]
        new = list(f"{number:0{len(digits)}d}"[-len(digits) :]) if digits else []
        return "".join(new.pop(0) if c in alphabet else c for c in old)

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        return low + self._count("number", str(old)) % (high - low + 1)

    def _count(self, kind: str, old: str) -> int:
        assert (kind, old) not in self.asked, "the identity map asks once per old value"
        self.asked.append((kind, old))
        return sum(each == kind for each, _ in self.asked)
