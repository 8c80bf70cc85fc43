"""Whether an image takes a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from unclone.cli.render.tables import plain

if TYPE_CHECKING:
    from rich.console import Console

    from unclone.runs.seed_check import Readiness


def show_readiness(out: Console, found: Readiness) -> None:
    """The verdict, and what keeps cloud-init in the image from using the seed."""
    verdict = "would ignore the seed" if found.status else "takes a seed"
    if found.obstacles and not found.status:
        verdict += ", but not everything in it"
    out.print(plain(found.image, "bold") + plain(f": {found.guest}, {verdict}"), soft_wrap=True)
    for each in found.obstacles:
        mark = Text("  ! ", "red") if each.whole else Text("  · ", "yellow")
        place = f" ({each.path})" if each.path else ""
        out.print(mark + plain(f"{each.meaning}{place}"), soft_wrap=True)
        out.print(plain(f"    {each.remedy}"), style="dim", soft_wrap=True)
