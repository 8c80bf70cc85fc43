"""unclone: turn a copied VM disk image into a machine of its own, offline.

What the commands do, as functions: :func:`inspect`, :func:`sanitize`, :func:`define` and
:func:`seed`. Each raises :class:`UncloneError`, whose ``message``, ``hint`` and ``status`` are
those of the command. Runs with every option are in :mod:`unclone.runs`.
"""

from __future__ import annotations

from importlib import import_module

# As typing.TYPE_CHECKING: helper programs load this module, and typing takes long to load.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from unclone.images.errors import UncloneError
    from unclone.runs.define import Defined
    from unclone.runs.listener import Listener
    from unclone.sanitize.report import Inspection, Report
    from unclone.seeds.fleet import Result

__all__ = ["UncloneError", "__version__", "define", "inspect", "sanitize", "seed"]

__version__ = "0.1.0"

# `sanitize` is a subpackage and a function. A subpackage is bound to its name once, when it is
# first imported: here, so that the function below keeps the name.
import_module("unclone.sanitize")


def inspect(
    image: str | PathLike[str],
    *,
    add_disks: Iterable[str | PathLike[str]] = (),
    format: str = "",  # noqa: A002 (as the option of the command)
    engine: str = "auto",
    profile: str = "identity",
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
    key_files: Iterable[str | PathLike[str]] = (),
    listener: Listener | None = None,
) -> Inspection:
    """What identity is in *image*, and what :func:`sanitize` would change. Changes nothing.

    *add_disks* are further disks of the same guest. *format* is told by the content unless it is
    raw. *key_files* open LUKS. *listener* is told how far the run is.
    """
    from pathlib import Path

    from unclone.runs.inspect import inspect as run
    from unclone.runs.options import make_options
    from unclone.runs.request import Request

    request = Request(
        Path(image),
        add_disks=tuple(map(Path, add_disks)),
        format=format,
        engine=engine,
        key_files=tuple(map(Path, key_files)),
        options=make_options(profile=profile, enable=enable, disable=disable),
    )
    return run(request, listener)


def sanitize(
    image: str | PathLike[str],
    *,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    add_disks: Iterable[str | PathLike[str]] = (),
    format: str = "",  # noqa: A002 (as the option of the command)
    engine: str = "auto",
    profile: str = "identity",
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
    machine_id: str = "auto",
    ssh_host_keys: str = "auto",
    uuids: str = "renew",
    strict: bool = False,
    hostname: str = "",
    key_files: Iterable[str | PathLike[str]] = (),
    listener: Listener | None = None,
) -> Report:
    """Make *image* a machine of its own, in place or as the new file *output*.

    The image is done completely, or it is as it was and ``UncloneError`` is raised. The values are
    those of the options of ``unclone sanitize`` with the same names; *output* is for a guest with
    one disk.
    """
    from pathlib import Path

    from unclone.runs.options import make_options
    from unclone.runs.request import Request
    from unclone.runs.sanitize import sanitize as run

    options = make_options(
        profile=profile,
        enable=enable,
        disable=disable,
        machine_id=machine_id,
        ssh_host_keys=ssh_host_keys,
        uuids=uuids,
        strict=strict,
        hostname=hostname,
    )
    request = Request(
        Path(image),
        add_disks=tuple(map(Path, add_disks)),
        format=format,
        engine=engine,
        key_files=tuple(map(Path, key_files)),
        outputs=() if output is None else (Path(output),),
        overwrite=overwrite,
        dry_run=dry_run,
        options=options,
    )
    return run(request, listener)


def define(
    source: str | PathLike[str],
    name: str,
    *,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    disks: Mapping[str, str] | None = None,
    macs: Mapping[str, str] | None = None,
    uuid: str = "",
    avoid: Iterable[str | PathLike[str]] = (),
    ledger: str | PathLike[str] | None = None,
) -> Defined:
    """Write the definition of a different machine, called *name*, from the definition *source*.

    *output* is *name* with the suffix of *source*, in the current folder, unless it is given.
    *disks* says where a disk (its path, or a name such as ``vda``) is on the new machine, *macs*
    which address a card (``net0``, its old address, its number) gets. What is in the definitions in
    *avoid*, or in *ledger* (a file, or ``postgresql://HOST/DATABASE``), is not given again.
    """
    from os import fspath
    from pathlib import Path

    from unclone.runs import define as run
    from unclone.sanitize.identities.ledger.place import parse_place

    request = run.Request(
        Path(source),
        name,
        output=None if output is None else Path(output),
        uuid=run.parse_uuid(uuid),
        macs=macs or {},
        disks=disks or {},
        dry_run=dry_run,
        overwrite=overwrite,
    )
    definition = run.read(request)
    book = None if ledger is None else parse_place(fspath(ledger))
    with run.pool(request, avoid=tuple(map(Path, avoid)), ledger=book) as pool:
        return run.define(request, definition, pool)


def seed(
    hostname: str,
    *,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    instance_id: str = "",
    users: Iterable[str] = (),
    ssh_keys: Iterable[str] = (),
    nics: Iterable[str] = (),
    user_data: Iterable[str | PathLike[str]] = (),
    network_config: str | PathLike[str] | None = None,
    strict: bool = False,
) -> Result:
    """Write the cloud-init NoCloud seed of the machine *hostname*, after checking it.

    *output* is ``HOSTNAME.iso`` in the current folder unless it is given. *ssh_keys* are public
    keys, or files of them; *nics* are written as for ``--nic``. Raises ``UncloneError`` with the
    first mistake when cloud-init would not use the seed as it is; lesser findings are in the
    result.
    """
    from unclone.runs.seed import seed_for

    return seed_for(
        hostname,
        output=output,
        overwrite=overwrite,
        dry_run=dry_run,
        instance_id=instance_id,
        users=users,
        ssh_keys=ssh_keys,
        nics=nics,
        user_data=user_data,
        network_config=network_config,
        strict=strict,
    )


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """``UncloneError``, loaded when it is asked for: helper processes load this module, too."""
        if name != "UncloneError":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from unclone.images.errors import UncloneError

        return UncloneError
