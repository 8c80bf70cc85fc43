"""Network cards whose address is not said: QEMU counts them from 52:54:00:12:34:56 in each machine.

Two such machines on one network have the same addresses, so the new one's are written down.

References: QEMU net/net.c (qemu_macaddr_default_if_unset); hw/net for the cards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.formats.qemu.options import Option
    from unclone.sanitize.definitions.formats.qemu.words import Char, Word
    from unclone.sanitize.definitions.rule import Rule

#: QEMU's own range, which libvirt and virt-install use too.
PREFIX = bytes.fromhex("525400")
FIRST = 0x525400123456

#: The network cards that QEMU emulates besides virtio's.
EMULATED = frozenset(
    (
        *("e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "igb", "rtl8139"),
        *("pcnet", "ne2k_pci", "ne2k_isa", "tulip", "vmxnet3", "usb-net"),
        *("i82550", "i82551", "i82557a", "i82557b", "i82557c", "i82558a", "i82559a", "i82559c"),
        *("i82559er", "i82562", "i82801"),
    )
)
_KEYS = {"device": "mac", "nic": "mac", "net": "macaddr"}
_DEFAULT = (
    "no network card is named, so QEMU adds one with the address 52:54:00:12:34:56, as to every "
    "machine: say -nic none, or -nic user,mac=ADDRESS"
)


def mac_rule(rules: Iterable[Rule]) -> Rule:
    """The rule of MAC addresses."""
    return next(rule for rule in rules if rule.id == "mac")


def unaddressed(machine: MachineOptions, rule: Rule) -> Iterator[Field | Note]:
    """A field for each card without an address, which adds one; a note where that cannot be."""
    cards = [option for option in machine.options if is_card(option)]
    said = {p.value.lower().replace("-", ":") for o in cards for p in o.pairs if p.key in _MACS}
    free = (address for n in range(256) if (address := _address(FIRST + n)) not in said)
    # Those of -nic and -net are counted before those of -device.
    for option in sorted(cards, key=lambda option: option.name == "device"):
        if option.get(*_MACS):
            continue
        address = next(free, "")
        place = f"{option.place} {_KEYS[option.name]}"
        added = _end(option)
        if added is None or not address:
            message = f"{place}: QEMU chooses {address}, as for every machine: say another"
            yield Note(rule.id, Level.WARNING, printable(message, 300))
        else:
            at, spell = added
            label = machine.label(option)
            yield Field(rule, place, address, at, at, spell, label=label, prefix=PREFIX)
    networks = ("nic", "net", "netdev")
    named = cards or any(o.name in (*networks, "nodefaults", "readconfig") for o in machine.options)
    if not named and machine.starts:
        yield Note(rule.id, Level.INFO, _DEFAULT)


def is_card(option: Option) -> bool:
    """Whether the option makes a network card."""
    driver = option.get("driver")
    match option.name:
        case "device":
            return driver in EMULATED or driver.startswith("virtio-net")
        case "nic":
            return option.get("type") != "none"
        case "net":
            return option.get("type") == "nic"
        case _:
            return False


_MACS = ("mac", "macaddr")


def _address(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _end(option: Option) -> tuple[int, Callable[[str], str]] | None:
    """Where the option takes another key, and what is written there."""
    key = _KEYS[option.name]
    word = option.argument
    if word is None:  # a group of a -readconfig file
        last = option.pairs[-1].place() if option.pairs else None
        if last is None or option.pairs[-1].key == "id":
            return None
        return last.end + 1, lambda new: f'\n  {key} = "{new}"'
    if word.value.startswith("{") or not word.chars or not word.chars[-1].char:
        return None
    comma = "" if word.value.endswith(",") and not word.value.endswith(",,") else ","
    return _behind(word), lambda new: f"{comma}{key}={new}"


def _behind(word: Word) -> int:
    """Behind the last character of a word: in the variable that all of it comes from, if any."""
    chars: tuple[Char, ...] = word.chars
    while all(c.origin is not None for c in chars) and len({c.start for c in chars}) == 1:
        chars = tuple(c.origin for c in chars if c.origin is not None)
    return chars[-1].end
