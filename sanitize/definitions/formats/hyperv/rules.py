"""No fields: Hyper-V's own files are refused, and only Hyper-V makes another machine of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unclone.sanitize.definitions.rule import Rule

RULES: tuple[Rule, ...] = ()
