"""The options for the steps, from the values that a person gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.options import (
    HOST_NAME,
    HOST_NAME_LENGTH,
    SSH_HOST_KEYS,
    UUIDS,
    Options,
    Profile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What may be said of the machine-id, besides an id of 32 hexadecimal digits.
MACHINE_IDS = ("auto", "remove", "empty", "uninitialized", "random")


def make_options(
    *,
    profile: str = "identity",
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
    machine_id: str = "auto",
    ssh_host_keys: str = "auto",
    uuids: str = "renew",
    strict: bool = False,
    hostname: str = "",
    catalogues: Sequence[str] = (),
    key: bytes = b"",
) -> Options:
    """The options. Raises UsageError for a value, or the name of a step, that does not exist."""
    for name, value, known in (
        ("profile", profile, [str(each) for each in Profile]),
        ("ssh_host_keys", ssh_host_keys, SSH_HOST_KEYS),
        ("uuids", uuids, UUIDS),
    ):
        if value not in known:
            raise UsageError(f"{name}: '{printable(value, 80)}' is none of {', '.join(known)}")
    enabled, disabled = frozenset(enable), frozenset(disable)
    if enabled or disabled:
        from unclone.sanitize.step_selection import all_steps  # noqa: PLC0415 (reads the catalogue)

        steps = [step.info.id for step in all_steps(Options(catalogues=tuple(catalogues)))]
        for name in sorted((enabled | disabled) - set(steps)):
            raise UsageError(unknown_step(name, steps))
    for name in sorted(enabled & disabled):
        raise UsageError(f"{name} cannot be enabled and disabled at once")
    if hostname and "hostname" in disabled:
        raise UsageError("a host name cannot be given and its step disabled at once")
    return Options(
        profile=Profile(profile),
        enable=enabled,
        disable=disabled,
        machine_id=parse_machine_id(machine_id),
        ssh_host_keys=ssh_host_keys,
        uuids=uuids,
        identities=IdentityGenerator(key=key),
        strict=strict,
        hostname=parse_host_name(hostname) if hostname else "",
        catalogues=tuple(catalogues),
    )


def parse_machine_id(text: str) -> str:
    """One of :data:`MACHINE_IDS`, or an id in lower case. Raises UsageError."""
    if text in MACHINE_IDS:
        return text
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text) or set(text) == {"0"}:
        known = ", ".join(MACHINE_IDS)
        raise UsageError(f"'{printable(text)}' is none of {known}, nor 32 hexadecimal digits")
    return text.lower()


def parse_host_name(text: str) -> str:
    """A host name or FQDN, without the dot at its end. Raises UsageError."""
    from unclone.seeds.names import host_name_problem  # noqa: PLC0415 (only where a name is given)

    name = text.removesuffix(".")
    problem = host_name_problem(name)
    if not problem and len(name) > HOST_NAME_LENGTH:
        problem = f"it is longer than the {HOST_NAME_LENGTH} characters that Linux takes"
    if not problem and (name.lower().startswith("localhost") or not HOST_NAME.fullmatch(name)):
        problem = "every machine is called so, or none"
    if problem:
        raise UsageError(f"'{printable(text, 80)}' cannot be a host name: {problem}")
    return name


def unknown_step(name: str, known: list[str]) -> str:
    """The message for a step that does not exist, with the nearest that do."""
    import difflib  # noqa: PLC0415 (only for a mistake)

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near += [each for each in known if name and name in each and each not in near]
    guess = f"did you mean {' or '.join(near[:3])}?" if near else "`unclone steps` lists them."
    return f"there is no step called '{printable(name)}'; {guess}"
