"""Facts are read once, from hostile text, without a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import ALPINE, ARCH, DEBIAN_12, EL8, EL9, FAMILIES, Tree
from tests.support.tree import guest_at, plant
from unclone.sanitize.facts import Facts, parse_os_release

if TYPE_CHECKING:
    from pathlib import Path


def facts_of(folder: Path, tree: Tree) -> Facts:
    plant(folder, tree)
    return Facts(guest_at(folder))


@pytest.mark.parametrize(
    ("family", "init", "version", "read_only"),
    [
        ("debian-12", "systemd", 252, True),
        ("el9", "systemd", 252, True),
        ("el8", "systemd", 239, True),
        ("arch", "systemd", 257, False),
        ("alpine", "openrc", None, True),
    ],
)
def test_families(
    tmp_path: Path, family: str, init: str, version: int | None, read_only: bool | None
) -> None:
    facts = facts_of(tmp_path, FAMILIES[family])
    assert facts.init == init
    assert facts.systemd_version == version
    assert facts.root_start.read_only is read_only


def test_names_and_ids(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, EL9)
    assert facts.distro_ids == {"rocky", "rhel", "centos", "fedora"}
    assert facts.name == "Rocky Linux"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\n", {"ID": "debian"}),
        ('NAME="a \\"b\\" \\$HOME \\\\ c"\n', {"NAME": 'a "b" $HOME \\ c'}),
        ("NAME='it $(is) \"plain\"'\n", {"NAME": 'it $(is) "plain"'}),
        ("# ID=no\n; \nBAD LINE\n=x\n1A=2\n", {}),
        ('ID="unclosed\n', {"ID": '"unclosed'}),
        ("ID=a\nID=b\n", {"ID": "b"}),
        ("ID=$(reboot)\r\n", {"ID": "$(reboot)"}),
    ],
    ids=["plain", "escapes", "single quotes", "no assignments", "unclosed", "twice", "a command"],
)
def test_os_release_is_text(text: str, expected: dict[str, str]) -> None:
    assert parse_os_release(text) == expected


def test_a_hostile_name_cannot_reach_the_terminal(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {"/etc/os-release": b'PRETTY_NAME="\x1b[2J\xff"\n'})
    assert facts.name == r"\x1b[2J\xff"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ro"], True),
        (["rw"], False),
        (["ro rw"], False),
        (["rw ro"], True),
        (["quiet"], True),
        (["rw", "rw quiet"], False),
        (["rw", "ro single"], True),
        ([], None),
    ],
    ids=["ro", "rw", "last wins: rw", "last wins: ro", "neither", "all rw", "one ro", "no kernel"],
)
def test_how_the_root_starts(tmp_path: Path, lines: list[str], expected: bool | None) -> None:
    text = "".join(f"  linux /vmlinuz root=/dev/vda1 {line}\n" for line in lines)
    facts = facts_of(tmp_path, {"/boot/grub/grub.cfg": f"set default=0\n{text}"})
    assert facts.root_start.read_only is expected
    assert facts.root_start.reason


@pytest.mark.parametrize(
    ("tree", "init"),
    [
        ({"/usr/lib/systemd/systemd": "", "/bin/sh": ""}, "systemd"),
        ({"/sbin/init": "-> /lib/systemd/systemd", "/lib/systemd/systemd": ""}, "systemd"),
        ({"/sbin/init": "", "/etc/inittab": "", "/lib/systemd/systemd": ""}, "sysvinit"),
        ({"/sbin/init": "-> runit-init", "/sbin/runit-init": ""}, "runit"),
        ({"/sbin/init": "-> /sbin/init"}, "unknown"),
        ({}, "unknown"),
    ],
    ids=["no init link", "link", "sysvinit beside systemd", "runit", "loop", "nothing"],
)
def test_init(tmp_path: Path, tree: Tree, init: str) -> None:
    assert facts_of(tmp_path, tree).init == init


def test_grub_variables_are_filled_in(tmp_path: Path) -> None:
    (line,) = facts_of(tmp_path, EL8).kernel_command_lines
    assert line.arguments == ("root=/dev/mapper/al-root", "ro", "crashkernel=auto")


def test_every_family_has_a_kernel_command_line(tmp_path: Path) -> None:
    for number, tree in enumerate((DEBIAN_12, EL8, EL9, ARCH, ALPINE)):
        assert facts_of(tmp_path / str(number), tree).kernel_command_lines
