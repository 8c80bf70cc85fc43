"""What a worker of an executor does on its host: the golden image checked, machines made, named.

A worker writes to the folder in the variable ``UNCLONE_WORKER_OUTPUT``, if whoever started it has
set that, else to the run's folder, which all hosts then share. The golden image is at the same
path on each host, or under the same name in ``UNCLONE_WORKER_GOLDEN``; that it is the run's is
told by the SHA-256 of its files. A folder has an id of its own, in ``.unclone-place``: workers
with one folder are one place.

What arrives was pickled by the run. Whoever can send a task to an executor can have its workers
run anything; the checks here are against mistakes, such as another version at the other end.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone import __version__
from unclone.images.chain import read_chain
from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.files import explained, sync_directory, sync_file
from unclone.images.fingerprint import disk_state
from unclone.images.text import printable, shown
from unclone.runs import failures
from unclone.runs.clone import attempt as attempts
from unclone.runs.clone import making, preparing, stamping
from unclone.runs.clone.attempt import Attempt
from unclone.runs.clone.batch import RECORD
from unclone.runs.clone.order import Mode, Order, images_of
from unclone.runs.clone.presence import Presence
from unclone.runs.clone.protection import protect
from unclone.runs.listener import current_listener
from unclone.sanitize.definitions.identity_map import require_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from unclone.images.image import Image
    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.order import MadeFrom
    from unclone.sanitize.identities.machine import MachineIdentity

OUTPUT, GOLDEN = "UNCLONE_WORKER_OUTPUT", "UNCLONE_WORKER_GOLDEN"
_PLACE = ".unclone-place"
_ID, _SHA256 = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_READ_AT_ONCE = 2**20


@dataclass(frozen=True)
class Place:
    """A folder for machines on a host."""

    id: str
    host: str
    folder: Path
    version: str = __version__


@dataclass(frozen=True)
class Work:
    """What machines of one order have in common, and *owner*, whose attempts begin with it.

    ``order`` and ``source`` say nothing of single machines. ``digests`` are the SHA-256 of the
    golden image's files, for each disk those of its chain.
    """

    order: Order
    golden: Golden
    source: MadeFrom
    digests: tuple[tuple[str, ...], ...]
    owner: str


@dataclass(frozen=True)
class Survey:
    """What is at a place: machines, what is wrong with others, and how new ones are made.

    ``unstamped`` says why each is sanitised by itself; "" where they are stamped.
    """

    place: Place
    found: Mapping[str, Machine]
    wrong: Mapping[str, UncloneError]
    unstamped: str


@dataclass(frozen=True)
class Made:
    """A receipt: machines that are complete at a place, in the folder of *attempt*.

    ``digests`` has the SHA-256 of each one's record, which has those of its files.
    """

    place: Place
    attempt: str
    machines: tuple[Machine, ...]
    digests: Mapping[str, str]
    failures: Mapping[str, BaseException]


def of_work(order: Order, golden: Golden, source: MadeFrom, owner: str) -> Work:
    """The :class:`Work` for machines of *order*. Raises UncloneError."""
    digests = tuple(
        _digests(read_chain(disk.path, disk.format, allow=order.request.allow), order.cache)
        for disk in order.request.disks
    )
    folder = order.folder.absolute()
    common = replace(order, names=(), own={}, folder=folder, dry_run=False, ledger=None, avoid=())
    return Work(common, golden, replace(source, own={}, hostnames={}), digests, owner)


def order_of(order: Order, names: Sequence[str]) -> Order:
    """*order* for the machines *names* alone, without what only the run needs."""
    own = {name: order.own[name] for name in names if name in order.own}
    folder = order.folder.absolute()
    return replace(order, names=tuple(names), own=own, folder=folder, ledger=None, avoid=())


def source_of(source: MadeFrom, names: Sequence[str]) -> MadeFrom:
    """*source* with what is said of the machines *names* alone."""

    def of_these(said: Mapping[str, Any]) -> dict[str, Any]:
        return {name: said[name] for name in names if name in said}

    return replace(source, own=of_these(source.own), hostnames=of_these(source.hostnames))


def place(folder: Path) -> Place:
    """The place where this process makes machines of a run with the output folder *folder*."""
    return place_of(Path(os.environ.get(OUTPUT) or folder))


def place_of(folder: Path) -> Place:
    """The place that *folder* is; it is made where it is not there."""
    if not folder.is_absolute():
        raise UsageError(f"{printable(str(folder))} is no absolute path", hint=f"See {OUTPUT}.")
    with explained("make machines", folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        path = folder / _PLACE
        if not path.exists():
            draft = folder / f"{_PLACE}.{secrets.token_hex(4)}"
            draft.write_text(secrets.token_hex(16), encoding="ascii")
            sync_file(draft)
            with suppress(FileExistsError):  # another worker was faster
                path.hardlink_to(draft)
            draft.unlink()
            sync_directory(folder)
        known = path.read_text("ascii", "replace").strip()
    if not _ID.fullmatch(known):
        raise RefusedError(f"{shown(path)} is not a file that unclone wrote")
    return Place(known, platform.node(), folder)


def survey(
    work: Work,
    own: Order,
    source: MadeFrom,
    known: Mapping[str, str],
    live: Collection[str],
    many: int,
) -> Survey:
    """What is at this worker's place of the machines of *own*; half-made ones are taken away.

    *own* and *source* say also what is of single machines. *known* has the attempts that made
    machines of the place: where one was not named yet, it gets its name. *live* are owners of
    attempts that still go on. With *many* machines missing in all, the golden image is prepared.
    Raises UncloneError when no machine could be made here.
    """
    at = place(work.order.folder)
    order, _ = _here(work, own)
    for name, attempt in known.items():
        require_name(name)
        attempts.require_name(attempt)
        if (at.folder / attempt / name).is_dir() and not (at.folder / name).exists():
            attempts.publish_one(at.folder, attempt, name)
    attempts.sweep(at.folder, work.owner[:_BOOK], live)
    presence = Presence(order, replace(source, images=images_of(order)))
    found: dict[str, Machine] = {}
    wrong: dict[str, UncloneError] = {}
    for name in own.names:
        require_name(name)
        try:
            machine = presence.machine(at.folder / name)
        except UncloneError as error:
            wrong[name] = error
        else:
            if machine is not None:
                found[name] = replace(machine, host=at.host)
    missing = len(own.names) - len(found) - len(wrong)
    why = _unstamped(work, order) if missing >= many else "they are few"
    return Survey(at, found, wrong, why)


#: Digits of an owner that are its placements'; the rest are its run's.
_BOOK = 32


@dataclass(frozen=True)
class Chunk:
    """Machines to make: a call that can be pickled. Nothing of them has a name afterwards."""

    work: Work
    #: As the work's, with what is of these machines alone.
    own: Order
    source: MadeFrom
    identities: tuple[MachineIdentity, ...]
    stamped: bool

    def __call__(self) -> Made:
        """Make them. What fails for one stops no other."""
        for identity in self.identities:
            require_name(identity.name)
        at = place(self.work.order.folder)
        order, images = _here(self.work, self.own)
        source = replace(self.source, images=images)
        attempt = Attempt(at.folder, self.work.owner)
        stamper = self._stamper(order, source)
        if stamper is None and order.mode is Mode.OVERLAY:
            protect(order)
        made: list[Machine] = []
        failed: dict[str, BaseException] = {}
        pending = [list(self.identities)]
        while pending:
            chunk = pending.pop(0)
            try:
                if stamper is None:
                    made += [self._in_full(each, order, source, attempt) for each in chunk]
                else:
                    for each in chunk:
                        attempt.begin(each.name)
                    made += stamper.make(chunk, attempt, lambda: None)
            except Exception as error:  # noqa: BLE001 (the other machines are still made)
                for each in chunk:
                    attempt.drop(each.name)
                if len(chunk) > 1:  # one of them: which, shows when each is made by itself
                    pending[:0] = [[each] for each in chunk]
                else:
                    failed[chunk[0].name] = portable(error)
        attempt.sync()
        digests = {each.identity.name: _record_digest(attempt, each) for each in made}
        machines = tuple(replace(each, host=at.host) for each in made)
        return Made(at, attempt.name, machines, digests, failed)

    def __str__(self) -> str:
        """The names."""
        first, last = self.identities[0].name, self.identities[-1].name
        return first if first == last else f"{first} to {last}"

    def _stamper(self, order: Order, source: MadeFrom) -> stamping.Stamper | None:
        if not self.stamped:
            return None
        try:
            prepared = preparing.prepared(order, self.work.golden, source, current_listener())
        except preparing.NotStampedError:
            return None
        return stamping.Stamper(order, self.work.golden, source, prepared)

    def _in_full(
        self, identity: MachineIdentity, order: Order, source: MadeFrom, attempt: Attempt
    ) -> Machine:
        return making.make(order, self.work.golden, source, identity, attempt, current_listener())


def publish(folder: Path, place_id: str, attempt: str, names: Sequence[str]) -> None:
    """Give the machines *names* of *attempt* their names at this worker's place."""
    at = place(folder)
    if at.id != place_id:
        raise UncloneError(f"{shown(at.folder)} is another place", hint="Run again.")
    for name in names:
        require_name(name)
    attempts.publish(at.folder, attempt, names)


