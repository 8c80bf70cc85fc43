"""What ``unclone inspect`` saw in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding

from unclone.cli.render import count, new_table, plain
from unclone.cli.render.report import guest_line, show_changes, show_notes, show_timings

if TYPE_CHECKING:
    from rich.console import Console

    from unclone.sanitize.report import Inspection


def show_inspection(out: Console, found: Inspection, *, verbose: bool) -> None:
    """What ``inspect`` saw in one image."""
    size = f"{found.virtual_size / 2**30:.1f} GiB"
    out.print(plain(found.image, "bold") + plain(f": {found.format}, {size}"))
    out.print(plain(f"  {guest_line(found.guest)}"))
    mounts = {m.device: m.mount_point for m in reversed(found.guest.layout.mounts_in_order)}
    table = new_table("device", "type", "mounted at", "UUID", "partition UUID", "label")
    for fs in found.file_systems:
        row = (fs.device, fs.type, mounts.get(fs.device, ""), fs.uuid, fs.partition_uuid, fs.label)
        table.add_row(*map(plain, row))
    out.print(Padding(table, (1, 0, 0, 2), expand=False))
    if verbose and found.identifiers:
        table = new_table("identifier", "device", "value")
        for each in found.identifiers:
            table.add_row(plain(each.kind), plain(each.device), plain(each.value))
        out.print(Padding(table, (0, 0, 0, 2), expand=False))
    if found.plan.retired:
        table = new_table("identity", "value")
        for retired in found.plan.retired:
            table.add_row(plain(retired.kind), plain(retired.value[:64]))
        out.print(Padding(table, (0, 0, 0, 2), expand=False))
    show_changes(out, found.plan.changes, {}, verbose=verbose)
    show_notes(out, found.plan.notes, found.warnings)
    changes, steps = len(found.plan.changes), len({c.step for c in found.plan.changes})
    out.print(
        f"  `unclone sanitize` would make {count(changes, 'change')} in {count(steps, 'step')}"
    )
    if verbose:
        show_timings(out, found.timings.items())
