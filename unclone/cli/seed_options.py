"""The options that say what is in a seed, for every command that writes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

_OPTIONS = (
    click.option(
        "--user",
        "users",
        multiple=True,
        metavar="NAME",
        help="An administrator, instead of the image's default user; may be repeated.",
    ),
    click.option(
        "--ssh-key",
        "ssh_keys",
        multiple=True,
        metavar="FILE|KEY",
        help="A public key, or a file of them, for every --user; may be repeated.",
    ),
    click.option(
        "--user-key",
        "user_keys",
        multiple=True,
        metavar="NAME=FILE|KEY",
        help="A public key for one --user, or for root; may be repeated.",
    ),
    click.option(
        "--password-file",
        metavar="FILE",
        help="A password for every --user; only its hash goes into the seed.",
    ),
    click.option(
        "--generate-password",
        is_flag=True,
        help="Make a password for every --user, print it once, and put its hash into the seed.",
    ),
    click.option("--package", "packages", multiple=True, metavar="NAME", help="May be repeated."),
    click.option("--run", multiple=True, metavar="COMMAND", help="Runs once; may be repeated."),
    click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin."),
    click.option("--disk-grow", is_flag=True, help="Grow the root file system to fill its disk."),
    click.option(
        "--write-file",
        "write_files",
        multiple=True,
        metavar="PATH=FILE",
        help="Write FILE in the guest at PATH, with FILE's permissions; may be repeated.",
    ),
    click.option(
        "--dsmode",
        type=click.Choice(["local", "net"]),
        help="Use the seed before the network is up (local), or after.",
    ),
    click.option(
        "--user-data",
        multiple=True,
        metavar="FILE",
        help="User-data in any of cloud-init's formats; several become MIME parts.",
    ),
    click.option(
        "--template",
        "templates",
        multiple=True,
        metavar="FILE",
        help="User-data in which ${name} stands for a value; may be repeated.",
    ),
    click.option(
        "--set", "values", multiple=True, metavar="NAME=VALUE", help="A value for templates."
    ),
    click.option("--network-config", metavar="FILE", help="Version 1 or 2, as it is."),
    click.option(
        "--vendor-data", multiple=True, metavar="FILE", help="As it is; user-data overrides it."
    ),
)


def seed_options(function: Decorated) -> Decorated:
    """What all machines of a run have in common."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