def sweep(folder: Path, owner: str, spare: Collection[str]) -> list[str]:
    """Take away the attempts of *owner* at this worker's place, but for those in *spare*."""
    return attempts.sweep(place(folder).folder, owner, spare)


def check(made: Made, names: Sequence[str]) -> None:
    """Raise UsageError for what is no receipt for the machines *names*."""
    if not isinstance(made, Made):
        raise UsageError("what the worker answered is no receipt", hint="Is it another version?")
    told = [each.identity.name for each in made.machines]
    if sorted([*told, *made.failures]) != sorted(names):
        raise UsageError("the worker's receipt is for other machines than those that it was given")
    attempts.require_name(made.attempt)
    if not all(_SHA256.fullmatch(made.digests.get(name, "")) for name in told):
        raise UsageError("the worker's receipt has no digests")


def portable(error: BaseException) -> BaseException:
    """*error* in a form that can be pickled, with the same message, hint and status."""
    if isinstance(error, UncloneError):
        return error
    return failures.Relayed(failures.describe(error), failures.hint_of(error))


def _here(work: Work, own: Order) -> tuple[Order, tuple[dict[str, Any], ...]]:
    """*own* with the golden image of this host, and that image's state.

    Raises UncloneError when it is not the run's.
    """
    if not isinstance(work, Work) or not isinstance(own, Order) or work.order.dry_run:
        raise UsageError("this is no work for a worker of unclone", hint="Is it another version?")
    if work.source.version != __version__:
        raise UsageError(
            f"the run is of version {printable(work.source.version, 40)}, and this worker is of "
            f"{__version__}",
            hint="Install the same version of unclone on all hosts.",
        )
    request = own.request
    golden = os.environ.get(GOLDEN)
    if golden:
        request = replace(
            request,
            image=Path(golden, request.image.name),
            add_disks=tuple(Path(golden, path.name) for path in request.add_disks),
        )
    order = replace(own, request=request, cache=own.cache if not golden else None)
    for disk, wanted in zip(request.disks, work.digests, strict=True):
        image = read_chain(disk.path, disk.format, allow=request.allow)
        if _digests(image, order.cache) != wanted:
            raise RefusedError(
                f"{platform.node()}: {shown(disk.path)} is not the golden image of the run: its "
                "content is another",
                hint=f"Copy the image there, or see {GOLDEN}.",
            )
    return order, images_of(order)


