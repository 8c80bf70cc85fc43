"""The golden image, prepared once: sanitised, and compiled into a stamp.

Three runs of ``sanitize`` on the prepared image, with random values and one fixed time, say in
which bytes two machines differ, and prove it: the stamp is compiled from two of them, and must give
the third byte by byte. What cannot be explained is not stamped; the reason is kept, too.

A prepared image is never changed: machines have it as backing file. Its record is named by what it
was made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unclone.images import clock
from unclone.images.chain import read_chain
from unclone.images.engines.direct.access.clusters import Clusters, UnreadableError
from unclone.images.engines.direct.access.layers import layers_of
from unclone.images.engines.direct.engine import BeyondReachError, keep_checksum_seeds, reach
from unclone.images.engines.direct.in_place.formats import FORMATS
from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError, ToolError, UncloneError
from unclone.images.files import explained, sync_directory, sync_file
from unclone.images.fingerprint import head_state
from unclone.images.formats.header import Format
from unclone.images.opening import IN_PLACE
from unclone.images.overlay import allocated as allocated_areas
from unclone.images.qcow2_overlay import CLUSTER
from unclone.images.volumes import CheckState
from unclone.runs.clone.deciding import allocate
from unclone.runs.clone.order import options_said
from unclone.runs.opening import read_image
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize
from unclone.sanitize.allocated_values import allocated
from unclone.sanitize.boot.grub_features import checksum_seed_obstacle, metadata_uuid_obstacle
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.stamps.compiling import UnexplainedError, compiled
from unclone.sanitize.stamps.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.listener import Listener
    from unclone.sanitize.identities.machine import MachineIdentity
    from unclone.sanitize.report import Report

SCHEMA = "unclone.prepared/1"
_TEXT, _MACHINE_ID = "text", "machine-id"


@dataclass(frozen=True)
class Prepared:
    """A prepared image: one qcow2 for each disk, and the stamp of each.

    ``values`` are those of its devices, by ``KIND DEVICE``, that machines keep; ``stand_ins`` are
    what it has in place of the golden machine's MAC addresses and serial numbers.
    """

    images: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    values: Mapping[str, str]
    stand_ins: Mapping[str, str]

    def values_of(self, identity: MachineIdentity) -> dict[str, str]:
        """What the stamps need of the machine *identity*."""
        own = {f"{_TEXT} {self.stand_ins[old]}": new for old, new in _texts(identity).items()}
        return {**identity.identifiers, **own, _MACHINE_ID: identity.machine_id}

    @property
    def gives_machine_id(self) -> bool:
        """Whether a machine has its id before its first boot."""
        return any(_MACHINE_ID in stamp.values for stamp in self.stamps)


class NotStampedError(Exception):
    """Machines have to be sanitised one by one; says why."""


def prepared(order: Order, golden: Golden, source: MadeFrom, listener: Listener) -> Prepared:
    """The prepared image of *order*'s golden image, made where it is not there.

    Raises NotStampedError.
    """
    if not golden.has_cloud_init:
        raise NotStampedError(
            "the guest has no cloud-init: its host name is written into its files"
        )
    image = order.request.image
    folder = (order.cache or image.parent).absolute()
    stand_in = allocate(order, golden, "prepared", Pool(), keep=False)
    name = f"{image.stem}.prepared-{_key(order, source, _texts(stand_in))}"
    record = folder / f"{name}.json"
    found = _known(record)
    if found is not None:
        return found
    try:
        with locked(folder, name):
            found = _known(record)
            return found or _prepare(order, golden, stand_in, record, listener)
    except UncloneError as error:
        raise NotStampedError(error.message) from error
    except OSError as error:
        raise NotStampedError(f"{folder} cannot be written: {error.strerror}") from error


def _texts(identity: MachineIdentity) -> dict[str, str]:
    """What of a definition may be in its guest: old to new."""
    return {**identity.macs, **identity.disk_serials}


def _key(order: Order, source: MadeFrom, texts: Iterable[str]) -> str:
    said = [list(source.images), source.version, options_said(order.request.options)]
    catalogues = [
        hashlib.sha256(_content(path)).hexdigest() for path in order.request.options.catalogues
    ]
    text = json.dumps([said, catalogues, sorted(texts)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (a path as the option has it)
        return file.read()


def _known(record: Path) -> Prepared | None:
    """What *record* says; None when it is not there, or its images are not what they were."""
    try:
        document = json.loads(record.read_bytes())
        if document["schema"] != SCHEMA:
            return None
        if document["reason"]:
            raise NotStampedError(str(document["reason"]))
        images = tuple(record.with_name(name) for name in document["images"])
        if [head_state(path) for path in images] != document["states"]:
            return None
        stamps = tuple(Stamp.from_json(each) for each in document["stamps"])
        return Prepared(images, stamps, document["values"], document["stand_ins"])
    except (OSError, ValueError, KeyError, TypeError, UncloneError):
        return None


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Only one process does what *name* says in *folder*; another waits for it."""
    path = folder / f".{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare(
    order: Order, golden: Golden, stand_in: MachineIdentity, record: Path, listener: Listener
) -> Prepared:
    listener.say("preparing the golden image, once")
    folder, name = record.parent, record.stem
    work = folder / f".{name}.work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        with clock.fixed(clock.now_ns() // 10**9):
            try:
                found = _compile(order, golden, stand_in, work, listener)
            except (NotStampedError, UnexplainedError, BeyondReachError, UnreadableError) as error:
                reason = _reason(error)
                _write(record, {"schema": SCHEMA, "reason": reason})
                raise NotStampedError(reason) from error
        images = []
        # A name that no other image had: machines may have an earlier one as backing file.
        name = f"{name}-{secrets.token_hex(4)}"
        for number, path in enumerate(found.images):
            suffix = f"-{number + 1}" if number else ""
            images.append(folder / f"{name}{suffix}.qcow2")
            path.chmod(0o444)
            sync_file(path)
            path.rename(images[-1])
        document = {
            "schema": SCHEMA,
            "reason": "",
            "images": [path.name for path in images],
            "states": [head_state(path) for path in images],
            "stamps": [stamp.to_json() for stamp in found.stamps],
            "values": dict(found.values),
            "stand_ins": dict(found.stand_ins),
        }
        _write(record, document)
        return replace(found, images=tuple(images))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _reason(error: Exception) -> str:
    if isinstance(error, UnexplainedError):
        return f"two machines differ in something that is not known: {error}"
    if isinstance(error, UncloneError):
        return error.message
    return str(error) or type(error).__name__


