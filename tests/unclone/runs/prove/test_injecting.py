"""Where the reporter goes, for each init system."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.runs.prove.injecting import SCRIPT, inject, script

if TYPE_CHECKING:
    from pathlib import Path


def test_systemd_is_asked_by_a_drop_in_and_no_link(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/systemd/system": None})
    inject(guest_at(tmp_path), "systemd")
    drop_in = tmp_path / "etc/systemd/system/sysinit.target.d/unclone-report.conf"
    assert "Wants=unclone-report.service" in drop_in.read_text()
    unit = (tmp_path / "etc/systemd/system/unclone-report.service").read_text()
    assert f"ExecStart=/bin/sh {SCRIPT}" in unit
    assert [path for path in tmp_path.rglob("*") if path.is_symlink()] == []
    assert (tmp_path / SCRIPT[1:]).read_bytes() == script()


@pytest.mark.parametrize(
    ("init", "link", "inittab", "entry"),
    [
        ("sysvinit", "", "id:2:initdefault:\n", "uncl:2345:once:"),
        ("sysvinit", "", "id:2:initdefault:", "uncl:2345:once:"),
        ("openrc", "", "::sysinit:/sbin/openrc sysinit\n", "::once:"),
        ("sysvinit", "-> /bin/busybox", "tty1::askfirst:/bin/sh\n", "::once:"),
    ],
)
def test_an_inittab_gets_a_line(
    tmp_path: Path, init: str, link: str, inittab: str, entry: str
) -> None:
    plant(tmp_path, {"/etc/inittab": inittab, "/bin/busybox": "", "/sbin/init": link or "elf"})
    inject(guest_at(tmp_path), init)
    lines = (tmp_path / "etc/inittab").read_text().splitlines()
    assert lines == [inittab.rstrip("\n"), f"{entry}/bin/sh {SCRIPT}"]


@pytest.mark.parametrize("init", ["runit", "s6", "dinit", "unknown", "openrc"])
def test_another_init_is_refused(tmp_path: Path, init: str) -> None:
    plant(tmp_path, {"/etc": None})
    with pytest.raises(RefusedError, match="cannot be made to report"):
        inject(guest_at(tmp_path), init)
    assert list((tmp_path / "etc").iterdir()) == []


def test_an_init_that_reads_no_inittab_is_refused(tmp_path: Path) -> None:
    inittab = "id:2:initdefault:\n"
    plant(
        tmp_path, {"/etc/inittab": inittab, "/sbin/openrc-init": "", "/sbin/init": "-> openrc-init"}
    )
    with pytest.raises(RefusedError, match=r"\(openrc\) cannot be made to report"):
        inject(guest_at(tmp_path), "openrc")
    assert (tmp_path / "etc/inittab").read_text() == inittab


def test_what_a_guest_has_there_already_is_replaced(tmp_path: Path) -> None:
    plant(tmp_path, {SCRIPT: "-> /etc/shadow", "/etc/shadow": "secret"})
    inject(guest_at(tmp_path), "systemd")
    assert (tmp_path / "etc/shadow").read_text() == "secret"
    assert (tmp_path / SCRIPT[1:]).read_bytes() == script()


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_can_read_the_script(shell: str) -> None:
    subprocess.run([shell, "-n"], input=script(), check=True)
