r"""EFI programs: unified kernel images (their ``.cmdline``) and GRUB images with a built-in search.

Unsigned ones are patched in place. A signature covers every section, so what a signed program
refers to is kept; so is what an initrd inside a unified kernel image refers to, because nothing
can be appended to a section.

References: UAPI Group, "Unified Kernel Image"; systemd-stub(7); grub-mkimage(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.change import StepPlan
from unclone.sanitize.references.initrd import referred, unread
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.facts import Facts
    from unclone.sanitize.renewal import Renewals
    from unclone.sanitize.step import PlanningContext

_REBUILD = "Rebuild and sign it in the guest for the new identifier, or boot without it."


class EfiPrograms:
    """Every EFI program of the guest that may have an identifier built in."""

    info = StepInfo(
        id="efi-programs",
        title="identifiers built into EFI programs",
        why="a unified kernel image has root=UUID= inside, and GRUB what it searches for",
        sources=(
            "https://uapi-group.org/specifications/specs/unified_kernel_image/",
            "systemd-stub(7)",
            "grub2: util/grub-install.c",
        ),
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """What signed programs refer to, and initrds inside of programs."""
        return tuple(self._blockers(context.facts, context.renewals))

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each unsigned program that refers to something renewed."""
        changes = []
        for path, program in context.facts.efi_programs.items():
            if program.fixed:  # what it refers to is kept
                continue
            found = context.renewals.rewriter.found(program.configured)
            if found:
                changes.append(rewrite(self.info, path, found, "patch-efi-program"))
        return StepPlan(tuple(changes))

    def _blockers(self, facts: Facts, candidates: Renewals) -> Iterator[Blocker]:
        rewriter = candidates.rewriter
        for path, program in facts.efi_programs.items():
            if program.fixed:
                for renewal in rewriter.found(program.configured):
                    why = f"{printable(path)} {program.fixed} and refers to it"
                    yield Blocker(renewal, why, _REBUILD)
            for initrd in program.initrds:
                found = initrds.look_into(initrd, rewriter.needles)
                inside = f"the initrd inside {printable(path)}"
                yield from unread(inside, found, candidates.renewed)
                for renewal in referred(found, rewriter, candidates.renewed):
                    yield Blocker(renewal, f"{inside} refers to it", _REBUILD)


REFERENCE = EfiPrograms()