def _write(record: Path, document: dict[str, Any]) -> None:
    draft = record.with_name(f".{record.name}.{secrets.token_hex(4)}")
    with explained("write the prepared image", record.parent):
        draft.write_text(json.dumps(document), encoding="ascii")
        sync_file(draft)
        draft.replace(record)
        sync_directory(record.parent)


def _compile(
    order: Order, golden: Golden, stand_in: MachineIdentity, work: Path, listener: Listener
) -> Prepared:
    """The prepared image in *work*, proven: the stamp gives what a run of its own gives."""
    images = tuple(work / f"prepared-{n}.qcow2" for n in range(len(order.request.disks)))
    golden_images = [
        read_chain(disk.path, disk.format, allow=order.request.allow)
        for disk in order.request.disks
    ]
    drives = [Drive(each.path, str(each.format), each) for each in golden_images]
    if why := reach(drives, once_prepared=True):
        raise NotStampedError(f"{why}, which is not stamped")
    engine = "direct" if order.request.engine == "direct" else "auto"
    base = replace(order.request, engine=engine, passphrase=None)
    options = replace(base.options, identities=replace(base.options.identities, key=b""))
    first = replace(options, macs=stand_in.macs, disk_serials=stand_in.disk_serials)
    wanted = replace(base, outputs=images, output_format="qcow2", options=first)
    try:  # ext4 in LVM needs no kernel
        report = sanitize(replace(wanted, engine=IN_PLACE), listener)
    except EngineError:
        report = sanitize(wanted, listener)
    request = Request(images[0], add_disks=images[1:], engine=IN_PLACE, options=options)
    obstacle, why = read_image(
        request, lambda guest: (checksum_seed_obstacle(guest), metadata_uuid_obstacle(guest))
    )
    if why:
        raise NotStampedError(why)
    if not obstacle:
        keep_checksum_seeds([Drive(path, "qcow2") for path in images])
    runs = []
    for name in ("first", "second", "third"):
        identity = allocate(order, golden, name, Pool(), keep=False)
        runs.append(_run(request, work, stand_in, identity, report))
    stamps = []
    for number, image in enumerate(images):
        try:
            stamps.append(_stamp(image, number, runs))
        except UnexplainedError as error:
            why = f"; {obstacle}" if obstacle else ""
            raise NotStampedError(f"machines differ in too much ({error}){why}") from error
    renewed = {key for stamp in stamps for key in stamp.values}
    kept = {
        key: value
        for key, value in runs[0].values.items()
        if key not in renewed and not key.startswith((_TEXT, _MACHINE_ID))
    }
    return Prepared(images, tuple(stamps), kept, _texts(stand_in))


