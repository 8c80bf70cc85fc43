"""The options of commands that work on an image, and the request that they add up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unclone.images.errors import UsageError
from unclone.images.formats.header import Format
from unclone.images.text import printable
from unclone.runs.options import MACHINE_IDS, make_options, parse_machine_id
from unclone.sanitize.identities.keys import KEY_HELP, read_key
from unclone.sanitize.options import SSH_HOST_KEYS, UUIDS, Options, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unclone.cli.progress import Progress
    from unclone.runs.request import Request

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

FORMATS = [str(each) for each in Format]


def machine_id(text: str) -> str:
    """The type of ``--machine-id``.

    A function, and not a ``click.ParamType``: that is generic in click 8.4, and not before.
    """
    try:
        return parse_machine_id(text)
    except UsageError as error:
        raise click.BadParameter(error.message) from error


def image_argument(*, several: bool = False) -> Callable[[Decorated], Decorated]:
    """The image, or the images."""
    if several:
        return click.argument("images", metavar="IMAGE...", nargs=-1, type=_PATH)
    return click.argument("image", type=_PATH)


def allow_option(function: Decorated) -> Decorated:
    """Where files that an image refers to may lie."""
    return click.option(
        "--allow-dir",
        "allow",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        multiple=True,
        metavar="FOLDER",
        help="A folder where backing and data files may lie, besides the image's own; "
        "may be repeated.",
    )(function)


def engine_option(function: Decorated) -> Decorated:
    """What opens the image."""
    return click.option(
        "--engine",
        type=click.Choice(["auto", "guestfs", "direct", "appliance"]),
        default="auto",
        show_default=True,
        help="What opens the guest: auto is direct (ext2/3/4, FAT) where that suffices, else "
        "appliance (XFS, btrfs, LVM, LUKS, RAID1), else guestfs.",
    )(function)


def key_file_option(function: Decorated) -> Decorated:
    """What opens containers."""
    return click.option(
        "--key-file",
        "key_files",
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        multiple=True,
        help="A file whose content opens a LUKS container; may be repeated.",
    )(function)


def opening_options(function: Decorated) -> Decorated:
    """How the image is opened."""
    return _apply(
        function,
        engine_option,
        click.option(
            "--format",
            "image_format",
            type=click.Choice(FORMATS),
            help="The image's format, where it cannot be told from the file (raw).",
        ),
        click.option(
            "--add-disk",
            "add_disks",
            type=_PATH,
            multiple=True,
            metavar="IMAGE",
            help="A further disk of the same guest; may be repeated.",
        ),
        allow_option,
        key_file_option,
        click.option(
            "--ask-passphrase", is_flag=True, help="Ask for the passphrase of a LUKS container."
        ),
    )


def step_options(function: Decorated) -> Decorated:
    """Which steps run, and how, on a machine that may be named."""
    name = click.option(
        "--name",
        metavar="NAME",
        help="The machine's name, for --derive-from and --definition; default: that of the image "
        "file.",
    )
    hostname = click.option(
        "--hostname",
        "host_name",
        metavar="NAME",
        default="",
        help="The new host name, in every file that has the old; for guests without cloud-init.",
    )
    return unnamed_step_options(name(hostname(function)))


def unnamed_step_options(function: Decorated) -> Decorated:
    """Which steps run, and how."""
    return _apply(
        function,
        click.option(
            "--profile",
            type=click.Choice([str(each) for each in Profile]),
            default=str(Profile.IDENTITY),
            show_default=True,
            help="identity: what must not be shared. golden: also logs, histories, caches.",
        ),
        click.option(
            "--enable",
            multiple=True,
            metavar="STEP",
            shell_complete=complete_step,
            help="Run a step that is off by default; may be repeated (see `unclone steps`).",
        ),
        click.option(
            "--disable",
            multiple=True,
            metavar="STEP",
            shell_complete=complete_step,
            help="Leave a step out; may be repeated.",
        ),
        click.option(
            "--delete-snapshots",
            is_flag=True,
            help="Delete btrfs snapshots of what the guest mounts: each keeps the old identity. "
            "The same as --enable snapshot-identities.",
        ),
        click.option(
            "--machine-id",
            type=machine_id,
            metavar=f"[{'|'.join(MACHINE_IDS)}|ID]",
            default="auto",
            show_default=True,
            help="What becomes of the machine-id; auto: removed or emptied, as the guest can boot.",
        ),
        click.option(
            "--ssh-host-keys",
            type=click.Choice(SSH_HOST_KEYS),
            default="auto",
            show_default=True,
            help="auto: removed where the guest certainly makes new ones, else made here.",
        ),
        click.option(
            "--uuids",
            type=click.Choice(UUIDS),
            default="renew",
            show_default=True,
            help="The UUIDs of file systems, partitions and containers, with all that refers to "
            "them.",
        ),
        click.option(
            "--derive-from", metavar="FILE", help=KEY_HELP, type=click.Path(allow_dash=True)
        ),
        click.option(
            "--strict",
            is_flag=True,
            help="Refuse where an identity would stay: kept, off by default, or yours to decide.",
        ),
        catalogue_option,
    )


def catalogue_option(function: Decorated) -> Decorated:
    """Catalogue files of the user's own."""
    return click.option(
        "--catalogue",
        "catalogues",
        type=click.Path(exists=True, dir_okay=False, readable=True),
        multiple=True,
        metavar="FILE",
        help="A catalogue file of your own, besides the built-in ones; may be repeated.",
    )(function)


