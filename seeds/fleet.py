"""One seed or a thousand: made one after the other, checked, and written together or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.seeds import output
from unclone.seeds.checks import check_files
from unclone.seeds.checks.guard import guarded
from unclone.seeds.contents import no_login
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import blocking
from unclone.seeds.output import Format, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from unclone.seeds.blueprint import Blueprint, Row
    from unclone.seeds.findings import Finding
    from unclone.seeds.machine import Machine
    from unclone.seeds.schema import Schema
    from unclone.seeds.seed import Seed


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one machine's seed."""

    machine: Machine
    path: Path
    sizes: Mapping[str, int]  # of the files in it, in bytes
    findings: tuple[Finding, ...]
    #: Whether the checks stopped it. Then nothing was written for any machine.
    refused: bool
    #: What was made of it; to be believed only when no result is refused.
    written: Written | None = None


def write_fleet(
    blueprint: Blueprint,
    rows: Iterable[Row],
    name: Callable[[Machine], Path],
    kind: Format = Format.ISO,
    *,
    strict: bool = False,
    schema: bool = True,
    dry_run: bool = False,
    overwrite: bool = False,
    durable: bool = True,
) -> tuple[Result, ...]:
    """Make the seed of every row and write it at the path *name* gives it.

    When one is refused by the checks, none is written, and every result tells its findings.
    Raises :class:`SeedError` when a seed cannot be made at all, when two machines claim one name,
    instance-id, MAC or IP address, and when there is a seed already that *overwrite* does not
    give up. Holds one seed in memory at a time. Without *durable* the caller
    flushes what was written.
    """
    when, rules = output.timestamp(), rules_for(blueprint, schema=schema)
    claims, results = _Claims(), []
    refused = False
    with output.Batch(overwrite=overwrite, durable=durable) as batch:
        for row in rows:
            machine, seed = blueprint.seed(row)
            claims.add(row.where or machine.name or machine.identity, machine)
            findings = findings_of(seed, rules)
            stopped = bool(blocking(findings, strict=strict))
            refused |= stopped
            path = name(machine)
            output.require_free(path, kind, overwrite=overwrite)
            written = None
            if not refused and not dry_run:
                written = batch.add(seed.files, path, kind, when)
            sizes = {file: len(content) for file, content in seed.files.items()}
            results.append(Result(machine, path, sizes, findings, stopped, written))
        if refused:
            batch.discard()
    return tuple(results)


def rules_for(blueprint: Blueprint, *, schema: bool) -> Schema | None:
    """cloud-init's own schema, if it is wanted, and files are to be checked.

    What options alone add up to follows it, and jsonschema takes longer to load than all the rest.
    """
    files = (blueprint.user_data, blueprint.templates, blueprint.vendor_data)
    if not schema or not (any(files) or blueprint.network_config):
        return None
    from unclone.seeds.schema import newest  # noqa: PLC0415

    return newest()


def findings_of(seed: Seed, rules: Schema | None) -> tuple[Finding, ...]:
    """What its checks say, and whether anybody can log in by it."""
    login = guarded("user-data", lambda: no_login(seed.files))
    return (*check_files(seed.files, rules), *login)


class _Claims:
    """What every machine must have for itself."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str], str] = {}

    def add(self, where: str, machine: Machine) -> None:
        own = {("instance-id", machine.identity)}
        if machine.name:
            own.add(("name", machine.name.lower()))
        for interface in machine.network.interfaces if machine.network else ():
            if interface.mac:
                own.add(("MAC address", interface.mac))
            own |= {("address", address.split("/")[0].lower()) for address in interface.addresses}
        for what, value in sorted(own):
            if (what, value) in self._owners:
                raise SeedError(
                    f"{where}: the {what} {value} is that of {self._owners[what, value]} already",
                    hint="Give each machine its own.",
                )
            self._owners[what, value] = where
