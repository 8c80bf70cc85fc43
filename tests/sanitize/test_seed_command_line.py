"""A kernel command line in the image may make nothing of a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.sanitize.boot.kernel_arguments import (
    ArgumentKind,
    KernelArgumentFile,
    command_lines,
)
from unclone.sanitize.seed_command_line import command_line_obstacles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.obstacle import Obstacle

GRUB = "/boot/grub/grub.cfg"


def look(arguments: str) -> Sequence[Obstacle]:
    text = f"menuentry x {{\n linux /vmlinuz root=/dev/vda1 ro {arguments}\n}}\n"
    file = KernelArgumentFile(GRUB, ArgumentKind.GRUB_CFG)
    return tuple(command_line_obstacles(command_lines([(file, text)])))


@pytest.mark.parametrize(
    ("arguments", "id_", "whole"),
    [
        ("ds=nocloud;s=http://192.0.2.1/", "seed-on-command-line", True),
        ("'ds=nocloud;s=http://192.0.2.1/'", "seed-on-command-line", True),
        ("ds=nocloud\\;i=golden\\;h=web", "seed-on-command-line", True),
        ("ds=nocloud-net;seedfrom=http://192.0.2.1/", "seed-on-command-line", True),
        ("ci.ds=Ec2", "datasource-on-command-line", True),
        ("ci.datasource=OpenStack", "datasource-on-command-line", True),
        ("ds=ec2", "datasource-on-command-line", True),
        ("ci.di.policy=disabled", "disabled-on-command-line", True),
        ("systemd.mask=cloud-init.service", "disabled-on-command-line", True),
        ("cloud-config-url=http://192.0.2.1/x", "config-on-command-line", False),
        ("cc: {datasource_list: [None]} end_cc", "config-on-command-line", False),
    ],
)
def test_it_may_be_in_the_way(arguments: str, id_: str, whole: bool) -> None:
    found = look(arguments)
    assert (found[0].id, found[0].path, found[0].whole) == (id_, GRUB, whole)


@pytest.mark.parametrize(
    "arguments", ["ds=nocloud", "ci.ds=NoCloud", "ci.di.policy=search,maybe=all"]
)
def test_it_may_be_harmless(arguments: str) -> None:
    assert look(arguments) == ()
