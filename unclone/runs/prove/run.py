"""The run of ``unclone prove``: overlays, the reporter, one boot or more, and the comparison."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unclone.images import qemu_img
from unclone.images.boot.booting import Watch, boot
from unclone.images.boot.command import PROGRAM, Machine
from unclone.images.boot.firmware import Ovmf, find_ovmf
from unclone.images.engines.guestfs.acceleration import acceleration
from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.rehearsal import Rehearsal
from unclone.images.text import printable, shown
from unclone.images.transaction import ReadOnly
from unclone.runs.listener import NullListener, PhaseTimer
from unclone.runs.opening import KEY_FILE_LIMIT, opened
from unclone.runs.prove import comparing, expected, guest_report
from unclone.runs.prove.hardware import Described, from_definition, without_definition
from unclone.runs.prove.injecting import inject
from unclone.runs.prove.result import Boot, Proof
from unclone.sanitize.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.images.transaction import Transaction
    from unclone.runs.listener import Listener
    from unclone.runs.prove.comparing import Difference
    from unclone.runs.prove.expected import Expected
    from unclone.runs.request import Request

#: Seconds that one boot may take, with KVM and without.
LIMITS = {True: 300.0, False: 1800.0}

#: Bytes of the first sector that a BIOS runs, before the disk identifier of an MBR.
_BOOT_CODE = 440
#: The files of a seed, the one whose host name counts first.
_SEED_FILES = ("user-data", "vendor-data", "meta-data", "network-config")
_ELF, _X86 = b"\x7fELF", {3, 62}  # e_machine of i386 and x86-64


@dataclass(frozen=True)
class Order:
    """What to boot, and what to compare it with. *limit* is seconds for each boot, 0 for usual."""

    request: Request
    definition: Path | None = None
    seed: Path | None = None
    against: Path | None = None
    #: The result of ``sanitize`` as JSON, and what to call it in messages.
    report: Mapping[str, Any] | None = None
    report_name: str = "the report"
    boots: int = 1
    limit: float = 0


@dataclass
class _Prepared:
    """A machine that can be started as often as wanted, its disks keeping what it does to them."""

    machine: Machine
    described: Described
    expected: Expected
    name: str
    keys: tuple[bytes, ...] = ()
    notes: list[str] = field(default_factory=list)


def prove(order: Order, listener: Listener | None = None) -> Proof:
    """Boot the machine on overlays that are thrown away, and compare. Nothing else is written.

    Raises ``UncloneError`` where it cannot be tried: an image in use, an init system that cannot
    report, no firmware.
    """
    timer = PhaseTimer(listener or NullListener())
    original = _original(order, timer) if order.against else None
    with _prepared(order, timer) as prepared:
        timer.phase("booting")
        boots = []
        for number in range(order.boots):
            last = number + 1 == order.boots
            boots.append(_boot(prepared, order, timer, last=last))
            if boots[-1].said is None:
                break
        return _compared(order, prepared, tuple(boots), original, timer)


def _original(order: Order, timer: PhaseTimer) -> Boot:
    """The original, booted the same way but for what only the new machine has."""
    assert order.against is not None  # noqa: S101 (the caller asked)
    request = replace(order.request, image=order.against, add_disks=(), format="")
    timer.listener.say(f"the original first: {shown(order.against)}")
    alone = replace(order, request=request, definition=None, seed=None, report=None)
    with _prepared(alone, timer) as prepared:
        timer.phase("booting")
        return _boot(prepared, alone, timer, last=True)


@contextmanager
def _prepared(order: Order, timer: PhaseTimer) -> Iterator[_Prepared]:
    request = order.request
    typed: list[bytes] = []
    if (ask := request.passphrase) is not None:
        # Asked for once, for opening the image; the guest asks again.
        def remembered(container: str) -> bytes:
            typed.append(ask(container))
            return typed[-1]

        request = replace(request, passphrase=remembered)
    timer.phase("lock")
    with Rehearsal(ReadOnly(request.disks, allow=request.allow)) as transaction:
        with opened(request, transaction, timer, read_only=False, incomplete=True) as guest:
            facts = Facts(guest)
            _require_x86(guest)
            wanted, name = expected.read_offline(guest, facts.init), facts.name
            described = _described(order, guest)
            notes = [*transaction.warnings, *guest.layout.warnings, *described.notes]
            timer.phase("apply")
            inject(guest, facts.init)
        if order.report is not None:
            wanted = expected.with_report(wanted, order.report, order.report_name)
        wanted = _with_seed(order, wanted)
        wanted = replace(wanted, macs=tuple(card.mac for card in described.hardware.cards))
        machine = _machine(order, transaction, described)
        if not machine.kvm:
            notes.append(acceleration(hypervisor=PROGRAM).message)
        yield _Prepared(machine, described, wanted, name, (*_keys(request), *typed), notes)


def _described(order: Order, guest: Guest) -> Described:
    images = [disk.path for disk in order.request.disks]
    try:
        if order.definition is None:
            return without_definition(guest, len(images))
        from unclone.sanitize.definitions.formats.table import read_definition  # noqa: PLC0415 (all formats come with it)

        return from_definition(read_definition(order.definition), images, guest)
    except ValueError as error:  # more than the machine has room for
        raise RefusedError(f"such a machine is not booted here: {printable(str(error))}") from error


def _with_seed(order: Order, wanted: Expected) -> Expected:
    """*wanted* with what a seed says of the machine."""
    if order.seed is None:
        return wanted
    from unclone.runs.audit.reading import seed_values  # noqa: PLC0415 (the formats come with it)
    from unclone.runs.audit.seed_files import seed_files  # noqa: PLC0415

    found = [*seed_values(seed_files(order.seed), "")]
    # cloud-init prefers the user's configuration to the vendor's, and that to meta-data.
    ranked = sorted(found, key=lambda each: _SEED_FILES.index(each.place))
    values = {
        each.kind: each.value
        for each in reversed(ranked)
        if each.kind != "instance-id" or each.place == "meta-data"
    }
    return replace(
        wanted,
        instance_id=values.get("instance-id", ""),
        host_name=values.get("host-name", wanted.host_name),
    )


def _machine(order: Order, transaction: Transaction, described: Described) -> Machine:
    folder = transaction.overlays[0].parent  # private, and removed with the overlays
    firmware = None
    if described.hardware.firmware == "uefi":
        found = find_ovmf()
        if found is None:
            raise UncloneError(
                "the guest boots with UEFI, and there is no firmware for it on this host",
                hint="On Debian or Ubuntu: apt-get install ovmf; `unclone doctor` has others.",
            )
        variables = folder / "variables.fd"
        shutil.copyfile(found.variables, variables)
        firmware = Ovmf(found.code, variables)
    disks = [
        qemu_img.over(overlay, image, locked=False)
        for overlay, image in zip(transaction.overlays, transaction.images, strict=True)
    ]
    if firmware is None:
        _require_boot_code(transaction, folder)
    kvm = acceleration(hypervisor=PROGRAM).kvm
    return Machine(described.hardware, disks, kvm, firmware, order.seed)


def _require_boot_code(transaction: Transaction, folder: Path) -> None:
    """Refuse a disk that a BIOS would start and then hang on: it ends in no message."""
    first = transaction.overlays[0], transaction.images[0]
    if not any(qemu_img.first_sector(*first, folder / "scratch-sector")[:_BOOT_CODE]):
        raise RefusedError(
            f"{shown(first[1].path)} has no boot loader: its first sector has no code, and no EFI "
            "system partition has a program to start",
            hint="The boot disk is the first IMAGE.",
        )


def _boot(prepared: _Prepared, order: Order, timer: PhaseTimer, *, last: bool) -> Boot:
    machine = prepared.machine
    ending = boot(
        machine,
        Watch(
            guest_report.complete,
            guest_report.begun,
            order.limit or LIMITS[machine.kvm],
            prepared.keys,
            until_off=not last,
            say=lambda phase: timer.listener.say(f"boot: {phase}"),
        ),
    )
    if not ending.reported:
        return Boot(ending, None)
    try:
        return Boot(ending, guest_report.read(ending.report))
    except guest_report.MalformedReportError as error:
        return Boot(replace(ending, reported=False, reason=error.message), None)


def _compared(
    order: Order,
    prepared: _Prepared,
    boots: tuple[Boot, ...],
    original: Boot | None,
    timer: PhaseTimer,
) -> Proof:
    said = [each.said for each in boots if each.said is not None]
    before = original.said.failed_units if original and original.said else ()
    found: list[Difference] = []
    for number, each in enumerate(said):
        found += comparing.compare(_after(prepared.expected, number), each)
        found += comparing.failed_units(each, before)
        if number:
            found += comparing.between_boots(said[0], each)
    if original and said and original.said is None:
        why = f"it did not boot: {original.ending.reason}"
        found.append(comparing.Difference("the original", "a report to compare with", why))
    elif original and original.said and said:
        found += comparing.missing_services(said[-1], original.said)
    shared = comparing.shared(said[0], original.said) if said and original and original.said else ()
    return Proof(
        image=str(order.request.image),
        guest=prepared.name,
        init=prepared.expected.init,
        firmware=prepared.machine.hardware.firmware,
        kvm=prepared.machine.kvm,
        boots=boots,
        differences=tuple(dict.fromkeys(found)),
        failed_before=tuple(sorted({u for each in said for u in each.failed_units if u in before})),
        shared=tuple(shared),
        original=original,
        notes=tuple(dict.fromkeys([*prepared.notes, *prepared.expected.notes])),
        timings=timer.stop(),
    )


def _after(wanted: Expected, boots: int) -> Expected:
    """What is expected after *boots* earlier boots; the first may have made new host keys."""
    return wanted if not boots else replace(wanted, host_keys=())


def _keys(request: Request) -> Sequence[bytes]:
    """What may be typed: key files of one line. They were read once already."""
    found = []
    for path in request.key_files:
        with path.open("rb") as file:
            key = file.read(KEY_FILE_LIMIT).rstrip(b"\r\n")
        if key.isascii() and key.decode("ascii").isprintable() and len(key) <= 512:
            found.append(key)
    return tuple(found)


def _require_x86(guest: Guest) -> None:
    for program in ("/bin/sh", "/sbin/init", "/usr/lib/systemd/systemd"):
        head = guest.read(program, 20) if guest.is_file(program) else b""
        if head.startswith(_ELF) and int.from_bytes(head[18:20], "little") not in _X86:
            raise RefusedError(
                "the guest's programs are not for x86 processors, and others are not emulated here"
            )


def require_sense(order: Order) -> None:
    """Raise UsageError for an order that cannot be carried out on any host."""
    if order.boots < 1:
        raise UsageError("at least one boot is needed")
    for path in filter(None, (order.seed, order.against)):
        if not path.is_file():
            raise UsageError(f"{shown(path)} is not a file")
