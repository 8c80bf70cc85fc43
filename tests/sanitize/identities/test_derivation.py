"""Values are random without a key, and with one the same for the same question."""

from __future__ import annotations

import uuid

import pytest

from unclone.sanitize.identities.derivation import IdentityGenerator

RANDOM = IdentityGenerator("web-01")
DERIVED = IdentityGenerator("web-01", b"a pipeline's key")


def test_random_values_differ() -> None:
    assert RANDOM.uuid("root") != RANDOM.uuid("root")
    assert uuid.UUID(RANDOM.uuid("root")).version == 4


def test_derived_values_are_the_same_again() -> None:
    again = IdentityGenerator("web-01", b"a pipeline's key")
    # Written down: a later version that derives anything else makes pipelines' machines change.
    assert DERIVED.uuid("root") == again.uuid("root") == "de531120-63e5-8810-85ec-a40ca98f959b"
    assert uuid.UUID(DERIVED.uuid("root")).version == 8
    assert uuid.UUID(DERIVED.uuid("root")).variant == uuid.RFC_4122


@pytest.mark.parametrize(
    "other",
    [
        IdentityGenerator("web-02", b"a pipeline's key"),
        IdentityGenerator("web-01", b"another key"),
        IdentityGenerator("web-0", b"a pipeline's key"),
    ],
    ids=["machine", "key", "prefix"],
)
def test_another_machine_or_key_gives_another_value(other: IdentityGenerator) -> None:
    assert DERIVED.uuid("1root") != other.uuid("1root")


def test_another_field_or_attempt_gives_another_value() -> None:
    values = {DERIVED.uuid("root"), DERIVED.uuid("swap"), DERIVED.uuid("root", attempt=1)}
    assert len(values) == 3
    assert IdentityGenerator("ab", b"k").uuid("c") != IdentityGenerator("a", b"k").uuid("bc")


@pytest.mark.parametrize("identities", [RANDOM, DERIVED], ids=["random", "derived"])
def test_lengths_and_bounds(identities: IdentityGenerator) -> None:
    assert [len(identities.bytes("f", n)) for n in (0, 1, 32, 33, 100)] == [0, 1, 32, 33, 100]
    drawn = {identities.number(f"f{n}", 3, 6) for n in range(200)}
    assert drawn == {3, 4, 5, 6}
    assert identities.number("f", 7, 7) == 7


def test_the_key_is_not_shown() -> None:
    assert "pipeline" not in repr(DERIVED)
