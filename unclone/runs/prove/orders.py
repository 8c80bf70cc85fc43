"""What ``sanitize --prove`` and ``clone --prove`` prove: the result, with what belongs to it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.runs.clone.batch import RECORD
from unclone.runs.clone.definition_files import SEED
from unclone.runs.prove.run import Order
from unclone.sanitize.definitions.formats.table import format_of
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from unclone.runs.clone.making import Machine
    from unclone.runs.request import Request
    from unclone.sanitize.report import Report

_DISK = re.compile(r"disk(?:-(\d+))?\.")


def of_report(request: Request, report: Report, definition: Path | None = None) -> Order:
    """To prove what *request* made, who *report* says it is."""
    first, *others = request.outputs or [disk.path for disk in request.disks]
    form = "" if request.outputs else request.format
    made = replace(request, image=first, add_disks=tuple(others), outputs=(), format=form)
    return Order(made, definition=definition, report=report.to_json())


def of_machine(request: Request, machine: Machine) -> Order:
    """To prove a *machine*; how its image is opened is as in *request*."""
    disks = {int(match[1] or 1): name for name in machine.files if (match := _DISK.match(name))}
    first, *others = (machine.path / disks[number] for number in sorted(disks))
    made = replace(
        request,
        image=first,
        add_disks=tuple(others),
        format="",
        allow=(*request.allow, *(Path(path).parent for path in machine.backing)),
    )
    rest = set(machine.files) - {*disks.values(), SEED, RECORD}
    definitions = [
        p for p in (machine.path / name for name in sorted(rest)) if format_of(Source(p))
    ]
    return Order(
        made,
        definition=definitions[0] if definitions else None,
        seed=machine.path / SEED if SEED in machine.files else None,
        report=machine.report.to_json() if machine.report else None,
    )
