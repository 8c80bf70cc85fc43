"""What ``unclone inspect`` saw in an image: identities first, then the disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.cli.render import inventory
from unclone.cli.render.page import count
from unclone.cli.render.report import guest_line, show_changes, show_notes, show_timings
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from unclone.cli.render.page import Page
    from unclone.sanitize.report import Inspection


def show_inspection(page: Page, found: Inspection, *, verbose: bool, plan: bool) -> None:
    """What is in one image; *plan* for what ``sanitize`` would do."""
    size = f"{found.virtual_size / 2**30:.1f} GiB"
    page.headline(found.image, f": {found.format}, {size} ({found.engine} engine)")
    page.line(guest_line(found.guest))
    inventory.show_identities(page, found.inventory, _other_machine_ids(found))
    _show_file_systems(page, found)
    if verbose:
        page.field(
            "identifiers", [f"{each.kind} {each.device} {each.value}" for each in found.identifiers]
        )
    else:
        disks = [i for i in found.identifiers if str(i.kind) in {"disk-guid", "mbr-disk-id"}]
        page.field("disks", [f"{each.kind} {each.device} {each.value}" for each in disks])
    inventory.show_optional_steps(page, found.inventory, verbose=verbose)
    inventory.show_told(page, found.inventory, verbose=verbose)
    show_notes(page, () if not plan else found.plan.notes, found.warnings, verbose=plan)
    if plan:
        kept = [n.text for n in found.plan.notes if n.level is Level.KEPT]
        page.field("kept", kept, fg="magenta")
        show_changes(page, found.plan.changes, {}, verbose=verbose)
    if found.refusal:
        page.field("refused", [f"by `unclone sanitize`: {found.refusal}"], fg="red")
        return
    steps = len({change.step for change in found.plan.changes})
    changes = count(len(found.plan.changes), "change")
    more = "" if plan else "; --plan shows them"
    page.line(f"`unclone sanitize` would make {changes} in {count(steps, 'step')}{more}")
    if verbose:
        show_timings(page, found.timings.items())


def _other_machine_ids(found: Inspection) -> list[str]:
    """Those that the plan takes from elsewhere than the two files: a kernel command line."""
    known = {each.id for each in found.inventory.machine_ids}
    retired = [each.value for each in found.plan.retired if each.kind == "machine-id"]
    return [f"{value} (in the boot configuration)" for value in retired if value not in known]


def _show_file_systems(page: Page, found: Inspection) -> None:
    mounts = {m.device: m.mount_point for m in reversed(found.guest.layout.mounts_in_order)}
    rows = [
        (fs.device, fs.type, mounts.get(fs.device, ""), fs.uuid, fs.partition_uuid, fs.label)
        for fs in found.file_systems
    ]
    page.line("file systems:", bold=True)
    headings = ("device", "type", "mounted at", "UUID", "partition UUID", "label")
    page.table(headings, rows, indent=4)
