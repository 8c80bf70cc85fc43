"""The formats: every module in this folder has one, in ``FORMAT``. To add one, add a module."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.definitions.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.definition import Definition, Format


@cache
def all_formats() -> tuple[Format, ...]:
    """Every format, by id."""
    names = (module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    found = [importlib.import_module(name).FORMAT for name in names]
    return tuple(sorted(found, key=lambda format_: format_.id))


def format_of(source: Source) -> Format | None:
    """The format *source* looks like; None for a file that is no definition."""
    return next((each for each in all_formats() if each.detects(source.head)), None)


def read_definition(path: Path, format_id: str = "") -> Definition:
    """The definition in the file at *path*, told by its content unless *format_id* names it.

    Raises UsageError for a file that is not there, RefusedError for one that is no definition.
    """
    source = Source(path)
    if format_id:
        known = {each.id: each for each in all_formats()}
        if format_id not in known:
            raise UsageError(f"there is no format '{format_id}'", hint=f"One of {', '.join(known)}")
        return known[format_id].read(source)
    found = format_of(source)
    if found is None:
        titles = ", ".join(each.title for each in all_formats())
        raise RefusedError(
            f"{source.shown} is not the definition of a VM in a format that is known",
            hint=f"Known are: {titles}.",
        )
    return found.read(source)
