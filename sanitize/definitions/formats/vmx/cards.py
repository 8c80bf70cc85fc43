"""Network cards of a .vmx: which address is in use, and how it becomes a static one.

References: VMware knowledge base 219: VMware takes only 00:50:56:00:00:00 to 00:50:56:3f:ff:ff as
static addresses, unless checkMACAddress is "false".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.definition import Card, Field
from unclone.sanitize.definitions.formats.vmx import rules
from unclone.sanitize.definitions.text.lines import line_ending
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from unclone.sanitize.definitions.formats.vmx.settings import Setting
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

PREFIX = bytes.fromhex("005056")
_LAST_STATIC = 0x3F
_CARD = re.compile(r"(ethernet\d{1,3})\..*")


def card_fields(source: Source, settings: Mapping[str, Setting]) -> Iterator[Field]:
    """The fields of every card."""
    for card in _cards(settings):
        yield from _fields(source, settings, card)


def machine_cards(settings: Mapping[str, Setting]) -> Iterator[Card]:
    """The cards that are present."""
    for card in sorted(_cards(settings), key=lambda card: int(card.removeprefix("ethernet"))):
        present = settings.get(f"{card}.present")
        if present is None or present.value.lower() != "false":
            used, _ = _used(settings, card)
            yield Card(card, used.value if used else "")


def _cards(settings: Mapping[str, Setting]) -> Iterable[str]:
    return dict.fromkeys(found[1] for name in settings if (found := _CARD.fullmatch(name)))


def _used(settings: Mapping[str, Setting], card: str) -> tuple[Setting | None, Setting | None]:
    """The address that is in use, and the one that is not."""
    kind = settings.get(f"{card}.addresstype")
    given = settings.get(f"{card}.address")
    generated = settings.get(f"{card}.generatedaddress")
    is_static = (kind.value.lower() if kind else "generated") == "static"
    return (given, generated) if is_static else (generated, given)


def _fields(source: Source, settings: Mapping[str, Setting], card: str) -> Iterator[Field]:
    kind = settings.get(f"{card}.addresstype")
    used, unused = _used(settings, card)
    if unused is not None:
        yield _plain(rules.MAC_UNUSED, unused)
    if used is not None and used.value:
        yield _address(source, settings, card, used)
        if kind is not None:
            yield _plain(rules.MAC_TYPE, kind, to="static")
    offset = settings.get(f"{card}.generatedaddressoffset")
    if offset is not None:
        yield _plain(rules.MAC_OFFSET, offset)
    check = settings.get(f"{card}.checkmacaddress")
    if check is not None:
        yield _plain(rules.MAC_CHECK, check)


def _address(source: Source, settings: Mapping[str, Setting], card: str, used: Setting) -> Field:
    """The address in use; its field is all of the setting, because the name may change."""
    start = used.whole[0]
    end = used.line_end
    return Field(
        rules.MAC,
        used.name,
        used.value,
        start,
        end,
        _spelling(source, settings, card, used),
        label=card,
        prefix=PREFIX,
    )


def _spelling(
    source: Source, settings: Mapping[str, Setting], card: str, used: Setting
) -> Callable[[str], str]:
    def spell(new: str) -> str:
        text, name = source.text, used.name
        at = text.index(name, used.whole[0])
        prefix, _, last = name.partition(".")
        message = (
            text[used.whole[0] : at]
            + (name if last.lower() == "address" else f"{prefix}.address")
            + text[at + len(name) : used.start]
            + used.spell(new)
            + text[used.end : used.line_end]
        )
        added = []
        if f"{card}.addresstype" not in settings:
            added.append(f'{prefix}.addressType = "static"')
        if not _is_vmwares(new) and _must_say(settings.get(f"{card}.checkmacaddress"), new):
            added.append(f'{prefix}.checkMACAddress = "false"')
        return line_ending(text).join([message, *added])

    return spell


def _must_say(check: Setting | None, new: str) -> bool:
    if check is not None and check.value.lower() != "false":
        raise RefusedError(
            f"VMware would refuse {new} because of {check.name}",
            hint="Leave out --oui, or take that setting out of the source first.",
        )
    return check is None


def _is_vmwares(address: str) -> bool:
    octets = addresses.parse(address).octets
    return octets.startswith(PREFIX) and octets[3] <= _LAST_STATIC


def _plain(rule: Rule, setting: Setting, *, to: str = "") -> Field:
    return Field(
        rule,
        setting.name,
        setting.value,
        setting.start,
        setting.end,
        setting.spell,
        removal=setting.whole,
        to=to,
    )
