"""A NoCloud seed: up to four files that tell cloud-init who the machine is.

    >>> from seeds import Machine, Seed
    >>> seed = Seed.for_machine(Machine(hostname="web-01"))
    >>> seed.check()
    ()
    >>> seed.write("web-01.iso")  # doctest: +SKIP

References: cloud-init ``doc/rtd/reference/datasources/nocloud.rst``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from unclone.seeds import output
from unclone.seeds.checks import check_files
from unclone.seeds.errors import RefusedSeedError
from unclone.seeds.findings import blocking
from unclone.seeds.merging import NOTHING, cloud_config, combined
from unclone.seeds.output import Batch, Format, Written
from unclone.seeds.yaml_text import dump_yaml

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from unclone.seeds.findings import Finding
    from unclone.seeds.machine import Machine
    from unclone.seeds.mime import Part


@dataclass(frozen=True, slots=True)
class Seed:
    """The files of one seed. ``user_data`` and ``meta_data`` are always written; None leaves out.

    The same files give the same image, on any machine, day and time zone.
    """

    user_data: bytes = field(default=NOTHING, repr=False)
    meta_data: bytes = b""
    network_config: bytes | None = None
    vendor_data: bytes | None = field(default=None, repr=False)

    @classmethod
    def for_machine(
        cls,
        machine: Machine,
        *,
        user_data: Sequence[Part] = (),
        vendor_data: Sequence[Part] = (),
        network_config: bytes | None = None,
    ) -> Self:
        """The seed for *machine*, together with files of one's own.

        Files are kept as they are where nothing has to be added; see :mod:`unclone.seeds.merging`.
        *network_config* replaces the machine's. Raises ``SeedError`` where the
        machine and a file say different things about the same.
        """
        network = machine.network.to_yaml() if machine.network else None
        defaults = cloud_config(machine.defaults())
        return cls(
            user_data=combined(machine.cloud_config(), user_data),
            meta_data=dump_yaml(machine.meta_data()).encode(),
            network_config=network if network_config is None else network_config,
            vendor_data=combined({}, vendor_data) if vendor_data else defaults,
        )

    @property
    def files(self) -> Mapping[str, bytes]:
        """The files by the names cloud-init looks for."""
        named = {
            "user-data": self.user_data,
            "meta-data": self.meta_data,
            "network-config": self.network_config,
            "vendor-data": self.vendor_data,
        }
        return {name: content for name, content in named.items() if content is not None}

    def check(self, *, schema: bool = True) -> tuple[Finding, ...]:
        """What would make cloud-init ignore or misread this seed; empty when nothing would.

        With *schema*, cloud-init's own is applied as well.
        """
        rules = None
        if schema:
            from unclone.seeds.schema import newest  # noqa: PLC0415 (jsonschema loads slowly)

            rules = newest()
        return check_files(self.files, rules)

    def to_bytes(self, kind: Format = Format.ISO, *, timestamp: int | None = None) -> bytes:
        """The image, unchecked. *timestamp* is the date in it (Unix time; see ``output``)."""
        when = output.timestamp() if timestamp is None else timestamp
        return output.image(self.files, kind, when)

    def write(
        self,
        path: str | os.PathLike[str],
        kind: Format = Format.ISO,
        *,
        strict: bool = False,
        schema: bool = True,
        overwrite: bool = False,
    ) -> Written:
        """Check the seed and write it at *path*: complete, private (0600), and read back.

        Raises ``RefusedSeedError`` when the checks find an error (*strict*: or a warning), and
        ``SeedError`` when *path* exists (with *overwrite*: and is not a seed) or cannot be
        written; *path* then is as it was.
        """
        self.require_good(strict=strict, schema=schema)
        with Batch(overwrite=overwrite) as batch:
            return batch.add(self.files, Path(path), kind, output.timestamp())

    def require_good(self, *, strict: bool = False, schema: bool = True) -> tuple[Finding, ...]:
        """The findings, when none of them keeps the seed from being written: warnings, at most.

        Raises :class:`unclone.seeds.errors.RefusedSeedError` otherwise.
        """
        findings = self.check(schema=schema)
        stopping = blocking(findings, strict=strict)
        if stopping:
            first = stopping[0]
            more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
            raise RefusedSeedError(f"{first}{more}", first.hint, findings)
        return findings
