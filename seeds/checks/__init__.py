"""What would make cloud-init ignore or misread a seed, found before it is written.

Each module looks at one file. ``docs/seeds.md`` has the table of what they find.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from unclone.seeds.checks import meta_data, network_config, user_data
from unclone.seeds.checks.guard import guarded
from unclone.seeds.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.seeds.schema import Schema

#: cloud-init copies user-data to /var/lib/cloud several times, and has it in memory at once.
LARGE = 1024 * 1024

_REQUIRED = ("user-data", "meta-data")


def check_files(files: Mapping[str, bytes], schema: Schema | None) -> tuple[Finding, ...]:
    """Everything that is wrong with the *files* of a seed, in the order of files and lines.

    *schema* is cloud-init's own; without it only our own rules are applied.
    """
    found = set(_findings(files, schema))
    told = {(f.file, f.line, f.column) for f in found if f.code != "schema"}
    # Where a check of ours has something to say, the schema says the same with fewer words.
    kept = {f for f in found if f.code != "schema" or (f.file, f.line, f.column) not in told}
    return tuple(sorted(kept, key=_order))


@lru_cache(maxsize=8)
def _user_data(name: str, content: bytes, schema: Schema | None) -> tuple[Finding, ...]:
    """What is wrong with user-data or vendor-data, which many machines may have in common."""
    return tuple(guarded(name, partial(user_data.check, name, content, schema)))


def _order(finding: Finding) -> tuple[str, int, int, str]:
    return (finding.file, finding.line, finding.column, finding.code)


def _findings(files: Mapping[str, bytes], schema: Schema | None) -> Iterator[Finding]:
    for name in _REQUIRED:
        if name not in files:
            yield Finding(
                name,
                0,
                0,
                Severity.ERROR,
                "missing-file",
                "the file is missing, and without it cloud-init skips the whole seed",
                "It may be empty.",
            )
    for name, content in sorted(files.items()):
        if len(content) > LARGE:
            yield Finding(
                name,
                0,
                0,
                Severity.WARNING,
                "large",
                f"{len(content):,} bytes; several platforms take less, and every boot reads it",
                "Put large content on a disk or a server, and fetch it.",
            )
        if name in {"user-data", "vendor-data"}:
            yield from _user_data(name, content, schema)
    yield from guarded("meta-data", partial(meta_data.check, files.get("meta-data")))
    network = files.get("network-config")
    yield from guarded("network-config", partial(network_config.check, network, schema))
