"""When a match of a rule is a field, and which part of the value is.

References: qemu(1) on -chardev, -serial (character devices in the old spelling), -vnc and -netdev
user,hostfwd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.formats.qemu.machine_options import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.formats.qemu.options import Option, Pair

#: Rules whose values are never shown.
SECRETS = frozenset(
    {"secret", "smbios-text", "firmware-configuration", "kernel-arguments"}  # systemd credentials
)

_STREAM_PATH = re.compile(r"(?:mon:)?(unix|file|pipe):([^,]+)")
_STREAM_PORT = re.compile(r"(?:mon:)?(?:tcp|telnet|tn3270|websocket):(?:\[[^\]]*\]|[^:,]*):(\d+)")
_DISPLAY = re.compile(r"(?:\[[^\]]*\]|[^:]*):(\d+)")
_FORWARD = re.compile(r"(?:tcp|udp)?:[^:]*:(\d+)-")
_FORWARD_SOCKET = re.compile(r"unix:(.+)-[^-]*:\d+")
_LISTEN = re.compile(r"(?:\[[^\]]*\]|[^:]*):(\d+)")
#: What of the kernel's arguments is one machine's own: an address, a name, a disk by its id.
_OWN_ARGUMENT = re.compile(r"(?:^|\s)(?:ip=\S*[\d:]\S*|hostname=|systemd\.hostname=|\S*UUID=)")


def spans(
    rule: str, machine: MachineOptions, option: Option, pair: Pair
) -> Iterator[tuple[int, int]]:
    """The parts of the value of *pair* that are fields of the rule: the whole, most often."""
    if not pair.value:
        return
    part = _PARTS.get(rule)
    if part is not None:
        yield from part(option, pair.value)
        return
    condition = _CONDITIONS.get(rule)
    if condition is None or condition(machine, option, pair):
        yield 0, len(pair.value)


def _stream(*kinds: str) -> Callable[[Option, str], Iterator[tuple[int, int]]]:
    def find(_option: Option, value: str) -> Iterator[tuple[int, int]]:
        found = _STREAM_PATH.match(value)
        if found and found[1] in kinds:
            yield found.span(2)

    return find


def _stream_port(option: Option, value: str) -> Iterator[tuple[int, int]]:
    """The port stays where the other end listens."""
    found = _STREAM_PORT.match(value)
    message = value.split(",")[1:]
    listens = option.name == "gdb" or {"server", "server=on"} & set(message)
    if found and listens:
        yield found.span(1)


def _display(option: Option, value: str) -> Iterator[tuple[int, int]]:
    """A display that QEMU does not look for itself (to=), and that no viewer listens at."""
    found = _DISPLAY.fullmatch(value)
    if found and not value.startswith("unix:") and not option.get("to") and not _reversed(option):
        yield found.span(1)


def _reversed(option: Option) -> bool:
    return option.is_on("reverse")


def _display_socket(option: Option, value: str) -> Iterator[tuple[int, int]]:
    if option.name == "spice":
        if option.is_on("unix"):
            yield 0, len(value)
    elif value.startswith("unix:"):
        yield len("unix:"), len(value)


def _forwarded(_option: Option, value: str) -> Iterator[tuple[int, int]]:
    found = _FORWARD.match(value)
    if found and found[1] != "0":
        yield found.span(1)


def _socket(option: Option, value: str) -> Iterator[tuple[int, int]]:
    """Of a forwarded port only the host's end, when that is a socket."""
    if option.name == "chardev" and option.get("backend", "backend.type") != "socket":
        return
    if found := _FORWARD_SOCKET.fullmatch(value):
        yield found.span(1)
    elif not _FORWARD.match(value):
        yield 0, len(value)


def _listening(_option: Option, value: str) -> Iterator[tuple[int, int]]:
    found = _LISTEN.fullmatch(value)
    if found and found[1] != "0":
        yield found.span(1)