def _digests(image: Image, cache: Path | None) -> tuple[str, ...]:
    """The SHA-256 of the files of *image* and its chain: read once as long as they are the same."""
    state = repr((disk_state(image), [str(p) for each in image.chain for p in each.files]))
    if state in _known_digests:
        return _known_digests[state]
    folder = (cache or image.path.parent).absolute()
    name = f"{image.path.name}.unclone-sha256"
    try:
        with preparing.locked(folder, name):
            found = _read_digests(folder / name, state)
            if not found:
                found = _computed(image)
                draft = folder / f".{name}.{secrets.token_hex(4)}"
                draft.write_text(json.dumps({"state": state, "sha256": found}), encoding="ascii")
                draft.replace(folder / name)
    except OSError:  # a folder that cannot be written to
        found = _computed(image)
    _known_digests[state] = found
    return found


_known_digests: dict[str, tuple[str, ...]] = {}


def _read_digests(path: Path, state: str) -> tuple[str, ...]:
    try:
        said = json.loads(path.read_bytes())
        return tuple(map(str, said["sha256"])) if said["state"] == state else ()
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _computed(image: Image) -> tuple[str, ...]:
    found = []
    for layer in image.chain:
        for path in layer.files:
            with path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(found)


def _unstamped(work: Work, order: Order) -> str:
    if order.mode is not Mode.OVERLAY:
        return f"--mode {order.mode}"
    try:
        source = replace(work.source, images=images_of(order))
        preparing.prepared(order, work.golden, source, current_listener())
    except preparing.NotStampedError as reason:
        return str(reason) or "it cannot be stamped"
    return ""


def _record_digest(attempt: Attempt, machine: Machine) -> str:
    with (attempt.hidden(machine.identity.name) / RECORD).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