@dataclass(frozen=True)
class _Run:
    """One result: an overlay for each disk, and the values that are in them."""

    overlays: tuple[Path, ...]
    values: Mapping[str, str]


def _run(
    request: Request,
    work: Path,
    stand_in: MachineIdentity,
    identity: MachineIdentity,
    before: Report,
) -> _Run:
    """One machine, made in full from the prepared image. Raises NotStampedError, ToolError."""
    overlays = tuple(work / f"{identity.name}-{n}.qcow2" for n in range(len(request.disks)))
    macs = {stand_in.macs[old]: new for old, new in identity.macs.items()}
    serials = {stand_in.disk_serials[old]: new for old, new in identity.disk_serials.items()}
    options = replace(request.options, macs=macs, disk_serials=serials)
    wanted = allocated(before.identifiers, options, Pool().machine(identity.name))
    report = sanitize(
        replace(request, outputs=overlays, as_overlays=True, options=options, new_values=wanted)
    )
    if any(each.change.action == "generate-ssh-host-key" for each in report.outcomes):
        raise NotStampedError("SSH host keys are made here, and each machine has its own")
    for check in report.verification.checks:
        if check.type in FORMATS and check.state is CheckState.NOT_CHECKED:
            # It is not kept as the reason: the program may be installed later.
            raise ToolError(f"{check.device} ({check.type}) is not checked: {check.output}")
    old, found = _by_device(before), _by_device(report)
    if unseen := wanted.identifiers.keys() - found.keys():
        raise NotStampedError(f"the {min(unseen)} of a machine is not seen")
    for device, value in found.items():
        if value not in (wanted.identifiers.get(device), old.get(device)):
            raise NotStampedError(f"the {device} of a machine follows from its other values")
    values = {f"{_TEXT} {one}": new for one, new in {**macs, **serials}.items()}
    return _Run(overlays, {**found, **values, _MACHINE_ID: wanted.machine_id})


def _by_device(report: Report) -> dict[str, str]:
    return {f"{each.kind} {each.device}": each.value for each in report.identifiers}


def _stamp(image: Path, number: int, runs: Sequence[_Run]) -> Stamp:
    """The stamp of one disk, from the first two of *runs*, proven with the third."""
    prepared_ = read_chain(image, Format.QCOW2)
    overlays = [run.overlays[number] for run in runs]
    changed = [part for path in overlays for part in allocated_areas(path)]
    readers = [Clusters(layers_of(read_chain(p, Format.QCOW2))) for p in (image, *overlays)]
    try:
        before, first, second, third = readers
        stamp = compiled(
            before,
            first,
            second,
            changed,
            size=prepared_.virtual_size,
            cluster=CLUSTER,
            values=(runs[0].values, runs[1].values),
        )
        made = stamp.stamped({key: runs[2].values[key] for key in stamp.values})
        for start, length in changed:
            for cluster in range(start // CLUSTER, -(-(start + length) // CLUSTER)):
                offset = cluster * CLUSTER
                count = min(CLUSTER, stamp.size - offset)
                if count <= 0:
                    continue
                wanted = third.read(offset, count)
                if (made.get(cluster) or before.read(offset, count))[:count] != wanted:
                    raise UnexplainedError(f"byte {offset} of disk {number + 1}, in a third run")
    finally:
        for reader in readers:
            reader.close()
    return stamp
