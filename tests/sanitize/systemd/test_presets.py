"""Presets are evaluated as systemd evaluates them; ``systemctl --root=`` is the judge."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.facts import Facts
from unclone.sanitize.systemd.presets import (
    UnitChange,
    first_boot_changes,
    first_boot_prompts,
    preset_all,
    read_rules,
)

UNITS = {
    "/usr/lib/systemd/system/plain.service": "[Install]\nWantedBy=multi-user.target\n",
    "/usr/lib/systemd/system/other.service": "[Install]\nWantedBy=multi-user.target\n",
    "/usr/lib/systemd/system/static.service": "[Service]\nExecStart=/bin/true\n",
    "/usr/lib/systemd/system/masked.service": "[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/masked.service": "-> /dev/null",
    "/usr/lib/systemd/system/emptied.service": "",
    "/usr/lib/systemd/system/pair.service": (
        "[Install]\nAlso=pair.socket\nWantedBy=multi-user.target\n"
    ),
    "/usr/lib/systemd/system/pair.socket": "[Install]\nWantedBy=sockets.target\n",
    "/usr/lib/systemd/system/named.service": (
        "[Install]\nAlias=dbus-org.example.named.service wrong.socket\n"
    ),
    "/usr/lib/systemd/system/tty@.service": (
        "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"
    ),
    "/usr/lib/systemd/system/no-default@.service": "[Install]\nWantedBy=multi-user.target\n",
    "/usr/lib/systemd/system/in-template@.service": "[Install]\nWantedBy=tty@.service\n",
    "/usr/lib/systemd/system/listed@.service": "[Install]\nWantedBy=multi-user.target\n",
    "/usr/lib/systemd/system/required.service": (
        "[Install]\nRequiredBy=a.target \\\n  b.target\nWantedBy=\n"
    ),
    "/usr/lib/systemd/system/dropped.service": "[Service]\nExecStart=/bin/true\n",
    "/usr/lib/systemd/system/dropped.service.d/install.conf": (
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "/usr/lib/systemd/system/old-name.service": "-> plain.service",
    "/usr/lib/systemd/system/specifier@.service": (
        "[Install]\nWantedBy=%i.target\nDefaultInstance=x\nAlias=%p-main.service\n"
    ),
    "/usr/local/lib/systemd/system/local.service": "[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/own.service": "[Install]\nWantedBy=multi-user.target\n",
    "/opt/app/linked.service": "[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/linked.service": "-> /opt/app/linked.service",
    "/etc/systemd/system/not a unit": "[Install]\nWantedBy=multi-user.target\n",
}

ENABLED = {
    "/etc/systemd/system/multi-user.target.wants/plain.service": (
        "-> /usr/lib/systemd/system/plain.service"
    ),
    "/etc/systemd/system/sockets.target.wants/pair.socket": (
        "-> /usr/lib/systemd/system/pair.socket"
    ),
    "/etc/systemd/system/getty.target.wants/tty@tty1.service": (
        "-> /usr/lib/systemd/system/tty@.service"
    ),
    "/etc/systemd/system/getty.target.wants/tty@tty2.service": (
        "-> /usr/lib/systemd/system/tty@.service"
    ),
}

PRESETS = {
    "none": {},
    "disable all": {"/usr/lib/systemd/system-preset/99-default.preset": "disable *\n"},
    "enable some": {
        "/usr/lib/systemd/system-preset/50-vendor.preset": (
            "# a comment\n; another\n\nenable plain.service\nenable pair.*\n"
            "enable listed@.service one two\ndisable tty@.service\ndisable *\n"
        )
    },
    "first match wins": {
        "/usr/lib/systemd/system-preset/90-vendor.preset": "disable plain.service\ndisable o*\n",
        "/etc/systemd/system-preset/10-own.preset": "enable other.service\nenable own.service\n",
    },
    "same name replaces": {
        "/usr/lib/systemd/system-preset/50-x.preset": "disable *\n",
        "/etc/systemd/system-preset/50-x.preset": "disable plain.service\n",
    },
    "sloppy lines": {
        "/usr/lib/systemd/system-preset/50-x.preset": (
            "  enable   plain.service  \nfrobnicate x\ndisable [op]*.service\n"
        )
    },
}


@pytest.mark.parametrize("full", [False, True], ids=["enable-only", "full"])
@pytest.mark.parametrize("enabled", [{}, ENABLED], ids=["fresh", "configured"])
@pytest.mark.parametrize("presets", PRESETS.values(), ids=PRESETS)
def test_agrees_with_systemctl(
    tmp_path: Path, presets: dict[str, str], enabled: dict[str, str], full: bool
) -> None:
    plant(tmp_path, {**UNITS, **enabled, **presets})
    assert_agrees(tmp_path, full=full)


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["enable-only", "full"])
def test_agrees_with_systemctl_on_the_units_of_this_machine(tmp_path: Path, full: bool) -> None:
    plant(tmp_path, {"/usr/lib/systemd": None, "/etc/systemd": None, "/lib": "-> usr/lib"})
    for folder in ("usr/lib/systemd/system", "usr/lib/systemd/system-preset", "etc/systemd/system"):
        shutil.copytree(Path("/", folder), tmp_path / folder, symlinks=True)
    assert_agrees(tmp_path, full=full)


def assert_agrees(root: Path, *, full: bool) -> None:
    """preset_all says what changes exactly if systemctl changes links, and names those units."""
    predicted = preset_all(guest_at(root), full=full)
    before = links(root)
    mode = "full" if full else "enable-only"
    subprocess.run(
        ["systemctl", f"--root={root}", "preset-all", f"--preset-mode={mode}"],
        check=False,  # masked units make it complain, and it goes on
        capture_output=True,
        timeout=60,
    )
    after = links(root)
    made = {unit for path in after - before for unit in units_of(root, path)}
    gone = {unit for path in before - after for unit in (Path(path).name,)}
    enabled = {c.unit for c in predicted if c.then == "enabled"}
    disabled = {c.unit for c in predicted if c.then == "disabled"}
    assert {family(u) for u in enabled} == {family(u) for u in made}
    assert {family(u) for u in disabled} == {family(u) for u in gone} - {family(u) for u in made}


def links(root: Path) -> set[str]:
    """Every symlink below etc/systemd/system that enables something."""
    top = root / "etc/systemd/system"
    return {
        os.path.relpath(path, top)
        for path in top.rglob("*")
        if path.is_symlink() and os.readlink(path) != "/dev/null"
    }


def units_of(root: Path, link: str) -> set[str]:
    return {Path(os.readlink(root / "etc/systemd/system" / link)).name}


def family(unit: str) -> str:
    """A template and its instances are one: systemctl links an instance to the template."""
    before, at, rest = unit.partition("@")
    return f"{before}@.{rest.rpartition('.')[2]}" if at else unit


def test_the_changes_are_sorted_and_say_both_states(tmp_path: Path) -> None:
    plant(tmp_path, {**UNITS, **ENABLED, **PRESETS["enable some"]})
    changes = preset_all(guest_at(tmp_path), full=True)
    assert UnitChange("pair.service", "disabled", "enabled") in changes
    assert UnitChange("tty@.service", "enabled", "disabled") in changes
    assert [c.unit for c in changes] == sorted(c.unit for c in changes)


@pytest.mark.parametrize(
    ("release", "version", "expected"),
    [
        ("ID=debian\n", 252, ()),
        ("ID=fedora\n", 254, (UnitChange("plain.service", "enabled", "disabled"),)),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', 257, ("plain.service",)),
        ("ID=fedora\n", 250, ()),
    ],
    ids=["debian", "fedora 39", "rocky 10", "fedora 36"],
)
def test_only_fedora_and_its_family_disable_units(
    tmp_path: Path, release: str, version: int, expected: tuple[object, ...]
) -> None:
    plant(
        tmp_path,
        {
            "/etc/os-release": release,
            f"/usr/lib/systemd/libsystemd-shared-{version}.so": "",
            "/usr/lib/systemd/system/plain.service": "[Install]\nWantedBy=multi-user.target\n",
            "/usr/lib/systemd/system-preset/99.preset": "disable *\n",
            "/etc/systemd/system/multi-user.target.wants/plain.service": (
                "-> /usr/lib/systemd/system/plain.service"
            ),
        },
    )
    guest = guest_at(tmp_path)
    changes = first_boot_changes(guest, Facts(guest))
    assert [c.unit for c in changes] == ["plain.service"] * len(expected)


def test_hostile_units_are_read_without_harm(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/usr/lib/systemd/system/loop.service": "[Install]\nAlso=loop.service knot.service\n",
            "/usr/lib/systemd/system/knot.service": "[Install]\nAlso=loop.service\n",
            "/usr/lib/systemd/system/bytes.service": b"[Install]\nWantedBy=\xff\xfe.target \0\n",
            "/usr/lib/systemd/system/climb.service": "[Install]\nWantedBy=../../etc/x.target\n",
            "/etc/systemd/system/self.service": "-> self.service",
            "/usr/lib/systemd/system-preset/50-x.preset": b"enable \xff\nenable\n\0\n",
        },
    )
    assert preset_all(guest_at(tmp_path), full=True) == ()


def test_rules_are_read_in_order(tmp_path: Path) -> None:
    plant(tmp_path, PRESETS["first match wins"])
    assert [rule.pattern for rule in read_rules(guest_at(tmp_path))] == [
        "other.service",
        "own.service",
        "plain.service",
        "o*",
    ]


def firstboot(options: str) -> dict[str, str]:
    return {
        "/usr/lib/systemd/system/systemd-firstboot.service": (
            f"[Service]\nExecStart=systemd-firstboot {options}\n"
        ),
        "/usr/lib/systemd/system/sysinit.target.wants/systemd-firstboot.service": (
            "-> ../systemd-firstboot.service"
        ),
    }


@pytest.mark.parametrize(
    ("files", "prompts"),
    [
        ({}, ()),
        (firstboot("--prompt-locale --prompt-timezone"), ("the locale", "the time zone")),
        (
            {**firstboot("--prompt-locale"), "/etc/default/locale": "LANG=C.UTF-8\n"},
            (),
        ),
        (
            {**firstboot("--prompt-timezone"), "/etc/localtime": "-> /usr/share/zoneinfo/UTC"},
            (),
        ),
        ({**firstboot("--prompt-root-password"), "/etc/shadow": "root:*:1::::::\n"}, ()),
        (
            {
                **firstboot("--prompt-locale"),
                "/etc/systemd/system/systemd-firstboot.service": "-> /dev/null",
            },
            (),
        ),
    ],
    ids=["absent", "nothing set", "locale set", "time zone set", "password set", "masked"],
)
def test_what_firstboot_would_ask(
    tmp_path: Path, files: dict[str, str], prompts: tuple[str, ...]
) -> None:
    plant(tmp_path, files)
    assert first_boot_prompts(guest_at(tmp_path)) == prompts