def complete_step(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 (click's signature)
    incomplete: str,
) -> list[str]:
    """The names of steps that begin with *incomplete*, for the shell."""
    from unclone.sanitize.step_selection import all_steps  # noqa: PLC0415 (reads the catalogue)

    catalogues = tuple(ctx.params.get("catalogues") or ())
    steps = [step.info.id for step in all_steps(Options(catalogues=catalogues))]
    return [name for name in steps if name.startswith(incomplete)]


def options_from(given: Mapping[str, Any]) -> Options:
    """The options for the steps. Raises UsageError for a step that does not exist."""
    names = ("profile", "disable", "machine_id", "ssh_host_keys", "uuids", "strict")
    snapshots = ("snapshot-identities",) if given["delete_snapshots"] else ()
    return make_options(
        **{name: given[name] for name in names},
        enable=(*given["enable"], *snapshots),
        hostname=given.get("host_name", ""),
        catalogues=given["catalogues"],
        key=read_key(given["derive_from"]) if given["derive_from"] else b"",
    )


def request_from(
    image: Path, given: Mapping[str, Any], options: Options, progress: Progress
) -> Request:
    """The request for one image. What a command has no option for keeps its default."""
    from unclone.runs.request import Request  # noqa: PLC0415 (the engines come with it: not for --help)

    outputs = tuple(given.get("outputs", ()))
    return Request(
        image=image,
        add_disks=tuple(given["add_disks"]),
        format=given["image_format"] or "",
        engine=given["engine"],
        outputs=outputs,
        output_format=given.get("output_format") or "",
        overwrite=given.get("overwrite", False),
        allow=tuple(given["allow"]),
        allow_overlays=given.get("allow_overlays", False),
        dry_run=given.get("dry_run", False),
        save_plan=given.get("save_plan"),
        plan=given.get("plan"),
        if_needed=given.get("if_needed", False),
        key_files=tuple(given["key_files"]),
        passphrase=asking(progress) if given["ask_passphrase"] else None,
        options=_named(options, given["name"] or _machine(outputs[0] if outputs else image)),
    )


def _machine(image: Path) -> str:
    """The machine's name that a file name says: without its suffix, and that of a compression."""
    from unclone.images.archives.compression import TABLE  # noqa: PLC0415 (the engines come with it: not for --help)

    suffixes = {each.suffix for each in TABLE}
    return Path(image.stem).stem if image.suffix in suffixes else image.stem


def _named(options: Options, machine: str) -> Options:
    """*options* for one machine; random values do not depend on its name."""
    if not options.identities.key:
        return options
    return replace(options, identities=replace(options.identities, machine=machine))


def asking(progress: Progress) -> Callable[[str], bytes]:
    def ask(device: str) -> bytes:
        with progress.paused():
            answer = click.prompt(
                f"Passphrase for {printable(device)}", hide_input=True, err=True, type=str
            )
        return str(answer).encode("utf-8", "surrogateescape")

    return ask


def _apply(function: Decorated, *decorators: Callable[[Decorated], Decorated]) -> Decorated:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


_PATH = click.Path(path_type=Path)