def _own_disk(machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    return not (_shared_disk(machine, option, _pair) or machine.is_flash(option))


def _shared_disk(machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    alone = machine.is_read_only(option) or machine.is_removable(option)
    return alone and not machine.is_flash(option)


def _variables(machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    """A chip that is written to; the first of -pflash is the firmware itself."""
    first = option.name == "pflash" and option.number == 1
    return machine.is_flash(option) and not machine.is_read_only(option) and not first


def _is_number(_machine: MachineOptions, _option: Option, pair: Pair) -> bool:
    return pair.value.isdigit() and pair.value != "0"


def _local_port(machine: MachineOptions, option: Option, pair: Pair) -> bool:
    if not _is_number(machine, option, pair):
        return False
    return pair.key == "localport" or machine.is_server(option)


def _is_file(_machine: MachineOptions, option: Option, pair: Pair) -> bool:
    kind = option.get("backend", "backend.type")
    if option.name == "object":
        return option.get("qom-type") == "filter-dump"
    return option.name == "audiodev" or pair.key == "logfile" or kind in ("file", "pipe", "pty")


def _own_network_name(_machine: MachineOptions, option: Option, pair: Pair) -> bool:
    """Of the user network: elsewhere "name" is something else."""
    return pair.key in ("hostname", "fqdn") and option.get("type") in ("user", "passt")


def _fixed_id(_machine: MachineOptions, _option: Option, pair: Pair) -> bool:
    return pair.value != "auto"


def _own_memory(_machine: MachineOptions, option: Option, pair: Pair) -> bool:
    return option.is_on("share") and not pair.value.startswith("/dev/hugepages")


def _own_argument(_machine: MachineOptions, _option: Option, pair: Pair) -> bool:
    return bool(_OWN_ARGUMENT.search(pair.value))


def _fibre_or_disk(_machine: MachineOptions, _option: Option, pair: Pair) -> bool:
    number = pair.value.lower().removeprefix("0x")
    return bool(re.fullmatch(r"[0-9a-f]{1,20}", number)) and set(number) != {"0"}


#: What identifies a disk of each driver: the first that is said.
_REMOTE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("rbd", "rados"), ("image",)),
    "iscsi": ("target",),
    "nbd": (
        *("export", "server.path", "path", "server.str", "server.port", "port"),
        *("server.host", "host"),
    ),
    **dict.fromkeys(("gluster", "nfs", "ssh"), ("path",)),
    "sheepdog": ("vdi",),
    "nvme": ("device",),
    "nvme-io_uring": ("path",),
    **dict.fromkeys(("virtio-blk-vhost-user", "virtio-blk-vfio-pci"), ("path",)),
    "virtio-blk-vhost-vdpa": ("path",),
    "vvfat": ("dir",),
}


def _is_remote(machine: MachineOptions, option: Option, pair: Pair) -> bool:
    """A disk that no path of the host names, and that the machine may write to."""
    above = layers(pair.key)[0]
    driver = option.get(f"{above}driver") or option.get("" if above else "format")
    keys = _REMOTE.get(driver, ())
    said = next((key for key in keys if option.get(above + key)), "")
    return pair.key == above + said and _own_disk(machine, option, pair)


def _local_network_port(machine: MachineOptions, option: Option, pair: Pair) -> bool:
    return _is_number(machine, option, pair) and (pair.key != "addr.port" or option.is_on("server"))


def _is_tap(_machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    return option.get("type") == "tap"


def _is_host_device(machine: MachineOptions, option: Option, pair: Pair) -> bool:
    """An interface that is no tap is there already: QEMU makes none."""
    return pair.key != "ifname" or not _is_tap(machine, option, pair)


def _is_peer(_machine: MachineOptions, option: Option, pair: Pair) -> bool:
    return pair.key != "port" or option.get("type") == "vde"


def _is_reservation(_machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    return option.get("qom-type") == "pr-manager-helper"


def _is_device(_machine: MachineOptions, option: Option, pair: Pair) -> bool:
    """A terminal or printer port of the host; a new pseudo-terminal may get a link at a path."""
    if option.name != "chardev":
        return bool(re.match(r"/dev/(?!null\b|pts\b|tty$)", pair.value))
    return option.get("backend", "backend.type") in ("serial", "tty", "parallel", "parport")


def _is_secret(_machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    return option.name != "object" or option.get("qom-type").startswith("secret")


def _is_security_key(_machine: MachineOptions, option: Option, _pair: Pair) -> bool:
    return option.get("driver") in ("canokey", "u2f-emulated")


def _own_serial(_machine: MachineOptions, _option: Option, pair: Pair) -> bool:
    """Not what libvirt makes of a disk's address on its bus, the same in every machine."""
    return pair.key != "device_id" or not pair.value.startswith("drive-")


_PARTS: dict[str, Callable[[Option, str], Iterator[tuple[int, int]]]] = {
    "stream-socket": _stream("unix"),
    "stream-file": _stream("file", "pipe"),
    "stream-port": _stream_port,
    "vnc-display": _display,
    "graphics-socket": _display_socket,
    "forwarded-port": _forwarded,
    "socket": _socket,
    "network-address": _listening,
}
_CONDITIONS: dict[str, Callable[[MachineOptions, Option, Pair], bool]] = {
    "disk": _own_disk,
    "disk-shared": _shared_disk,
    "nvram": _variables,
    "disk-serial": _own_serial,
    "disk-wwn": _fibre_or_disk,
    "generation-id": _fixed_id,
    "device-uuid": _fixed_id,
    "graphics-port": _is_number,
    "character-port": _local_port,
    "character-file": _is_file,
    "user-network-name": _own_network_name,
    "shared-memory": _own_memory,
    "disk-remote": _is_remote,
    "disk-reservations": _is_reservation,
    "network-port": _local_network_port,
    "network-peer": _is_peer,
    "tap": _is_tap,
    "host-device": _is_host_device,
    "character-device": _is_device,
    "stream-device": _is_device,
    "secret": _is_secret,
    "security-key": _is_security_key,
    "kernel-arguments": _own_argument,
}
